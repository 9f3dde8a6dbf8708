"""A page that the program has written, opened from disk with the network off: the table reacts to pointer and keys."""

import re

import pytest
from PIL import Image
from playwright.sync_api import expect

import xai_widgets as xw
from xai_widgets.cli import main
from xai_widgets.data import scenes


@pytest.fixture
def page(file_page, tmp_path):
    """The page of two methods for a file and its class; fails for any request, message or error."""
    image = scenes.scene(2, split="test", background="texture").image
    Image.fromarray(image).save(tmp_path / "photo.png")
    words = [
        "explain",
        str(tmp_path / "photo.png"),
        "--model",
        "scenes_resnet",
        "--methods",
        "gradient,grad_cam",
    ]
    assert main([*words, "--title", "My network", "-o", str(tmp_path / "page.html")]) == 0
    page = file_page(tmp_path / "page.html")
    expect(page.locator("main")).not_to_have_attribute("aria-busy", "true")
    return page


def test_the_page_of_the_program_answers_the_hand(page, tmp_path):
    model = xw.load("scenes_resnet")
    expect(page.locator("h1")).to_have_text("My network")
    for words in ("photo.png", model.predict(tmp_path / "photo.png", 1)[0][0].label, "Gradient", "Grad-CAM"):
        expect(page.get_by_text(re.compile(f"^{words}")).filter(visible=True).first).to_be_visible()
    # All that is in it works without a kernel.
    expect(page.locator("[inert]")).to_have_count(0)
    saliency = xw.attribution.grad_cam.saliency(model, tmp_path / "photo.png")[0]
    cell = page.locator('.xw-map-cell[data-row="1"][data-column="0"]')
    box = cell.locator(".xw-map-stage").bounding_box()
    rows, columns = saliency.shape
    row, column = divmod(int(saliency.argmax()), columns)
    place = (column + 0.5) / columns, (row + 0.5) / rows
    page.mouse.move(box["x"] + box["width"] * place[0], box["y"] + box["height"] * place[1])
    value = cell.locator(".xw-map-value")
    expect(value).not_to_have_text("")
    assert float(value.inner_text()) == pytest.approx(saliency.max().item(), rel=0.01)
