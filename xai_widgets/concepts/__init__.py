"""Concepts: how a layer represents them, and which of them a class depends on."""

from __future__ import annotations

from xai_widgets.concepts.ablation import ablate
from xai_widgets.concepts.classification import classification_concepts
from xai_widgets.concepts.combinations import Combinations
from xai_widgets.concepts.comparison import Comparison, WeightCorrelation, compare, weight_correlation
from xai_widgets.concepts.craft import ClassConcepts, class_concepts
from xai_widgets.concepts.decomposition import PredictionConcepts, decompose, prediction_concepts
from xai_widgets.concepts.directions import ConceptDirections, concept_directions
from xai_widgets.concepts.dissection import (
    Dissection,
    RotationControl,
    dissect,
    random_rotation,
    rotation_control,
)
from xai_widgets.concepts.embeddings import (
    EmbeddingDistances,
    Embeddings,
    embedding_distances,
    embeddings,
    embeddings_from,
)
from xai_widgets.concepts.examples import concept_images
from xai_widgets.concepts.linear_probes import LinearProbes, linear_probes
from xai_widgets.concepts.per_image import Deciles, PerImage
from xai_widgets.concepts.probe_data import Probe, load_probe
from xai_widgets.concepts.probing import probe
from xai_widgets.concepts.recursion import SubConcepts, sub_concepts
from xai_widgets.concepts.refits import Refits, top_filters
from xai_widgets.concepts.segmentation import segmentation_concepts
from xai_widgets.concepts.single_filters import SingleFilters, single_filters
from xai_widgets.concepts.sobol import sobol_masks, total_indices
from xai_widgets.concepts.solvers import Descent, Optimum
from xai_widgets.concepts.tcav import TcavResult, tcav
from xai_widgets.concepts.units import CumulativeAblation, UnitAblation, ablate_cumulatively, ablate_units
from xai_widgets.concepts.vectors import ConceptVectors

__all__ = [
    "ClassConcepts",
    "Combinations",
    "Comparison",
    "ConceptDirections",
    "ConceptVectors",
    "CumulativeAblation",
    "Deciles",
    "Descent",
    "Dissection",
    "EmbeddingDistances",
    "Embeddings",
    "LinearProbes",
    "Optimum",
    "PerImage",
    "PredictionConcepts",
    "Probe",
    "Refits",
    "RotationControl",
    "SingleFilters",
    "SubConcepts",
    "TcavResult",
    "UnitAblation",
    "WeightCorrelation",
    "ablate",
    "ablate_cumulatively",
    "ablate_units",
    "class_concepts",
    "classification_concepts",
    "compare",
    "concept_directions",
    "concept_images",
    "decompose",
    "dissect",
    "embedding_distances",
    "embeddings",
    "embeddings_from",
    "linear_probes",
    "load_probe",
    "prediction_concepts",
    "probe",
    "random_rotation",
    "rotation_control",
    "segmentation_concepts",
    "single_filters",
    "sobol_masks",
    "sub_concepts",
    "tcav",
    "top_filters",
    "total_indices",
    "weight_correlation",
]
