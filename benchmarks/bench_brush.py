"""From a stroke to its scores on the screen, on the brush in a real JupyterLab, over a bare pass in the same kernel.

    OMP_NUM_THREADS=1 python benchmarks/bench_brush.py [--strokes 60]

A stroke is one dab of the mouse. Its time begins when the page is handed the event, and ends with the first frame that
is painted after the bars have changed; so it holds the brush itself, the way to the kernel, the perturbation, the
pass, the way back and the wait for a frame. The bare passes are made in the kernel between the strokes.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "browser"))
import hosts
from chromium_browser import CHROMIUM_ARGUMENTS, CHROMIUM_NAMES

MODELS = {
    "scenes_resnet": "model = xw.load('scenes_resnet', device='cpu')",
    "resnet50, random weights": """
import torch, torchvision
torch.manual_seed(0)
network = torchvision.models.resnet50(weights=None).eval()
model = xw.ImageModel(network, size=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), device="cpu")
""",
}
CELLS = [
    "import time\nimport torch\nimport xai_widgets as xw\nfrom xai_widgets.data import scenes\n{model}",
    "explorer = xw.PerturbationBrush(model, scenes.scene(2, split='test').image)\nexplorer",
]
BARE = """
def bare():
    with torch.no_grad():
        start = time.perf_counter()
        model(explorer.image)
        return 1e3 * (time.perf_counter() - start)
"""

#: The time of a dab, ms: from the event to the first painted frame in which the scores are others.
WATCH = """() => {
    const scores = document.querySelector(".xw-scores");
    const channel = new MessageChannel();
    let began = null;
    window.xwTime = null;
    const ready = () => requestAnimationFrame(() => channel.port2.postMessage(0));
    channel.port1.onmessage = () => {
        if (began === null) return;
        window.xwTime = performance.now() - began;
        began = null;
    };
    window.addEventListener("pointerdown", () => { began = performance.now(); window.xwTime = null; },
        { capture: true });
    new MutationObserver(() => began !== null && ready())
        .observe(scores, { subtree: true, childList: true, characterData: true, attributes: true });
}"""


def measure(notebook: hosts.NotebookPage, strokes: int) -> tuple[list[float], list[float]]:
    """Times of the dabs, and of the bare passes between them, ms."""
    page: Page = notebook.page
    stage = notebook.output(1).locator(".xw-brush-view .xw-stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box is not None
    notebook.kernel_exec(BARE)
    page.evaluate(WATCH)
    made, passes = [], []
    for number in range(strokes + 3):
        # Paint and erase in turn: each dab changes what the network sees, wherever it is.
        x, y = 0.15 + 0.7 * (number // 2 * 7 % 20) / 20, 0.15 + 0.7 * (number // 2 * 3 % 20) / 20
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        button = "right" if number % 2 else "left"
        page.mouse.down(button=button)
        page.mouse.up(button=button)
        page.wait_for_function("window.xwTime !== null")
        made.append(page.evaluate("window.xwTime"))
        notebook.wait_for_kernel("explorer._scorer.status", "done")
        passes.append(notebook.kernel_eval("bare()"))
    return made[3:], passes[3:]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--strokes", type=int, default=60)
    strokes = parser.parse_args().strokes
    executable = next(path for name in CHROMIUM_NAMES if (path := shutil.which(name)))
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        server = hosts.JupyterServer("lab", Path(scratch))
        try:
            threads = os.environ.get("OMP_NUM_THREADS", "as many as cores")
            print(
                f"Chromium {browser.version}, {os.cpu_count()} cores, threads {threads}, {platform.machine()}"
            )
            for name, code in MODELS.items():
                cells = [cell.replace("{model}", code) for cell in CELLS]
                notebook = hosts.NotebookHost(browser, server).open(cells, height=1500)
                times, passes = measure(notebook, strokes)
                bare = statistics.median(passes)
                values = sorted(times)
                middle, p95 = statistics.median(values), values[round(0.95 * (len(values) - 1))]
                print(
                    f"{name:26s} bare pass {bare:6.1f} ms   stroke to scores: median {middle:6.1f} ms, "
                    f"{middle / bare:.2f} passes   p95 {p95:6.1f} ms, {p95 / bare:.2f} passes   ({len(values)})"
                )
                notebook.close()
        finally:
            server.stop()
            browser.close()


if __name__ == "__main__":
    main()
