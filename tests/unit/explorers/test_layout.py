"""The header, the columns and the menu of an explorer."""

from xai_widgets.explorers.layout import column, display_menu, header, stage
from xai_widgets.views import ClassPicker, CurveView, HeatmapView, MapGridView, RunBar, SelectView


def test_the_header_is_one_row_in_which_the_run_bar_takes_the_rest():
    parts = ClassPicker(), SelectView(options=["a"]), RunBar()
    row = header(*parts)
    assert row.children == parts
    assert row.layout.flex_flow == "row wrap"
    assert [part.layout.flex for part in parts] == ["2 1 190px", "0 1 auto", "3 1 180px"]


def test_columns_share_the_width():
    views = HeatmapView(), CurveView(), ClassPicker()
    side = column(views[1], views[2], weight=3, width=300)
    row = stage((views[0], 2), side)
    assert row.children == (views[0], side)
    assert [part.layout.flex for part in row.children] == ["2 1 220px", "3 1 300px"]
    assert stage(side).children[0].layout.flex == "3 1 300px"


def test_the_menu_is_linked_with_all_views_that_have_a_setting():
    heatmap, grid, curve = HeatmapView(opacity=0.3), MapGridView(), CurveView()
    menu = display_menu(heatmap, grid, curve)
    assert menu.opacity == grid.opacity == 0.3
    assert not heatmap.controls
    assert not grid.controls
    assert heatmap._channels["opacity"] == grid._channels["opacity"] == menu._channels["opacity"]
    assert menu.shown == [
        "opacity",
        "colormap",
        "sign",
        "percentile",
        "scale",
        "fade",
        "smoothing",
        "gray",
        "interpolation",
    ]
    assert display_menu(curve).shown == []
