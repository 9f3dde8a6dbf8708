"""Images to work on: generated scenes with ground truth, concept data sets, and photographs that need no download."""

from __future__ import annotations

from xai_widgets.data import scenes
from xai_widgets.data.base import Concept, ConceptData, ConceptImages, Example
from xai_widgets.data.broden import Broden, broden
from xai_widgets.data.coco import Coco, coco
from xai_widgets.data.folders import example_folders
from xai_widgets.data.labeled import LabeledImages, labeled_images
from xai_widgets.data.photos import photograph, photographs
from xai_widgets.data.scene_concepts import SceneConcepts, scene_concepts
from xai_widgets.data.voc import Voc, voc

__all__ = [
    "Broden",
    "Coco",
    "Concept",
    "ConceptData",
    "ConceptImages",
    "Example",
    "LabeledImages",
    "SceneConcepts",
    "Voc",
    "broden",
    "coco",
    "example_folders",
    "labeled_images",
    "photograph",
    "photographs",
    "scene_concepts",
    "scenes",
    "voc",
]
