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
SHOW = """
explorer = xw.ExtremalExplorer(
    model, image, areas=[0.05, 0.1, 0.2, 0.4], tau=0.01, settings=ExtremalSettings(steps=4, every=2, scan=2)
)
explorer
"""


def test_slider_strip_and_mark_work_without_a_kernel(lab):
    page = lab.open([SETUP, SHOW], width=1300, height=1600)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    expect(page.page.locator(".xw-run-bar")).to_contain_text("done")
    amount = page.page.locator(".xw-mask-view .xw-amount")
    strip = page.page.locator(".xw-gallery-view")
    slider = page.page.locator(".xw-mask-view input[type=range]")
    expect(amount).to_have_text("area 10 % preserved")
    expect(strip.get_by_role("option", name="10 %")).to_have_attribute("aria-selected", "true")

    masks = np.array(page.kernel_eval("explorer.mask.masks.tolist()"))
    levels = np.array(page.kernel_eval("explorer.mask.levels[[0, -1]].tolist()"))
    best = page.kernel_eval("float(explorer.mask.best or 0)")
    page.shutdown_kernel()

    strip.get_by_role("option", name="40 %").click()
    expect(amount).to_have_text("area 40 % preserved")
    size = masks.shape[1]
    shown = page.page.locator(".xw-mask-view .xw-stage canvas").first.evaluate(
        """(canvas, size) => {
            const small = new OffscreenCanvas(size, size), context = small.getContext("2d");
            context.imageSmoothingEnabled = false;
            context.drawImage(canvas, 0, 0, size, size);
            return Array.from(context.getImageData(0, 0, size, size).data);
        }""",
        size,
    )
    shown = np.array(shown).reshape(size, size, 4)[..., :3]
    wanted = np.where(masks[3][..., None] == 255, levels[1], levels[0])
    assert (shown == wanted).all(-1).mean() > 0.99
    slider.focus()
    slider.press("Home")
    expect(amount).to_have_text("area 5 % preserved")
    expect(strip.get_by_role("option", name="5 %", exact=False).first).to_have_attribute(
        "aria-selected", "true"
    )
    assert best > 0
    page.page.locator(".xw-curve-view").get_by_role("button", name="a*").click()
    expect(amount).to_have_text(f"area {100 * best:.3g} % preserved")
