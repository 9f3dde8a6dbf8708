"""Features: what the channels of a layer answer to, shown by examples."""

from __future__ import annotations

from xai_widgets.features.receptive_field import effective_receptive_field
from xai_widgets.features.top_activations import TopActivations, top_activations

__all__ = ["TopActivations", "effective_receptive_field", "top_activations"]
