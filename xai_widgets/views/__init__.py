"""Views: each draws arrays in the browser, has plain synced traits, and knows nothing of torch."""

from __future__ import annotations

from xai_widgets.views.base import View
from xai_widgets.views.brush_view import BrushView
from xai_widgets.views.class_picker import ClassPicker
from xai_widgets.views.curve_view import CurveView
from xai_widgets.views.gallery_view import GalleryView
from xai_widgets.views.heatmap_view import HeatmapView
from xai_widgets.views.linking import link
from xai_widgets.views.map_grid_view import MapGridView
from xai_widgets.views.mask_view import MaskView
from xai_widgets.views.method_picker import MethodPicker
from xai_widgets.views.ordered_mask_view import OrderedMaskView
from xai_widgets.views.run_bar import RunBar
from xai_widgets.views.scores_view import ScoresView
from xai_widgets.views.similarity_view import SimilarityView
from xai_widgets.views.slider_view import SliderView

__all__ = [
    "BrushView",
    "ClassPicker",
    "CurveView",
    "GalleryView",
    "HeatmapView",
    "MapGridView",
    "MaskView",
    "MethodPicker",
    "OrderedMaskView",
    "RunBar",
    "ScoresView",
    "SimilarityView",
    "SliderView",
    "View",
    "link",
]
