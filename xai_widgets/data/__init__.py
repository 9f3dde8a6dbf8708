"""Images to work on: generated scenes with ground truth, concept data sets, and photographs that need no download."""

from __future__ import annotations

from xai_widgets.data import scenes
from xai_widgets.data.base import Concept, ConceptData, ConceptImages, Example
from xai_widgets.data.photos import photograph, photographs
from xai_widgets.data.scene_concepts import SceneConcepts, scene_concepts

__all__ = [
    "Concept",
    "ConceptData",
    "ConceptImages",
    "Example",
    "SceneConcepts",
    "photograph",
    "photographs",
    "scene_concepts",
    "scenes",
]
