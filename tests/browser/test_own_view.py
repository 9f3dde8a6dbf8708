"""The view of the reader's own, as the notebook of dashboards writes it, in Chromium: it joins those of the package."""

import json
from pathlib import Path

import anywidget
import ipywidgets as widgets
import numpy as np
import pytest
import traitlets
from playwright.sync_api import expect

import xai_widgets as xw

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "05_dashboards.ipynb"
#: Side of its canvas, and the position in the middle of it.
SIDE = 240


@pytest.fixture(scope="module")
def lens_class():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    (source,) = ("".join(cell["source"]) for cell in cells if "class Lens" in "".join(cell["source"]))
    namespace = {"anywidget": anywidget, "traitlets": traitlets}
    exec(source, namespace)
    return namespace["Lens"]


@pytest.fixture
def joined(lens_class):
    """A heatmap, a slider of ipywidgets and the lens, joined; every pixel of the image has a color of its own."""
    image = np.zeros((25, 25, 3), np.uint8)
    image[..., 0] = np.arange(25)[:, None] * 10
    image[..., 1] = np.arange(25) * 10
    heatmap = xw.HeatmapView(image=image, maps=np.zeros((25, 25), np.float32), opacity=0)
    lens = lens_class(image=image.tobytes(), size=image.shape[:2])
    zoom = widgets.FloatSlider(5, min=2, max=25, step=1, description="zoom")
    xw.link(heatmap, lens, "position")
    xw.link((zoom, "value"), (lens, "zoom"))
    return image, widgets.HBox([heatmap, lens, zoom])


def color(canvas, x, y):
    """Red, green and blue of a pixel of the canvas."""
    script = "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3)"
    return canvas.evaluate(script, [x, y])


def test_it_enlarges_the_place_that_another_view_marks(file_page, joined, tmp_path):
    image, box = joined
    made = xw.export(box, tmp_path / "page.html")
    page = file_page(made.path)
    stage = page.locator(".xw-stage").first
    expect(stage).to_be_visible()
    size = stage.bounding_box()
    # The middle of the pixel in row 4 and column 14.
    stage.click(position={"x": size["width"] * 14.5 / 25, "y": size["height"] * 4.5 / 25})
    lens = page.locator("canvas[role=img][aria-label^='enlarged']")
    expect(lens).to_have_attribute("aria-label", "enlarged at 58 %, 18 %")
    assert color(lens, SIDE // 2, SIDE // 2) == image[4, 14].tolist()
    # At five times a fifth of the width is one pixel.
    assert color(lens, SIDE // 2 + SIDE // 5, SIDE // 2) == image[4, 15].tolist()
    page.locator(".noUi-handle").focus()
    page.keyboard.press("End")
    # At twenty-five times all of it is one.
    page.wait_for_function(
        "([canvas, x]) => canvas.getContext('2d').getImageData(x, 120, 1, 1).data[1] === 140",
        arg=[lens.element_handle(), SIDE // 2 + SIDE // 5],
    )
