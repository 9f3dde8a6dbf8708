"""Hover to paint and cursor drag to frame, in Chromium on the explorer in a real JupyterLab.

    python benchmarks/bench_hand.py [--moves 200]

Real mouse moves are sent to the page. For each, two times end when the frame that shows it is painted: one begins
when the page is handed the event ("from event"), one when the browser received the input ("from input", which holds
the wait for the next frame too). Chromium hands out moves once a frame, so the second is bounded by a frame plus the
first.
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

CELLS = [
    "import xai_widgets as xw\nfrom xai_widgets.data import scenes\nmodel = xw.load('scenes_resnet')",
    "explorer = xw.DeletionExplorer(model, scenes.scene(2, split='test').image)\nexplorer",
]

#: After the frame callbacks of this frame have run and it is painted, the message arrives.
WATCH = """(type) => {
    window.xwTimes = [];
    window.xwWatch?.abort();
    window.xwWatch = new AbortController();
    const channel = new MessageChannel();
    let waiting = [];
    channel.port1.onmessage = () => {
        const now = performance.now();
        for (const [input, event] of waiting) window.xwTimes.push([now - input, now - event]);
        waiting = [];
    };
    window.addEventListener(type, (event) => {
        if (waiting.length === 0) requestAnimationFrame(() => channel.port2.postMessage(0));
        waiting.push([event.timeStamp, performance.now()]);
    }, { capture: true, signal: window.xwWatch.signal });
}"""


def measure(page: Page, box: dict[str, float], moves: int, *, drag: bool) -> list[list[float]]:
    page.evaluate(WATCH, "pointermove")
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 4, y)
    if drag:
        page.mouse.down()
    for number in range(moves):
        # There and back over the view, never twice the same position.
        share = abs((number * 7 % 200) / 100 - 1)
        page.mouse.move(box["x"] + 4 + share * (box["width"] - 8), y + number % 5)
    if drag:
        page.mouse.up()
    page.wait_for_function("window.xwTimes.length > 0")
    return page.evaluate("window.xwTimes")


def report(name: str, times: list[list[float]]) -> None:
    for what, column in (("from event", 1), ("from input", 0)):
        values = sorted(row[column] for row in times)
        p95 = values[round(0.95 * (len(values) - 1))]
        print(
            f"{name:24s} {what}: median {statistics.median(values):5.1f} ms   p95 {p95:5.1f} ms   "
            f"max {values[-1]:5.1f} ms   ({len(values)} moves)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--moves", type=int, default=300)
    moves = parser.parse_args().moves
    executable = next(path for name in CHROMIUM_NAMES if (path := shutil.which(name)))
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        server = hosts.JupyterServer("lab", Path(scratch))
        try:
            notebook = hosts.NotebookHost(browser, server).open(CELLS, height=1500)
            notebook.wait_for_kernel("explorer.run_bar.status", "done")
            page = notebook.page
            print(f"Chromium {browser.version}, {os.cpu_count()} cores, {platform.machine()}")
            heatmap = page.locator(".xw-heatmap-view canvas").first.bounding_box()
            plot = page.locator(".xw-curve-view .u-over").first.bounding_box()
            assert heatmap is not None
            assert plot is not None
            report("hover over the heatmap", measure(page, heatmap, moves, drag=False))
            report("drag of the cursor", measure(page, plot, moves, drag=True))
        finally:
            server.stop()
            browser.close()


if __name__ == "__main__":
    main()
