"""The explorers that a dashboard can hold, and their parts that it joins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from xai_widgets.explorers.attribution import AttributionExplorer
from xai_widgets.explorers.brush import PerturbationBrush
from xai_widgets.explorers.channel import ChannelExplorer
from xai_widgets.explorers.class_explorer import ClassExplorer
from xai_widgets.explorers.concept import ConceptExplorer
from xai_widgets.explorers.deletion import DeletionExplorer
from xai_widgets.explorers.extremal import ExtremalExplorer
from xai_widgets.explorers.inverse import InverseExplorer
from xai_widgets.explorers.prediction_concepts import PredictionConceptsExplorer
from xai_widgets.explorers.similarity import SimilarityExplorer
from xai_widgets.views import View
from xai_widgets.views.static_repr import walk_widgets


class Entry(NamedTuple):
    """An explorer of a dashboard: its class, and the title of its tab."""

    kind: Any
    title: str


#: Explorers of a dashboard by name.
EXPLORERS = {
    "attribution": Entry(AttributionExplorer, "Attribution"),
    "deletion": Entry(DeletionExplorer, "Deletion"),
    "extremal": Entry(ExtremalExplorer, "Extremal"),
    "brush": Entry(PerturbationBrush, "Brush"),
    "channels": Entry(ChannelExplorer, "Channels"),
    "inverse": Entry(InverseExplorer, "Inverse"),
    "similarity": Entry(SimilarityExplorer, "Similarity"),
    "class": Entry(ClassExplorer, "Class"),
    "prediction": Entry(PredictionConceptsExplorer, "Prediction"),
    "concepts": Entry(ConceptExplorer, "Concepts"),
}
#: Traits of views that are linked in the browser, in all explorers.
LINKED = ("position", "viewport", "colormap")


def shared_parts(explorer: Any) -> Iterator[tuple[str, Any, str]]:
    """Yield the name of each shared attribute, and the part of an explorer and its attribute that hold it."""
    for name, path in explorer.shared.items():
        part, _, attribute = path.rpartition(".")
        yield name, getattr(explorer, part) if part else explorer, attribute


def _views(widget: Any) -> list[View]:
    return [part for part in walk_widgets(widget) if isinstance(part, View)]


def linked_views(explorer: Any, trait: str) -> list[View]:
    """Return the views of an explorer that a trait links; galleries, which have no position, zoom on their own."""
    needed = {trait, "position"} if trait == "viewport" else {trait}
    return [view for view in _views(explorer) if all(view.has_trait(name) for name in needed)]
