"""Class sensitivity: whether the map of the most probable class differs from that of the least probable one.

Rebuffi et al. 2020, section 4.3 of appendix C.2 of Fong 2020. With s_max and s_min the maps of the classes with the
highest and the lowest score, their rank correlation; the closer to 0, the better. A method whose maps do not depend on
the class has 1; one whose map changes its sign with the class has -1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.batching import scores_of
from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import without_inference_mode
from xai_widgets.methods.registry import Method
from xai_widgets.metrics.agreement import spearman
from xai_widgets.metrics.base import Explanation, metric, saliency_of


@without_inference_mode
def class_sensitivity(
    model: ImageModel, x: Any, *, explain: str | Method | Callable[..., Any] = "gradient", **options: Any
) -> Tensor:
    """Return the rank correlation of the maps of the most and the least probable class.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    explain : str, Method or callable, default "gradient"
        The name of a method, an object with ``saliency(model, x, target)``, or your own function
        ``explain(model, x, target) -> map``.
    **options
        Options of the method.

    Returns
    -------
    Tensor, (N,)
        In [-1, 1]; NaN if a map is constant.

    Raises
    ------
    ValueError
        For a network with a single score.
    """
    x = model.images(x)
    with torch.no_grad():
        scores = scores_of(model, x)
    if scores.shape[1] < 2:
        raise ValueError(f"expected a network with at least two classes, got {model.name} with one")
    maps = [
        saliency_of(explain, model, x, classes, **options) for classes in (scores.argmax(1), scores.argmin(1))
    ]
    return spearman(*maps)


@metric(
    "class_sensitivity",
    title="Class sensitivity",
    category="randomization",
    direction="lower",
    measures="absolute rank correlation of the maps of the most and the least probable class; near 0 is good",
    source="Rebuffi et al. 2020",
    needs=("method",),
)
def class_sensitivity_score(explanation: Explanation) -> float:
    """Return the absolute correlation; a constant map, which knows no class, counts as 1."""
    assert explanation.method is not None
    correlation = class_sensitivity(
        explanation.model, explanation.x, explain=explanation.method, **explanation.options
    ).item()
    return 1.0 if math.isnan(correlation) else abs(correlation)
