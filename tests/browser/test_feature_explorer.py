"""The feature explorer in JupyterLab: an image that forms, pause and step, and a wall that fills and is clicked."""

import re

import pytest
from PIL import Image
from playwright.sync_api import expect

SETUP = """
import xai_widgets as xw
model = xw.load("scenes_resnet", device="cpu")
"""
SHOW = """
explorer = xw.FeatureExplorer(model, "stage3", 2, steps={steps}, wall=4, wall_steps=6, batch_size=2)
explorer
"""
PIXELS = """() => {
  const canvas = document.querySelector('.xw-heatmap-view canvas');
  return canvas ? canvas.toDataURL() : '';
}"""
DRAWN = "explorer.view._drawn"


def wait_for_change(page, before):
    page.page.wait_for_function(f"(before) => ({PIXELS})() !== before", arg=before)
    return page.page.evaluate(PIXELS)


@pytest.fixture
def running(lab):
    page = lab.open([SETUP, SHOW.format(steps=100000)], width=1400, height=1000)
    page.wait_for_kernel(f"{DRAWN} > 2")
    return page


def test_the_image_moves_until_it_is_paused_and_steps(running):
    page = running
    bar = page.page.locator(".xw-run-bar")
    image = wait_for_change(page, page.page.evaluate(PIXELS))
    wait_for_change(page, image)
    bar.get_by_role("button", name="Stop").click()
    page.wait_for_kernel("explorer.run_bar.status", "cancelled")
    # The last frame is drawn and confirmed, and nothing follows.
    page.wait_for_kernel("explorer.view.in_flight", 0)
    step, sent = page.kernel_eval("(explorer.result.step, explorer.view._sent)")
    still = page.page.evaluate(PIXELS)
    bar.get_by_role("button", name="Step", exact=True).click()
    page.wait_for_kernel("explorer.run_bar.status", "done")
    # The step in which it was paused may have ended after it.
    stepped = page.kernel_eval("explorer.result.step")
    assert step < stepped <= step + 2
    expect(bar).to_contain_text(f"step {stepped}")
    wait_for_change(page, still)
    page.wait_for_kernel("explorer.view.in_flight", 0)
    assert page.kernel_eval("explorer.view._sent") > sent
    bar.get_by_role("button", name="Resume").click()
    page.wait_for_kernel(f"explorer.result.step > {step + 3}")
    # A fast machine may soon be as far as before: the steps are noted as they are drawn.
    page.kernel_exec(
        "steps = []; explorer.curve.observe(lambda _: steps.append(explorer.result and explorer.result.step), 'y')"
    )
    page.wait_for_kernel("len([step for step in steps if step]) > 1")
    bar.get_by_role("button", name="Restart").click()
    page.wait_for_kernel("min(step or 0 for step in steps[1:]) < steps[0]")
    assert not page.console


def test_another_channel_replaces_a_running_image_at_once(running):
    page = running
    page.kernel_exec("explorer.channel_picker.value = '3'")
    expect(page.page.locator(".xw-heatmap-view .xw-title")).to_have_text("Channel 3 of stage3")
    page.wait_for_kernel("explorer.result is not None and explorer.result.step > 2")
    assert page.kernel_eval("explorer.study.result(explorer._key()) is not None")
    assert not page.console


def test_frames_in_flight_are_capped(running):
    page = running
    counts = page.kernel_eval("[explorer.view.in_flight for _ in range(200)]")
    assert max(counts) <= 1
    page.wait_for_kernel(f"{DRAWN} > 10")
    assert page.kernel_eval("explorer.view.in_flight") <= 1


def test_the_wall_fills_and_a_click_chooses_a_channel(lab):
    page = lab.open([SETUP, SHOW.format(steps=8)], width=1400, height=1000)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    wall = page.page.locator(".xw-gallery-view")
    cells = wall.locator(".xw-item")
    expect(cells).to_have_count(4)
    assert page.kernel_eval("bool(explorer.wall.present.all())")
    cells.nth(1).click()
    page.wait_for_kernel("explorer.channel_picker.value", "1")
    expect(page.page.locator(".xw-heatmap-view .xw-title")).to_have_text(re.compile("Channel 1 of stage3"))
    page.wait_for_kernel("explorer.run_bar.status", "done")
    assert page.kernel_eval("explorer.result.step") == 8
    assert not page.console


def test_image_and_animation_are_saved_from_the_menu(lab, tmp_path):
    page = lab.open([SETUP, SHOW.format(steps=8)], width=1400, height=1000)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    for text, name in (
        ("Save image", "channel-2-of-stage3.png"),
        ("Save animation", "channel-2-of-stage3.apng"),
    ):
        page.page.get_by_role("button", name="Save, copy, undo").click()
        with page.page.expect_download() as waiting:
            page.page.get_by_role("menuitem", name=text).click()
        assert waiting.value.suggested_filename == name
        waiting.value.save_as(tmp_path / name)
        with Image.open(tmp_path / name) as image:
            assert image.size == (96, 96)
            assert getattr(image, "n_frames", 1) == (9 if name.endswith(".apng") else 1)
    assert not page.console


def test_real_examples_with_maps(lab):
    images = "[scenes.scene(n, split='train').image for n in range(8)]"
    show = SHOW.format(steps=4).replace("batch_size=2)", f"batch_size=2, images={images})")
    page = lab.open([f"{SETUP}\nfrom xai_widgets.data import scenes", show], width=1400, height=1000)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    shown = page.output(1)
    expect(shown.get_by_text("Guided backprop", exact=True)).to_be_visible()
    field = shown.locator(".xw-select-view", has_text="Real examples")
    field.locator("button").click()
    page.page.get_by_role("option", name="with receptive field").click()
    expect(shown.get_by_text("Segmentation", exact=True)).to_be_visible(timeout=60000)
    expect(shown.get_by_text(re.compile("Empirical receptive field: .* of 96 px"))).to_be_visible()
    assert not page.console
