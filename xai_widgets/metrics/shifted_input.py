"""Constant shift: whether a map stays the same if all pixels are shifted and the network undoes the shift.

Kindermans et al. 2019. Two networks that compute the same scores,

    f_1(y) = f(2 y)                 for y = x / 2
    f_2(y) = f(2 (y - c))           for y = x / 2 + c

see the image in the lower half of the range of pixels and the same image shifted by the gray value c, so that both stay
in [0, 1]. The normalization of the network absorbs the shift. A method whose map differs depends on something that the
network does not see, such as a black baseline.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from torch import Tensor

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.validation import number
from xai_widgets.methods.registry import Method
from xai_widgets.metrics.agreement import pearson
from xai_widgets.metrics.base import Explanation, metric, saliency_of


@without_inference_mode
def constant_shift(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    explain: str | Method | Callable[..., Any] = "gradient",
    shift: float = 0.5,
    **options: Any,
) -> Tensor:
    """Return the correlation of the maps of images and of shifted images, whose scores are the same.

    Parameters
    ----------
    model : ImageModel
        The network; copies of it are changed.
    x
        Images of any kind, N of them.
    target : int, str, callable, sequence or Tensor, optional
        The class, or one for each image. Default: the predicted class.
    explain : str, Method or callable, default "gradient"
        The name of a method, an object with ``saliency(model, x, target)``, or your own function
        ``explain(model, x, target) -> map``.
    shift : float, default 0.5
        The gray value c, from 0 to 0.5.
    **options
        Options of the method.

    Returns
    -------
    Tensor, (N,)
        In [-1, 1]; NaN if a map is constant.
    """
    model, x, target = prepare(model, x, target)
    shift = number(shift, "shift", low=0, high=0.5)
    maps = []
    for c in (0.0, shift):
        with outside_inference():
            copy = deepcopy(model)
            copy.mean.copy_(copy.mean / 2 + c)
            copy.std.copy_(copy.std / 2)
        maps.append(saliency_of(explain, copy, x / 2 + c, target, **options))
    return pearson(*maps)


@metric(
    "constant_shift",
    title="Constant shift",
    category="robustness",
    direction="higher",
    measures="correlation of the map with that of the image shifted by gray, for a network that undoes the shift",
    source="Kindermans et al. 2019",
    needs=("method",),
    bounds=(-1.0, 1.0),
)
def constant_shift_score(explanation: Explanation, *, shift: float = 0.5) -> float:
    """Return the correlation; NaN if a map is constant."""
    assert explanation.method is not None
    return constant_shift(
        explanation.model,
        explanation.x,
        explanation.target,
        explain=explanation.method,
        shift=shift,
        **explanation.options,
    ).item()
