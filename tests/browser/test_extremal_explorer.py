"""The extremal explorer as a person meets it, in JupyterLab."""

import numpy as np
from playwright.sync_api import expect

SETUP = """
import xai_widgets as xw
from xai_widgets.data import scenes
from xai_widgets.perturbation.extremal import ExtremalSettings
model = xw.load("scenes_vgg")
image = scenes.scene(2, split="test").image
"""
AREAS = [0.05, 0.1, 0.2, 0.4]
SHOW = """
explorer = xw.ExtremalExplorer(
    model, image, areas=[0.05, 0.1, 0.2, 0.4], tau=0.01, settings=ExtremalSettings(steps=4, scan=2)
)
explorer
"""
#: Each step of the search stands at a gate until it is permitted; every snapshot is drawn.
GATED = """
import math, sys, threading
import xai_widgets.explorers
for name, module in list(sys.modules.items()):
    if name.startswith("xai_widgets.explorers") and hasattr(module, "INTERVAL"):
        module.INTERVAL = -math.inf
# What is found once about the network takes passes of its own.
model.default_layer()
permits, stands = threading.Semaphore(0), []
def stand(module, given):
    if given[0].requires_grad:
        stands.append(len(given[0]))
        assert permits.acquire(timeout=600)
model.module.register_forward_pre_hook(stand)
explorer = xw.ExtremalExplorer(
    model, image, areas=[0.1, 0.3], settings=ExtremalSettings(steps=6, scan=2)
)
explorer
"""
#: Whether a canvas shows these colors, pixel by pixel but for one in a hundred.
SHOWN = """([canvas, size, wanted]) => {
    const small = new OffscreenCanvas(size, size), context = small.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(canvas, 0, 0, size, size);
    const { data } = context.getImageData(0, 0, size, size);
    let same = 0;
    for (let i = 0; i < size * size; i++)
        if ([0, 1, 2].every((c) => data[4 * i + c] === wanted[3 * i + c])) same++;
    return same > 0.99 * size * size;
}"""


def wait_until_shown(page, mask, levels):
    """Wait until the canvas shows the image where the mask is, and the wholly perturbed one elsewhere."""
    wanted = np.where(mask[..., None] == 255, levels[1], levels[0])
    canvas = page.page.locator(".xw-mask-view .xw-stage canvas").first.element_handle()
    page.page.wait_for_function(SHOWN, arg=[canvas, len(mask), wanted.flatten().tolist()])


def arrays(page):
    """The masks and the two ends of the levels, as the kernel has them."""
    masks = np.array(page.kernel_eval("explorer.mask.masks.tolist()"))
    return masks, np.array(page.kernel_eval("explorer.mask.levels[[0, -1]].tolist()"))


def test_slider_strip_and_mark_work_without_a_kernel(lab):
    page = lab.open([SETUP, SHOW], width=1300, height=1600)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    expect(page.page.locator(".xw-run-bar")).to_contain_text("done")
    amount = page.page.locator(".xw-mask-view .xw-amount")
    strip = page.page.locator(".xw-gallery-view")
    chosen = strip.locator("[aria-selected=true]")
    slider = page.page.locator(".xw-mask-view input[type=range]")
    expect(amount).to_have_text("area 10 % preserved")
    expect(strip.get_by_role("option", name="10 %")).to_have_attribute("aria-selected", "true")

    masks, levels = arrays(page)
    best = page.kernel_eval("float(explorer.mask.best or 0)")
    page.shutdown_kernel()

    strip.get_by_role("option", name="40 %").click()
    expect(amount).to_have_text("area 40 % preserved")
    wait_until_shown(page, masks[3], levels)
    page.page.keyboard.press("Escape")
    expect(chosen).to_contain_text("40 %")
    slider.focus()
    slider.press("Home")
    expect(amount).to_have_text("area 5 % preserved")
    expect(chosen).to_contain_text("5 %")
    wait_until_shown(page, masks[0], levels)
    assert best > 0
    page.page.locator(".xw-curve-view").get_by_role("button", name="a*").click()
    expect(amount).to_have_text(f"area {100 * best:.3g} % preserved")
    wait_until_shown(page, masks[AREAS.index(round(best, 6))], levels)


def test_the_slider_is_dragged_without_a_kernel(lab):
    page = lab.open([SETUP, SHOW], width=1300, height=1600)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    amount = page.page.locator(".xw-mask-view .xw-amount")
    expect(amount).to_have_text("area 10 % preserved")
    masks, levels = arrays(page)
    assert len(np.unique(masks, axis=0)) == len(AREAS)
    page.shutdown_kernel()

    slider = page.page.locator(".xw-mask-view input[type=range]")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    mouse = page.page.mouse

    def place(area):
        """Where the middle of the knob, 16 px wide, stops; the last area is the end of the slider."""
        return box["x"] + 8 + (box["width"] - 16) * area / AREAS[-1]

    wait_until_shown(page, masks[1], levels)
    mouse.move(place(0.1), middle)
    mouse.down()
    # A value beside an area shows the nearest one, while the button is still down.
    for at, area, index in ((0.19, 20, 2), (0.39, 40, 3), (0.01, 5, 0), (0.22, 20, 2)):
        mouse.move(place(at), middle, steps=4)
        expect(amount).to_have_text(f"area {area} % preserved")
        wait_until_shown(page, masks[index], levels)
        expect(page.page.locator(".xw-gallery-view [aria-selected=true]")).to_contain_text(f"{area} %")
    mouse.up()
    expect(page.page.locator(".xw-curve-view .xw-cursor")).to_contain_text("20.0 %")
    expect(amount).to_have_text("area 20 % preserved")


def test_masks_appear_while_they_are_searched(lab):
    page = lab.open([SETUP, GATED], width=1300, height=1600)
    bar = page.page.locator(".xw-run-bar")
    seen = []
    for step in range(1, 7):
        page.wait_for_kernel("len(stands)", step)
        assert page.kernel_eval("explorer.run_bar.status") == "running"
        masks, levels = arrays(page)
        # The browser shows the results so far, and no more.
        wait_until_shown(page, masks[0], levels)
        expect(bar).to_contain_text("2 areas")
        seen.append(masks[0].tobytes())
        page.kernel_exec("permits.release()")
    page.wait_for_kernel("explorer.run_bar.status", "done")
    assert len(set(seen)) >= 3
    masks, levels = arrays(page)
    wait_until_shown(page, masks[0], levels)
    expect(bar).to_contain_text("done")


def test_it_fits_one_screen_and_line_mask_curves_and_bars_show_one_number(lab):
    page = lab.open([SETUP, SHOW], width=1280, height=900)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    explorer = page.page.locator(".xw-explorer")
    box = explorer.bounding_box()
    assert box["width"] < 912
    assert box["height"] <= 640
    bottoms = []
    for name in (".xw-mask-view .xw-stage", ".xw-mask-view input[type=range]", ".u-over", ".xw-scores"):
        part = explorer.locator(name).first.bounding_box()
        bottoms.append(part["y"] + part["height"] - box["y"])
    # The image, the slider, the curves and the bars are seen together.
    assert max(bottoms) < 560

    amount, cursor = explorer.locator(".xw-mask-view .xw-amount"), explorer.locator(".xw-cursor-handle")
    plot = explorer.locator(".u-over")
    for share, area, text in (
        (0.33, 0.4, "40 %"),
        (0.27, 0.2, "20 %"),
        (0.02, 0.05, "5 %"),
        (0.95, 0.4, "40 %"),
    ):
        plot.scroll_into_view_if_needed()
        over = plot.bounding_box()
        page.page.mouse.click(over["x"] + share * over["width"], over["y"] + over["height"] / 2)
        expect(amount).to_have_text(f"area {text} preserved")
        page.wait_for_kernel(
            "[round(v, 6) for v in (explorer.curves.fraction, explorer.mask.area)]", [area] * 2
        )
        assert float(cursor.inner_text().removesuffix(" %")) == 100 * area
        # The bars name the area that is drawn.
        expect(explorer.locator(".xw-scores-view .xw-top")).to_contain_text(f"{100 * area:.1f} % preserved")

    page.kernel_exec("explorer.variant_picker.value = 'delete'")
    page.wait_for_kernel("explorer.run_bar.status", "done")
    expect(amount).to_have_text("area 40 % deleted")
    expect(explorer.locator(".xw-mask-view .xw-title")).to_have_text("Mask that removes the class")
    expect(explorer.get_by_role("button", name="Deleted", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    expect(explorer.locator(".xw-scores-view .xw-top")).to_contain_text("40.0 % deleted")
    # The bold curve is that of the mask that is deleted.
    expect(explorer.locator(".xw-legend [aria-pressed=true]")).to_contain_text("mask deleted")


#: Left, top, width and height of every part of the explorer, by its class.
PARTS = """() => {
    const explorer = document.querySelector('.xw-explorer'), { x, y } = explorer.getBoundingClientRect();
    return Object.fromEntries([...explorer.querySelectorAll('.xw, .xw-stage, .u-over, .xw-scores, .xw-gallery')]
        .map((part, index) => [`${index} ${part.className}`, part.getBoundingClientRect()])
        .map(([name, box]) => [name, [box.x - x, box.y - y, box.width, box.height].map(Math.round)]));
}"""
#: A line of text may appear, CSS px.
JUMP = 24


def test_nothing_jumps_when_the_objective_changes(lab):
    page = lab.open([SETUP, SHOW], width=1280, height=900)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    expect(page.page.locator(".xw-gallery-view [role=option]")).to_have_count(len(AREAS))
    before = page.page.evaluate(PARTS)
    assert len(before) > 8
    for variant in ("delete", "hybrid", "contrastive", "preserve"):
        page.page.evaluate(
            """(parts) => { window.seen = []; window.looking = true;
            const look = () => { window.seen.push(eval(parts)()); if (window.looking) requestAnimationFrame(look); };
            look(); }""",
            PARTS,
        )
        page.kernel_exec(f"explorer.variant_picker.value = {variant!r}")
        page.wait_for_kernel("explorer.run_bar.status", "done")
        page.page.wait_for_timeout(300)
        seen = page.page.evaluate("() => { window.looking = false; return window.seen; }")
        assert len(seen) > 3
        moves = {
            name: max(abs(now - then) for boxes in seen for now, then in zip(boxes[name], box, strict=True))
            for name, box in before.items()
        }
        assert not {name: move for name, move in moves.items() if move > JUMP}, variant
