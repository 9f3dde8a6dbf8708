"""The attribution explorer as a person meets it, in JupyterLab."""

import re

import matplotlib as mpl
import numpy as np
import pytest
from hosts import choose
from playwright.sync_api import expect

from xai_widgets.views import MapGridView

SETUP = """
import xai_widgets as xw
from xai_widgets.data import scenes
model = xw.load("scenes_resnet")
photos = [scenes.scene(n, split="test", background="photograph").image for n in range(3)]

def broken(model, x, target):
    raise ValueError("this one needs another network")
"""
SHOW = """
explorer = xw.AttributionExplorer(
    model, photos, ["gradient", "grad_cam", "lrp", ("Broken", broken)], ["stage2", "stage4"], target=0
)
explorer.view.fade, explorer.view.interpolation = False, "pixelated"
explorer
"""
HEAT = """
heat = xw.HeatmapView(image=photos[1], width=200)
xw.views.link((explorer.view, "position"), (heat, "position"))
heat
"""
#: The colors of a canvas, one for each of its pixels.
PIXELS = """canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"""


@pytest.fixture
def done(lab):
    page = lab.open([SETUP, SHOW, HEAT], width=1200, height=1700)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    return page


def cell_of(page, row, column):
    return page.page.locator(f'.xw-map-cell[data-row="{row}"][data-column="{column}"]')


def map_of(page, row, column):
    return np.array(page.kernel_eval(f"explorer.view.map_at({row}, {column}).tolist()"))


def hover(page, row, column, x, y):
    box = cell_of(page, row, column).locator(".xw-map-stage").bounding_box()
    page.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])


def number(text):
    return float(text.replace("−", "-"))


def expect_colors(page, row, column, limit, name="inferno"):
    """The pixels of a cell are the colors of its map, as matplotlib has them."""
    values = map_of(page, row, column)
    canvas = cell_of(page, row, column).locator(".xw-map")
    page.page.wait_for_function(
        "([canvas, width]) => canvas.width === width", arg=[canvas.element_handle(), values.shape[1]]
    )
    drawn = np.array(canvas.evaluate(PIXELS)).reshape(*values.shape, 4)
    expected = 255 * mpl.colormaps[name](np.clip(values / limit, 0, 1))
    # Steps are rounded to 1/256 of the scale on both sides, which is up to 3/255 of a channel.
    assert np.abs(drawn - expected).max() < 8
    assert np.abs(drawn - expected).mean() < 1
    assert drawn[..., 0].std() > 5


def test_maps_colors_position_class_and_layer(done):
    page = done
    expect(page.page.locator('.xw-map-cell[data-state="done"]')).to_have_count(9)
    expect(cell_of(page, 3, 1).locator(".xw-words")).to_have_text("this one needs another network")
    for row in (0, 1):
        expect_colors(page, row, 1, np.percentile(np.abs(map_of(page, row, 1)), 99))

    # One position in all cells, with its value, and in the view that is linked.
    hover(page, 1, 0, 0.7, 0.4)
    page.wait_for_kernel("explorer.view.position is not None and heat.position == explorer.view.position")
    x, y = page.kernel_eval("heat.position")
    assert abs(x - 0.7) + abs(y - 0.4) < 0.03
    for row, column in ((0, 2), (1, 1), (2, 0)):
        values = map_of(page, row, column)
        at = values[int(y * values.shape[0]), int(x * values.shape[1])]
        shown = number(cell_of(page, row, column).locator(".xw-map-value").inner_text())
        assert abs(shown - at) <= 0.006 * abs(at)
    expect(page.page.locator(".xw-readout > .xw-cell").first).to_have_text(
        re.compile("^Grad-CAM · image 1 at row")
    )
    page.page.mouse.move(2, 2)
    page.wait_for_kernel("heat.position", None)

    # Another class, by its name.
    before = map_of(page, 1, 1)
    field = page.page.get_by_role("combobox", name="Class")
    field.fill("dotted mush")
    page.page.keyboard.press("Enter")
    page.wait_for_kernel(
        "[explorer.run_bar.status, model.labels[explorer.target]]", ["done", "dotted mushroom"]
    )
    expect(page.page.locator(".xw-column-head").first).to_contain_text("dotted mushroom")
    assert np.abs(map_of(page, 1, 1) - before).max() > 0
    # Another layer, for the method that takes one.
    gradient = map_of(page, 0, 0)
    choose(page.page, "Layer", "stage2")
    page.wait_for_kernel("explorer.run_bar.status == 'done' and explorer.view.map_at(1, 0).shape[0]", 24)
    assert (map_of(page, 0, 0) == gradient).all()
    expect_colors(page, 1, 0, np.percentile(np.abs(map_of(page, 1, 0)), 99))
    choose(page.page, "Compare across", "layers")
    expect(page.page.locator(".xw-column-name")).to_have_text(["own layer", "stage2", "stage4"])
    expect(cell_of(page, 2, 1).locator(".xw-words")).to_have_text("not layer-wise")
    assert not [text for text in page.console if "xw" in text or "TypeError" in text]


def test_the_state_alone_draws_the_table_as_in_a_notebook_that_is_opened_again(afm_page):
    ramp = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    view = MapGridView.of(
        [[ramp, 1 - ramp.astype(np.float16)], [ramp[:2], None]],
        images=np.full((6, 8, 3), 128, np.uint8),
        row_labels=["a", "b"],
        column_labels=["x", "y"],
        interpolation="pixelated",
        fade=False,
        percentile=100,
        pins=[[0, 0]],
    )
    mounted = afm_page.mount(view)
    expect(mounted.el.locator(".xw-map:visible")).to_have_count(3)
    expected = 255 * mpl.colormaps["inferno"](1 - ramp)
    drawn = np.array(mounted.el.locator(".xw-map").nth(1).evaluate(PIXELS)).reshape(3, 4, 4)
    assert np.abs(drawn - expected).max() < 8
    expect(mounted.el.locator(".xw-badge").nth(1)).to_have_text("−1.00")
    # A map that comes alone is drawn; and a table that shrinks and grows again has its cells.
    mounted.update(_map_0_0=ramp[::-1].copy())
    expect(mounted.el.locator(".xw-badge").nth(1)).not_to_have_text("−1.00")
    mounted.update(states=[["done"]])
    expect(mounted.el.locator(".xw-map-cell")).to_have_count(1)
    mounted.update(states=[["done", "done"], ["done", "absent"]])
    expect(mounted.el.locator(".xw-map:visible")).to_have_count(3)


def test_the_table_needs_no_kernel(done):
    page = done
    limits = [np.percentile(np.abs(map_of(page, 1, column)), 99) for column in range(3)]
    values = map_of(page, 1, 1)
    agreed = page.kernel_eval(
        """(lambda m, torch: [
            getattr(m, name)(m.resize_map(torch.from_numpy(explorer.view.map_at(1, 1))[None], (96, 96)),
                             torch.from_numpy(explorer.view.map_at(0, 1))[None]).item()
            for name in ("pearson", "spearman", "ssim")])(xw.metrics, __import__("torch"))"""
    )
    page.shutdown_kernel()

    # One scale for a row: that of its largest map.
    page.page.get_by_role("button", name="Display").click()
    choose(page.page.locator(".xw-display-panel"), "Scale", "one a row")
    page.page.keyboard.press("Escape")
    assert limits[1] < 0.9 * max(limits)
    canvas = cell_of(page, 1, 1).locator(".xw-map")
    expected = (255 * mpl.colormaps["inferno"](np.clip(values / max(limits), 0, 1))).ravel().tolist()
    page.page.wait_for_function(
        f"([canvas, expected]) => ({PIXELS})(canvas).every((value, i) => Math.abs(value - expected[i]) < 8)",
        arg=[canvas.element_handle(), expected],
    )

    # A click enlarges over the page; hovering shows values there.
    cell_of(page, 1, 1).locator(".xw-map-stage").click()
    lightbox = page.page.locator(".xw-lightbox")
    expect(lightbox.locator(".xw-title")).to_have_text("Grad-CAM · image 2")
    box = lightbox.locator(".xw-map-stage").bounding_box()
    assert box["width"] > 400
    page.page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"])
    height, width = values.shape
    shown = lightbox.locator(".xw-map-value")
    at = values[int(0.25 * height), int(0.75 * width)]
    page.page.wait_for_function(
        "([node, expected]) => node.textContent && Math.abs(Number(node.textContent.replace('−', '-')) - expected) "
        "<= 0.006 * Math.abs(expected)",
        arg=[shown.element_handle(), at],
    )

    # By keys: pin this cell, go to the next, pin it, and back to the table.
    for key in ("p", "ArrowUp", "p", "Escape"):
        page.page.keyboard.press(key)
    expect(lightbox).to_be_hidden()
    expect(page.page.locator('.xw-pin[aria-pressed="true"]')).to_have_text(["B", "A"])
    expect(page.page.locator(".xw-agreement")).not_to_contain_text("…")
    words = page.page.locator(".xw-agreement").inner_text()
    found = [number(match) for match in re.findall(r"(?:Pearson|Spearman|SSIM) (−?[0-9.]+)", words)]
    assert found == pytest.approx(agreed, abs=0.0051)
    choose(page.page.locator(".xw-map-grid-view"), "Agreement", "Spearman")
    expect(cell_of(page, 0, 1).locator(".xw-badge")).to_have_text(f"{agreed[1]:.2f}".replace("-", "−"))
    # Both with their difference.
    page.page.get_by_role("button", name="Compare A | B").click()
    expect(lightbox.locator(".xw-map-stage:visible")).to_have_count(3)
    expect(lightbox.locator(".xw-lightbox-foot")).to_contain_text("Pearson")
    page.page.keyboard.press("Escape")
    assert not [text for text in page.console if "xw" in text or "TypeError" in text]


TABLE = """
import ipywidgets
explorer = xw.AttributionExplorer(model, photos, ["gradient", "grad_cam", "lrp"])
explorer
"""
SEVERAL_CELLS = [SETUP, TABLE, *["ipywidgets.HTML('<div style=\"height: 900px\">below</div>')"] * 3]
#: Elements that are hidden by their attribute, and shown all the same.
STALE = """() => [...document.querySelectorAll('.xw [hidden]')]
    .filter(e => getComputedStyle(e).display !== 'none').map(e => e.className)"""


def test_a_table_that_is_finished_off_the_screen_shows_no_state_of_before(lab):
    page = lab.open(SEVERAL_CELLS, width=1280, height=900)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    first = page.page.locator(".jp-Notebook .jp-Cell").nth(1)
    for target in (1, 3, 5):
        # Another class while the table is seen; it is finished while it is not.
        page.kernel_exec(f"explorer.target = {target}")
        page.page.locator(".jp-Notebook .jp-Cell").nth(4).scroll_into_view_if_needed()
        page.wait_for_kernel("explorer.run_bar.status", "done")
        first.scroll_into_view_if_needed()
        expect(page.page.locator('.xw-map-cell[data-state="done"]')).to_have_count(9)
        page.page.wait_for_timeout(300)
        assert page.page.evaluate(STALE) == []
        expect(page.page.locator(".xw-map-cell .xw-words:visible")).to_have_count(0)
        assert (
            page.page.evaluate(
                "() => document.getAnimations().filter(a => a.effect.target?.closest('.xw-map-grid')).length"
            )
            == 0
        )


ONE_IMAGE = """
explorer = xw.AttributionExplorer(model, photos[0], names=["toadstool"])
explorer
"""


def test_one_image_is_a_gallery_that_fits_the_screen(lab):
    page = lab.open([SETUP, ONE_IMAGE], width=1280, height=900)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    box = page.page.locator(".jp-Cell").nth(1).locator(".jupyter-widgets").first
    before = box.bounding_box()["height"]
    assert before <= 640
    cells = [
        cell.bounding_box()
        for cell in page.page.locator(".xw-map-cell:not(.xw-line)").all()
        if cell.is_visible()
    ]
    width = box.bounding_box()["width"]
    assert len({round(cell["y"]) for cell in cells}) < len(cells)
    assert max(cell["x"] + cell["width"] for cell in cells) - cells[0]["x"] > 0.7 * width
    # All of them are inside, without a scroll bar.
    grid = page.page.locator(".xw-map-grid")
    assert grid.evaluate("node => node.scrollHeight <= node.clientHeight + 1")
    # Enter opens the lightbox, the left and right keys go on, Escape closes.
    grid.focus()
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("Enter")
    title = page.page.locator(".xw-lightbox .xw-title")
    expect(title).to_have_text("Gradient · toadstool")
    page.page.keyboard.press("ArrowRight")
    expect(title).not_to_have_text("Gradient · toadstool")
    page.page.keyboard.press("Escape")
    expect(page.page.locator(".xw-lightbox")).to_be_hidden()
    # A run changes nothing of the layout.
    page.kernel_exec("explorer.target = 2")
    page.wait_for_kernel("explorer.run_bar.status", "done")
    assert box.bounding_box()["height"] == before


def test_a_table_of_images_scrolls_inside(lab):
    page = lab.open(
        [SETUP, "explorer = xw.AttributionExplorer(model, photos)\nexplorer"], width=1280, height=900
    )
    page.wait_for_kernel("explorer.run_bar.status", "done")
    box = page.page.locator(".jp-Cell").nth(1).locator(".jupyter-widgets").first.bounding_box()
    assert box["height"] <= 640
    assert cell_of(page, 0, 0).bounding_box()["width"] > 0.2 * box["width"]
