"""Concepts: how a layer represents them, and which of them a class depends on."""

from __future__ import annotations

from xai_widgets.concepts.ablation import ablate
from xai_widgets.concepts.units import CumulativeAblation, UnitAblation, ablate_cumulatively, ablate_units

__all__ = [
    "CumulativeAblation",
    "UnitAblation",
    "ablate",
    "ablate_cumulatively",
    "ablate_units",
]
