"""Controls that need Python, after the kernel has gone."""

import pytest
from hosts import choose
from playwright.sync_api import expect

SETUP = """
import xai_widgets as xw
from xai_widgets.data import scenes
model = xw.load("scenes_resnet")
image = scenes.scene(2, split="test").image
"""
SHOW = "explorer = xw.AttributionExplorer(model, image, ['gradient', 'grad_cam'])\nexplorer"
SILENCE = "No kernel answered"


@pytest.fixture
def page(lab):
    page = lab.open([SETUP, SHOW], width=1300, height=1000)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    return page


def test_a_choice_returns_with_a_notice(page):
    tab = page.page
    field = tab.locator(".xw-class-picker").get_by_role("combobox")
    before = field.input_value()
    page.shutdown_kernel()
    field.fill("dotted")
    field.press("Enter")
    expect(field).to_have_value(before, timeout=10_000)
    expect(tab.locator(".xw-class-picker .xw-silence")).to_contain_text(SILENCE)
    choose(tab, "Compare across", "classes")
    layers = tab.get_by_role("combobox", name="Compare across")
    expect(layers).to_have_text("images", timeout=10_000)
    methods = tab.locator(".xw-method-picker > button")
    count = methods.text_content()
    methods.click()
    tab.get_by_role("option", name="Grad-CAM").first.click()
    expect(tab.locator(".xw-method-picker .xw-silence")).to_contain_text(SILENCE, timeout=10_000)
    expect(methods).to_have_text(count)


CHOICES = """
import numpy as np
from ipywidgets import VBox
from xai_widgets.views import GalleryView, SliderView
gallery = GalleryView(images=np.zeros((3, 8, 8, 3)), labels=["first", "second", "third"], frame=0)
slider = SliderView(values=[1, 2, 4], label="Channels")
gallery._needs_kernel = slider._needs_kernel = True
VBox([gallery, slider])
"""


def test_an_image_and_a_stop_return_with_a_notice(lab):
    page = lab.open([CHOICES])
    output = page.output(0)
    images, stop = output.get_by_role("option"), output.locator(".xw-slider-view input")
    images.nth(1).click()
    stop.press("ArrowRight")
    page.wait_for_kernel("[gallery.frame, slider.frame]", [1, 1])
    # Heard in time: nothing returns.
    page.wait_for_kernel("[gallery._acknowledged, slider._acknowledged]", [1, 1])
    page.shutdown_kernel()
    images.nth(2).click()
    expect(output.locator(".xw-gallery-view .xw-silence")).to_contain_text(SILENCE, timeout=10_000)
    expect(images.nth(1)).to_have_attribute("aria-selected", "true")
    stop.press("End")
    expect(output.locator(".xw-slider-view .xw-silence")).to_contain_text(SILENCE, timeout=10_000)
    expect(output.locator(".xw-slider-view .xw-number")).to_have_text("2")


def test_a_busy_kernel_takes_the_choice_later(page):
    tab = page.page
    field = tab.locator(".xw-class-picker").get_by_role("combobox")
    page.kernel_exec("import time")
    tab.evaluate(
        "() => { window.notebookPanel.sessionContext.session.kernel.requestExecute({code: 'time.sleep(9)'}); }"
    )
    field.fill("dotted mushroom")
    field.press("Enter")
    expect(tab.locator(".xw-class-picker .xw-silence")).to_contain_text(SILENCE, timeout=10_000)
    expect(tab.locator(".xw-class-picker .xw-silence")).to_be_hidden(timeout=15_000)
    expect(field).to_have_value("dotted mushroom")
    page.wait_for_kernel("model.labels[explorer.target]", "dotted mushroom")
