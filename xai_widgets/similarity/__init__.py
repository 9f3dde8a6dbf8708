"""Similarity of activations: patches that a network represents alike, across positions, layers, images and networks."""

from __future__ import annotations

from xai_widgets.similarity.components import Components, factorize
from xai_widgets.similarity.geometry import GeometricSeries
from xai_widgets.similarity.grids import ActivationGrid, activation_grids
from xai_widgets.similarity.index import Matches, SimilarityIndex, similarity_index
from xai_widgets.similarity.measure import KINDS, kernel_width, same_position, similarity
from xai_widgets.similarity.packing import Packed, pack
from xai_widgets.similarity.series import flips, occlusions, rotations, scalings, shifts

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
    "flips",
    "kernel_width",
    "occlusions",
    "pack",
    "rotations",
    "same_position",
    "scalings",
    "shifts",
    "similarity",
    "similarity_index",
]
