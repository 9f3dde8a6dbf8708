"""Fast gradient sign, in one step and iterated: the largest change of a class within a bound on each pixel.

With p the softmax of the scores, c the predicted class, and t a class to reach:

    one step      x' = clip(x - eps sign(d log p_c(x) / dx))              Goodfellow et al. 2015, section 4
                  x' = clip(x + eps sign(d log p_t(x) / dx))              toward t
    iterated      x_0 = x,  x_n+1 = clip_eps(x_n - a sign(d log p_c(x_n) / dx))     Kurakin et al. 2017, section 2.2
                  x_0 = x,  x_n+1 = clip_eps(x_n + a sign(d log p_t(x_n) / dx))     toward t, section 2.3

clip limits pixels to [0, 1], clip_eps to x - eps and x + eps, too. The published step is a = 1 gray level, 1/255, and
the number of steps min(eps + 4, 1.25 eps) for eps in gray levels. t is the least likely class in the source.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel, Target
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import integer, number
from xai_widgets.learned.probed import Probed, Start, begin, classes_of, cross_entropy_direction

#: The bound of the source of the detection by masks, 8 gray levels.
EPSILON = 8 / 255


@without_inference_mode
def fgsm(
    model: ImageModel, x: Any, *, toward: Target = None, epsilon: float = EPSILON, batch_size: int = 32
) -> Run[Probed]:
    """Change each pixel by ``epsilon`` in the direction that lowers the predicted class the fastest.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    toward : int, str, sequence or Tensor, optional
        A class to reach, or one per image. Default: any other class.
    epsilon : float, default 8/255
        Change of each pixel, in (0, 1].
    batch_size : int, default 32
        Images per pass.

    Returns
    -------
    Run of Probed
        One snapshot. An image whose class is not reached is returned changed, with ``reached`` False.

    Raises
    ------
    ValueError
        For a model with one score, or a class to reach that an image has already.
    """
    epsilon = number(epsilon, "epsilon", above=0, high=1)
    start = begin(model, x, toward)
    moves = _moves(model, start, epsilon, epsilon, 1, check_batch_size(batch_size), "FGSM")
    return Run(moves, total=1, name="FGSM")


@without_inference_mode
def iterated_fgsm(
    model: ImageModel,
    x: Any,
    *,
    toward: Target = None,
    epsilon: float = EPSILON,
    step: float = 1 / 255,
    steps: int | None = None,
    batch_size: int = 32,
) -> Run[Probed]:
    """Change the pixels by small steps of :func:`fgsm`, by at most ``epsilon`` in all.

    Parameters
    ----------
    model, x, toward, epsilon, batch_size
        See :func:`fgsm`.
    step : float, default 1/255
        Change of each pixel in a step, in (0, 1].
    steps : int, optional
        Number of steps. Default: min(eps + 4, 1.25 eps), rounded up, with eps = 255 ``epsilon``; more for a shorter
        step.

    Returns
    -------
    Run of Probed
        ``steps`` snapshots.
    """
    epsilon = number(epsilon, "epsilon", above=0, high=1)
    step = number(step, "step", above=0, high=1)
    levels = epsilon / step
    count = (
        math.ceil(min(levels + 4, 1.25 * levels) - 1e-9) if steps is None else integer(steps, "steps", low=1)
    )
    start = begin(model, x, toward)
    moves = _moves(model, start, epsilon, step, count, check_batch_size(batch_size), "iterated FGSM")
    return Run(moves, total=count, name="iterated FGSM")


def _moves(
    model: ImageModel, start: Start, epsilon: float, step: float, steps: int, batch_size: int, name: str
) -> Iterator[Probed]:
    x = start.x
    least, most = (x - epsilon).clamp(min=0), (x + epsilon).clamp(max=1)
    image = x
    for done in range(1, steps + 1):
        image = torch.cat(
            [
                _moved(model, start, image, slice(n, n + batch_size), step)
                for n in range(0, len(x), batch_size)
            ]
        )
        # Rounding may not leave the bound.
        image = torch.minimum(torch.maximum(image, least), most)
        yield Probed(name, x, image, start.old, classes_of(model, image, batch_size), start.toward, done)


def _moved(model: ImageModel, start: Start, image: Tensor, rows: slice, step: float) -> Tensor:
    classes, sign = start.goal(rows)
    direction = cross_entropy_direction(model, image[rows], classes).sign()
    with outside_inference():
        return image[rows] + sign * step * direction
