"""Objectives of feature visualization, which are added, subtracted and scaled."""

from __future__ import annotations

from xai_widgets.features.objectives.base import Objective, Scaled, Seen, Total, evaluate
from xai_widgets.features.objectives.diversity import Diversity
from xai_widgets.features.objectives.matched import DotProduct, Inversion, masked, reference_activation
from xai_widgets.features.objectives.maximized import Channel, ClassScore, Concept, Direction, Neuron, Unit

__all__ = [
    "Channel",
    "ClassScore",
    "Concept",
    "Direction",
    "Diversity",
    "DotProduct",
    "Inversion",
    "Neuron",
    "Objective",
    "Scaled",
    "Seen",
    "Total",
    "Unit",
    "evaluate",
    "masked",
    "reference_activation",
]
