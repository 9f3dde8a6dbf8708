"""The page in the output of a cell works in a notebook that nbconvert made into HTML, with the network off."""

import math
import re

import nbclient
import nbformat
import pytest
from nbconvert import HTMLExporter
from notebook_server import notebook
from playwright.sync_api import expect

import xai_widgets as xw
from xai_widgets.data import scenes

CELLS = [
    """
import numpy as np
import xai_widgets as xw
from xai_widgets.data import scenes
model = xw.load("scenes_resnet")
image = scenes.scene(2, split="test", background="photograph").image
explorer = xw.DeletionExplorer(model, image, ["gradient"], steps=6)
explorer.wait()
xw.page(explorer)
""",
    'xw.page(xw.HeatmapView(maps=np.arange(6, dtype=np.float32).reshape(1, 2, 3), interpolation="pixelated"))',
]


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """The HTML that nbconvert makes of a notebook without widgets."""
    book = nbformat.from_dict(notebook(CELLS))
    nbclient.NotebookClient(book, store_widget_state=False, kernel_name="python3").execute()
    for cell in book.cells:
        assert set(cell.outputs[0].data) == {"text/html", "text/plain"}
    text, _ = HTMLExporter().from_notebook_node(book)
    # nbconvert takes mathematics from a public address.
    text = re.sub(r'<script[^>]* src="https:[^>]*>\s*</script>', "", text)
    path = tmp_path_factory.mktemp("nbconvert") / "notebook.html"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def frames(file_page, document):
    """The page of the notebook, opened from disk with the network off, and its frames."""
    page = file_page(document)
    found = [page.frame_locator("iframe").nth(number) for number in range(len(CELLS))]
    for frame in found:
        expect(frame.locator("main")).not_to_have_attribute("aria-busy", "true")
    return page, *found


def test_dragging_the_cursor_of_an_explorer_changes_its_image(frames):
    page, explorer, _ = frames
    image = explorer.locator(".xw-ordered-mask-view .xw-stage").first
    cursor = explorer.get_by_role("slider", name="cursor", exact=True)
    cursor.scroll_into_view_if_needed()
    before, step = image.screenshot(), cursor.get_attribute("aria-valuetext")
    box = explorer.locator(".xw-curve-view .xw-plot").first.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    expect(cursor).not_to_have_attribute("aria-valuetext", step)
    assert image.screenshot() != before


def test_hovering_and_keys_show_the_values_of_a_map(frames):
    page, _, view = frames
    # A frame out of sight draws nothing, so that its elements never come to rest.
    page.locator("iframe").nth(1).scroll_into_view_if_needed()
    stage = view.locator(".xw-stage").first
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    stage.hover(position={"x": box["width"] * 2.5 / 3, "y": box["height"] / 4})
    expect(view.locator(".xw").first).to_contain_text("row 0, col 2")
    stage.click()
    page.keyboard.press("ArrowLeft")
    expect(view.locator(".xw").first).to_contain_text("col 0")


def test_the_height_of_the_frame_is_that_of_the_page(frames):
    page, explorer, view = frames
    for number, frame in enumerate((explorer, view)):
        tall = frame.locator("body").evaluate("body => body.getBoundingClientRect().height")
        node = page.locator("iframe").nth(number)
        expect(node).to_have_css("height", f"{math.ceil(tall)}px")
        assert frame.locator("html").evaluate("root => root.scrollHeight <= innerHeight")
    # The second one is lower than the height it begins with.
    assert page.locator("iframe").nth(1).bounding_box()["height"] < 720


def test_arrays_are_saved_from_the_frame(frames):
    page, _, view = frames
    page.locator("iframe").nth(1).scroll_into_view_if_needed()
    part = view.locator(".xw-heatmap-view")
    part.hover()
    part.locator(".xw-menu-button").first.click()
    with page.expect_download() as download:
        view.get_by_role("menuitem", name="Save arrays", exact=True).click()
    assert download.value.suggested_filename.endswith(".npz")


def test_the_page_cannot_read_the_notebook(frames):
    _, explorer, _ = frames
    assert (
        explorer.locator("body").evaluate(
            """() => { try { return parent.document.title } catch (error) { return error.name } }"""
        )
        == "SecurityError"
    )


def test_a_network_runs_in_the_frame(file_page, tmp_path):
    pytest.importorskip("onnxscript")
    brush = xw.PerturbationBrush(xw.load("scenes_resnet"), scenes.scene(2).image)
    path = tmp_path / "page.html"
    path.write_text(f"<!DOCTYPE html><body>{xw.page(brush, network=True).frame()}</body>", encoding="utf-8")
    frame = file_page(path).frame_locator("iframe")
    expect(frame.locator(".page-network")).to_contain_text("The network runs in this page")
    before = frame.locator(".xw-scores").first.inner_text()
    frame.get_by_role("button", name="Fill all").click()
    expect(frame.locator(".xw-scores").first).not_to_have_text(before)
    brush.close()


def test_the_page_has_the_theme_of_its_host_and_follows_it(file_page, tmp_path):
    view = xw.HeatmapView(maps=[[[0.0, 1.0]]])
    frames = xw.page(view).frame() + xw.page(view, theme="light").frame()
    path = tmp_path / "page.html"
    path.write_text(
        f'<!DOCTYPE html><body style="background: rgb(20, 20, 20)">{frames}</body>', encoding="utf-8"
    )
    page = file_page(path)
    following, fixed = (page.frame_locator("iframe").nth(number).locator("body") for number in range(2))
    expect(following).to_have_css("background-color", "rgb(22, 24, 27)")
    page.evaluate("() => { document.body.style.background = 'white' }")
    expect(following).to_have_css("background-color", "rgb(255, 255, 255)")
    page.evaluate("() => { document.body.style.background = 'black' }")
    expect(following).to_have_css("background-color", "rgb(22, 24, 27)")
    expect(fixed).to_have_css("background-color", "rgb(255, 255, 255)")
    view.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_alone_has_the_theme_of_the_system_unless_it_is_given_one(file_page, tmp_path, scheme):
    view = xw.HeatmapView(maps=[[[0.0, 1.0]]])
    colors = {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 27)"}
    page = file_page(xw.export(view, tmp_path / "page.html").path, scheme)
    expect(page.locator("body")).to_have_css("background-color", colors[scheme])
    page = file_page(xw.export(view, tmp_path / "page.html", theme="dark").path, scheme)
    expect(page.locator("body")).to_have_css("background-color", colors["dark"])
    expect(page.locator(".xw").first).to_have_css("background-color", colors["dark"])
    view.close()
