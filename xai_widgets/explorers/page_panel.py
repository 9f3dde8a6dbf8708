"""The views of an exported page in which its network explains images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xai_widgets.core.model import ImageModel
from xai_widgets.core.onnx_export import NetworkFile
from xai_widgets.explorers.similarity_choices import MIDDLE
from xai_widgets.metrics.deletion import default_steps
from xai_widgets.views import CurveView, HeatmapView, SimilarityView

#: Default number of masks of RISE in a page, which does not stop by itself before the last one.
MASKS = 1000
#: Height of the images whose positions are compared, in CSS px.
TALL = 660


class PagePanel:
    """The empty views that the program of a page fills, and its default settings.

    Parameters
    ----------
    model : ImageModel
        The network of the page.
    layers : sequence of str
        Layers in which positions are compared.
    """

    def __init__(self, model: ImageModel, layers: Sequence[str] = ()) -> None:
        height, width = model.size
        self.heatmap = HeatmapView(title="Map")
        self.curves = CurveView(
            title="Along the map",
            x_label="share of pixels replaced",
            y_label=model.value_name,
            x_percent=True,
            width=480,
        )
        # Two images of two layers fit below each other.
        self.similarity = SimilarityView(layer_labels=list(layers), position=MIDDLE, height=TALL)
        short = min(height, width)
        self.header: dict[str, Any] = {
            "heatmap": self.heatmap.model_id,
            "curves": self.curves.model_id,
            "mean": model.mean.flatten().clamp(0, 1).tolist(),
            # A seventh of the short side, the default of perturbation.occlusion.
            "side": max(1, round(short / 7)),
            "steps": default_steps(height * width),
            "masks": MASKS,
            "cells": min(7, short),
        }

    @property
    def views(self) -> list[Any]:
        """The views, for the states of the page."""
        return [self.heatmap, self.curves, self.similarity]

    def similarity_header(self, file: NetworkFile) -> dict[str, Any] | None:
        """Return the view of similarities and the outputs that it needs; None if the file does not have them."""
        layers = self.similarity.layer_labels
        if not layers or not set(layers) <= set(file.layers):
            return None
        return {"view": self.similarity.model_id, "outputs": [file.output(layer) for layer in layers]}

    def close(self) -> None:
        """Close the views."""
        for view in self.views:
            view.close()
