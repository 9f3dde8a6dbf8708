"""Notebooks that were saved with their widgets and are opened again: everything lives, and no cell is run."""

import re

import pytest
from hosts import choose
from playwright.sync_api import expect

SETUP = """
import xai_widgets as xw
from xai_widgets.data import scenes
model = xw.load("scenes_resnet")
pictures = [scenes.scene(n, split="test").image for n in range(2)]
options = {"methods": ["gradient"], "steps": 8}
"""
EXPLORER = "explorer = xw.DeletionExplorer(model, pictures[0], **options)\nexplorer.wait()\nexplorer"
DASHBOARD = """
board = xw.dashboard(model, pictures, explorers=["similarity", "deletion"], options={"deletion": options})
board.show("deletion")
board.wait()
board
"""


@pytest.fixture
def reopened(lab):
    """Run a cell, save the notebook with its widgets, open it again, and end its kernel."""

    def reopen(cell):
        page = lab.open([SETUP, cell], width=1300, height=1500)
        expect(page.page.locator(".xw-legend-area").first).to_have_text(re.compile(r"^\d\.\d{3}$"))
        again = lab.open(page.save_with_widgets(), run=False, width=1300, height=1500)
        # The states are there before the kernel goes; it has run nothing, and knows nothing of them.
        expect(again.page.locator(".xw-legend-area").first).to_have_text(re.compile(r"^\d\.\d{3}$"))
        assert again.kernel_eval("'explorer' in globals() or 'board' in globals()") is False
        again.shutdown_kernel()
        return again

    return reopen


def scrub(page):
    """Drag the cursor of the curves: the image beside them loses its pixels."""
    plot = page.page.locator(".xw-curve-view .u-over")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    picture = page.page.locator(".xw-ordered-mask-view .xw-stage canvas").first
    before = picture.evaluate("(canvas) => canvas.toDataURL()")
    page.page.mouse.move(box["x"] + box["width"] * 0.05, box["y"] + box["height"] / 2)
    page.page.mouse.down()
    # The axis is that of square roots.
    page.page.mouse.move(box["x"] + box["width"] * 0.5**0.5, box["y"] + box["height"] / 2, steps=4)
    page.page.mouse.up()
    expect(page.page.locator(".xw-ordered-mask-view")).to_contain_text(
        re.compile(r"(49|50|51)\.\d % deleted")
    )
    page.page.wait_for_function(
        "([canvas, before]) => canvas.toDataURL() !== before", arg=[picture.element_handle(), before]
    )


def test_an_explorer(reopened):
    page = reopened(EXPLORER)
    expect(page.page.locator(".xw-curve-view tbody tr").first).to_contain_text(
        re.compile(r"Gradient\s*0\.\d{3}\s*0\.\d{3}")
    )
    expect(page.page.locator(".xw-class-picker").get_by_role("combobox")).to_have_value("ringed planet")
    scrub(page)
    page.page.get_by_role("button", name="Display").click()
    choose(page.page, "Colors", "magma")
    assert not [text for text in page.console if "TypeError" in text]


def test_a_dashboard(reopened):
    page = reopened(DASHBOARD)
    scrub(page)
    page.page.get_by_role("tab", name="Similarity").click()
    stage = page.page.locator(".xw-patch-stage").first
    expect(stage).to_be_visible()
    box = stage.bounding_box()
    page.page.mouse.move(box["x"] + 1, box["y"] + 1)
    expect(page.page.locator(".xw-similarity-view .xw-cell")).to_have_text("image 1, stem, row 0, col 0")
    page.screenshot("reopened-dashboard")
