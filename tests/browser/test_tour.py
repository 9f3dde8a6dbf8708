"""The tour, for a newcomer: run all cells, drag the area on the cat, hover over a patch, drag along the curves."""

import re
from pathlib import Path

from playwright.sync_api import expect

TOUR = Path(__file__).parents[2] / "notebooks" / "00_tour.ipynb"


def drag(page, track, start, end):
    """Drag with the mouse from one share of the width of an element to another."""
    track.scroll_into_view_if_needed()
    box = track.bounding_box()
    height = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * start, height)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, height, steps=5)
    page.mouse.up()


def test_the_tour_runs_and_its_explorers_respond_to_the_mouse(jupyter):
    page = jupyter.open(TOUR, width=1400, height=1200)
    for name in ("area", "alike", "explorer"):
        page.wait_for_kernel(f"{name}.run_bar.status", "done")
        assert page.kernel_eval(f"{name}.run_bar.error") == ""
    assert page.kernel_eval("int(__import__('numpy').isfinite(explorer.curves.y).sum(1).min())") == 21

    # The area of the mask on the cat.
    before = page.kernel_eval("area.mask.area")
    slider = page.page.locator(".xw-mask-view [role=slider]").first
    slider.scroll_into_view_if_needed()
    slider.focus()
    page.page.keyboard.press("End")
    page.wait_for_kernel(f"area.mask.area != {before}")

    # Hover over one patch of the cat, then over another.
    image = page.page.locator(".xw-similarity-view canvas").first
    image.scroll_into_view_if_needed()
    box = image.bounding_box()
    first = page.kernel_eval("alike.view.position")
    for share in (0.2, 0.7):
        page.page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * share)
    page.wait_for_kernel(f"alike.view.position not in (None, {first})", timeout=60)

    # The cursor of the curves.
    masked = page.page.locator(".xw-ordered-mask-view").first
    masked.scroll_into_view_if_needed()
    # Set by a cell of the tour, to the nearest step.
    expect(masked).to_contain_text(re.compile(r"(9|10)\.\d % deleted"))
    canvas = masked.locator(".xw-stage canvas").first
    before = canvas.evaluate("canvas => canvas.toDataURL()")
    # The curves of the first explorer are those of the areas.
    drag(page.page, page.page.locator(".xw-curve-view .u-over").nth(1), 0.1, 0.6**0.5)
    page.page.wait_for_function(
        "([canvas, before]) => canvas.toDataURL() !== before", arg=[canvas.element_handle(), before]
    )
    page.wait_for_kernel("abs(explorer.masked.fraction - 0.6) < 0.03")
