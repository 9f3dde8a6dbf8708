"""Views and explorers in marimo, with its kernel and after it has gone."""

import re

import pytest
from app_hosts import EXPLORER, VIEW, choose_class, drag_cursor, expect_map_drawn, hover, marimo
from PIL import Image
from playwright.sync_api import expect


def body(text):
    return "".join(f"    {line}\n" for line in text.strip().splitlines())


VIEW_CELLS = [
    f"def _():\n{body(VIEW)}    return np, view, xw",
    "def _(view):\n    import marimo as mo\n    shown = mo.ui.anywidget(view)\n    shown\n    return mo, shown",
    # A cell that names it runs again when the pointer has moved.
    """def _(mo, shown):
    at = shown.value.get("position") or []
    mo.md(f"kernel: {[round(part, 2) for part in at]}")
    return""",
]


def test_a_view_lives_and_outlives_its_kernel(app, tmp_path):
    opened = app(marimo(VIEW_CELLS, tmp_path))
    page = opened.page
    expect_map_drawn(page)
    hover(page, 1, 2)
    expect(page.get_by_text("kernel: [0.42, 0.38]")).to_be_visible()
    opened.server.stop()
    hover(page, 3, 5)
    expect(page.get_by_text("kernel: [0.42, 0.38]")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_view_has_the_theme_of_marimo_and_not_that_of_the_system(app, tmp_path, theme):
    opened = app(marimo(VIEW_CELLS, tmp_path, theme), scheme="light" if theme == "dark" else "dark")
    view = opened.page.locator(".xw-heatmap-view").first
    expect(view).to_be_visible(timeout=600_000)
    colors = view.evaluate("(el) => [getComputedStyle(el).backgroundColor, getComputedStyle(el).color]")
    background, text = (sum(map(int, re.findall(r"\d+", color)[:3])) / 765 for color in colors)
    assert (background < 0.2) == (theme == "dark")
    assert abs(background - text) > 0.7


def test_an_explorer_lives_and_outlives_its_kernel(app, tmp_path):
    cells = [f"def _():\n    import xai_widgets as xw\n{body(EXPLORER)}    return (explorer,)"]
    cells += ["def _(explorer):\n    explorer\n    return"]
    opened = app(marimo(cells, tmp_path))
    page = opened.page
    choose_class(page, "striped kite")
    drag_cursor(page, 0.4)
    # Side by side, as in Jupyter: what is dragged and what it changes fit one screen.
    boxes = [
        page.locator(view).first.bounding_box()
        for view in (".xw-heatmap-view", ".xw-ordered-mask-view", ".xw-curve-view")
    ]
    assert len({round(box["y"]) for box in boxes}) == 1
    assert max(box["y"] + box["height"] for box in boxes) < 640
    opened.screenshot("marimo")
    opened.server.stop()
    drag_cursor(page, 0.7)


def test_a_dashboard_opens_its_tabs(app, tmp_path):
    options = """{
        "attribution": {"methods": ["gradient", "grad_cam"]}, "deletion": {"methods": ["gradient"], "steps": 8}
    }"""
    cells = [
        f"""def _():
    import xai_widgets as xw
    from xai_widgets.data import scenes
    model = xw.load("scenes_resnet")
    pictures = [scenes.scene(n, split="test").image for n in range(2)]
    options = {options}
    board = xw.dashboard(model, pictures, explorers=["deletion", "attribution", "similarity"], options=options)
    board
    return""",
    ]
    opened = app(marimo(cells, tmp_path))
    page = opened.page
    expect(page.locator(".xw-legend-area").first).to_contain_text(re.compile(r"\d\.\d"), timeout=600_000)
    page.get_by_role("tab", name="Attribution").click()
    expect(page.locator(".xw-map-grid-view").first).to_contain_text("Grad-CAM")
    opened.screenshot("marimo-dashboard")
    page.get_by_role("combobox", name="Compare across").first.click()
    page.get_by_role("option", name="layers").click()
    expect(page.locator(".xw-map-grid-view").first).to_contain_text("stage3")
    # Menus work in the shadow roots of views.
    for part, file in ((".xw-map-grid-view", "maps.png"), (".xw-explorer-menu", "dashboard.png")):
        page.locator(part).first.hover()
        page.locator(part).first.locator(".xw-menu-button").click()
        with page.expect_download() as download:
            page.get_by_role("menuitem", name="Save PNG").click()
        assert download.value.suggested_filename == file
        with Image.open(download.value.path()) as image:
            assert min(image.size) > 200
    # Chosen above, for the explorers below.
    page.locator(".xw-gallery-view").first.get_by_role("option").nth(1).click()
    page.get_by_role("tab", name="Deletion").click()
    expect(page.locator(".xw-class-picker").first.get_by_role("combobox")).to_have_value("dotted balloon")


CONCEPTS = """
import timm
import torch
from xai_widgets.data import photograph, scene_concepts
torch.manual_seed(0)
model = xw.from_timm(timm.create_model("resnet18", pretrained=False, num_classes=5))
explorer = xw.PredictionConceptsExplorer(model, photograph("cat"), scene_concepts(40), without=["object"])
"""


def test_concepts_of_a_prediction_of_a_timm_network_are_chosen(app, tmp_path):
    cells = [f"def _():\n    import xai_widgets as xw\n{body(CONCEPTS)}    return (explorer,)"]
    cells += ["def _(explorer):\n    explorer\n    return"]
    opened = app(marimo(cells, tmp_path))
    page = opened.page
    rows = page.locator(".xw-flow-row")
    expect(rows.first).to_be_visible(timeout=600_000)
    chosen = page.locator('.xw-flow-row[aria-disabled="false"]')
    chosen.last.click()
    expect(chosen.last).to_have_attribute("aria-selected", "true")
    expect(page.locator(".xw-heatmap-view").first).to_contain_text("no concept")
    boxes = [page.locator(view).first.bounding_box() for view in (".xw-heatmap-view", ".xw-flow-view")]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
