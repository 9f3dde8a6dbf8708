"""Hover and slider over many images, in Chromium on SimilarityExplorer in a real JupyterLab, with EfficientNet-Lite0.

    python benchmarks/bench_images.py [--images 1 10 50] [--moves 300] [--minutes 10]

The images are photographs of 224 pixels, repeated with flips and crops. "First paint" is the time from the message
that brings the activations until the frame that shows all overlays in sight is painted. The times of moves are those
of `bench_hand.py`. "Empty page" are those of the same moves on a page without anything; "bare page" on one that has
nothing but as many canvases of 224 pixels as the notebook has in sight, as large on the screen, and writes each once
in a frame.

Chromium hands out moves once a frame, 60 times a second, and these moves come when a frame has just begun, so "from
input" holds up to 16.7 ms of waiting on any page.

Messages are all those between the page and the kernel: until the last move, and afterwards, when the pointer rests.
Last, the heap, documents, nodes, listeners and canvases of the page before and after some minutes of hovering, with a
rest every five seconds.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "browser"))
import hosts
from bench_hand import WATCH, report
from chromium_browser import launched

SETUP = """
import numpy as np
import xai_widgets as xw
from xai_widgets.data import photograph, photographs
model = xw.load("efficientnet_lite0")
whole = [np.asarray(photograph(name)) for name in photographs()]
flipped = [image[:, ::-1] for image in whole]
cropped = [image[16 * n : 16 * n - 64, 64 - 16 * n : -16 * n] for n in range(1, 4) for image in whole]
images = [np.ascontiguousarray(image) for image in (whole + flipped + cropped)[:{images}]]
assert len(images) == {images}
"""
SHOW = "explorer = xw.SimilarityExplorer(model, images, start=False)\nexplorer"

#: Sums the messages of the kernel, and notes when the frame with the first overlays is painted.
LISTEN = """() => {
    const sizes = (msg) => JSON.stringify(msg.content).length
        + (msg.buffers ?? []).reduce((sum, buffer) => sum + buffer.byteLength, 0);
    window.xwBytes = { sent: 0, received: 0 };
    const box = document.querySelector(".xw-patches").getBoundingClientRect();
    const seen = (node) => {
        const { top, bottom } = node.getBoundingClientRect();
        return top < Math.min(box.bottom, innerHeight) && bottom > box.top;
    };
    const stages = [...document.querySelectorAll(".xw-patch-stage")].filter(seen);
    const channel = new MessageChannel();
    const look = (begun, bytes) => {
        if (stages.some((stage) => stage.querySelector(".xw-overlay").hidden)) {
            return requestAnimationFrame(() => look(begun, bytes));
        }
        channel.port1.onmessage = () => { window.xwFirst = [performance.now() - begun, bytes, stages.length]; };
        channel.port2.postMessage(0);
    };
    window.notebookPanel.sessionContext.session.kernel.anyMessage.connect((_, { msg, direction }) => {
        if (!msg.header.msg_type.startsWith("comm_")) return;
        window.xwBytes[direction === "send" ? "sent" : "received"] += sizes(msg);
        if (direction === "recv" && msg.content.data?.state && "activations" in msg.content.data.state) {
            const begun = performance.now();
            const bytes = sizes(msg);
            requestAnimationFrame(() => look(begun, bytes));
        }
    });
}"""
#: Canvases as large as the boxes, each written once in a frame with moves.
BARE = """(boxes) => {
    const pixels = new ImageData(224, 224);
    const words = new Uint32Array(pixels.data.buffer);
    const contexts = boxes.map(({ x, y, width, height }) => {
        const canvas = document.createElement("canvas");
        canvas.width = canvas.height = 224;
        canvas.style = `position: fixed; left: ${x}px; top: ${y}px; width: ${width}px; height: ${height}px`;
        document.body.append(canvas);
        return canvas.getContext("2d", { alpha: false });
    });
    let waiting = 0;
    let number = 0;
    window.addEventListener("pointermove", () => {
        waiting ||= requestAnimationFrame(() => {
            waiting = 0;
            words.fill(0xff000000 | (number++ * 7919 % 0xffffff));
            for (const context of contexts) context.putImageData(pixels, 0, 0);
        });
    });
}"""
BYTES = "() => { const bytes = window.xwBytes; window.xwBytes = { sent: 0, received: 0 }; return bytes; }"

Box = dict[str, float]


def box_of(locator: Locator) -> Box:
    box = locator.bounding_box()
    assert box is not None
    return {"x": box["x"], "y": box["y"], "width": box["width"], "height": box["height"]}


def hover(page: Page, boxes: list[Box], moves: int) -> None:
    """Move over the images in turn, always to another position."""
    for number in range(moves):
        box = boxes[number // 30 % len(boxes)]
        share = abs((number * 7 % 60) / 30 - 1)
        x, y = 2 + share * (box["width"] - 4), 2 + number * 11 % 28 / 28 * (box["height"] - 4)
        page.mouse.move(box["x"] + x, box["y"] + y)


def drag(page: Page, box: Box, moves: int) -> None:
    """Press on a slider and move to and fro."""
    page.mouse.move(box["x"] + 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    for number in range(moves):
        share = abs((number * 7 % 200) / 100 - 1)
        page.mouse.move(box["x"] + 8 + share * (box["width"] - 16), box["y"] + box["height"] / 2)
    page.mouse.up()


def times_of(page: Page, act: Any) -> list[list[float]]:
    page.evaluate(WATCH, "pointermove")
    act()
    page.wait_for_function("window.xwTimes.length > 0")
    times: list[list[float]] = page.evaluate("window.xwTimes")
    return times


def report_bytes(page: Page, during: dict[str, int], moves: int) -> None:
    # The kernel answers the last position.
    page.wait_for_timeout(3000)
    after = page.evaluate(BYTES)
    print(
        f"    messages: {during['sent'] / moves:.0f} bytes a move to the kernel, "
        f"{during['received'] / moves:.0f} from it; "
        f"at rest {after['sent'] / 1e3:.1f} kB to it, {after['received'] / 1e3:.1f} kB from it"
    )


def memory(page: Page) -> str:
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("HeapProfiler.collectGarbage")
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    names = ("JSHeapUsedSize", "Documents", "Nodes", "JSEventListeners")
    heap, documents, nodes, listeners = (metrics[name] for name in names)
    canvases = page.locator("canvas").count()
    return (
        f"heap {heap / 1e6:.1f} MB, {documents:.0f} documents, {nodes:.0f} nodes, {listeners:.0f} listeners, "
        f"{canvases} canvases"
    )


def overlap(box: Box, outer: Box) -> bool:
    return outer["y"] - box["height"] < box["y"] < outer["y"] + outer["height"]


def measure_bare(browser: Browser, seen: list[Box], boxes: list[Box], moves: int) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.evaluate(BARE, seen)
    report(f"  bare page, {len(seen)} canvases", times_of(page, lambda: hover(page, boxes, moves)))
    page.close()


def measure(host: hosts.NotebookHost, images: int, moves: int, minutes: float) -> None:
    notebook = host.open([SETUP.format(images=images), SHOW], width=1400, height=1000)
    page = notebook.page
    page.locator(".xw-patch-stage").first.wait_for()
    notebook.output(1)
    page.evaluate(LISTEN)
    notebook.kernel_exec("explorer.compute()")
    page.wait_for_function("window.xwFirst", timeout=600_000)
    first, size, seen = page.evaluate("window.xwFirst")
    stages = page.locator(".xw-patch-stage").all()
    print(
        f"{images} images, {len(stages)} boxes, {seen} in sight: first paint {first:.0f} ms after {size / 1e6:.2f} MB"
    )
    notebook.wait_for_kernel("explorer.run_bar.status", "done", timeout=600)
    page.wait_for_timeout(2000)
    outer = box_of(page.locator(".xw-patches"))
    boxes = [
        box
        for box in map(box_of, stages)
        if box["y"] >= outer["y"] and box["y"] + box["height"] <= outer["y"] + outer["height"]
    ]
    measure_bare(host.browser, [box for box in map(box_of, stages) if overlap(box, outer)], boxes, moves)
    page.bring_to_front()
    page.evaluate(BYTES)
    report("  hover", times_of(page, lambda: hover(page, boxes, moves)))
    report_bytes(page, page.evaluate(BYTES), moves)
    page.get_by_role("button", name="Display").first.click()
    slider = page.locator(".xw-display-panel").get_by_role("slider", name="Threshold")
    report("  drag of the threshold", times_of(page, lambda: drag(page, box_of(slider), moves)))
    report_bytes(page, page.evaluate(BYTES), moves)
    page.keyboard.press("Escape")
    print(f"    before hovering: {memory(page)}")
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        rest = time.monotonic() + 5
        while time.monotonic() < rest:
            hover(page, boxes, 60)
        page.wait_for_timeout(1000)
    print(f"    after {minutes:g} minutes: {memory(page)}", flush=True)
    assert not notebook.console, notebook.console
    notebook.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--moves", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=10.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, launched() as browser:
        print(
            f"Chromium {browser.version}, {os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()}"
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        box = {"x": 0.0, "y": 0.0, "width": 1400.0, "height": 1000.0}
        report("empty page", times_of(page, lambda: hover(page, [box], given.moves)))
        page.close()
        server = hosts.JupyterServer("lab", Path(scratch))
        try:
            for images in given.images:
                measure(hosts.NotebookHost(browser, server), images, given.moves, given.minutes)
        finally:
            server.stop()
        print(f"load at the end {os.getloadavg()}")


if __name__ == "__main__":
    main()
