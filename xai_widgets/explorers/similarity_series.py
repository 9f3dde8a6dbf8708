"""Charts of a series of transformed images: similarity at a position, and how much all features and scores change."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.similarity import GeometricSeries
from xai_widgets.studies.similarity import SimilarityResult
from xai_widgets.views import CurveView

#: Height of a chart, CSS px.
HEIGHT = 170


def position_chart(series: GeometricSeries, heads: Sequence[str]) -> CurveView:
    """Return the chart of the similarity at the corresponding position, with a curve for each layer."""
    return CurveView(
        x=series.values,
        steps=series.values,
        series=[{"label": head} for head in heads],
        x_label=series.axis,
        y_label="similarity",
        title="Similarity at the corresponding position",
        height=HEIGHT,
    )


def change_chart(series: GeometricSeries) -> CurveView:
    """Return the empty chart of the change of all features and of the probability (Zeiler and Fergus 2014)."""
    return CurveView(
        x=series.values,
        steps=series.values,
        x_label=series.axis,
        y_label="distance, probability",
        title="Change of the whole image",
        height=HEIGHT,
    )


def changes(
    series: GeometricSeries, models: Sequence[ImageModel], result: SimilarityResult
) -> tuple[Tensor, list[dict[str, str]]]:
    """Return the curves (S, P) of the change of the whole image, and their labels.

    For each layer it is the relative distance of the features, for each network with probabilities that of the class
    which it predicts for the original.
    """
    curves = [series.distances(result.members(column)) for column in range(len(result.packed))]
    labels = [f"distance, {result.label(column)}" for column in range(len(result.packed))]
    entries = [{"label": label} for label in labels]
    for model, scores in zip(models, result.scores, strict=False):
        if model.has_probabilities:
            predicted = int(scores[series.original].argmax())
            curves.append(model.probabilities(scores)[:, predicted])
            network = f", {model.name}" if len(models) > 1 else ""
            entries.append({"label": f"probability of {model.labels[predicted]}{network}", "style": "dashed"})
    return torch.stack(curves) if curves else torch.empty(0, len(series.values)), entries
