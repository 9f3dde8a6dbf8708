"""The channel explorer as a person meets it, in JupyterLab."""

import numpy as np
from hosts import choose
from playwright.sync_api import expect

SETUP = """
import xai_widgets as xw
from xai_widgets.data import scenes
from xai_widgets.perturbation.area_search import AreaSettings
model = xw.load("scenes_resnet")
image = scenes.scene(3, split="test").image
others = [scenes.scene(number, split="train").image for number in range(6)]
"""
COUNTS = [1, 4, 16, 80]
SHOW = """
explorer = xw.ChannelExplorer(
    model, image, images=others, layer="stage3", channels=[1, 4, 16, 80], rows=5, patches=2,
    settings=AreaSettings(steps=4),
)
explorer
"""


def lit_rows(page):
    """Which of the listed channels are lit, by their images."""
    options = page.page.locator(".xw-gallery-view .xw-item")
    dark = options.evaluate_all("nodes => nodes.map((node) => node.matches('.xw-dim'))")
    return [not dark[index] for index in range(0, len(dark), 3)]


def wait_for_state(page, count, inside):
    expect(page.page.locator(".xw-slider-view .xw-number")).to_have_text(str(count))
    expect(page.page.locator(".xw-scores-view").first).to_contain_text(f"{count} channels preserved")
    page.page.wait_for_function(
        """expected => String([...document.querySelectorAll('.xw-gallery-view .xw-item')]
            .filter((_, index) => index % 3 === 0).map((node) => !node.matches('.xw-dim'))) === String(expected)""",
        arg=inside,
    )


def test_slider_curve_and_mark_switch_map_scores_and_channels_without_a_kernel(lab):
    page = lab.open([SETUP, SHOW], width=1400, height=1400)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    expect(page.page.locator(".xw-run-bar")).to_contain_text("done")
    inside = page.kernel_eval("(explorer.result.masks[0][:, explorer.result.order[0, :5]] > 0).tolist()")
    maps = np.array(page.kernel_eval("explorer.result.maps()[0].tolist()"))
    best = page.kernel_eval("float(explorer.result.best_channels[0])")
    top = page.kernel_eval("[model.labels[k] for k in explorer.scores.indices[0, :, 0]]")
    # The middle of one cell of the map, where its value is not interpolated.
    row, column = maps.shape[1] // 2, maps.shape[2] // 2
    place = [(column + 0.5) / maps.shape[2], (row + 0.5) / maps.shape[1]]
    page.kernel_exec(f"explorer.heatmap.position = {place}")
    wait_for_state(page, 16, inside[2])
    page.shutdown_kernel()

    slider = page.page.locator(".xw-slider-view input[type=range]")
    value = page.page.locator(".xw-heatmap-view .xw-value")
    first = page.page.locator(".xw-scores-view").first.locator(".xw-score-label").first

    def shown(index):
        wait_for_state(page, COUNTS[index], inside[index])
        target = float(maps[index, row, column])
        page.page.wait_for_function(
            """([node, target]) => {
                const shown = Number(node.innerText.replace(/[^0-9.e-]/g, ""));
                return Math.abs(shown - target) <= 0.01 * Math.max(1, Math.abs(target));
            }""",
            arg=[value.element_handle(), target],
        )
        assert top[index] in page.page.locator(".xw-scores-view").first.inner_text()

    shown(2)
    slider.focus()
    slider.press("Home")
    shown(0)
    slider.press("End")
    shown(3)
    slider.press("ArrowLeft")
    shown(2)
    assert first.count() == 1
    # A click near the left end of the curve: the smallest number.
    plot = page.page.locator(".xw-curve-view .u-over")
    box = plot.bounding_box()
    page.page.mouse.click(box["x"] + 2, box["y"] + box["height"] / 2)
    shown(0)
    assert best in COUNTS
    page.page.locator(".xw-slider-view").get_by_role("button", name="a*").click()
    shown(COUNTS.index(int(best)))


def test_another_class_and_layer_are_searched(lab):
    page = lab.open([SETUP, SHOW], width=1400, height=1400)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    choose(page.page, "Layer", "stage2")
    page.wait_for_kernel(
        "[explorer.run_bar.status, explorer.result and explorer.result.layer]", ["done", "stage2"]
    )
    expect(page.page.locator(".xw-gallery-view .xw-item")).to_have_count(15)
    page.kernel_exec("explorer.target = 5")
    page.wait_for_kernel(
        "[explorer.run_bar.status, int(explorer.result.target)] if explorer.result else None", ["done", 5]
    )
    # 48 channels have no set of 80.
    assert page.kernel_eval("explorer.slider.values") == [1, 4, 16]
    expect(page.page.locator(".xw-slider-view .xw-tick")).to_have_count(3)


def test_one_screen_that_does_not_grow_with_the_first_result(lab):
    page = lab.open([SETUP, SHOW.replace("rows=5", "start=False, rows=10")], width=1280, height=900)
    expect(page.page.locator(".xw-heatmap-view canvas").first).to_be_visible()
    height = (
        "() => document.querySelectorAll('.jp-Notebook .jp-Cell')[1].querySelector('.jupyter-widgets')"
        ".getBoundingClientRect().height"
    )
    before = page.page.evaluate(height)
    page.kernel_exec("explorer.compute()")
    page.wait_for_kernel("explorer.run_bar.status", "done")
    expect(page.page.locator(".xw-gallery-view .xw-item").first).to_be_visible()
    assert abs(page.page.evaluate(height) - before) <= 1
    assert before <= 640


def test_a_channel_is_switched_off_by_its_name(lab):
    page = lab.open([SETUP, SHOW], width=1280, height=1000)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    switches = page.page.locator(".xw-gallery-view .xw-switch")
    expect(switches).to_have_count(5)
    bars = page.page.locator(".xw-scores-view").filter(has_text="All channels on")
    expect(bars).to_be_visible()
    channels = page.kernel_eval("explorer.result.order[0, :5].tolist()")
    switches.nth(1).click()
    page.wait_for_kernel("explorer.off", [channels[1]])
    expect(page.page.locator(".xw-scores-view").last).to_contain_text(f"Without channel {channels[1]}")
    expect(switches.nth(1)).to_have_attribute("aria-checked", "false")
    without = page.kernel_eval(
        "model.probabilities(__import__('xai_widgets').concepts.ablate(model, image, [explorer.off], "
        "layer='stage3')[:, 0])[0].max().item()"
    )
    shown = page.page.locator(".xw-scores-view").last.locator(".xw-score-number").first
    expect(shown).to_have_text(f"{without:.3f}")
    switches.nth(1).press("Enter")
    page.wait_for_kernel("explorer.off", [])
    expect(page.page.locator(".xw-scores-view").last).to_contain_text("All channels on")


def test_the_channel_of_each_class_is_searched_on_demand(lab):
    page = lab.open([SETUP, SHOW], width=1280, height=1000)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    choose(page.page, "List", "each class")
    page.wait_for_kernel("[explorer.run_bar.status, len(explorer.gallery.row_labels) > 1]", ["done", True])
    expect(page.page.locator(".xw-gallery-view .xw-switch").first).to_contain_text("k* =")
    # The map and curves of the image stay.
    expect(page.page.locator(".xw-slider-view .xw-number")).to_have_text("16")
