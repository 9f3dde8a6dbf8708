"""The inverse explorer as a person meets it, in JupyterLab."""

import re

import numpy as np
import pytest
from hosts import choose
from playwright.sync_api import expect

SETUP = """
import numpy as np
import xai_widgets as xw
from xai_widgets.data import scenes
from xai_widgets.inverse import SolverSettings
model = xw.load("scenes_resnet")
image = scenes.scene(2, split="test", background="photograph").image
"""
LAM = [0, 0.4, 1]
SHOW = """
explorer = xw.InverseExplorer(
    model, image, lam=(0, 0.4, 1), methods=["grad_cam"], settings=SolverSettings(steps=10)
)
explorer
"""

#: The colors in the middle of every pixel of an image of so many rows and columns, as it is drawn.
PIXELS = """(canvas, [rows, columns]) => {
    const context = canvas.getContext('2d');
    const at = (index, count, size) => Math.floor(((index + 0.5) * size) / count);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const colors = [];
    for (let row = 0; row < rows; row++)
        for (let column = 0; column < columns; column++) {
            const place = at(row, rows, canvas.height) * canvas.width + at(column, columns, canvas.width);
            colors.push(...data.subarray(4 * place, 4 * place + 3));
        }
    return colors;
}"""


def view_of(page, title):
    return page.page.locator(f'.xw-heatmap-view[aria-label="{title}"]')


def slider_of(page, label):
    return page.page.locator(".xw-slider-view").get_by_role("slider", name=label)


def open_tab(page, title):
    page.page.locator(".lm-TabBar-tab", has_text=re.compile(f"^{title}$")).click()


def wait_for_pixels(page, title, wanted):
    """Wait until the canvas of a view shows an image, pixel by pixel."""
    canvas = view_of(page, title).locator(".xw-stage > canvas").first
    page.page.wait_for_function(
        f"([canvas, size, wanted]) => String(({PIXELS})(canvas, size)) === wanted",
        arg=[canvas.element_handle(), list(wanted.shape[:2]), ",".join(map(str, wanted.ravel().tolist()))],
    )


def wait_for_value(page, title, wanted):
    """Wait until the value at the marked position is this one, as precisely as it is written."""
    page.page.wait_for_function(
        """([node, wanted]) => {
            const value = Number(node.textContent.replace('−', '-'));
            return node.textContent && Math.abs(value - wanted) <= 0.006 * Math.abs(wanted) + 1e-9;
        }""",
        arg=[view_of(page, title).locator(".xw-value").element_handle(), wanted],
    )


@pytest.fixture
def done(lab):
    page = lab.open([SETUP, SHOW], width=1500, height=1400)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    return page


def test_lambda_and_depth_switch_everything_without_a_kernel(done):
    page = done
    images = np.array(page.kernel_eval("explorer.inverse_view.images.tolist()"), dtype=np.uint8)
    single = np.array(page.kernel_eval("explorer.operation_view.image.tolist()"), dtype=np.uint8)
    maps = np.array(page.kernel_eval("explorer.layer_map.maps.tolist()"))
    others = np.array(page.kernel_eval("explorer.operation_map.maps.tolist()"))
    kept = page.kernel_eval("explorer.curves.steps.tolist()")
    depths = len(others)
    assert maps.shape == (depths * len(LAM), *others.shape[1:])
    assert len({image.tobytes() for image in images}) == len(LAM)
    # The position where the maps differ most, and none is 0.
    row, column = np.unravel_index(maps.min(0).argmax(), maps.shape[1:])
    place = [(column + 0.5) / maps.shape[2], (row + 0.5) / maps.shape[1]]
    page.kernel_exec(f"explorer.layer_map.position = {place}")
    open_tab(page, "At a depth")
    expect(view_of(page, "Layer-wise").locator(".xw-cell")).to_have_text(f"row {row}, col {column}")
    open_tab(page, "Inverse")
    page.shutdown_kernel()

    handle = page.page.locator(".xw-curve-view .xw-cursor-handle")

    def shown(stop):
        wait_for_pixels(page, "Layer-wise inverse", images[stop])
        expect(handle).to_have_text(re.compile(f"^{kept[stop]:.3f}"[:5]))
        expect(page.page.locator(".xw-scores-view")).to_contain_text(re.compile(rf"λ = {LAM[stop]:g}[0.]*"))

    def shown_at(stop, depth):
        wait_for_value(page, "Layer-wise", maps[depth * len(LAM) + stop, row, column])
        wait_for_value(page, "Operation-wise", others[depth, row, column])

    wait_for_pixels(page, "Operation-wise inverse", single)
    shown(0)
    weight = slider_of(page, "Weight").first
    weight.focus()
    weight.press("ArrowRight")
    shown(1)
    weight.press("End")
    shown(2)
    # The cursor of the plot stops at each lambda, and moves all views.
    order = np.argsort(kept).tolist()
    handle.focus()
    handle.press("Home")
    shown(order[0])
    handle.press("ArrowRight")
    shown(order[1])
    handle.press("End")
    shown(order[2])
    open_tab(page, "At a depth")
    weight, depth = slider_of(page, "Weight").last, slider_of(page, "Depth")
    shown_at(order[2], 0)
    depth.focus()
    depth.press("End")
    shown_at(order[2], depths - 1)
    depth.press("ArrowLeft")
    shown_at(order[2], depths - 2)
    weight.focus()
    weight.press("Home")
    shown_at(0, depths - 2)
    open_tab(page, "Inverse")
    shown(0)


def test_another_class_and_penalty_are_inverted(done):
    page = done
    choose(page.page, "Regularizer", "l2")
    page.wait_for_kernel(
        "[explorer.run_bar.status, explorer.result.layer_wise.regularizer] if explorer.result else None",
        ["done", "l2"],
    )
    page.kernel_exec("explorer.target = 5")
    page.wait_for_kernel(
        "[explorer.run_bar.status, int(explorer.result.layer_wise.target)] if explorer.result else None",
        ["done", 5],
    )
    images = np.array(page.kernel_eval("explorer.inverse_view.images.tolist()"), dtype=np.uint8)
    wait_for_pixels(page, "Layer-wise inverse", images[0])
    wait_for_pixels(page, "Image", np.array(page.kernel_eval("image.tolist()"), dtype=np.uint8))


def test_tabs_are_computed_when_opened_and_nothing_jumps(done):
    page = done
    box = page.page.locator(".jp-Notebook .jp-OutputArea .xw-explorer").first
    page.page.set_viewport_size({"width": 1280, "height": 900})
    height = "(box) => Math.round(box.getBoundingClientRect().height)"
    for title, name in (
        ("Reproductions", "settings"),
        ("Feature patterns", "patterns"),
        ("Regularizers", "regularizers"),
    ):
        assert page.kernel_eval(f"{name!r} in explorer.parts") is False
        open_tab(page, title)
        page.wait_for_kernel(f"{name!r} in explorer.parts", True)
        page.page.wait_for_timeout(300)
        before = box.evaluate(height)
        page.wait_for_kernel(f"explorer.parts[{name!r}].run_bar.status", "done")
        page.page.wait_for_timeout(300)
        assert abs(box.evaluate(height) - before) <= 24, title
        assert box.evaluate(height) <= 640, title
    open_tab(page, "Over images")
    expect(page.page.get_by_text("pass images=[...] to InverseExplorer")).to_be_visible()
    open_tab(page, "Inverse")
    assert not page.console


def test_an_image_of_a_method_and_its_curve_are_chosen_together(done):
    page = done
    gallery = page.page.locator(".xw-gallery-view").first
    images = gallery.get_by_role("option")
    expect(images).to_have_count(4)
    labels = page.kernel_eval("explorer.gallery.labels")
    assert [label.split("\n")[0] for label in labels][1:] == ["uniform fading", "operation-wise", "Grad-CAM"]
    page.shutdown_kernel()
    images.nth(3).click()
    expect(images.nth(3)).to_have_attribute("aria-selected", "true")
    # The color before the name is that of the curve.
    colors = gallery.locator(".xw-caption svg path").evaluate_all(
        "(all) => all.map((e) => getComputedStyle(e).stroke)"
    )
    assert len(set(colors)) == 4
