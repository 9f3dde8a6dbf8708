"""The network in an exported page, which answers the brush and scores photographs of the reader."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from ipywidgets import HTML, DOMWidget, VBox
from torch import Tensor

from xai_widgets.core.linear_head import linear_head
from xai_widgets.core.model import ImageModel
from xai_widgets.core.onnx_export import TOLERANCES, NetworkFile, exact_scores, network_file
from xai_widgets.explorers.brush import PerturbationBrush
from xai_widgets.explorers.network_facts import engine_facts, scores_facts
from xai_widgets.explorers.page_panel import PagePanel
from xai_widgets.explorers.similarity import SimilarityExplorer
from xai_widgets.explorers.similarity_choices import layers_of
from xai_widgets.views.base import STATIC
from xai_widgets.views.static_repr import walk_widgets

#: The heading of the brush that is added to other explorers.
ADDED = "<b>The network in this page</b>"


@dataclass(frozen=True)
class PageNetwork:
    """The network of a page and the explorers that it answers.

    Attributes
    ----------
    brushes : sequence of PerturbationBrush
        All of one model.
    file : NetworkFile
    alone : bool
        Whether the class and the image of the first brush belong to nothing else, and can then be changed.
    shows : bool
        Whether the page is that brush, whose image and class its caption names.
    whole : DOMWidget
        All that the page shows: the widget, with a brush below it if it has none.
    panel : PagePanel
        The views in which the network explains the image of the first brush.
    linear : bool
        Whether the network has a linear head, which CAM needs.
    """

    brushes: Sequence[PerturbationBrush]
    file: NetworkFile
    alone: bool
    shows: bool
    whole: DOMWidget
    panel: PagePanel
    linear: bool = False

    def header(self) -> dict[str, Any]:
        """Return what the program of the page knows of the network."""
        model = self.brushes[0].model
        return {
            "name": model.name,
            "size": len(self.file.data),
            "half": self.file.half,
            "preprocessing": model.preprocessing,
            # The page reads colors, or gray.
            "photos": self.alone and model.channels in (1, 3) and model._display is None,
            "tolerance": TOLERANCES[self.file.half],
            "panel": {**self.panel.header, "cam": self.file.head is not None},
            "similarity": self.panel.similarity_header(self.file),
            "shows": self.shows,
            "engine": engine_facts(model, self.file),
            "facts": scores_facts(model),
            "brushes": [
                {
                    "brush": view.model_id,
                    "scores": scores.model_id,
                    "picker": brush.class_picker.model_id if self.alone else "",
                    "caption": brush.caption.model_id if self.alone else "",
                    "expected": exact_scores(model, brush.image)[0].tolist(),
                }
                for brush in self.brushes
                for view, scores in brush.edits
            ],
        }

    def scripts(self) -> str:
        """Return the elements of the page with the network and the program that runs it."""
        parts = {
            "engine": gzip.compress((STATIC / "engine.js").read_bytes(), mtime=0),
            "engine-wasm": (STATIC / "engine.wasm.gz").read_bytes(),
            "network": gzip.compress(self.file.data, 6, mtime=0),
        }
        return "".join(
            f'<script type="application/gzip" id="{name}">{base64.b64encode(data).decode("ascii")}</script>\n'
            for name, data in parts.items()
        )

    def answered(self) -> set[str]:
        """Return the ids of the models that need no kernel in the page."""
        parts: list[Any] = [part for brush in self.brushes for pair in brush.edits for part in pair]
        if self.alone:
            parts.append(self.brushes[0].class_picker)
        return {part.model_id for part in parts}

    def unanswered(self) -> set[str]:
        """Return the ids of the models that would show the results of another mask."""
        return {brush.similarity.model_id for brush in self.brushes if brush.similarity is not None}

    def close(self) -> None:
        """Close the views that only the page has."""
        self.panel.close()
        if self.alone and not self.shows:
            self.brushes[0].close()
            for part in (self.whole, self.whole.children[1]):
                part.close()

    def notes(self) -> list[str]:
        """Return sentences that name the parts that need a kernel, and layers that could not be exported."""
        parts = ['"Refine"', "methods that need gradients"]
        if self.unanswered():
            parts.append("the similarity of painted images")
        notes = [f"Left out because a kernel must compute it: {', '.join(parts[:-1])} and {parts[-1]}."]
        missing = []
        if self.panel.similarity.layer_labels and self.panel.similarity_header(self.file) is None:
            missing.append("the similarity of positions")
        if self.linear and self.file.head is None:
            missing.append("CAM")
        if missing:
            notes.append(f"Left out because its layers cannot be exported: {' and '.join(missing)}.")
        return notes

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Give the views what the network needs, as long as the page is written."""
        try:
            for brush in self.brushes:
                brush.set_exact(True)
            yield
        finally:
            for brush in self.brushes:
                brush.set_exact(False)


def page_network(widget: DOMWidget, *, half: bool) -> PageNetwork:
    """Return the network for the page of a widget.

    Raises
    ------
    ValueError
        If the widget has neither a perturbation brush nor an explorer of an image, or brushes of several networks; and
        see :func:`xai_widgets.core.onnx_export.network_file`.
    """
    brushes = [part for part in walk_widgets(widget) if isinstance(part, PerturbationBrush)]
    added = None if brushes else _added_brush(widget)
    if added is not None:
        brushes = [added]
    try:
        return _network_of(widget, brushes, added, half=half)
    except BaseException:
        if added is not None:
            added.close()
        raise


def _network_of(
    widget: DOMWidget, brushes: Sequence[PerturbationBrush], added: PerturbationBrush | None, *, half: bool
) -> PageNetwork:
    """Return the network that answers some brushes, of which one may have been added to the widget."""
    models = list({id(brush.model): brush.model for brush in brushes}.values())
    if len(models) > 1:
        names = ", ".join(model.name for model in models)
        raise ValueError(f"expected explorers of one network for a page with the network, got {names}")
    model = models[0]
    shape = (model.channels, *model.size)
    for brush in brushes:
        if brush.image.shape[1:] != shape:
            raise ValueError(
                f"expected images of the size of the network, {shape}, for a page with the network, got "
                f"{tuple(brush.image.shape[1:])}"
            )
    images = torch.cat([brush.image for brush in brushes])
    # Targets, which are functions, are refused below.
    head = linear_head(model, images) if model.target_scores is None else None
    layers = _compared_layers(widget, brushes[0]) if model.target_scores is None else []
    return PageNetwork(
        brushes,
        network_file(model, images, half=half, head=head, layers=layers),
        alone=added is not None or widget is brushes[0],
        shows=widget is brushes[0],
        whole=widget if added is None else VBox([widget, HTML(ADDED), added]),
        panel=PagePanel(model, layers),
        linear=head is not None,
    )


def _compared_layers(widget: DOMWidget, brush: PerturbationBrush) -> list[str]:
    """Return the spatial layers of a brush or else of an explorer of its model, or the default ones."""
    model = brush.model
    if brush._layers:
        return brush._layers
    for part in walk_widgets(widget):
        if isinstance(part, SimilarityExplorer) and model in part.models:
            return part._layers[model.name]
        layer = getattr(part, "layer", "") if getattr(part, "model", None) is model else ""
        if layer and layer in {each.name for each in model.layers() if each.grid is not None}:
            return [layer]
    try:
        return layers_of([model], None)[model.name]
    except ValueError:
        # A network without layers of positions.
        return []


def _added_brush(widget: DOMWidget) -> PerturbationBrush:
    """Return a brush of the model, the first image and the class of the first explorer in a widget that has them."""
    for part in walk_widgets(widget):
        model, target = getattr(part, "model", None), getattr(part, "target", None)
        image = getattr(part, "image", None)
        image = getattr(part, "images", None) if image is None else image
        if isinstance(part, SimilarityExplorer):
            model = part.models[0]
            image = model.images(part._images)
        if isinstance(model, ImageModel) and isinstance(image, Tensor) and len(image):
            return PerturbationBrush(model, image[:1], target=target if isinstance(target, int) else None)
    raise ValueError(
        "expected an explorer of a network and an image, or a dashboard, for a page with the network, got "
        f"{type(widget).__name__}; network=False exports its results"
    )
