"""HeatmapView and OrderedMaskView in real notebooks: linked, by hand and by key, with and without a kernel."""

import re

from hosts import choose
from playwright.sync_api import Locator, expect

CELLS = [
    "a = 1",
    """
import numpy as np
from ipywidgets import HBox, jslink
from skimage import data, transform
from xai_widgets.views import HeatmapView, OrderedMaskView

photo = transform.resize(data.astronaut(), (96, 96))
yy, xx = np.mgrid[:96, :96] / 96
relevance = np.exp(-((xx - 0.45) ** 2 + (yy - 0.2) ** 2) / 0.02) - np.exp(-((xx - 0.8) ** 2 + (yy - 0.7) ** 2) / 0.03)
ranks = np.empty(96 * 96, int)
ranks[np.argsort(-relevance.ravel())] = np.arange(96 * 96)
heat = HeatmapView(image=photo, maps=relevance, title="Relevance", width=380)
mask = OrderedMaskView(
    image=photo, baselines=np.stack([0 * photo, 0 * photo + photo.mean()]), ranks=ranks.reshape(96, 96), width=380,
    title="Deletion",
)
link = jslink((heat, "position"), (mask, "position"))
HBox([heat, mask])
""",
    "b = 2",
]

DIGEST = """(canvas) => {
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum = (sum * 31 + data[i]) | 0;
  return sum;
}"""


def stage(output: Locator, view: str) -> Locator:
    return output.locator(f".xw-{view}-view .xw-stage")


def digest(stage: Locator) -> int:
    """A number that changes with the image."""
    return stage.locator("canvas").first.evaluate(DIGEST)


def expect_repaint(stage: Locator, before: int) -> None:
    canvas = stage.locator("canvas").first.element_handle()
    stage.page.wait_for_function(f"([canvas, before]) => ({DIGEST})(canvas) !== before", arg=[canvas, before])


def active_cell(page) -> list:
    """The selected cell, how many there are and their mode: what stray keys change."""
    return page.page.evaluate(
        "() => { const {content} = window.notebookPanel;"
        " return [content.activeCellIndex, content.widgets.length, content.mode]; }"
    )


def test_linked_views_by_pointer_and_key(jupyter):
    page = jupyter.open(CELLS)
    output = page.output(1)
    heat, mask = stage(output, "heatmap"), stage(output, "ordered-mask")
    expect(heat).to_be_visible()
    expect(mask).to_be_visible()

    # A click on the heat map marks the same position in both, here and in the kernel.
    box = heat.bounding_box()
    heat.click(position={"x": box["width"] * 40.5 / 96, "y": box["height"] * 20.5 / 96})
    expect(output.locator(".xw-cell")).to_have_text("row 20, col 40")
    expect(output.locator(".xw-position")).to_contain_text("row 20, col 40: deleted at")
    page.wait_for_kernel("[int(part * 96) for part in heat.position]", [40, 20])
    value = float(output.locator(".xw-value").inner_text())
    assert abs(value - page.kernel_eval("float(relevance[20, 40])")) < 0.005

    # Keys that mean something to the notebook act on the view, and on nothing else.
    before, picture = active_cell(page), digest(heat)
    for key in ("ArrowDown", "ArrowRight", "c", "s", "ArrowDown"):
        page.page.keyboard.press(key)
    expect(output.locator(".xw-cell")).to_have_text("row 22, col 41")
    page.wait_for_kernel("[heat.colormap, heat.sign]", ["red_blue", "both"])
    expect_repaint(heat, picture)
    assert active_cell(page) == before

    output.get_by_label("Fraction").focus()
    page.page.keyboard.press("ArrowUp")
    page.wait_for_kernel("mask.fraction", 0.001)
    assert active_cell(page) == before
    assert not [text for text in page.console if "xw" in text or "TypeError" in text]


def test_everything_works_without_a_kernel(lab):
    page = lab.open(CELLS)
    output = page.output(1)
    heat, mask = stage(output, "heatmap"), stage(output, "ordered-mask")
    expect(mask).to_be_visible()
    page.shutdown_kernel()
    for label, value, view in (("Opacity", "0.2", heat), ("Fraction", "0.5", mask)):
        picture = digest(view)
        output.get_by_label(label).fill(value)
        expect_repaint(view, picture)
    expect(output.locator(".xw-amount")).to_have_text("50.0 % deleted")
    expect(output.locator(".xw-amount")).to_have_attribute("title", "4608 of 9216 pixels deleted")
    picture = digest(heat)
    choose(output, "Colors", "magma")
    expect_repaint(heat, picture)
    heat.hover()
    # The middle lies between two pixels.
    expect(output.locator(".xw-position")).to_contain_text(re.compile(r"row 4[78], col 4[78]"))


def test_a_row_of_views_fits_a_narrow_window(lab):
    page = lab.open(CELLS, theme="dark", width=800)
    output = page.output(1)
    expect(stage(output, "ordered-mask")).to_be_visible()
    right = output.bounding_box()["x"] + output.bounding_box()["width"]
    for view in output.locator(".xw-figure").all():
        box = view.bounding_box()
        assert box["width"] > 150
        assert box["x"] + box["width"] <= right + 1
        for part in view.locator(".xw-stage, .xw-ends, .xw-control:visible, .xw-field:visible").all():
            inner = part.bounding_box()
            assert inner["x"] + inner["width"] <= box["x"] + box["width"] + 1
    page.screenshot("image-views-narrow-dark")


def test_the_kernel_can_change_everything_later(jupyter):
    page = jupyter.open(["from xai_widgets.views import HeatmapView\nview = HeatmapView()\nview"])
    output = page.output(0)
    expect(output.locator(".xw-message")).to_contain_text("No image and no map yet")
    page.kernel_exec("import numpy as np\nview.image = np.zeros((8, 8, 3))")
    expect(output.locator(".xw-message")).to_be_hidden()
    picture = digest(stage(output, "heatmap"))
    page.kernel_exec("view.maps = np.eye(8)")
    expect_repaint(stage(output, "heatmap"), picture)
    picture = digest(stage(output, "heatmap"))
    page.kernel_exec("view.maps[0] = 1 - view.maps[0]\nview.refresh('maps')")
    expect_repaint(stage(output, "heatmap"), picture)
