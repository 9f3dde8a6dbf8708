"""Data randomization: whether the map differs from that of a network that was trained on permuted labels.

Adebayo et al. 2018. A network that has learned labels at random has learned nothing about the objects; a map that looks
the same does not show what the network has learned. The score is the rank correlation of the absolute values, as for
:func:`~xai_widgets.metrics.weight_randomization`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.validation import instance
from xai_widgets.methods.registry import Method
from xai_widgets.metrics.agreement import spearman
from xai_widgets.metrics.base import Explanation, check_explain, metric, saliency_of
from xai_widgets.ops.resize import resize_map


@without_inference_mode
def data_randomization(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    permuted: ImageModel,
    explain: str | Method | Callable[..., Any] = "gradient",
    **options: Any,
) -> Tensor:
    """Return the rank correlation, without signs, of the maps of a network and of one trained on permuted labels.

    Parameters
    ----------
    model : ImageModel
        The trained network.
    x
        Images of any kind, N of them.
    target : int, str, callable, sequence or Tensor, optional
        The class, or one for each image. Default: the class that the trained network predicts.
    permuted : ImageModel
        A network of the same architecture and input, trained on permuted labels, such as
        ``load("scenes_resnet_permuted")`` for ``load("scenes_resnet")``.
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
        If the networks differ in the number of classes.
    """
    check_explain(explain, options)
    model, x, target = prepare(model, x, target)
    permuted = instance(permuted, "permuted", ImageModel)
    if len(permuted.labels) != len(model.labels):
        raise ValueError(
            f"expected permuted with {len(model.labels)} classes, as many as {model.name}, got {len(permuted.labels)}"
        )
    size = (x.shape[2], x.shape[3])
    maps = [resize_map(saliency_of(explain, each, x, target, **options), size) for each in (model, permuted)]
    return spearman(*(each.abs() for each in maps))


@metric(
    "data_randomization",
    title="Data randomization",
    category="randomization",
    direction="lower",
    measures="rank correlation, without signs, with the map of a network trained on permuted labels; low is good",
    source="Adebayo et al. 2018",
    needs=("method", "permuted"),
)
def data_randomization_score(explanation: Explanation) -> float:
    """Return the correlation; negative and undefined ones count as 0."""
    assert explanation.method is not None
    assert explanation.permuted is not None
    correlation = data_randomization(
        explanation.model,
        explanation.x,
        explanation.target,
        permuted=explanation.permuted,
        explain=explanation.method,
        **explanation.options,
    ).item()
    return 0.0 if math.isnan(correlation) else max(correlation, 0.0)
