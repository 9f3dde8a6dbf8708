"""The visible part of an image."""

import pytest
from traitlets import TraitError

from xai_widgets import views
from xai_widgets.views.viewport import MAX_ZOOM, Viewport

ZOOMABLE = (
    *("HeatmapView", "MaskView", "OrderedMaskView", "BrushView", "MapGridView", "SimilarityView"),
    "GalleryView",
)


@pytest.mark.parametrize("name", ZOOMABLE)
def test_every_view_of_an_image_has_a_viewport(name):
    view = getattr(views, name)()
    assert isinstance(view.traits()["viewport"], Viewport)
    assert view.viewport == [0.5, 0.5, 1.0]
    assert "viewport" in view.keys


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ((0.3, 0.6, 4), [0.3, 0.6, 4.0]),
        ((0, 1, 2), [0.25, 0.75, 2.0]),
        ((0.1, 0.9, 1), [0.5, 0.5, 1.0]),
        ((1, 0, MAX_ZOOM), [1 - 0.5 / MAX_ZOOM, 0.5 / MAX_ZOOM, MAX_ZOOM]),
    ],
)
def test_the_center_is_moved_inside(given, kept):
    assert views.HeatmapView(viewport=given).viewport == kept


@pytest.mark.parametrize(
    "value", [None, 1, "ab", [0.5, 0.5], [0.5, 0.5, 0.5], [2, 0.5, 2], [0.5, float("nan"), 2], [0.5, 0.5, 33]]
)
def test_other_values_are_refused(value):
    view = views.HeatmapView()
    with pytest.raises(TraitError, match=r"expected HeatmapView.viewport to be a viewport \[x, y, zoom\]"):
        view.viewport = value
    assert view.viewport == [0.5, 0.5, 1.0]
