"""Views: each draws arrays in the browser, has plain synced traits, and knows nothing of torch."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xai_widgets.views.bars_view import BarsView
    from xai_widgets.views.base import View
    from xai_widgets.views.brush_view import BrushView
    from xai_widgets.views.check_view import CheckView
    from xai_widgets.views.class_picker import ClassPicker
    from xai_widgets.views.curve_view import CurveView
    from xai_widgets.views.display_menu import DisplayMenu
    from xai_widgets.views.embedding_view import EmbeddingView
    from xai_widgets.views.explorer_menu import ExplorerMenu
    from xai_widgets.views.flow_view import FlowView
    from xai_widgets.views.gallery_view import GalleryView
    from xai_widgets.views.heatmap_view import HeatmapView
    from xai_widgets.views.intro_view import IntroView
    from xai_widgets.views.leaderboard_view import LeaderboardView
    from xai_widgets.views.linking import link
    from xai_widgets.views.map_grid_view import MapGridView
    from xai_widgets.views.mask_view import MaskView
    from xai_widgets.views.method_picker import MethodPicker
    from xai_widgets.views.network_view import NetworkView
    from xai_widgets.views.ordered_mask_view import OrderedMaskView
    from xai_widgets.views.pair_view import PairView
    from xai_widgets.views.run_bar import RunBar
    from xai_widgets.views.scores_view import ScoresView
    from xai_widgets.views.select_view import SelectView
    from xai_widgets.views.similarity_view import SimilarityView
    from xai_widgets.views.slider_view import SliderView

__all__ = [
    "BarsView",
    "BrushView",
    "CheckView",
    "ClassPicker",
    "CurveView",
    "DisplayMenu",
    "EmbeddingView",
    "ExplorerMenu",
    "FlowView",
    "GalleryView",
    "HeatmapView",
    "IntroView",
    "LeaderboardView",
    "MapGridView",
    "MaskView",
    "MethodPicker",
    "NetworkView",
    "OrderedMaskView",
    "PairView",
    "RunBar",
    "ScoresView",
    "SelectView",
    "SimilarityView",
    "SliderView",
    "View",
    "link",
]

#: Names whose module is not their own name in snake case.
_MODULES = {"View": "base", "link": "linking"}


def __getattr__(name: str) -> Any:
    # Imported when first used: the modules that draw without a browser need no widget library.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _MODULES.get(name) or re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
