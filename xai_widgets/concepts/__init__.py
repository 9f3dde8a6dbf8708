"""Concepts: how a layer represents them, and which of them a class depends on."""

from __future__ import annotations

from xai_widgets.concepts.ablation import ablate
from xai_widgets.concepts.craft import ClassConcepts, class_concepts
from xai_widgets.concepts.decomposition import PredictionConcepts, decompose, prediction_concepts
from xai_widgets.concepts.directions import ConceptDirections, concept_directions
from xai_widgets.concepts.examples import concept_images
from xai_widgets.concepts.linear_probes import LinearProbes, linear_probes
from xai_widgets.concepts.per_image import Deciles, PerImage
from xai_widgets.concepts.probe_data import Probe, load_probe
from xai_widgets.concepts.probing import probe
from xai_widgets.concepts.recursion import SubConcepts, sub_concepts
from xai_widgets.concepts.single_filters import SingleFilters, single_filters
from xai_widgets.concepts.sobol import sobol_masks, total_indices
from xai_widgets.concepts.tcav import TcavResult, tcav
from xai_widgets.concepts.units import CumulativeAblation, UnitAblation, ablate_cumulatively, ablate_units
from xai_widgets.concepts.vectors import ConceptVectors

__all__ = [
    "ClassConcepts",
    "ConceptDirections",
    "ConceptVectors",
    "CumulativeAblation",
    "Deciles",
    "LinearProbes",
    "PerImage",
    "PredictionConcepts",
    "Probe",
    "SingleFilters",
    "SubConcepts",
    "TcavResult",
    "UnitAblation",
    "ablate",
    "ablate_cumulatively",
    "ablate_units",
    "class_concepts",
    "concept_directions",
    "concept_images",
    "decompose",
    "linear_probes",
    "load_probe",
    "prediction_concepts",
    "probe",
    "single_filters",
    "sobol_masks",
    "sub_concepts",
    "tcav",
    "total_indices",
]
