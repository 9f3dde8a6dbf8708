"""Similarity of activations: patches that a network represents alike, across positions, layers, images and networks."""

from __future__ import annotations

from xai_widgets.similarity.components import Components, factorize
from xai_widgets.similarity.geometry import GeometricSeries, rotations, scalings
from xai_widgets.similarity.grids import ActivationGrid, activation_grids
from xai_widgets.similarity.index import Matches, SimilarityIndex, similarity_index
from xai_widgets.similarity.measure import KINDS, kernel_width, same_position, similarity
from xai_widgets.similarity.packing import Packed, pack

__all__ = [
    "KINDS",
    "ActivationGrid",
    "Components",
    "GeometricSeries",
    "Matches",
    "Packed",
    "SimilarityIndex",
    "activation_grids",
    "factorize",
    "kernel_width",
    "pack",
    "rotations",
    "same_position",
    "scalings",
    "similarity",
    "similarity_index",
]
