"""Features: the images and patches that activate a channel most, images made for it, and receptive fields."""

from __future__ import annotations

from xai_widgets.features import objectives, parameterizations, regularizers, transforms
from xai_widgets.features.empirical_field import EmpiricalField, empirical_receptive_field
from xai_widgets.features.generator_network import FeatureGenerator
from xai_widgets.features.generator_training import FeatureGeneratorSettings, feature_generator
from xai_widgets.features.inversion import (
    Caricature,
    InvertedFeatures,
    MaskedInversion,
    caricature,
    invert_features,
    masked_inversion,
)
from xai_widgets.features.layer_scores import LayerScores
from xai_widgets.features.receptive_field import (
    ReceptiveField,
    effective_receptive_field,
    theoretical_receptive_field,
)
from xai_widgets.features.top_activations import TopActivations, top_activations
from xai_widgets.features.visualization import Visualization, visualize

__all__ = [
    "Caricature",
    "EmpiricalField",
    "FeatureGenerator",
    "FeatureGeneratorSettings",
    "InvertedFeatures",
    "LayerScores",
    "MaskedInversion",
    "ReceptiveField",
    "TopActivations",
    "Visualization",
    "caricature",
    "effective_receptive_field",
    "empirical_receptive_field",
    "feature_generator",
    "invert_features",
    "masked_inversion",
    "objectives",
    "parameterizations",
    "regularizers",
    "theoretical_receptive_field",
    "top_activations",
    "transforms",
    "visualize",
]
