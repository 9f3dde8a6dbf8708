"""Features: the images and patches that activate a channel most, images made for it, and receptive fields."""

from __future__ import annotations

from xai_widgets.features import objectives, parameterizations, regularizers, transforms
from xai_widgets.features.layer_scores import LayerScores
from xai_widgets.features.receptive_field import (
    ReceptiveField,
    effective_receptive_field,
    theoretical_receptive_field,
)
from xai_widgets.features.top_activations import TopActivations, top_activations
from xai_widgets.features.visualization import Visualization, visualize

__all__ = [
    "LayerScores",
    "ReceptiveField",
    "TopActivations",
    "Visualization",
    "effective_receptive_field",
    "objectives",
    "parameterizations",
    "regularizers",
    "theoretical_receptive_field",
    "top_activations",
    "transforms",
    "visualize",
]
