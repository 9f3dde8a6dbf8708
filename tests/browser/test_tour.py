"""The tour, as a newcomer meets it: run all cells, look at the curve, drag the cursor."""

from pathlib import Path

from playwright.sync_api import expect

TOUR = Path(__file__).parents[2] / "notebooks" / "00_tour.ipynb"


def test_the_tour_runs_and_its_explorer_answers_the_hand(jupyter):
    page = jupyter.open(TOUR, width=1400, height=1200)
    page.wait_for_kernel("explorer.run_bar.status", "done")
    assert page.kernel_eval("int(__import__('numpy').isfinite(explorer.curves.y).sum(1).min())") >= 100
    assert page.kernel_eval("explorer.run_bar.error") == ""
    # The explorer of the third chapter; others follow below it.
    views = page.page.locator(".xw-ordered-mask-view")
    views.first.scroll_into_view_if_needed()
    expect(views.first).to_contain_text("10.0 % deleted")  # the last cell has set it
    picture = views.first.locator(".xw-stage canvas").first
    before = picture.evaluate("canvas => canvas.toDataURL()")
    plot = page.page.locator(".xw-curve-view .u-over").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] / 2)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] / 2, steps=5)
    page.page.mouse.up()
    page.page.wait_for_function(
        "([canvas, before]) => canvas.toDataURL() !== before", arg=[picture.element_handle(), before]
    )
    page.wait_for_kernel("abs(explorer.masked.fraction - 0.6) < 0.02")
