"""The leaderboard as a person meets it: in JupyterLab without a kernel, and as an exported page."""

import re

from playwright.sync_api import expect

SETUP = """
import torch
import xai_widgets as xw
from xai_widgets.data import scenes
from xai_widgets.metrics import Metric
model = xw.load("scenes_vgg")
images = scenes.generate(6, split="test")
def left(model, x, target):
    return (torch.arange(8) < 4).float()[None, None, :].expand(len(x), 8, -1)
def right(model, x, target):
    return 1 - left(model, x, target)
def first_row(explanation):
    # 1 for the map "left", a number of the image for all others.
    return float(explanation.saliency[0, 0, 0]) * 0.5 + 0.4 * float(explanation.x[0, 0, 0, 0])
def last_row(explanation):
    return float(explanation.saliency[0, 0, -1])
metrics = [
    Metric(first_row, "first", "First", "complexity", "higher", "the first value"),
    Metric(last_row, "last", "Last", "complexity", "lower", "the last value", bounds=(0, 2)),
]
"""
SHOW = """
explorer = xw.LeaderboardExplorer(model, images, [left, right], metrics)
explorer.display.opacity, explorer.display.interpolation, explorer.display.fade = 1, "pixelated", False
explorer
"""
#: Whether each quarter of a map, from the left to the right, is bright.
BRIGHT = """(canvas) => {
    const small = new OffscreenCanvas(4, 1), context = small.getContext("2d");
    context.drawImage(canvas, 0, 0, 4, 1);
    const { data } = context.getImageData(0, 0, 4, 1);
    return [0, 1, 2, 3].map((at) => data[4 * at] + data[4 * at + 1] > 255);
}"""


def check(scope, wait):
    """Sort, choose two rows and enlarge an image; `wait` waits for a condition in the page."""
    labels = scope.locator(".xw-board-label")
    expect(labels).to_have_text(["left", "right", "Random", "Center", "Class-blind"])
    head = scope.get_by_role("columnheader", name="Last")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    order = labels.all_inner_texts()
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(labels.first).not_to_have_text(order[0])
    assert labels.all_inner_texts() == order[::-1]

    verdict = scope.locator(".xw-pair-verdict")
    expect(verdict).to_contain_text("Last: left is better on 6, right on 0 of 6 images.")
    expect(verdict).to_contain_text(": left is better.")
    cards = scope.locator(".xw-pair-group.xw-side-A .xw-pair-card:visible")
    expect(cards.first).to_contain_text("0.00")
    maps = cards.first.locator(".xw-map")
    sides = [maps.nth(at).element_handle() for at in range(2)]
    left, right = [True, True, False, False], [False, False, True, True]
    wait(
        f"([sides, expected]) => JSON.stringify(sides.map({BRIGHT})) === JSON.stringify(expected)",
        [sides, [left, right]],
    )

    # The two rows the other way round: drop one and choose it again.
    row = scope.get_by_role("row").filter(has_text=re.compile("^A?left")).get_by_role("button")
    row.focus()
    row.press("Enter")
    expect(scope.locator(".xw-pair-view")).to_contain_text("Choose two methods in the table.")
    row.press("Enter")
    expect(verdict).to_contain_text("Last: right is better on 0, left on 6 of 6 images.")
    losing = scope.locator(".xw-pair-group.xw-side-B .xw-pair-card:visible")
    shown = losing.first.locator(".xw-map")
    sides = [shown.nth(at).element_handle() for at in range(2)]
    wait(
        f"([sides, expected]) => JSON.stringify(sides.map({BRIGHT})) === JSON.stringify(expected)",
        [sides, [right, left]],
    )
    losing.first.click()
    box = scope.get_by_role("dialog")
    expect(box).to_contain_text("Last: A right, B left")
    box.press("Escape")
    expect(box).to_have_count(0)


def test_sorting_and_the_choice_of_two_methods_need_no_kernel(lab):
    page = lab.open([SETUP, SHOW], width=1300, height=1400)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    explorer = page.page.locator(".xw-explorer")
    # The traits follow what is clicked.
    explorer.get_by_role("columnheader", name="First").get_by_role("button").click()
    page.wait_for_kernel("[explorer.table.sort, explorer.deciding.metric]", ["first", "first"])
    explorer.get_by_role("columnheader", name="method").get_by_role("button").click()
    page.wait_for_kernel("explorer.table.sort", "")
    page.shutdown_kernel()
    check(explorer, lambda code, arguments: page.page.wait_for_function(code, arg=arguments))


def test_an_exported_page_sorts_and_compares_what_it_holds(tmp_path, file_page):
    scope = {}
    exec(SETUP + SHOW.strip().rpartition("\n")[0], scope)
    explorer, path = scope["explorer"], tmp_path / "page.html"
    assert explorer.wait(120)
    scope["xw"].export(explorer, path)
    explorer.close()
    page = file_page(path)
    expect(page.locator("main")).not_to_have_attribute("aria-busy", "true")
    check(page.locator("main"), lambda code, arguments: page.wait_for_function(code, arg=arguments))
