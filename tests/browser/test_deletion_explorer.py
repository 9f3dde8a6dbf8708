"""The deletion explorer as a person meets it, in JupyterLab and in Notebook 7."""

import re

import pytest
from hosts import choose
from playwright.sync_api import expect

SETUP = """
import xai_widgets as xw
from xai_widgets.data import scenes
model = xw.load("scenes_resnet")
image = scenes.scene(2, split="test").image
STEPS = 32
"""
SHOW = "explorer = xw.DeletionExplorer(model, image, ['gradient', 'grad_cam'], steps=STEPS)\nexplorer"
PIXELS = "canvas => canvas.toDataURL()"
#: The pixels of an image of 96 px, as they are drawn larger.
SMALL = """canvas => {
    const small = new OffscreenCanvas(96, 96), context = small.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(canvas, 0, 0, 96, 96);
    return Array.from(context.getImageData(0, 0, 96, 96).data);
}"""


def opened(host, *cells, **options):
    page = host.open([SETUP, *(cells or (SHOW,))], width=1300, height=1600, **options)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    expect(page.page.locator(".xw-run-bar")).to_contain_text("done")
    return page


def pixels_of(page, view):
    """The canvas of a view, and its content."""
    return page.page.locator(f".{view} .xw-stage canvas").first.evaluate(PIXELS)


def drag_cursor(page, share):
    """Drag the cursor of the plot to a share of the pixels, on an axis of square roots, with the mouse."""
    plot = page.page.locator(".xw-curve-view .u-over")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.page.mouse.move(box["x"] + box["width"] * 0.05, box["y"] + box["height"] / 2)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + box["width"] * share**0.5, box["y"] + box["height"] / 2, steps=4)
    page.page.mouse.up()


def wait_until_changed(page, view, before):
    canvas = page.page.locator(f".{view} .xw-stage canvas").first.element_handle()
    page.page.wait_for_function("([canvas, before]) => canvas.toDataURL() !== before", arg=[canvas, before])


def test_curves_are_drawn_and_the_cursor_changes_the_image(jupyter):
    page = opened(jupyter)
    assert page.kernel_eval("int(__import__('numpy').isfinite(explorer.curves.y).sum(1).min())") == 33
    row = page.page.locator(".xw-curve-view tbody tr").filter(has_text="Grad-CAM")
    expect(row).to_contain_text(re.compile(r"Grad-CAM\s*0\.\d{3}\s*0\.\d{3}"))
    colors = page.page.locator(".xw-curve-view .u-wrap canvas").evaluate(
        """canvas => {
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            let colored = 0;
            for (let i = 0; i < data.length; i += 4)
                if (data[i + 3] > 200 && Math.max(...data.slice(i, i + 3)) - Math.min(...data.slice(i, i + 3)) > 60)
                    colored += 1;
            return colored;
        }"""
    )
    assert colors > 300, "the plot holds no colored lines"

    whole = pixels_of(page, "xw-ordered-mask-view")
    drag_cursor(page, 0.4)
    wait_until_changed(page, "xw-ordered-mask-view", whole)
    page.wait_for_kernel("abs(explorer.curves.fraction - 0.4) < 0.02")
    page.wait_for_kernel("abs(explorer.masked.fraction - explorer.curves.fraction) < 1e-6")
    # One cursor, one number: that of the step which is drawn.
    shown = page.page.locator(".xw-cursor-handle").inner_text()
    assert shown in {f"{100 * step / 32:.1f} %" for step in range(33)}
    expect(page.page.locator(".xw-ordered-mask-view .xw-amount")).to_contain_text(f"{shown} deleted")
    expect(page.page.locator(".xw-scores-view")).to_contain_text(f"{shown} deleted")


def test_shown_pixels_are_those_that_the_network_saw(lab):
    """The image at the cursor, pixel by pixel, and the scores beside it, against the network itself."""
    page = opened(lab, SHOW)
    drag_cursor(page, 0.25)
    page.wait_for_kernel("abs(explorer.masked.fraction - 0.25) < 0.02")
    shown = page.page.locator(".xw-ordered-mask-view .xw-stage canvas").first.evaluate(SMALL)
    page.kernel_exec(
        f"""
import numpy as np, torch
shown = np.array({shown}, dtype=np.uint8).reshape(96, 96, 4)[..., :3]
count = round(explorer.masked.fraction * 96 * 96)
expected = np.where((explorer.masked.ranks[0] < count)[..., None], explorer.masked.baselines[0], image)
agree = float((shown == expected).all(-1).mean())
step = int(np.abs(explorer.curves.x - explorer.curves.fraction).argmin())
count = round(float(explorer.curves.x[step]) * 96 * 96)
# The color that the normalization maps to 0.
gray = model.mean.view(1, 3, 1, 1)
at_step = torch.where(torch.tensor(explorer.masked.ranks[0] < count), gray, model.images(image))
prediction = model.predict(at_step, k=1)[0][0]
"""
    )
    assert page.kernel_eval("agree") > 0.99
    best = page.kernel_eval("[prediction.label, prediction.probability]")
    scores = page.page.locator(".xw-scores-view")
    expect(scores).to_contain_text(best[0])
    expect(scores).to_contain_text(f"{best[1]:.3f}")


def open_display(page):
    """Open the display settings and make the map paler."""
    page.page.get_by_role("button", name="Display").click()
    page.page.locator(".xw-display-menu input[type=range]").first.fill("0.2")


def test_the_hand_needs_no_kernel(jupyter):
    page = opened(jupyter)
    page.shutdown_kernel()
    for change, view in (
        (lambda: drag_cursor(page, 0.3), "xw-ordered-mask-view"),
        (lambda: drag_cursor(page, 0.6), "xw-ordered-mask-view"),
        (lambda: open_display(page), "xw-heatmap-view"),
        (lambda: choose(page.page, "Colors", "magma"), "xw-heatmap-view"),
    ):
        before = pixels_of(page, view)
        change()
        wait_until_changed(page, view, before)
    # Another curve: its map and its order of the pixels are there too.
    before = pixels_of(page, "xw-ordered-mask-view")
    page.page.keyboard.press("Escape")
    page.page.locator(".xw-curve-view .xw-legend-name").filter(has_text="Grad-CAM").click()
    wait_until_changed(page, "xw-ordered-mask-view", before)


def test_another_class_by_the_keyboard(lab):
    page = opened(lab)
    field = page.page.locator(".xw-class-picker").get_by_role("combobox")
    field.fill("striped kite")
    field.press("Enter")
    page.wait_for_kernel("model.labels[explorer.target]", "striped kite")
    page.wait_for_kernel("explorer.run_bar.status", "done")
    assert page.kernel_eval("explorer.scores.target == explorer.target")
    expected = "model.probs(image)[0, explorer.target].item()"
    assert page.kernel_eval("float(explorer.curves.y[0, 0])") == pytest.approx(
        page.kernel_eval(expected), abs=1e-4
    )


def test_cancel_and_error_in_the_widget(lab):
    slow = """
import threading
gate = threading.Event()
def slow(model, x, target):
    gate.wait(600)
    return x.mean(1)
def broken(model, x, target):
    raise ValueError("this map cannot be made")
explorer = xw.DeletionExplorer(model, image, ["gradient", slow, broken], steps=STEPS)
explorer
"""
    page = lab.open([SETUP, slow], width=1300, height=1600)
    bar = page.page.locator(".xw-run-bar")
    # The gradient has its first points, and the slow method stands.
    page.wait_for_kernel("'insertion' in explorer.run_bar.message and explorer.run_bar.progress > 0.05")
    bar.get_by_role("button", name="Stop").click()
    page.wait_for_kernel("explorer.run_bar.status", "cancelled")
    page.kernel_exec("gate.set()")
    bar.get_by_role("button", name="Resume").click()
    expect(bar).to_contain_text("1 failed: broken")
    # Beside those of methods that are not better than random orders.
    warnings = page.output(1).locator(".xw-curve-view .xw-legend-warning:not([hidden])")
    expect(warnings.and_(page.page.get_by_title("this map cannot be made"))).to_have_count(1)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    assert page.kernel_eval("int(__import__('numpy').isfinite(explorer.curves.y[:4]).sum())") == 4 * 33
    # Still usable: without the broken method everything is done.
    page.page.get_by_role("button", name="Methods").click()
    page.page.get_by_role("option", name="broken").click()
    expect(bar).not_to_contain_text("failed")
    page.wait_for_kernel("explorer.run_bar.status", "done")
    expect(bar.get_by_role("alert")).to_be_hidden()


def test_it_fits_its_column_in_both_themes(lab):
    # Opened narrow and dark, then widened, lit, and narrowed again.
    page = lab.open([SETUP, SHOW], theme="dark", width=700, height=1600)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    output = page.output(1)
    for theme, width in (("dark", 700), ("dark", 1400), ("light", 1400), ("light", 700)):
        page.page.set_viewport_size({"width": width, "height": 1600})
        page.theme(theme)
        page.page.wait_for_function(
            "node => node.scrollWidth - node.clientWidth <= 1", arg=output.element_handle()
        )
        for view in output.locator(".xw").all():
            colors = view.evaluate(
                "node => [getComputedStyle(node).color, getComputedStyle(node).backgroundColor]"
            )
            foreground, background = (sum(map(int, re.findall(r"\d+", color)[:3])) for color in colors)
            assert (foreground > background) == (theme == "dark")
        page.screenshot(f"explorer-{theme}-{width}")


SEVERAL = """
images = [scenes.scene(n, split="test").image for n in range(4)]
explorer = xw.DeletionExplorer(model, images, ["gradient", "grad_cam"], steps=STEPS, **OPTIONS)
explorer
"""


def plot_pixels(page):
    return page.page.locator(".xw-curve-view .u-wrap canvas").evaluate(PIXELS)


def wait_for_plot(page, comparison, pixels):
    canvas = page.page.locator(".xw-curve-view .u-wrap canvas").element_handle()
    page.page.wait_for_function(
        f"([canvas, pixels]) => canvas.toDataURL() {comparison} pixels", arg=[canvas, pixels]
    )


def test_images_of_the_strip_and_their_mean(lab):
    page = opened(lab, SEVERAL.replace("**OPTIONS", "target=None"))
    view = page.page.locator(".xw-curve-view")
    before = pixels_of(page, "xw-ordered-mask-view")
    page.page.get_by_role("option", name="image 3").click()
    wait_until_changed(page, "xw-ordered-mask-view", before)
    page.wait_for_kernel("explorer.frame", 2)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    assert page.kernel_eval("explorer.target == int(model.scores(images[2]).argmax())")
    # The mean is there without a kernel.
    page.shutdown_kernel()
    image = plot_pixels(page)
    view.get_by_role("button", name="Mean", exact=True).click()
    expect(view.locator(".xw-curve-notes")).to_have_text(
        "Mean of 4 of 4 images, predicted classes; 95 % intervals"
    )
    wait_for_plot(page, "!==", image)
    view.get_by_role("button", name="Image", exact=True).click()
    wait_for_plot(page, "===", image)


def test_lerf_replaces_the_least_relevant_pixels_that_the_network_saw(lab):
    page = opened(lab, SEVERAL.replace("**OPTIONS", "kind='flipping'"))
    view = page.page.locator(".xw-curve-view")
    expect(view.locator("thead")).to_contain_text("ABPC")
    view.get_by_role("button", name="LeRF", exact=True).click()
    drag_cursor(page, 0.4)
    page.wait_for_kernel("explorer.masked.mode", "LeRF")
    page.wait_for_kernel("abs(explorer.masked.fraction - 0.4) < 0.05")
    shown = page.page.locator(".xw-ordered-mask-view .xw-stage canvas").first.evaluate(SMALL)
    page.kernel_exec(
        f"""
import numpy as np
shown = np.array({shown}, dtype=np.uint8).reshape(96, 96, 4)[..., :3]
count = round(explorer.masked.fraction * explorer.masked.span * 96 * 96)
replaced = (explorer.masked.least[0] < count)[..., None]
agree = float((shown == np.where(replaced, explorer.masked.baselines[0], images[0])).all(-1).mean())
step = int(np.abs(explorer.curves.x - count / 96**2).argmin())
replaced = explorer.masked.least[0] < round(float(explorer.curves.x[step]) * 96 * 96)
from xai_widgets.metrics.pixel_flipping import random_colors
import torch
x = model.images(images[0])
score = model.scores(torch.where(torch.tensor(replaced), random_colors(x), x))[0, explorer.target].item()
drawn = float(explorer.curves.y[1, step])
"""
    )
    assert page.kernel_eval("agree") > 0.99
    assert page.kernel_eval("drawn") == pytest.approx(page.kernel_eval("score"), abs=1e-2)


#: The boxes of the explorer and of its parts, px from the corner of the output: left, top, width, height.
BOXES = """output => Object.fromEntries(
    ["jupyter-widgets", "xw-layout-header", "xw-layout-stage", "xw-heatmap-view .xw-stage",
     "xw-ordered-mask-view .xw-stage", "xw-scores-view", "xw-scores", "xw-curve-view", "xw-plot", "xw-curve-table"]
    .map(name => {
        const box = output.querySelector("." + name)?.getBoundingClientRect() ?? {};
        const corner = output.getBoundingClientRect();
        return [name, [box.left - corner.left, box.top - corner.top, box.width, box.height].map(Math.round)];
    }))"""


def boxes(page):
    """The boxes of the parts of the explorer in the second cell."""
    return page.output(1).evaluate(BOXES)


@pytest.mark.parametrize("width", [1280, 1100])
def test_all_that_the_cursor_changes_is_on_one_screen_with_it(lab, width):
    page = lab.open([SETUP, SHOW], width=width, height=900)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    found = boxes(page)
    assert found["jupyter-widgets"][3] <= 640
    # Scrolled so that the cursor is seen at all, and dragged.
    drag_cursor(page, 0.2)
    for name in (".xw-cursor-handle", ".xw-ordered-mask-view .xw-stage", ".xw-scores", ".xw-curve-table"):
        box = page.page.locator(name).first.bounding_box()
        assert box["y"] >= 0, name
        assert box["y"] + box["height"] <= 900, name
    left, right = found["xw-heatmap-view .xw-stage"], found["xw-ordered-mask-view .xw-stage"]
    assert left[1] == right[1], "the images begin at different heights"
    assert found["xw-curve-view"][0] > right[0] + right[2], "the plot is not beside the images"


def test_nothing_jumps_while_it_is_computed(lab):
    gated = """
import threading
gate = threading.Event()
def first(model, x, target):
    gate.wait(600)
    return x.mean(1)
def second(model, x, target):
    return -x.mean(1)
explorer = xw.DeletionExplorer(model, image, [first, second], steps=STEPS)
explorer
"""
    page = lab.open([SETUP, gated], width=1280, height=900)
    output = page.output(1)
    expect(output.locator(".xw-note.xw-veil:visible")).to_have_count(2)
    before = boxes(page)
    page.kernel_exec("gate.set()")
    page.wait_for_kernel("explorer.run_bar.status", "done")
    expect(output.locator(".xw-note.xw-veil:visible")).to_have_count(0)
    assert boxes(page) == before
    # Another class: the old arrangement, under a veil.
    page.kernel_exec("gate.clear()")
    page.page.locator(".xw-score").nth(1).click()
    expect(output.locator(".xw-note.xw-veil:visible")).to_have_count(2)
    assert boxes(page) == before
    page.kernel_exec("gate.set()")
    page.wait_for_kernel("explorer.run_bar.status", "done")
    assert boxes(page) == before
    assert page.kernel_eval("explorer.target != int(model.scores(image).argmax())")
