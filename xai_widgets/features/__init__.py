"""Features: which images and patches activate a channel most, and how much of the image a layer sees."""

from __future__ import annotations

from xai_widgets.features.layer_scores import LayerScores
from xai_widgets.features.receptive_field import (
    ReceptiveField,
    effective_receptive_field,
    theoretical_receptive_field,
)
from xai_widgets.features.top_activations import TopActivations, top_activations

__all__ = [
    "LayerScores",
    "ReceptiveField",
    "TopActivations",
    "effective_receptive_field",
    "theoretical_receptive_field",
    "top_activations",
]
