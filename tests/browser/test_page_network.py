"""Pages that hold the network, opened from disk offline, have the scores of torch."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import TimeoutError, expect
from torch import nn

import xai_widgets as xw
from xai_widgets.data import photograph, scenes
from xai_widgets.explorers import page_network
from xai_widgets.explorers.brush_edits import FILLS

pytest.importorskip("onnxscript")
#: Bars have three decimals; scores are multiplied by this, so that they show differences of 1e-5.
SCALE = 100
#: Largest difference of a score.
CLOSE = 1e-4


class Scaled(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return SCALE * self.network(x)


@pytest.fixture(scope="module")
def model():
    given = xw.load("scenes_resnet")
    mean, std = given.mean.flatten().tolist(), given.std.flatten().tolist()
    return xw.ImageModel(
        Scaled(given.module),
        labels=given.labels,
        mean=mean,
        std=std,
        size=given.size,
        activation=None,
        name="scaled",
    )


@pytest.fixture(scope="module")
def image():
    return scenes.scene(2, split="test", background="photograph").image


@pytest.fixture
def opened(file_page, tmp_path):
    """Export an explorer with its network, and open the page with the network of the machine off."""

    def open_page(explorer, **options):
        page = file_page(xw.export(explorer, tmp_path / "page.html", **{"network": True, **options}).path)
        expect(page.locator(".page-network")).not_to_have_attribute("aria-busy", "true")
        return page

    return open_page


#: Whether the bars show these labels with these values.
SHOWN = """([expected, close]) => {
  const bars = [...document.querySelectorAll(".xw-score")].map((bar) => [
    bar.querySelector(".xw-score-label").textContent,
    Number(bar.querySelector(".xw-score-number").textContent.replace("−", "-")),
  ]);
  const found = Object.fromEntries(bars);
  return Object.entries(expected).every(([label, value]) => Math.abs(found[label] - value) <= close);
}"""


def expect_scores(page, model, scores):
    """Wait until the bars show the scores of the best classes."""
    values, classes = scores.topk(5)
    labels = (model.labels[index] for index in classes.tolist())
    expected = dict(zip(labels, values.tolist(), strict=True))
    try:
        page.wait_for_function(SHOWN, arg=[expected, SCALE * CLOSE], timeout=30_000)
    except TimeoutError as error:
        raise AssertionError(f"{expected}, got {page.locator('.xw-scores').inner_text()}") from error


def painted_scores(explorer, mask, fill):
    x = explorer.image
    with torch.no_grad():
        filled = explorer._fill(fill, mask)
        return explorer.model(torch.lerp(x, filled, mask))[0]


def test_the_brush_has_the_scores_of_torch_with_each_fill(opened, model, image):
    explorer = xw.PerturbationBrush(model, image)
    mask = np.zeros(explorer.image.shape[2:], np.float32)
    mask[20:60, 30:70] = np.linspace(0, 1, 40)
    explorer.brush.mask = mask
    mask = torch.from_numpy(explorer.brush.mask / np.float32(255))
    page = opened(explorer)
    status = page.locator(".page-network [role=status]").inner_text()
    assert float(re.search(r"within (\S+) of", status)[1]) <= SCALE * CLOSE
    page.locator(".xw-brush-view .xw-stage").focus()
    # The first fill last: the page opens with the scores that the kernel had for it.
    for fill in [*FILLS[1:], FILLS[0]]:
        page.keyboard.press("f")
        expect_scores(page, model, painted_scores(explorer, mask, fill))
    explorer.close()


def test_a_stroke_changes_the_scores_and_undo_brings_them_back(opened, model, image):
    explorer = xw.PerturbationBrush(model, image)
    page = opened(explorer)
    with torch.no_grad():
        before = model(explorer.image)[0]
    stage = page.locator(".xw-brush-view .xw-stage")
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.5 * box["height"], steps=8)
    page.mouse.up()
    best = page.locator(".xw-score").filter(has_text=model.labels[int(before.argmax())])
    expect(best.locator(".xw-score-number")).not_to_have_text(f"{before.max():.3f}")
    page.keyboard.press("Control+z")
    expect_scores(page, model, before)
    explorer.close()


def test_below_another_explorer_the_brush_names_the_photograph(opened, model, image, tmp_path):
    explorer = xw.DeletionExplorer(model, image, ["gradient"], steps=2)
    assert explorer.wait(600)
    page = opened(explorer)
    before = page.locator("#caption").inner_text()
    path = tmp_path / "my <i>cat.png"
    Image.fromarray(np.asarray(photograph("cat"))).save(path)
    page.locator(".page-network input[type=file]").set_input_files(path)
    expect(page.get_by_text("Image: my <i>cat.png, ")).to_be_visible()
    # The explorer above shows its own image.
    expect(page.locator("#caption")).to_have_text(before)
    explorer.close()


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_photograph_of_the_reader_has_the_classes_of_torch(opened, model, image, tmp_path, suffix):
    explorer = xw.PerturbationBrush(model, image)
    page = opened(explorer)
    path = tmp_path / f"my cat.{suffix}"
    Image.fromarray(np.asarray(photograph("cat"))).save(path)
    page.locator(".page-network input[type=file]").set_input_files(path)
    expect(page.locator("#caption")).to_contain_text(f"my cat.{suffix}")
    scores = model.scores(str(path))[0]
    if suffix == "png":
        expect_scores(page, model, scores)
    target = model.labels[int(scores.argmax())]
    expect(page.locator("#caption")).to_contain_text(f"class {target}")
    expect(page.locator(".xw-score[aria-current=true] .xw-score-label")).to_have_text(target)
    # Another class by its bar, and the first image again.
    other = page.locator(".xw-score[aria-disabled=false]").first
    name = other.locator(".xw-score-label").inner_text()
    other.click()
    expect(page.get_by_role("combobox", name="Class")).to_have_value(name)
    expect(page.locator("#caption")).to_contain_text(f"my cat.{suffix} · class {name} (")
    expect(page.locator("h1")).to_have_text("Perturbation brush: scaled")
    page.get_by_role("button", name="Back to the first image").click()
    expect(page.locator("#caption")).not_to_contain_text("my cat")
    with torch.no_grad():
        expect_scores(page, model, model(explorer.image)[0])
    explorer.close()


def test_two_edits_have_their_own_scores_and_are_copied(opened, model, image):
    explorer = xw.PerturbationBrush(model, image)
    explorer.pair_check.value = True
    page = opened(explorer)
    first, second = page.locator(".xw-brush-view:visible").all()
    first.get_by_role("button", name="Fill all").click()
    expect(first.locator(".xw-amount")).to_have_text("100 % painted")
    expect(second.locator(".xw-amount")).to_have_text("0 % painted")
    scores = page.locator(".xw-scores-view:visible")
    expect(scores.nth(0).locator(".xw-scores")).not_to_have_text(
        scores.nth(1).locator(".xw-scores").inner_text()
    )
    first.get_by_role("button", name="Copy to B").click()
    expect(second.locator(".xw-amount")).to_have_text("100 % painted")
    all_filled = painted_scores(explorer, torch.ones(explorer.image.shape[2:]), FILLS[0])
    best = scores.nth(1).locator(".xw-score").filter(has_text=model.labels[int(all_filled.argmax())])
    expect(best.locator(".xw-score-number")).to_have_text(re.compile(rf"^{int(all_filled.max())}\."))
    explorer.close()


def test_the_page_states_half_precision(opened, model, image):
    explorer = xw.PerturbationBrush(model, image)
    page = opened(explorer, network="half")
    expect(page.locator(".page-network")).to_contain_text("in half precision")
    explorer.close()


def test_a_network_with_other_scores_does_not_answer(opened, model, image, monkeypatch):
    monkeypatch.setattr(page_network, "TOLERANCES", (0.0, 0.0))
    explorer = xw.PerturbationBrush(model, image)
    page = opened(explorer)
    expect(page.locator(".page-network")).to_contain_text("differ by")
    expect(page.locator(".page-awaits").first).to_have_attribute("inert", "")
    explorer.close()


def test_in_a_dashboard_the_brush_answers_for_each_image(opened, model, image):
    other = scenes.scene(3, split="test", background="photograph").image
    board = xw.dashboard(model, [image, other], explorers=["brush"], names=["one", "two"])
    board.show("brush")
    assert board.wait(600)
    page = opened(board, images="all")
    # The class and the image of a dashboard belong to its other tabs, too.
    expect(page.get_by_role("button", name="Open a photo of your own")).to_have_count(0)
    expect(page.locator(".xw-class-picker:visible")).to_have_count(0)
    page.locator(".xw-gallery-view [role=option]").nth(1).click()
    expect(page.locator("#caption")).to_contain_text(" two ")
    page.get_by_role("button", name="Fill all").click()
    alone = xw.PerturbationBrush(model, other)
    expect_scores(page, model, painted_scores(alone, torch.ones(alone.image.shape[2:]), FILLS[0]))
    alone.close()
    board.close()
