"""The explorer of the concepts of a class: switches and slider, live and in an exported page."""

import pytest
from explorer_pages import export
from playwright.sync_api import expect

import xai_widgets as xw

CELLS = [
    """
import xai_widgets as xw
from xai_widgets.data import scenes
model = xw.load("scenes_resnet")
images = [scenes.scene(n, label=scenes.CUE_CLASS, split="test").image for n in range(8)]
""",
    "explorer = xw.ClassExplorer(model, images, scenes.CUE_CLASS, count=6, scored=4, design=8)\nexplorer",
]


def test_a_switch_removes_the_stamp_and_the_slider_shows_other_maps(lab):
    page = lab.open(CELLS)
    shown = page.output(1)
    page.wait_for_kernel("explorer.wait(120) and explorer.run_bar.status", "done")
    switches = shown.locator(".xw-switch")
    expect(switches).to_have_count(6)
    bars = shown.locator(".xw-scores-view").nth(1)
    expect(bars).to_contain_text("All concepts on")
    switches.first.click()
    expect(bars).to_contain_text("Without concept 1")
    assert page.kernel_eval("explorer.off") == [0]
    page.wait_for_kernel("explorer.wait(60)")
    # The most important concept is the stamp: without it the network sees the dotted mushroom.
    expect(bars).to_contain_text("dotted mushroom")
    slider = shown.locator(".xw-slider-view input[type=range]").first
    slider.focus()
    page.page.keyboard.press("ArrowRight")
    expect(shown.locator(".xw-heatmap-view")).to_contain_text("concept 2")
    expect(shown.locator(".xw-scores-view").first).to_contain_text("chosen concept")
    assert not page.console


def test_three_columns_stand_side_by_side_in_a_narrow_window(lab):
    page = lab.open(CELLS, width=1100, height=900)
    shown = page.output(1)
    page.wait_for_kernel("explorer.wait(120) and explorer.run_bar.status", "done")
    expect(shown.locator(".xw-switch")).to_have_count(6)
    columns = [one.bounding_box() for one in shown.locator(".xw-layout-stage > .xw-layout-column").all()]
    assert len(columns) == 3
    assert len({box["y"] for box in columns}) == 1
    whole = shown.locator(".xw-explorer").bounding_box()
    assert columns[-1]["x"] + columns[-1]["width"] <= whole["x"] + whole["width"] + 1
    assert whole["height"] <= 700


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return export("class", xw.load("scenes_resnet"), tmp_path_factory.mktemp("pages"))


def test_the_page_shows_other_concepts_without_a_kernel(file_page, path):
    page = file_page(path)
    bars = page.locator(".xw-scores-view").first
    expect(bars).to_contain_text("ringed toadstool")
    before = bars.inner_text()
    slider = page.locator(".xw-slider-view input[type=range]").first
    slider.focus()
    page.keyboard.press("End")
    expect(page.locator(".xw-heatmap-view").first).to_contain_text("concept 6")
    expect(bars).not_to_have_text(before)
    expect(page.locator(".xw-switch").first).to_have_attribute("aria-disabled", "true")
