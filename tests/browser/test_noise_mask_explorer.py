"""The explorer of noise masks in JupyterLab: a click on its table, and the slider without a kernel."""

import re

import pytest
from playwright.sync_api import expect

SETUP = """
import xai_widgets as xw
from xai_widgets.data import scenes
from xai_widgets.perturbation.noise_mask import NoiseMaskSettings
model = xw.load("scenes_resnet", device="cpu")
image = scenes.scene(3, split="test", background="photograph").image
"""
SHOW = """
settings = NoiseMaskSettings(max_steps=20, learning_rate=0.2)
layers = ["stage3", "stage4", "scores"]
explorer = xw.NoiseMaskExplorer(model, image, layers=layers, betas=(0.5, 1, 2), settings=settings)
explorer
"""


@pytest.fixture
def done(lab):
    page = lab.open([SETUP, SHOW], width=1400, height=1000)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    return page


def test_a_click_shows_a_layer_and_the_slider_switches_beta_without_a_kernel(done):
    page = done
    gallery = page.page.locator(".xw-gallery-view")
    cells = gallery.locator("[role=option], button").filter(has_text=re.compile("%"))
    expect(cells).to_have_count(3)
    cells.first.click()
    page.wait_for_kernel("explorer.layer_picker.value", "1")
    page.wait_for_kernel("explorer.run_bar.status", "done")
    labels = page.kernel_eval("explorer.mask.labels")
    assert len(set(labels)) == 3
    mask = page.page.locator('.xw-heatmap-view[aria-label="Mask"]')
    expect(mask).to_contain_text(labels[1])
    expect(mask).to_contain_text("Not converged after 20 steps")
    page.shutdown_kernel()
    slider = page.page.locator(".xw-slider-view").get_by_role("slider", name="Weight")
    slider.focus()
    slider.press("End")
    expect(mask).to_contain_text(labels[2])
    slider.press("Home")
    expect(mask).to_contain_text(labels[0])
