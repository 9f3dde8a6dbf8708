"""Explorers: explainers, views and controls joined by traits."""

from __future__ import annotations

from xai_widgets.explorers.attribution import AttributionExplorer
from xai_widgets.explorers.brush import PerturbationBrush
from xai_widgets.explorers.channel import ChannelExplorer
from xai_widgets.explorers.class_explorer import ClassExplorer
from xai_widgets.explorers.concept import ConceptExplorer
from xai_widgets.explorers.dashboard import Dashboard, dashboard
from xai_widgets.explorers.deletion import DeletionExplorer
from xai_widgets.explorers.extremal import ExtremalExplorer
from xai_widgets.explorers.feature import FeatureExplorer
from xai_widgets.explorers.inverse import InverseExplorer
from xai_widgets.explorers.joining import link
from xai_widgets.explorers.leaderboard import LeaderboardExplorer
from xai_widgets.explorers.mask_comparison import MaskComparison
from xai_widgets.explorers.noise_mask import NoiseMaskExplorer
from xai_widgets.explorers.prediction_concepts import PredictionConceptsExplorer
from xai_widgets.explorers.regression_inverse import RegressionInverseExplorer
from xai_widgets.explorers.sanity import SanityExplorer
from xai_widgets.explorers.similarity import SimilarityExplorer

__all__ = [
    "AttributionExplorer",
    "ChannelExplorer",
    "ClassExplorer",
    "ConceptExplorer",
    "Dashboard",
    "DeletionExplorer",
    "ExtremalExplorer",
    "FeatureExplorer",
    "InverseExplorer",
    "LeaderboardExplorer",
    "MaskComparison",
    "NoiseMaskExplorer",
    "PerturbationBrush",
    "PredictionConceptsExplorer",
    "RegressionInverseExplorer",
    "SanityExplorer",
    "SimilarityExplorer",
    "dashboard",
    "link",
]
