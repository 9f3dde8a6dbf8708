"""The similarity explorer as a person meets it, in JupyterLab."""

import re

import pytest
from hosts import choose
from playwright.sync_api import expect

SETUP = """
import xai_widgets as xw
from xai_widgets.data import scenes
resnet, vgg = xw.load("scenes_resnet"), xw.load("scenes_vgg")
photos = [scenes.scene(number, split="test").image for number in range(3)]
corpus = [scenes.scene(number).image for number in range(12)]
"""
SHOW = """
explorer = xw.SimilarityExplorer(
    [resnet, vgg],
    photos,
    layers={"scenes_resnet": ["stage2", "stage3"], "scenes_vgg": ["stage3"]},
    components=3,
    corpus=corpus,
)
explorer
"""


@pytest.fixture
def done(lab):
    page = lab.open([SETUP, SHOW], width=1300, height=1500)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    return page


def box_of(page, picture, layer):
    return page.page.locator(f'[data-frame="{picture}"][data-layer="{layer}"]')


def hover(page, picture, layer, x, y):
    box = box_of(page, picture, layer).locator(".xw-patch-stage").bounding_box()
    page.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])


def test_pictures_layers_networks_components_and_corpus(done):
    page = done
    expect(page.page.locator(".xw-patch-stage")).to_have_count(9)
    hover(page, 1, 1, 0.7, 0.3)
    # In its own column the position has similarity 1; the value in another image is the kernel's.
    expect(box_of(page, 1, 1).locator(".xw-patch-value")).to_have_text("1.00")
    exact = page.kernel_eval("float(explorer.result.packed[1].similarity(1, (3, 8))[0, 3, 8])")
    shown = float(box_of(page, 0, 1).locator(".xw-patch-value").inner_text().replace("−", "-"))
    assert abs(shown - exact) < 0.006
    # The kernel indexes the corpus in this layer, and searches it for the position.
    page.wait_for_kernel("1 in explorer.result.indexes")
    page.kernel_exec("found = explorer.result.indexes[1].search(explorer.result.members(1)[1].raw[3, 8])")
    page.wait_for_kernel(
        "(made := explorer.panel.details.matches) is not None and bool((made.values == found.values).all())"
    )
    best = page.kernel_eval("explorer.panel.matches.labels[0]")
    expect(page.page.locator(".xw-gallery-view .xw-caption", has_text=best).first).to_be_visible()

    title = page.page.locator(".xw-gallery-view .xw-title", has_text="Strongest channels")
    expect(title).to_contain_text("stage3 at row 3, col 8")
    expect(box_of(page, 1, 1).locator(".xw-receptive:visible")).to_have_count(2)

    # Components are drawn in their column; hidden ones are not.
    layer = box_of(page, 0, 0).locator(".xw-components")
    expect(layer).to_be_visible()
    expect(box_of(page, 0, 1).locator(".xw-components")).to_be_hidden()
    drawn = (
        "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(v => v)"
    )
    assert layer.evaluate(drawn)
    for part in (1, 2, 3):
        page.page.get_by_label(f"show component {part}").uncheck()
    page.page.wait_for_function(f"canvas => !({drawn})(canvas)", arg=layer.element_handle())
    page.wait_for_kernel("explorer.view.hidden", [0, 1, 2])
    choose(page.page, "Components", "5")
    page.wait_for_kernel(
        "[explorer.run_bar.status, (made := explorer.result.components) and len(made.directions)]",
        ["done", 5],
    )
    expect(page.page.locator(".xw-chip")).to_have_count(5)
    # The details of the position are below the patches of the components, in full height: the column scrolls.
    details = page.page.get_by_role("checkbox", name="Maps of all channels")
    assert (
        details.evaluate(
            "e => { const b = e.closest('.widget-vbox'); return b.scrollHeight - b.clientHeight }"
        )
        <= 1
    )
    details.scroll_into_view_if_needed()
    expect(details).to_be_in_viewport()
    expect(page.page.locator(".xw-similarity-view .xw-title")).to_have_text(re.compile("error [0-9.]+%"))
    assert not [text for text in page.console if "xw" in text or "TypeError" in text]


def test_hand_and_controls_work_without_a_kernel(done):
    page = done
    page.shutdown_kernel()
    hover(page, 2, 0, 0.5, 0.5)
    # The column of the other network follows by the position.
    expect(box_of(page, 2, 2).locator(".xw-patch-value")).to_have_text("1.00")
    before = box_of(page, 0, 2).locator(".xw-patch-value").inner_text()
    choose(page.page, "Compare with", "own patch")
    expect(box_of(page, 0, 2).locator(".xw-patch-value")).to_have_text("1.00")
    choose(page.page, "Compare with", "hovered patch")
    expect(box_of(page, 0, 2).locator(".xw-patch-value")).to_have_text(before)
    page.page.locator(".xw-patches").focus()
    page.page.keyboard.press("Enter")
    page.page.keyboard.press("ArrowRight")
    expect(page.page.locator(".xw-pin-A:visible")).to_have_count(1)
    expect(page.page.locator(".xw-similarity-view .xw-value")).to_have_text(re.compile("0[.][0-9]+"))


def test_one_screen_shows_a_hint_and_nothing_moves_with_the_first_result(lab):
    quiet = (
        "explorer = xw.SimilarityExplorer(resnet, photos, layers=['stage2', 'stage3'], start=False)\nexplorer"
    )
    page = lab.open([SETUP, quiet], width=1280, height=900)
    hint = page.page.get_by_text("Hover over a patch")
    expect(hint).to_be_visible()
    tops = "() => [...document.querySelectorAll('.xw-patch-stage')].map(s => s.getBoundingClientRect().top)"
    before, height = page.page.evaluate(tops), explorer_height(page)
    assert len(before) == 6
    assert height <= 640
    page.kernel_exec("explorer.compute()")
    page.wait_for_kernel("explorer.run_bar.status", "done")
    # The first view shows similarities, of a position that the explorer has chosen.
    expect(page.page.locator(".xw-mark.xw-here:visible")).to_have_count(1)
    expect(page.page.locator(".xw-gallery-view [role=option]").first).to_be_visible()
    assert page.page.evaluate(tops) == before
    assert explorer_height(page) <= 640
    expect(hint).to_be_visible()
    hover(page, 1, 1, 0.5, 0.5)
    expect(hint).to_be_hidden()


def explorer_height(page):
    return page.page.evaluate(
        "() => document.querySelectorAll('.jp-Notebook .jp-Cell')[1].querySelector('.jupyter-widgets')"
        ".getBoundingClientRect().height"
    )
