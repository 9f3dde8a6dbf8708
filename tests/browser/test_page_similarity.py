"""The similarity of positions in a page that holds the network is that of the package, also between photographs."""

import numpy as np
import pytest
import torch
from closeness import assert_close
from menus import saved_arrays
from PIL import Image
from playwright.sync_api import expect

import xai_widgets as xw
from xai_widgets.data import photograph, scenes
from xai_widgets.similarity import activation_grids, similarity

pytest.importorskip("onnxscript")
#: Roundings in a row, through some twenty layers.
STEPS = 2**14
#: The view shows two decimals.
CLOSE = 0.0051
LAYERS = ["stage2", "stage3"]


@pytest.fixture(scope="module")
def model():
    return xw.load("scenes_resnet")


@pytest.fixture(scope="module")
def explorer(model):
    image = scenes.scene(2, split="test", background="photograph").image
    brush = xw.PerturbationBrush(model, image, layers=LAYERS)
    yield brush
    brush.close()


@pytest.fixture(scope="module")
def path(explorer, tmp_path_factory):
    return xw.export(explorer, tmp_path_factory.mktemp("similarity") / "page.html", network=True).path


@pytest.fixture
def section(file_page, path):
    """The section of the page, opened from disk with the network of the machine off."""
    page = file_page(path)
    found = page.get_by_role("region", name="Similarity in this page")
    expect(found.locator(".xw-patch-stage").first).to_be_visible()
    return found


def open_photo(section, name, folder):
    file = folder / f"{name}.png"
    Image.fromarray(np.asarray(photograph(name))).save(file)
    section.page.locator(".page-network input[type=file]").set_input_files(file)
    expect(section.locator(".xw-similarity-view")).to_contain_text(file.name)
    return str(file)


def stage_of(section, frame, layer):
    return section.locator(f'.xw-patch[data-frame="{frame}"][data-layer="{layer}"] .xw-patch-stage')


def middle(section, frame, layer, cell, shape):
    """Return the stage of an image and layer, and the middle of a cell in it."""
    part = stage_of(section, frame, layer)
    box = part.bounding_box()
    x, y = (
        (cell[1 - axis] + 0.5) / shape[1 - axis] * box[side] for axis, side in enumerate(("width", "height"))
    )
    return part, {"x": x, "y": y}


def saved_vectors(section):
    """Return the vectors of each layer that the menu of the view saves."""
    saved = saved_arrays(section.locator(".xw-similarity-view"))
    return [saved[f"activations_{layer}"] for layer in range(len(LAYERS))]


def grids_of(model, images):
    """Return the grids of the images by layers, by the package."""
    runs = [activation_grids(model, image, LAYERS).result(progress=False) for image in images]
    return [[run[layer] for run in runs] for layer in range(len(LAYERS))]


def expect_cosines(section, grids, layer, source, cells):
    """Pin a position of an image, and compare the cosines at others with those of the package."""
    frame, at = source
    shape = grids[layer][frame].shape
    stage, position = middle(section, frame, layer, at, shape)
    stage.click(position=position)
    for other, cell in cells:
        expected = similarity(grids[layer][frame], at, grids[layer][other])[cell].item()
        stage, position = middle(section, other, layer, cell, shape)
        stage.hover(position=position)
        row, column = cell
        expect(section.locator(".xw-readout")).to_contain_text(f"row {row}, col {column}")
        found = float(stage.locator("..").locator(".xw-patch-value").inner_text().replace("−", "-"))
        assert abs(found - expected) < CLOSE
    section.page.keyboard.press("Escape")


def test_the_vectors_and_cosines_of_the_image_are_those_of_the_package(section, model, explorer):
    grids = grids_of(model, [explorer.image])
    for layer, found in enumerate(saved_vectors(section)):
        assert_close(torch.from_numpy(found[0]), grids[layer][0].raw, steps=STEPS)
    expect_cosines(section, grids, 0, (0, (5, 9)), [(0, (0, 0)), (0, (12, 3))])
    expect_cosines(section, grids, 1, (0, (3, 2)), [(0, (6, 6)), (0, (1, 4))])


def test_photographs_are_compared_with_the_image_before_them(section, model, explorer, tmp_path):
    cat = open_photo(section, "cat", tmp_path)
    expect(section.locator(".xw-similarity-view")).to_contain_text("image of the page")
    grids = grids_of(model, [explorer.image, cat])
    for layer, found in enumerate(saved_vectors(section)):
        for frame, values in enumerate(found):
            assert_close(torch.from_numpy(values), grids[layer][frame].raw, steps=STEPS)
    expect_cosines(section, grids, 1, (1, (3, 2)), [(0, (3, 3)), (1, (5, 5))])
    coffee = open_photo(section, "coffee", tmp_path)
    expect(section.locator(".xw-similarity-view")).not_to_contain_text("image of the page")
    expect_cosines(section, grids_of(model, [cat, coffee]), 1, (0, (3, 3)), [(1, (3, 3)), (1, (5, 2))])
    section.page.get_by_role("button", name="Back to the first image").click()
    expect(section.locator(".xw-similarity-view")).not_to_contain_text("cat.png")
    expect(section.locator(".xw-similarity-view")).to_contain_text("image of the page")


def test_the_opened_page_follows_the_pointer(section, explorer):
    stage, position = middle(section, 0, 1, (2, 4), (12, 12))
    before = stage.screenshot()
    stage.hover(position=position)
    expect(section.locator(".xw-readout")).to_contain_text("row 2, col 4")
    assert stage.screenshot() != before
