"""The explorer of the inverted super-resolution network as a person meets it, in JupyterLab."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

SETUP = """
import xai_widgets as xw
from xai_widgets.data import low_resolution
from xai_widgets.inverse import SolverSettings
from xai_widgets.ops.color import luminance
network = xw.load("scenes_sr", device="cpu")
face = luminance(low_resolution.load_photograph("astronaut")[:, :, 60:188, 160:288])
"""
LAM = [0, 0.2, 0.5]
SHOW = """
explorer = xw.RegressionInverseExplorer(
    network, face, scale=2, size=48, lam=(0, 0.2, 0.5), settings=SolverSettings(steps=10)
)
explorer
"""
GREY = {
    "x": "Image x",
    "x^": "Inverse x̂ at λ",
    "result": "Result x + Φ(x)",
    "result of x^": "Result x + Φ(x̂)",
    "truth": "Truth g",
}
RESIDUALS = {"residual": "Residual Φ(x)", "residual of x^": "Residual Φ(x̂)"}
OTHERS = {**RESIDUALS, "alpha": "Kept: α = x̂ / x"}

#: The colors in the middle of every cell of a map of so many rows and columns, as it is drawn.
CELLS = """(canvas, [rows, columns]) => {
    const context = canvas.getContext('2d');
    const at = (index, count, size) => Math.floor(((index + 0.5) * size) / count);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const colors = [];
    for (let row = 0; row < rows; row++)
        for (let column = 0; column < columns; column++) {
            const place = at(row, rows, canvas.height) * canvas.width + at(column, columns, canvas.width);
            colors.push(data[4 * place], data[4 * place + 1], data[4 * place + 2]);
        }
    return colors;
}"""


def view_of(page, title):
    return page.page.locator(f'.xw-heatmap-view[aria-label="{title}"]')


def curves_of(page, title):
    return page.page.locator(f'.xw-curve-view[aria-label="{title}"]')


def open_tab(page, name):
    page.page.locator(".lm-TabBar-tab", has_text=re.compile(f"^{name}$")).click()


def canvas_of(page, title):
    return view_of(page, title).locator(".xw-stage > canvas").first


def cells(page, title, shape):
    """The drawn pixels, (rows, columns, 3)."""
    return np.array(canvas_of(page, title).evaluate(CELLS, list(shape))).reshape(*shape, 3)


def gray(values):
    return np.clip(values, 0, 1) * 255


def wait_for_gray(page, title, expected):
    """Wait until a canvas shows an image, pixel by pixel, within the rounding of its 256 grays."""
    page.page.wait_for_function(
        f"""([canvas, size, expected]) => {{
            const found = ({CELLS})(canvas, size);
            return found.length === 3 * expected.length
                && found.every((value, index) => Math.abs(value - expected[Math.floor(index / 3)]) <= 1.5);
        }}""",
        arg=[canvas_of(page, title).element_handle(), list(expected.shape), gray(expected).ravel().tolist()],
    )


@pytest.fixture
def done(lab):
    page = lab.open([SETUP, SHOW], width=1500, height=1500)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    return page


def test_lambda_switches_every_picture_and_plot_without_a_kernel(done):
    page = done
    maps = {
        name: np.array(page.kernel_eval(f"explorer.images[{name!r}].maps.tolist()"))
        for name in [*GREY, *OTHERS]
    }
    rows = {
        "SSIM": page.kernel_eval("explorer.similarity.y.tolist()"),
        "MSE, 10⁻³": page.kernel_eval("explorer.mse.y.tolist()"),
        "PSNR, dB": page.kernel_eval("explorer.psnr.y.tolist()"),
    }
    limit = page.kernel_eval("explorer.images['residual'].limit")
    for name in ("x^", "result of x^", "residual of x^", "alpha"):
        assert len({one.tobytes() for one in maps[name]}) == len(LAM)
    page.shutdown_kernel()

    drawn = {}

    def shown(stop):
        for name, title in GREY.items():
            wait_for_gray(page, title, maps[name][min(stop, len(maps[name]) - 1)])
        for title, values in rows.items():
            open_tab(page, title.partition(",")[0])
            handle = curves_of(page, title).locator(".xw-cursor-handle")
            expect(handle).to_have_text(re.compile(rf"^{LAM[stop]:g}(\.?0*)$"))
            # The legend is the row of the table.
            read = curves_of(page, title).locator(".xw-legend-value")
            expect(read).to_have_count(len(values))
            for index, value in enumerate(values):
                assert float(read.nth(index).inner_text()) == pytest.approx(value[stop], rel=6e-3, abs=6e-4)
        open_tab(page, "Spectrum")
        labels = curves_of(page, "Power of 8 × 8 patches, dB").locator(".xw-legend-label")
        expect(labels).to_have_text(["focused", "unfocused", "all"])
        for name, title in OTHERS.items():
            drawn[name, stop] = cells(page, title, maps[name].shape[1:])

    slider = page.page.locator(".xw-slider-view").get_by_role("slider", name="Weight")
    shown(1)
    slider.focus()
    slider.press("End")
    shown(2)
    slider.press("Home")
    shown(0)
    # The cursor of a plot stands at the same three, and takes all with it.
    open_tab(page, "PSNR")
    handle = curves_of(page, "PSNR, dB").locator(".xw-cursor-handle")
    handle.focus()
    handle.press("ArrowRight")
    shown(1)
    # Colors: one color for one value, at whatever lambda, and the sign in it.
    for stop in range(len(LAM)):
        assert np.array_equal(drawn["residual", stop], drawn["residual", 0])
        values, colors = maps["residual of x^"][stop], drawn["residual of x^", stop]
        red, blue = colors[..., 0].astype(int), colors[..., 2].astype(int)
        assert (red - blue)[values > 0.1 * limit].min() > 0
        assert (red - blue)[values < -0.1 * limit].max() < 0
        # The larger, the lighter.
        lightness = drawn["alpha", stop] @ [0.2126, 0.7152, 0.0722]
        order = np.argsort(maps["alpha"][stop].ravel(), kind="stable")
        assert np.diff(lightness.ravel()[order]).min() > -2
        assert np.ptp(lightness) > 50
    assert not np.array_equal(drawn["alpha", 0], drawn["alpha", 2])


def test_a_place_marked_in_one_is_marked_in_all(done):
    page = done
    values = {
        name: page.kernel_eval(
            f"explorer.images[{name!r}].maps[min(1, len(explorer.images[{name!r}].maps) - 1), 20, 30].item()"
        )
        for name in [*GREY, *OTHERS]
    }
    page.shutdown_kernel()
    stage = view_of(page, "Result x + Φ(x̂)").locator(".xw-stage")
    box = stage.bounding_box()
    stage.click(position={"x": box["width"] * 30.5 / 48, "y": box["height"] * 20.5 / 48})
    page.page.mouse.move(2, 2)
    for name, title in {**GREY, **OTHERS}.items():
        expect(view_of(page, title).locator(".xw-cell")).to_have_text("row 20, col 30")
        text = view_of(page, title).locator(".xw-value").inner_text().replace("−", "-")
        assert float(text) == pytest.approx(values[name], rel=6e-3, abs=1e-6)


def test_an_error_is_read_and_the_button_computes_anew(done):
    page = done
    page.kernel_exec(
        "forward = network[0].forward\ndef fail(x):\n    raise RuntimeError('out of order')\n"
        "network[0].forward = fail"
    )
    button = page.page.locator(".xw-run-bar button.xw-run")
    page.page.locator(".xw-run-bar .xw-restart").click()
    page.wait_for_kernel("explorer.run_bar.status", "error")
    expect(page.page.locator(".xw-run-bar")).to_contain_text("out of order")
    open_tab(page, "PSNR")
    expect(curves_of(page, "PSNR, dB")).to_contain_text("No curve yet")
    page.kernel_exec("network[0].forward = forward")
    button.click()
    page.wait_for_kernel("explorer.run_bar.status", "done")
    expect(curves_of(page, "PSNR, dB").locator(".xw-legend-value")).to_have_count(4)
