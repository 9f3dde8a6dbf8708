"""A view and an explorer in Voila, with its kernel and after it has gone."""

from app_hosts import EXPLORER, VIEW, choose_class, drag_cursor, expect_map_drawn, hover, voila
from playwright.sync_api import expect

CELLS = [
    VIEW,
    # The position that the kernel received is written below the view, by the kernel.
    """
from ipywidgets import Label, VBox
shown = Label("kernel: nothing")
view.observe(lambda change: setattr(shown, "value", f"kernel: {[round(part, 2) for part in change.new]}"), "position")
VBox([view, shown])
""",
    EXPLORER + "\nexplorer",
]


def test_a_view_and_an_explorer_live_and_outlive_their_kernel(app, tmp_path):
    opened = app(voila(CELLS, tmp_path))
    page = opened.page
    expect_map_drawn(page)
    hover(page, 1, 2)
    expect(page.get_by_text("kernel: [0.42, 0.38]")).to_be_visible()
    choose_class(page, "striped kite")
    drag_cursor(page, 0.4)
    opened.screenshot("voila")
    opened.server.stop()
    hover(page, 3, 5)
    drag_cursor(page, 0.7)
    expect(page.get_by_text("kernel: [0.42, 0.38]")).to_be_visible()
