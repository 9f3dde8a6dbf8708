"""Exported pages in Chromium, opened from disk with the network off: all works but the controls that need a kernel."""

import re

import ipywidgets as widgets
import numpy as np
import pytest
from playwright.sync_api import expect
from torch import nn

import xai_widgets as xw
from xai_widgets.data import scenes
from xai_widgets.views import CurveView, HeatmapView, SliderView, link


@pytest.fixture
def opened(file_page, tmp_path):
    """Export a widget, and open the page with the network off."""

    def open_page(widget, scheme="light", **options):
        page = file_page(xw.export(widget, tmp_path / "page.html", **options).path, scheme)
        expect(page.locator("main")).not_to_have_attribute("aria-busy", "true")
        return page

    return open_page


@pytest.fixture(scope="module")
def model():
    return xw.load("scenes_resnet")


@pytest.fixture(scope="module")
def pictures():
    return [scenes.scene(n, split="test", background="photograph").image for n in range(2)]


def heatmap(**options):
    generator = np.random.default_rng(0)
    return HeatmapView(
        image=generator.integers(0, 255, (20, 30, 3), dtype=np.uint8),
        maps=generator.normal(size=(3, 4, 6)).astype(np.float32),
        labels=["one", "two", "three"],
        interpolation="pixelated",
        **options,
    )


def test_hovering_tells_the_value_of_the_map(opened):
    view = heatmap()
    page = opened(view)
    stage = page.locator(".xw-stage").first
    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 2.5 / 6, box["y"] + box["height"] * 1.5 / 4)
    expect(page.locator(".xw").first).to_contain_text(f"{abs(view.maps[0, 1, 2]):.3g}")


def test_links_of_both_kinds_work(opened):
    first, second = heatmap(title="first"), heatmap(title="second")
    slider = SliderView(values=[1, 2, 3], label="stop")
    link((first, "frame"), (slider, "frame"))
    joined = widgets.jslink((first, "frame"), (second, "frame"))
    page = opened(widgets.VBox([slider, widgets.HBox([first, second])]))
    for field in page.get_by_role("combobox", name="Map").all():
        expect(field).to_have_text("one")
    page.locator("input[type=range]").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    for field in page.get_by_role("combobox", name="Map").all():
        expect(field).to_have_text("three")
    joined.close()


def test_widgets_of_ipywidgets_work_beside_views(opened):
    view, slider = heatmap(), widgets.FloatSlider(value=0.2, min=0, max=1, step=0.1, description="opacity")
    joined = widgets.jslink((slider, "value"), (view, "opacity"))
    page = opened(widgets.VBox([slider, view]))
    expect(page.locator(".xw").first).to_contain_text("20 %")
    page.locator(".noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".xw").first).to_contain_text("30 %")
    joined.close()


def test_the_deletion_explorer_is_scrubbed_and_its_kernel_controls_are_disabled(opened, model, pictures):
    explorer = xw.DeletionExplorer(model, pictures[0], ["gradient", "grad_cam"], steps=8)
    assert explorer.wait(600)
    page = opened(explorer)
    expect(page.locator("h1")).to_have_text(re.compile(r"^Deletion explorer: .* \(scenes_resnet\)$"))
    expect(page.locator("#caption")).to_contain_text("Gradient, Grad-CAM")
    expect(page.locator(".xw-amount").get_by_text("0.0 % deleted")).to_be_visible()
    page.get_by_role("slider", name="cursor", exact=True).focus()
    page.keyboard.press("End")
    expect(page.locator(".xw-amount")).to_have_text("100.0 % deleted")
    for part in (".xw-run-bar", ".xw-class-picker", ".xw-method-picker"):
        expect(page.locator(part)).to_be_hidden(timeout=10000)
    expect(page.get_by_text("needs a kernel")).to_have_count(0)
    page.locator(".xw-explorer-menu .xw-menu-button").click()
    expect(page.get_by_role("menuitem")).to_have_text(["Save PNG", "Copy PNG", "Full screen"])


def test_the_similarity_explorer_answers_the_pointer(opened, model, pictures):
    explorer = xw.SimilarityExplorer([model], pictures, layers={"scenes_resnet": "stage3"}, components=2)
    assert explorer.wait(600)
    page = opened(explorer)
    cell = page.locator("[data-frame] > .xw-patch-stage").first
    box = cell.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    expect(page.get_by_text("image 1, row 0, col 0")).to_be_visible()
    page.mouse.move(box["x"] + box["width"] - 5, box["y"] + 5)
    expect(page.get_by_text(re.compile(r"image 1, row 0, col [1-9]"))).to_be_visible()


def test_a_dashboard_has_its_tabs(opened, model, pictures):
    options = {
        "attribution": {"methods": ["gradient", "grad_cam"]},
        "deletion": {"methods": ["gradient"], "steps": 8},
    }
    board = xw.dashboard(model, pictures, explorers=["attribution", "deletion", "inverse"], options=options)
    board.show("deletion")
    assert board.wait(600)
    page = opened(board, title="Is it the object?")
    expect(page.locator("h1")).to_have_text("Is it the object?")
    expect(page.locator(".xw-amount").get_by_text("0.0 % deleted")).to_be_visible()
    page.get_by_role("tab", name="Attribution").click()
    expect(page.locator(".xw-amount").get_by_text("0.0 % deleted")).to_be_hidden()
    expect(page.get_by_text("Grad-CAM").first).to_be_visible()
    # It was never opened.
    expect(page.get_by_role("tab", name="Inverse")).to_have_count(0)
    expect(page.locator("header")).to_contain_text("Left out because they were not computed: Inverse.")
    board.close()


def test_each_image_is_chosen_in_the_page(opened, model, pictures):
    options = {"deletion": {"methods": ["gradient"], "steps": 8}}
    board = xw.dashboard(model, pictures, explorers=["deletion"], options=options, names=["one", "two"])
    assert board.wait(600)
    page = opened(board, images="all")
    first = page.locator(".xw-heatmap-view canvas").first.evaluate("(canvas) => canvas.toDataURL()")
    expect(page.locator("#caption")).to_contain_text(" one ")
    page.locator(".xw-gallery-view [role=option]").nth(1).click()
    expect(page.locator("#caption")).to_contain_text(" two ")
    page.wait_for_function(
        "(first) => document.querySelector('.xw-heatmap-view canvas').toDataURL() !== first", arg=first
    )
    page.locator(".xw-gallery-view [role=option]").nth(0).click()
    page.wait_for_function(
        "(first) => document.querySelector('.xw-heatmap-view canvas').toDataURL() === first", arg=first
    )
    board.close()


def test_the_painted_image_stays_without_tools(opened, model, pictures):
    explorer = xw.PerturbationBrush(model, pictures[0], start="gradient")
    page = opened(explorer)
    expect(page.locator(".xw-brush-view canvas").first).to_be_visible()
    expect(page.locator(".xw-brush-view .xw-tools")).to_be_hidden()
    expect(page.locator(".xw-scores-view")).not_to_contain_text("not computed")
    explorer.close()


def test_curves_and_their_download_need_no_kernel(opened):
    view = CurveView(x=np.linspace(0, 1, 5), y=np.eye(2, 5), series=[{"label": "a"}, {"label": "b"}])
    page = opened(view)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save or copy this view").click()
        page.get_by_role("menuitem", name="Save CSV").click()
    assert saved.value.path().read_text().startswith("fraction,a,b")


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_the_page_has_the_theme_of_the_system(opened, scheme, dark):
    page = opened(widgets.VBox([heatmap(), widgets.IntSlider(description="a slider")]), scheme)
    for part in ("body", ".xw", ".widget-label"):
        colors = page.locator(part).first.evaluate(
            "(el) => [getComputedStyle(el).backgroundColor, getComputedStyle(el).color]"
        )
        background, text = (
            sum(map(int, re.findall(r"\d+", color)[:3])) / 765 if "rgba(0, 0, 0, 0)" not in color else None
            for color in colors
        )
        assert background is None or (background < 0.3) == dark
        assert (text > 0.6) == dark


def test_a_widget_that_cannot_be_made_is_said(offline, tmp_path):
    path = xw.export(heatmap(), tmp_path / "page.html").path
    page_text = path.read_text(encoding="utf-8")
    path.write_text(page_text.replace('id="widgets-data">', 'id="widgets-data">!'), encoding="utf-8")
    page = offline.new_page()
    page.goto(path.as_uri())
    expect(page.get_by_text("This page could not be shown")).to_be_visible()
    page.close()


@pytest.mark.parametrize("name", ["attribution", "deletion", "brush", "dashboard"])
def test_a_page_opens_with_nan_scores_in_it(opened, pictures, name):
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6)
    )
    network[-1].bias.data[2] = float("nan")
    model = xw.ImageModel(network.eval(), size=32, labels=list("abcdef"))
    make = {
        "attribution": lambda: xw.AttributionExplorer(model, pictures, ["gradient"]),
        "deletion": lambda: xw.DeletionExplorer(model, pictures[0], ["gradient"], steps=8),
        "brush": lambda: xw.PerturbationBrush(model, pictures[0]),
        "dashboard": lambda: xw.dashboard(model, pictures, explorers=["deletion"]),
    }[name]
    explorer = make()
    try:
        assert explorer.wait(600)
        page = opened(explorer)
        expect(page.locator("header")).to_contain_text("got NaN")
    finally:
        explorer.close()
