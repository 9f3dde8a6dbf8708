"""The concept explorer as a person meets it, in JupyterLab."""

import re

from hosts import choose
from playwright.sync_api import expect

SETUP = """
import xai_widgets as xw
from xai_widgets.concepts import Descent
model = xw.load("scenes_resnet")
"""
SHOW = """
explorer = xw.ConceptExplorer(
    model, layer="stage3", images=40, concept="body", counts=(1, 8),
    settings=Descent(learning_rate=5e-4, batch_size=16, epochs=2),
)
explorer
"""


def captions(page):
    return page.page.locator(".xw-gallery-view").first.locator(".xw-caption").all_inner_texts()


def test_the_slider_switches_segmentations_curve_and_weights_without_a_kernel(lab):
    page = lab.open([SETUP, SHOW], width=1280, height=1000)
    page.wait_for_kernel("explorer.run_bar.status", "done", timeout=200)
    labels = page.kernel_eval("explorer.examples.labels")
    weights = page.kernel_eval("explorer.bars.values[:, 0, 0].tolist()")
    rows = page.kernel_eval("explorer.examples.row_labels")
    count = len(labels) // 3
    expect(page.page.locator(".xw-gallery-view .xw-gallery-head").first).to_have_text(rows[0])
    assert captions(page) == labels[2 * count :]
    page.shutdown_kernel()
    slider = page.page.locator(".xw-slider-view input[type=range]").first
    slider.focus()
    for key, step in (("Home", 0), ("ArrowRight", 1), ("End", 2)):
        slider.press(key)
        page.page.wait_for_function(
            """([expected]) => String([...document.querySelector('.xw-gallery-view').querySelectorAll('.xw-caption')]
                .map((node) => node.innerText)) === String(expected)""",
            arg=[labels[step * count : (step + 1) * count]],
        )
    slider.press("Home")
    # The cursor of the curve is at the first number of filters.
    expect(page.page.locator(".xw-curve-view").first).to_contain_text("1")
    page.page.get_by_role("tab", name="Filters").click()
    number = page.page.locator(".xw-bars-number").first
    expect(number).to_be_visible()
    shown = float(number.inner_text().replace("\u2212", "-"))
    assert abs(shown - weights[0]) <= 0.01 * abs(weights[0])


def test_a_concept_a_filter_and_an_example_are_chosen(lab):
    page = lab.open([SETUP, SHOW], width=1280, height=1000)
    page.wait_for_kernel("explorer.run_bar.status", "done", timeout=200)
    choose(page.page, "Category", "texture")
    page.wait_for_kernel("explorer.concept_picker.value", "plain")
    expect(page.page.locator(".jupyter-widgets").filter(has_text="plain (texture)").first).to_be_visible()
    page.page.get_by_role("tab", name="Filters").click()
    row = page.page.locator(".xw-bars-row").nth(2)
    row.click()
    page.wait_for_kernel("explorer.bars.frame", 2)
    index = re.match(r"\d+", row.locator(".xw-bars-name").inner_text()).group()
    expect(page.page.get_by_text(f"Filter {index}", exact=True).first).to_be_visible()
    expect(page.page.locator(".xw-heatmap-view canvas").first).to_be_visible()
    page.wait_for_kernel("explorer.filter.heatmap.maps is not None")


def box_of(part):
    """Return the box of an element; one that is just drawn anew has none for a moment."""
    expect(part).to_be_visible()
    return part.bounding_box() or box_of(part)


def test_concepts_are_added_and_subtracted_by_dragging(lab):
    page = lab.open([SETUP, SHOW], width=1280, height=1000)
    page.wait_for_kernel("explorer.run_bar.status", "done", timeout=200)
    page.page.get_by_role("tab", name="Embedding").click()
    view = page.page.locator(".xw-embedding-view").first
    expect(view.locator(".xw-point").first).to_be_visible()
    vectors = page.kernel_eval("explorer.map.vectors.tolist()")
    trained = [index for index, row in enumerate(vectors) if row[0] is not None and row[0] == row[0]]
    chosen = trained[:2]
    for term, index in enumerate(chosen):
        box, slot = (
            box_of(part)
            for part in (
                view.locator(f'.xw-point[data-index="{index}"] .xw-hit'),
                view.locator(".xw-slot").nth(term),
            )
        )
        page.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.page.mouse.down()
        page.page.mouse.move(slot["x"] + 20, slot["y"] + 10, steps=5)
        page.page.mouse.up()
    page.wait_for_kernel("explorer.map.terms", [*chosen, -1])
    nearest = page.kernel_eval(
        "(lambda v, a, b: max((i for i in range(len(v)) if i not in (a, b) and v[i, 0] == v[i, 0]), "
        f"key=lambda i: float(v[i] @ (v[a] - v[b]))))(explorer.map.vectors, *{chosen})"
    )
    name = page.kernel_eval(f"explorer.map.labels[{nearest}]")
    expect(view.locator(".xw-nearest")).to_contain_text(f": {name} ")


#: The greatest height in a window of 1100 px, whose header has three lines, and in wider ones, CSS px.
HEIGHTS = {1100: 660, 1500: 640, 1920: 640}
HEIGHT = """() => document.querySelector('.jp-Notebook .jp-OutputArea .jupyter-widgets')
    .getBoundingClientRect().height"""


def test_two_networks_side_by_side_fit_one_screen(lab):
    show = SHOW.replace("model, layer", 'model, other=xw.load("scenes_vgg"), layer')
    page = lab.open([SETUP, show], width=1100, height=1000)
    choose(page.page, "Compare with", "scenes_vgg: stage5")
    page.wait_for_kernel("explorer.compare_picker.value", "scenes_vgg: stage5")
    page.wait_for_kernel("explorer.run_bar.status", "done", timeout=200)
    shown = page.output(1)
    parts = {"Examples": ".xw-gallery-head", "Filters": ".xw-bars-row", "Embedding": ".xw-point"}
    for tab, part in parts.items():
        page.page.get_by_role("tab", name=tab).click()
        expect(shown.locator(part).first).to_be_visible()
        for width, most in HEIGHTS.items():
            page.page.set_viewport_size({"width": width, "height": 1000})
            page.page.wait_for_function(f"{HEIGHT[6:]} <= {most}")
            assert shown.evaluate("(node) => node.scrollWidth - node.clientWidth") <= 0
        if tab == "Examples":
            heads = shown.locator(".xw-gallery-head").all_inner_texts()
            assert heads == page.kernel_eval("explorer.examples.row_labels")
        if tab == "Embedding":
            maps = [one.bounding_box() for one in shown.locator(".xw-embedding-view").all()]
            assert maps[0]["y"] == maps[1]["y"]
            assert maps[0]["x"] + maps[0]["width"] <= maps[1]["x"]
    assert not page.console
