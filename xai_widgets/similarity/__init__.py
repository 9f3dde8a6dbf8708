"""Similarity: what else is alike to one patch, in every layer, image and network."""

from __future__ import annotations

from xai_widgets.similarity.components import Components, factorize
from xai_widgets.similarity.fields import ReceptiveField, theoretical_receptive_field
from xai_widgets.similarity.geometry import GeometricSeries, rotations, scalings
from xai_widgets.similarity.grids import ActivationGrid, activation_grids
from xai_widgets.similarity.index import Matches, SimilarityIndex, similarity_index
from xai_widgets.similarity.measure import KINDS, same_place, similarity, width
from xai_widgets.similarity.packing import Packed, pack

__all__ = [
    "KINDS",
    "ActivationGrid",
    "Components",
    "GeometricSeries",
    "Matches",
    "Packed",
    "ReceptiveField",
    "SimilarityIndex",
    "activation_grids",
    "factorize",
    "pack",
    "rotations",
    "same_place",
    "scalings",
    "similarity",
    "similarity_index",
    "theoretical_receptive_field",
    "width",
]
