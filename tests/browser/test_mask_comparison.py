"""The comparison of masks as a person meets it, in JupyterLab."""

import numpy as np
import pytest
from playwright.sync_api import expect

SETUP = """
import torch
import xai_widgets as xw
from xai_widgets.data import scenes
model = xw.load("scenes_vgg")
image = scenes.scene(2, split="test").image
def rows(model, x, target):
    return torch.linspace(1, 0, x.shape[2])[None, :, None].expand(1, -1, x.shape[3])
def columns(model, x, target):
    return rows(model, x, target).transpose(1, 2)
"""
SHOW = """
methods = [rows, columns, ("A map with a long name", rows)]
comparison = xw.MaskComparison(model, image, methods, areas=[0.125, 0.25, 0.5])
comparison
"""
#: Which pixels of a panel are white, as the rows of its mask.
WHITE = """(canvas, size) => {
    const small = new OffscreenCanvas(size, size), context = small.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(canvas, 0, 0, size, size);
    return Array.from(context.getImageData(0, 0, size, size).data).filter((_, i) => i % 4 === 0);
}"""
SIZE = 96


def boxes(panels):
    """Left, top and width of the images, whole pixels."""
    stages = (panel.locator(".xw-stage") for panel in panels)
    return [[round(box[side]) for side in ("x", "y", "width")] for box in (s.bounding_box() for s in stages)]


def test_one_slider_moves_all_lanes_without_a_kernel_and_none_is_larger(lab):
    page = lab.open([SETUP, SHOW], width=1300, height=1600)
    page.wait_for_kernel("comparison.run_bar.status", "done")
    views = page.page.locator(".xw-mask-view")
    expect(views).to_have_count(4)
    panels, controls = [views.nth(index) for index in range(3)], views.nth(3)
    expect(panels[2].locator(".xw-amount")).to_have_text("area 12.5 % preserved")
    assert [view.get_by_label("Area", exact=True).is_visible() for view in (*panels, controls)] == [
        False
    ] * 3 + [True]
    assert controls.locator(".xw-stage").is_hidden()
    (left, top, width), *others = boxes(panels)
    # Two and one, where three in a row would be small.
    assert others[0][1:] == [top, width]
    assert left == others[1][0] < others[0][0]
    page.shutdown_kernel()

    controls.get_by_role("button", name="Mask").click()
    slider = controls.get_by_label("Area", exact=True)
    box = slider.bounding_box()
    mouse = page.page.mouse
    mouse.move(box["x"] + 8 + (box["width"] - 16) * 0.25, box["y"] + box["height"] / 2)
    mouse.down()
    for area in (0.5, 0.25):
        mouse.move(box["x"] + 8 + (box["width"] - 16) * area / 0.5, box["y"] + box["height"] / 2, steps=3)
        expected = np.zeros((SIZE, SIZE), bool)
        expected[: round(area * SIZE)] = True
        for panel, mask in zip(panels, (expected, expected.T, expected), strict=True):
            expect(panel.locator(".xw-amount")).to_have_text(f"area {100 * area:g} % preserved")
            shown = np.array(panel.locator(".xw-stage canvas").first.evaluate(WHITE, SIZE)).reshape(
                SIZE, SIZE
            )
            assert ((shown > 127) == mask).mean() > 0.98
    mouse.up()
    expect(page.page.locator(".xw-curve-view .xw-cursor")).to_contain_text("25.0 %")

    # In a narrow column two stand side by side, and nothing is as wide as the third alone would be.
    page.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    page.page.set_viewport_size({"width": 420, "height": 1600})
    page.page.wait_for_function(
        "() => new Set([...document.querySelectorAll('.xw-mask-view .xw-stage')].slice(0, 3)"
        ".map((stage) => Math.round(stage.getBoundingClientRect().top))).size === 2"
    )
    (left, top, width), second, third = boxes(panels)
    assert second[1:] == [top, width]
    assert (third[0], third[2]) == (left, width)
    assert third[1] > top + width


METHODS = ["'gradient'", "'grad_cam'", "'gradient_x_input'", "'norm_grad'", "'guided_backprop'"]


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_it_fits_one_screen_and_a_mask_that_is_not_computed_is_veiled(lab, count):
    show = f"comparison = xw.MaskComparison(model, image, [{', '.join(METHODS[:count])}], start=False)"
    page = lab.open([SETUP, f"{show}\ncomparison"], width=1280, height=900)
    explorer = page.page.locator(".xw-explorer")
    veils = explorer.locator(".xw-note.xw-veil")
    expect(veils).to_have_text(["not computed yet"] * count)
    before = explorer.bounding_box()
    assert before["width"] < 912
    page.kernel_exec("comparison.compute()")
    page.wait_for_kernel("comparison.run_bar.status", "done")
    expect(veils).to_have_count(0)
    slider, stages = (
        explorer.locator(name).all()
        for name in (".xw-mask-view input[type=range]", ".xw-mask-view .xw-stage")
    )
    seen = [box for part in (*slider, *stages) if (box := part.bounding_box())]
    assert len(seen) == count + 1
    # The slider and all images that it changes are seen together.
    assert max(box["y"] + box["height"] for box in seen) - before["y"] < 580
    assert min(box["width"] for box in seen) > 120
    assert explorer.bounding_box()["height"] <= 640
    # Nothing jumps.
    assert abs(explorer.bounding_box()["height"] - before["height"]) <= 24


def test_cursor_captions_and_table_show_one_area_and_the_names_follow_the_mode(lab):
    page = lab.open([SETUP, SHOW], width=1280, height=900)
    page.wait_for_kernel("comparison.run_bar.status", "done")
    explorer = page.page.locator(".xw-explorer")
    amounts = explorer.locator(".xw-mask-view .xw-amount:visible")
    cursor, plot = explorer.locator(".xw-cursor-handle"), explorer.locator(".u-over")
    values = explorer.locator(".xw-curve-table .xw-legend-value")
    for mode, click in (("preserved", 0.3), ("deleted", 0.45)):
        explorer.get_by_role("button", name=mode.title(), exact=True).click()
        over = plot.bounding_box()
        # Beside an area: the nearest one is taken by all.
        page.page.mouse.click(over["x"] + click * over["width"], over["y"] + over["height"] / 2)
        area = 0.25 if click == 0.3 else 0.5
        expect(amounts).to_have_text([f"area {100 * area:g} % {mode}"] * 3)
        expect(cursor).to_have_text(f"{100 * area:.1f} %")
        page.wait_for_kernel(
            "[round(v, 6) for v in (comparison.curves.fraction, comparison.controls.area)]", [area] * 2
        )
        column = 1 + [0.125, 0.25, 0.5].index(area)
        shown = f"[y for y, s in zip(comparison.curves.y, comparison.curves.series) if s['mode'] == {mode!r}]"
        rows = page.kernel_eval(f"[float(y[{column}]) for y in {shown}]")
        assert [float(text.replace("\u2212", "-")) for text in values.all_inner_texts()] == pytest.approx(
            rows, abs=5e-3
        )
