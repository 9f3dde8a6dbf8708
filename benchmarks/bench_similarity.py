"""Hover over similarity overlays, in Chromium on a real JupyterLab, and the bytes that they take.

    python benchmarks/bench_similarity.py [--moves 300] [--images 10] [--corpus 1000]

Real mouse moves are sent to the page, over ten photographs at once. For each, the time ends when the frame that shows
all overlays is painted, and begins when the page is handed the event ("from event") or when the browser received the
input ("from input", which holds the wait for the next frame too). On a machine where others work too these tell how
long the page waited for a core; "work" is what the page's thread itself took for a move, input, script, layout and
painting together, in CPU time.

The bytes are those of all messages that bring the arrays of a layer, against those of sprites: N^2 PNGs, one for each
pair of pictures, with a tile for each cell of the first that shows its similarity to each cell of the second, one pixel
a cell. Their sizes are the published ones, of a trained network, and those of three that are made here, which say less:
the network is a resnet50 with random weights, as none can be downloaded, and alike to it is nearly everything. How many
bytes its activations take does not depend on that.

Last, the search of a corpus: a layer of a bundled network over generated scenes.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from bisect import bisect_left
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from playwright.sync_api import Page, sync_playwright

import xai_widgets as xw
from xai_widgets.data import photograph, photographs, scenes
from xai_widgets.similarity import Packed, activation_grids, pack, similarity_index

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "browser"))
import hosts
from bench_hand import WATCH, report
from chromium_browser import CHROMIUM_ARGUMENTS, CHROMIUM_NAMES

#: Layers of 28, 14 and 7 cells, and the kB of one sprite of each as published.
LAYERS = {"layer2": 750, "layer3": 50, "layer4": 5}

SETUP = """
import numpy as np
import torch
import xai_widgets as xw
from xai_widgets.data import photograph, photographs
from xai_widgets.similarity import activation_grids, pack
torch.manual_seed(0)
model = xw.load("resnet50", weights=None)
images = model.images([photograph(name) for name in photographs()[:{images}]])
packed = pack(activation_grids(model, images, {layer!r}).result(progress=False), rank={rank})
"""
SHOW = """
view = xw.SimilarityView.of(packed, images=images.permute(0, 2, 3, 1), columns=5)
view
"""


def hover(page: Page, moves: int) -> list[list[float]]:
    """Times of moves over all pictures, each to another cell."""
    page.evaluate(WATCH, "pointermove")
    boxes = [box.bounding_box() for box in page.locator(".xw-patch-stage").all()]
    for number in range(moves):
        box = boxes[number // 30 % len(boxes)]
        assert box is not None
        share = abs((number * 7 % 60) / 30 - 1)
        page.mouse.move(
            box["x"] + 2 + share * (box["width"] - 4),
            box["y"] + 2 + number * 11 % 28 / 28 * (box["height"] - 4),
        )
    page.wait_for_function("window.xwTimes.length > 0")
    times: list[list[float]] = page.evaluate("window.xwTimes")
    return times


def work(events: list[dict[str, Any]]) -> list[float]:
    """CPU time of the page's thread from each move of the mouse to the next, in ms, of a trace."""
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e.get("name") == "thread_name"}
    page = [e for e in events if names.get((e.get("pid"), e.get("tid"))) == "CrRendererMain"]
    moves = sorted(
        e["ts"]
        for e in page
        if e["name"] == "EventDispatch" and e.get("args", {}).get("data", {}).get("type") == "pointermove"
    )
    busiest = Counter(e["pid"] for e in page if e["name"] == "EventDispatch").most_common(1)[0][0]
    spent = [0.0] * len(moves)
    for event in page:
        # The task that hands out the event begins a little before it.
        at = bisect_left(moves, event["ts"] + event.get("dur", 0)) - 1
        if (
            event["name"] == "ThreadControllerImpl::RunTask"
            and event["pid"] == busiest
            and "tdur" in event
            and at >= 0
        ):
            spent[at] += event["tdur"] / 1000
    return spent


def sprite_bytes(packed: Packed, pairs: list[tuple[int, int]]) -> float:
    """Mean size of the PNGs of some pairs of pictures, in bytes."""
    _, rows, columns = packed.norms.shape
    sizes = []
    for first, second in pairs:
        sprite = np.zeros((rows * rows, columns * columns), np.uint8)
        for i, j in np.ndindex(rows, columns):
            tile = packed.similarity(first, (i, j))[second]
            sprite[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns] = np.round(
                127.5 + 127.5 * tile
            )
        file = io.BytesIO()
        Image.fromarray(sprite).save(file, "png", optimize=True)
        sizes.append(file.tell())
    return statistics.mean(sizes)


def bytes_of_layers(images: int) -> None:
    torch.manual_seed(0)
    model = xw.load("resnet50", weights=None)
    x = model.images([photograph(name) for name in photographs()[:images]])
    for layer, published in LAYERS.items():
        grids = activation_grids(model, x, layer).result(progress=False)
        for rank in (None, 256):
            begun = time.perf_counter()
            (packed,) = pack(grids, rank=rank)
            took = time.perf_counter() - begun
            sprite = sprite_bytes(packed, [(0, 1), (2, 2), (4, 3)]) if rank else 0.0
            shape = " x ".join(map(str, packed.codes.shape))
            print(
                f"{layer}: {shape} bytes in {took:.1f} s, {packed.nbytes / 1e6:.2f} MB, cosines off by at most "
                f"{packed.bound:.4f} (measured: {packed.error:.4f})"
            )
            if sprite:
                for what, size in (("measured", sprite), ("published", 1000 * published)):
                    whole = images**2 * size
                    print(
                        f"    sprites, {what}: {images**2} x {size / 1e3:.0f} kB = {whole / 1e6:.1f} MB, "
                        f"{whole / packed.nbytes:.0f} times as much"
                    )


def search(corpus: int) -> None:
    model = xw.load("scenes_vgg")
    x = [scenes.scene(number, split="test").image for number in range(corpus)]
    for layer in ("stage3.relu2", "stage4.relu2"):
        index = similarity_index(model, x, layer).result(progress=False)
        vectors = index.vectors[:100, 3, 3]
        times = []
        for vector in vectors:
            begun = time.perf_counter()
            index.search(vector)
            times.append(1000 * (time.perf_counter() - begun))
        times.sort()
        shape = " x ".join(map(str, index.vectors.shape))
        print(
            f"corpus, {layer}: {shape}, {index.nbytes / 1e6:.0f} MB, indexed in {index.seconds:.1f} s; a search of 9 "
            f"patches: median {statistics.median(times):.1f} ms   p95 {times[94]:.1f} ms"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--moves", type=int, default=300)
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--corpus", type=int, default=1000)
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}")
    bytes_of_layers(given.images)
    search(given.corpus)
    executable = next(path for name in CHROMIUM_NAMES if (path := shutil.which(name)))
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        server = hosts.JupyterServer("lab", Path(scratch))
        try:
            print(f"Chromium {browser.version}")
            host = hosts.NotebookHost(browser, server)
            for rank in (256, None):
                setup = SETUP.format(images=given.images, layer="layer2", rank=rank)
                notebook = host.open([setup, SHOW], width=1400, height=1200)
                notebook.page.locator(".xw-patch-stage").first.wait_for()
                name = f"hover, 28 x 28 x {rank or 512}"
                report(name, hover(notebook.page, given.moves))
                browser.start_tracing(page=notebook.page, categories=["devtools.timeline", "toplevel"])
                hover(notebook.page, given.moves)
                spent = sorted(work(json.loads(browser.stop_tracing())["traceEvents"]))
                p95 = spent[round(0.95 * (len(spent) - 1))]
                print(f"{name:24s} work:       median {statistics.median(spent):5.1f} ms   p95 {p95:5.1f} ms")
                notebook.close()
        finally:
            server.stop()
            browser.close()


if __name__ == "__main__":
    main()
