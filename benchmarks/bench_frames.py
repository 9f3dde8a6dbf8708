"""Frame intervals while a user drags, in Chromium on exported pages with EfficientNet-Lite0.

    python benchmarks/bench_frames.py [--seconds 3] [--only "area slider"]

For each gesture: the intervals between the frames of the page, as ratios to those of the same page at rest just before,
and the long tasks (above 50 ms). "over 2" marks a 95th percentile of more than two frames at rest. The slider of lambda
is that of the bundled network, because EfficientNet-Lite0 is a single unit for the inverse.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "browser"))
from chromium_browser import launched

import xai_widgets as xw
from xai_widgets.data import photograph, scenes
from xai_widgets.inverse import SolverSettings
from xai_widgets.perturbation import ExtremalSettings
from xai_widgets.views import BrushView

QUICK = ExtremalSettings(steps=10, scan=3)
PATIENCE = 900

#: Collects the intervals between frames and the durations of long tasks until `stop` is called.
RECORD = """() => {
    const record = { frames: [], tasks: [], running: true };
    window.xwRecord = record;
    new PerformanceObserver((list) => {
        if (record.running) record.tasks.push(...list.getEntries().map(({ duration }) => duration));
    }).observe({ type: "longtask" });
    let last = 0;
    const frame = (now) => {
        if (last) record.frames.push(now - last);
        last = now;
        if (record.running) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
}"""
STOP = "() => { window.xwRecord.running = false; const { frames, tasks } = window.xwRecord; return [frames, tasks]; }"

Gesture = Callable[[Page, dict[str, float], float], None]


def drag(page: Page, box: dict[str, float], seconds: float) -> None:
    """Press and move to and fro."""
    hover(page, box, seconds, press=True)


def hover(page: Page, box: dict[str, float], seconds: float, *, press: bool = False) -> None:
    """Move to and fro."""
    for number, (x, y) in enumerate(_path(box, seconds)):
        page.mouse.move(x, y)
        if press and number == 0:
            page.mouse.down()
    if press:
        page.mouse.up()


def wheel(page: Page, box: dict[str, float], seconds: float) -> None:
    """Zoom in and out."""
    page.keyboard.down("Control")
    for number, (x, y) in enumerate(_path(box, seconds)):
        if number % 10 == 0:
            page.mouse.move(x, y)
        page.mouse.wheel(0, -60 if number % 60 < 30 else 60)
    page.keyboard.up("Control")


def _path(box: dict[str, float], seconds: float) -> Iterator[tuple[float, float]]:
    """Yield positions over a box, never twice the same one after the other."""
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        share = abs((number * 3 % 200) / 100 - 1)
        yield (
            box["x"] + 4 + share * (box["width"] - 8),
            box["y"] + box["height"] * (0.5 + 0.2 * (number % 17 / 17 - 0.5)),
        )
        number += 1


def _deletion(model: Any, image: Any) -> Any:
    return xw.DeletionExplorer(model, image, ["gradient", "guided_backprop", "grad_cam"], steps=56)


def _extremal(model: Any, image: Any) -> Any:
    return xw.ExtremalExplorer(model, image, areas=(0.05, 0.1, 0.2, 0.3, 0.4, 0.6), settings=QUICK)


def _inverse(_model: Any, _image: Any) -> Any:
    image = scenes.scene(2, split="test").image
    settings = SolverSettings(steps=10)
    lam = (0.1, 0.3, 1.0, 3.0, 10.0)
    return xw.InverseExplorer(
        xw.load("scenes_resnet"), image, lam=lam, settings=settings, methods=["gradient"]
    )


def _brush(model: Any, image: Any) -> Any:
    # The view alone: a page without a kernel leaves out the painting of the explorer.
    return BrushView(image=model.to_rgb(model.images(image))[0], width=480)


def _similarity(model: Any, image: Any) -> Any:
    images = [image, *(photograph(name) for name in ("coffee", "rocket", "astronaut"))]
    return xw.SimilarityExplorer(model, images)


#: The gestures: explorer, selector of the element, and the gesture on it.
GESTURES: dict[str, tuple[Callable[[Any, Any], Any], str, Gesture]] = {
    "deletion cursor": (_deletion, ".xw-curve-view .u-over", drag),
    "zoom by the wheel": (_deletion, ".xw-heatmap-view .xw-stage", wheel),
    "area slider": (_extremal, ".xw-mask-view input[type=range]", drag),
    "lambda slider": (_inverse, ".xw-slider-view input[type=range]", drag),
    "brush stroke": (_brush, ".xw-brush-view .xw-stage", drag),
    "similarity hover": (_similarity, ".xw-similarity-view .xw-patch-stage", hover),
}


def recorded(page: Page, act: Callable[[], None]) -> tuple[list[float], list[float]]:
    """Return the frame intervals and the durations of long tasks during `act`, in ms."""
    page.evaluate(RECORD)
    act()
    frames, tasks = page.evaluate(STOP)
    return frames, tasks


def p95(values: list[float]) -> float:
    return sorted(values)[round(0.95 * (len(values) - 1))]


def measure(browser: Browser, file: Path, selector: str, gesture: Gesture, seconds: float) -> str:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(file.as_uri())
    target = page.locator(selector).first
    target.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    box = target.bounding_box()
    assert box is not None
    rest, _ = recorded(page, lambda: page.wait_for_timeout(1000 * seconds))
    before = page.screenshot()
    frames, tasks = recorded(page, lambda: gesture(page, box, seconds))
    assert page.screenshot() != before, f"the gesture on {selector} changes nothing"
    page.close()
    frame = statistics.median(rest)
    late = "over 2" if p95(frames) > 2.05 * frame else ""
    return (
        f"median {statistics.median(frames):5.1f} ms ({statistics.median(frames) / frame:.2f})   "
        f"p95 {p95(frames):5.1f} ms ({p95(frames) / frame:.2f}; at rest {p95(rest) / frame:.2f})   "
        f"max {max(frames):5.0f} ms   long tasks {len(tasks)}, {sum(tasks):.0f} ms   {late}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--only", choices=list(GESTURES), default=None)
    arguments = parser.parse_args()
    model, image = xw.load("efficientnet_lite0"), photograph("cat")
    files: dict[Any, Path] = {}
    with tempfile.TemporaryDirectory() as scratch, launched() as browser:
        print(f"Chromium {browser.version}; in parentheses, ratios to the median frame of the page at rest")
        for name, (make, selector, gesture) in GESTURES.items():
            if arguments.only not in (None, name):
                continue
            if make not in files:
                explorer = make(model, image)
                if hasattr(explorer, "wait"):
                    explorer.wait(PATIENCE)
                files[make] = Path(scratch) / f"{make.__name__}.html"
                xw.export(explorer, files[make])
                explorer.close()
            line = measure(browser, files[make], selector, gesture, arguments.seconds)
            print(f"{name:20s} {line}", flush=True)


if __name__ == "__main__":
    main()
