"""Frames per second and memory of FeatureExplorer in JupyterLab, while channels and layers change and images restart.

    python benchmarks/bench_features.py [--minutes 10] [--only scenes_resnet]

Every 15 seconds another channel is chosen, every 60 seconds the image is begun anew, every 120 seconds another layer is
chosen. A frame counts when the browser has drawn it. Memory is the resident set of the kernel, and the JavaScript heap
and the nodes of the page after a collection of garbage; the first minute, in which libraries load and stores fill, is
apart.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "browser"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import hosts
from chromium_browser import launched

#: The layers of each network, in turn.
LAYERS = {
    "scenes_resnet": ("stage3", "stage2", "stage4"),
    "efficientnet_lite0": ("blocks.4", "blocks.2", "blocks.5"),
}
SETUP = """
import gc, psutil, torch
import xai_widgets as xw
torch.set_num_threads(1)
model = xw.load({name!r}, device="cpu")
images = [torch.rand(3, *model.size, generator=torch.Generator().manual_seed(seed)) for seed in range(8)]
"""
SHOW = """
explorer = xw.FeatureExplorer(model, {layer!r}, 0, images=images, steps=10**6)
explorer
"""
SAMPLE = "(explorer.view._drawn, explorer.result.step if explorer.result else 0, psutil.Process().memory_info().rss)"
#: Seconds between two samples.
EVERY = 15.0


class Sample(NamedTuple):
    """The state after some seconds: frames so far, memory of kernel and page in MB, nodes of the page."""

    seconds: float
    frames: int
    kernel: float
    heap: float
    nodes: int


def sample(page: Any, session: Any, began: float) -> Sample:
    drawn, _, resident = page.kernel_eval(SAMPLE)
    session.send("HeapProfiler.collectGarbage")
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return Sample(
        time.monotonic() - began,
        drawn,
        resident / 1e6,
        metrics["JSHeapUsedSize"] / 1e6,
        int(metrics["Nodes"]),
    )


def change(page: Any, number: int, layers: tuple[str, ...]) -> None:
    """Choose another channel, and now and then another layer, or begin the image anew."""
    if number % 8 == 0:
        page.kernel_exec(f"explorer.layer_picker.value = {layers[number // 8 % len(layers)]!r}")
    elif number % 4 == 0:
        page.kernel_exec("explorer.restart()")
    else:
        page.kernel_exec(f"explorer.channel_picker.value = str({number * 7} % explorer._width())")


def measure(name: str, minutes: float) -> None:
    cells = [SETUP.format(name=name), SHOW.format(layer=LAYERS[name][0])]
    with tempfile.TemporaryDirectory() as scratch, launched() as browser:
        server = hosts.JupyterServer("lab", Path(scratch))
        try:
            page = hosts.NotebookHost(browser, server).open(cells, width=1400, height=1000)
            page.wait_for_kernel("explorer.view._drawn > 2", timeout=300)
            session = page.page.context.new_cdp_session(page.page)
            session.send("Performance.enable")
            began, samples = time.monotonic(), []
            for number in range(1, round(60 * minutes / EVERY) + 1):
                page.page.wait_for_timeout(1000 * max(0.0, began + EVERY * number - time.monotonic()))
                samples.append(sample(page, session, began))
                change(page, number, LAYERS[name])
            report(name, samples)
            assert not page.console, page.console
            page.close()
        finally:
            server.stop()


def report(name: str, samples: list[Sample]) -> None:
    rates = [
        (after.frames - before.frames) / (after.seconds - before.seconds)
        for before, after in pairwise(samples)
    ]
    print(
        f"{name}: {statistics.median(rates):.1f} frames per second (median; from {min(rates):.1f} to {max(rates):.1f})"
    )
    for each in samples[3 :: max(1, len(samples) // 10)]:
        memory = f"kernel {each.kernel:6.0f} MB  heap {each.heap:5.1f} MB  {each.nodes} nodes"
        print(f"  {each.seconds / 60:4.1f} min  {memory}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", choices=list(LAYERS), default=None)
    arguments = parser.parse_args()
    for name in LAYERS:
        if arguments.only in (None, name):
            measure(name, arguments.minutes)


if __name__ == "__main__":
    main()
