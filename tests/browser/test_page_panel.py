"""The panel of a page that holds the network has the maps and curves of the package."""

import numpy as np
import pytest
import torch
from menus import saved_arrays
from PIL import Image
from playwright.sync_api import expect

import xai_widgets as xw
from xai_widgets.data import photograph, scenes
from xai_widgets.methods import METHODS
from xai_widgets.metrics.deletion import deletion, insertion
from xai_widgets.perturbation import occlusion, rise

pytest.importorskip("onnxscript")
#: Largest difference of a probability, and of a score of about 10.
CLOSE, CLOSE_SCORES = 1e-4, 1e-3


@pytest.fixture(scope="module")
def model():
    return xw.load("scenes_resnet")


@pytest.fixture(scope="module")
def explorer(model):
    image = scenes.scene(2, split="test", background="photograph").image
    brush = xw.PerturbationBrush(model, image)
    yield brush
    brush.close()


@pytest.fixture(scope="module")
def path(explorer, tmp_path_factory):
    return xw.export(explorer, tmp_path_factory.mktemp("panel") / "page.html", network=True).path


@pytest.fixture
def panel(file_page, path):
    """The panel of the page of a brush, opened from disk with the network of the machine off."""
    page = file_page(path)
    return page.get_by_role("region", name="Explain in this page")


def choose(panel, method, **settings):
    panel.get_by_label("Method").select_option(method)
    for label, value in settings.items():
        panel.get_by_label(label).fill(str(value))


def status(panel):
    return panel.locator(".page-tools [role=status]")


def run(panel, button="Run"):
    panel.get_by_role("button", name=button, exact=True).click()
    expect(status(panel)).to_contain_text("done.")


def shown_map(panel):
    return saved_arrays(panel.locator(".xw-heatmap-view"))["maps"][0]


def expect_empty(panel):
    """Wait until neither a map nor a curve is shown."""
    expect(panel.get_by_role("button", name="Delete along the map")).to_be_disabled()
    expect(panel.locator(".xw-heatmap-view")).not_to_contain_text("Occlusion, patch")
    expect(panel.locator(".xw-curve-view")).to_contain_text("No curve yet")


def test_the_map_of_occlusion_and_curves_along_it_are_those_of_the_package(panel, explorer, model):
    choose(panel, "Occlusion", Patch=20, Stride=9)
    run(panel)
    expected = occlusion(model, explorer.image, explorer.target, window=20, stride=9).result(progress=False)
    found = shown_map(panel)
    assert np.abs(found - expected.map[0].numpy()).max() < CLOSE_SCORES
    panel.get_by_label("Steps").fill("30")
    run(panel, "Delete along the map")
    expect(status(panel)).to_have_text("Deletion: done.")
    panel.get_by_role("button", name="Insert along the map").click()
    expect(status(panel)).to_have_text("Insertion: done.")
    given = (model, explorer.image, torch.from_numpy(found)[None], explorer.target)
    curves = [each(*given, steps=30).result(progress=False) for each in (deletion, insertion)]
    saved = saved_arrays(panel.locator(".xw-curve-view"))
    assert np.allclose(saved["x"], np.arange(31) / 30)
    assert np.abs(saved["y"] - torch.cat([curve.scores for curve in curves]).numpy()).max() < CLOSE
    for curve in curves:
        expect(panel.locator(".xw-curve-view")).to_contain_text(f"AUC {curve.auc.item():.3f}")


def test_the_masks_and_the_map_of_rise_are_those_of_the_package(panel, explorer, model):
    choose(panel, "RISE", Masks=70, Cells=5, Shown=0.4, Seed=3)
    run(panel)
    options = {"masks": 70, "cells": 5, "p": 0.4, "seed": 3, "tolerance": 0}
    expected = rise(model, explorer.image, explorer.target, **options).result(progress=False)
    saliency = expected.saliency()[0].numpy()
    assert np.abs(shown_map(panel) - (saliency - saliency.min())).max() < CLOSE


def test_cam_and_the_curve_along_it_are_those_of_the_package(panel, explorer, model):
    choose(panel, "CAM")
    run(panel)
    (maps,) = METHODS["cam"].saliency(model, explorer.image, explorer.target)
    assert np.abs(shown_map(panel) - maps.numpy()).max() < CLOSE_SCORES
    panel.get_by_label("Steps").fill("12")
    panel.get_by_role("button", name="Delete along the map").click()
    expect(status(panel)).to_have_text("Deletion: done.")
    curve = deletion(model, explorer.image, maps[None], explorer.target, steps=12).result(progress=False)
    found = saved_arrays(panel.locator(".xw-curve-view"))["y"]
    assert np.abs(found - curve.scores.numpy()).max() < CLOSE
    # The map of another class.
    other = panel.page.locator(".xw-score[aria-disabled=false]").first
    target = model.labels.index(other.locator(".xw-score-label").inner_text())
    other.click()
    expect(panel.get_by_role("button", name="Delete along the map")).to_be_disabled()
    run(panel)
    (maps,) = METHODS["cam"].saliency(model, explorer.image, target)
    assert np.abs(shown_map(panel) - maps.numpy()).max() < CLOSE_SCORES


def test_a_run_leaves_the_brush_free_and_its_map_stays_when_it_is_stopped(panel, explorer, model):
    choose(panel, "RISE", Masks=20000)
    panel.get_by_role("button", name="Run", exact=True).click()
    expect(panel.get_by_role("button", name="Delete along the map")).to_be_enabled()
    page = panel.page
    page.get_by_role("button", name="Fill all").click()
    with torch.no_grad():
        filled = explorer._fill("blur", None)
        best = model.probabilities(model(filled))[0].max()
    expect(page.locator(".xw-scores").first).to_contain_text(f"{best:.3f}")
    # It still runs.
    panel.get_by_role("button", name="Stop").click()
    expect(panel.get_by_role("button", name="Run", exact=True)).to_be_visible()
    before = shown_map(panel)
    run(panel, "Delete along the map")
    assert np.array_equal(shown_map(panel), before)


def test_another_class_or_photograph_empties_the_panel_and_is_explained(panel, model, tmp_path):
    page = panel.page
    choose(panel, "Occlusion", Patch=40, Stride=40)
    run(panel)
    page.locator(".xw-score[aria-disabled=false]").first.click()
    expect_empty(panel)
    run(panel)
    path = tmp_path / "cat.png"
    Image.fromarray(np.asarray(photograph("cat"))).save(path)
    page.locator(".page-network input[type=file]").set_input_files(path)
    expect(page.locator("#caption")).to_contain_text("cat.png")
    expect_empty(panel)
    run(panel)
    expected = occlusion(model, str(path), window=40, stride=40).result(progress=False)
    assert np.abs(shown_map(panel) - expected.map[0].numpy()).max() < CLOSE_SCORES
    page.get_by_role("button", name="Back to the first image").click()
    expect_empty(panel)


def test_a_run_that_is_under_way_shows_nothing_of_the_class_before(panel):
    choose(panel, "RISE", Masks=20000)
    panel.get_by_role("button", name="Run", exact=True).click()
    expect(panel.get_by_role("button", name="Delete along the map")).to_be_enabled()
    panel.page.locator(".xw-score[aria-disabled=false]").first.click()
    expect_empty(panel)
    choose(panel, "Occlusion", Patch=40, Stride=40)
    run(panel)
    expect(panel.locator(".xw-heatmap-view")).to_contain_text("Occlusion, patch 40, stride 40")


def test_the_painted_mask_is_deleted(panel, explorer, model):
    choose(panel, "Painted mask")
    expect(panel.get_by_role("button", name="Run", exact=True)).to_be_hidden()
    expect(panel.get_by_role("button", name="Delete along the map")).to_be_disabled()
    panel.page.get_by_role("button", name="Fill all").click()
    panel.get_by_label("Steps").fill("8")
    run(panel, "Delete along the map")
    ones = torch.ones(1, *explorer.image.shape[2:])
    curve = deletion(model, explorer.image, ones, explorer.target, steps=8).result(progress=False)
    found = saved_arrays(panel.locator(".xw-curve-view"))["y"]
    assert np.abs(found - curve.scores.numpy()).max() < CLOSE
    panel.page.get_by_role("button", name="Clear").click()
    expect(panel.locator(".xw-curve-view")).to_contain_text("No curve yet")


def test_the_mark_moves_a_patch_whose_scores_are_shown(panel, explorer, model):
    choose(panel, "Occlusion", Patch=30)
    stage = panel.locator(".xw-heatmap-view .xw-stage")
    box = stage.bounding_box()
    stage.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    height, width = explorer.image.shape[2:]
    expect(panel.page.locator(".xw-brush-view .xw-amount").first).to_have_text(
        f"{100 * 30**2 / (height * width):.1f} % painted"
    )
    expect(panel.locator(".page-hint")).to_contain_text("Under the patch: probability")
    probability = model.probabilities(model.scores(explorer.image))[0, explorer.target]
    expect(panel.locator(".page-hint")).to_contain_text(f"{probability:.3f} → ")


def test_settings_that_cannot_be_are_not_run(panel):
    choose(panel, "Occlusion", Patch=10)
    panel.get_by_label("Stride").fill("11")
    panel.get_by_role("button", name="Run", exact=True).click()
    expect(panel.get_by_role("button", name="Stop")).to_be_hidden()
    expect_empty(panel)


def test_the_page_of_another_explorer_gets_a_brush_and_keeps_its_results(
    file_page, model, explorer, tmp_path
):
    shown = xw.DeletionExplorer(model, explorer.image, ["grad_cam"], steps=8)
    assert shown.wait(600)
    page = file_page(xw.export(shown, tmp_path / "page.html", network=True).path)
    caption = page.locator("#caption").inner_text()
    panel = page.get_by_role("region", name="Explain in this page")
    choose(panel, "Occlusion", Patch=40, Stride=40)
    run(panel)
    photo = tmp_path / "cat.png"
    Image.fromarray(np.asarray(photograph("cat"))).save(photo)
    page.locator(".page-network input[type=file]").set_input_files(photo)
    expect_empty(panel)
    run(panel)
    expected = occlusion(model, str(photo), window=40, stride=40).result(progress=False)
    assert np.abs(shown_map(panel) - expected.map[0].numpy()).max() < CLOSE_SCORES
    assert page.locator("#caption").inner_text() == caption
    shown.close()
