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
    expect(view_of(page, "Layer-wise, at the depth").locator(".xw-cell")).to_have_text(
        f"row {row}, col {column}"
    )
    page.shutdown_kernel()

    handle = page.page.locator(".xw-curve-view .xw-cursor-handle")

    def shown(stop, depth):
        wait_for_pixels(page, "Layer-wise inverse", images[stop])
        wait_for_value(page, "Layer-wise, at the depth", maps[depth * len(LAM) + stop, row, column])
        wait_for_value(page, "Operation-wise, at the depth", others[depth, row, column])
        expect(handle).to_have_text(re.compile(f"^{kept[stop]:.3f}"[:5]))
        expect(page.page.locator(".xw-scores-view")).to_contain_text(re.compile(rf"λ = {LAM[stop]:g}[0.]*"))

    wait_for_pixels(page, "Operation-wise inverse", single)
    shown(0, 0)
    weight, depth = slider_of(page, "Weight"), slider_of(page, "Depth")
    weight.focus()
    weight.press("ArrowRight")
    shown(1, 0)
    weight.press("End")
    shown(2, 0)
    depth.focus()
    depth.press("End")
    shown(2, depths - 1)
    depth.press("ArrowLeft")
    shown(2, depths - 2)
    weight.focus()
    weight.press("Home")
    shown(0, depths - 2)
    # The cursor of the plot stands at the stops alone, and takes all with it.
    order = np.argsort(kept).tolist()
    handle.focus()
    handle.press("Home")
    shown(order[0], depths - 2)
    handle.press("ArrowRight")
    shown(order[1], depths - 2)
    handle.press("End")
    shown(order[2], depths - 2)


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
