"""Jupyter widgets with which people take convolutional networks apart by hand.

The names below are imported when first used, so that ``import xai_widgets`` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import Any

from xai_widgets._version import __version__

#: Public name -> module that holds it. ``None``: the name is itself a subpackage.
_EXPORTS: dict[str, str | None] = {
    "ImageModel": "xai_widgets.core.model",
    "load": "xai_widgets.zoo",
    "Run": "xai_widgets.core.run",
    "HeatmapView": "xai_widgets.views",
    "CurveView": "xai_widgets.views",
    "BrushView": "xai_widgets.views",
    "GalleryView": "xai_widgets.views",
    "MapGridView": "xai_widgets.views",
    "MaskView": "xai_widgets.views",
    "OrderedMaskView": "xai_widgets.views",
    "ScoresView": "xai_widgets.views",
    "SimilarityView": "xai_widgets.views",
    "SliderView": "xai_widgets.views",
    "AttributionExplorer": "xai_widgets.explorers",
    "ChannelExplorer": "xai_widgets.explorers",
    "DeletionExplorer": "xai_widgets.explorers",
    "ExtremalExplorer": "xai_widgets.explorers",
    "InverseExplorer": "xai_widgets.explorers",
    "MaskRace": "xai_widgets.explorers",
    "PerturbationBrush": "xai_widgets.explorers",
    "RegressionInverseExplorer": "xai_widgets.explorers",
    "SimilarityExplorer": "xai_widgets.explorers",
    "Dashboard": "xai_widgets.explorers",
    "dashboard": "xai_widgets.explorers",
    "link": "xai_widgets.explorers",
    "export": "xai_widgets.export",
    "attribution": None,
    "data": None,
    "explorers": None,
    "features": None,
    "inverse": None,
    "methods": None,
    "metrics": None,
    "perturbation": None,
    "similarity": None,
    "studies": None,
    "views": None,
    "zoo": None,
}

__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'xai_widgets' has no attribute {name!r}")
    home = _EXPORTS[name]
    value = (
        importlib.import_module(f"xai_widgets.{name}")
        if home is None
        else getattr(importlib.import_module(home), name)
    )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
