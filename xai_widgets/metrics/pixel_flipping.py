"""Pixel flipping: the score while pixels get random colors, the most or the least relevant ones first.

Bach et al. 2015, in the variant of "Noise Mask" (document 004 of the sources, section 4.2.3). At 299 x 299 pixels, 100
pixels in each of 800 steps, about 90 % in all:

    MoRF   the most relevant pixels first; a score that falls early is good
    LeRF   the least relevant ones first; a score that stays is good
    ABPC = sum over the steps of LeRF - MoRF

The score is the one before the softmax. Images of another size have as many steps, of the same share of their pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.precision import double
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import integer, tensor
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.metrics.base import Explanation, metric, stacked
from xai_widgets.metrics.deletion import Curve, CurveFill, curve_fill, replacement_curve

#: Steps of the source, and the share of the pixels that each of them replaces.
STEPS, SHARE = 800, 100 / 299**2


@without_inference_mode
def morf(
    model: ImageModel,
    x: Any,
    saliency: Tensor,
    target: Target = None,
    *,
    steps: int | None = None,
    seed: int = 0,
    fill: CurveFill | None = None,
    batch_size: int | None = None,
    top: int = 5,
) -> Run[Curve]:
    """Give pixels random colors, the most relevant ones first, and record the score.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    saliency : Tensor, (N, h, w)
        Higher is more important; resized to the images.
    target : int, str, callable, sequence or Tensor, optional
        The class, or one for each image. Default: the predicted class.
    steps : int, optional
        Number of steps, which together replace 89 % of the pixels. Default: 800, or the number of pixels that are
        replaced if that is less.
    seed : int, default 0
        Seed of the colors, uniform in [0, 1], the same for every image and for both orders.
    fill : str, float or Tensor, optional
        Replacement in place of the random colors; see :func:`~xai_widgets.metrics.deletion`.
    batch_size, top
        See :func:`~xai_widgets.metrics.deletion`.

    Returns
    -------
    Run of Curve
        The scores before the softmax, (N, steps + 1).
    """
    return _flipped(model, x, saliency, target, steps, seed, fill, batch_size, top)


@without_inference_mode
def lerf(
    model: ImageModel,
    x: Any,
    saliency: Tensor,
    target: Target = None,
    *,
    steps: int | None = None,
    seed: int = 0,
    fill: CurveFill | None = None,
    batch_size: int | None = None,
    top: int = 5,
) -> Run[Curve]:
    """Give pixels random colors, the least relevant ones first; see :func:`morf`."""
    saliency = -tensor(saliency, "saliency", ("N", "h", "w"))
    return _flipped(model, x, saliency, target, steps, seed, fill, batch_size, top)


def abpc(morf_curve: Curve, lerf_curve: Curve) -> Tensor:
    """Return the area between perturbation curves, the sum of LeRF - MoRF over the steps, (N,).

    Areas are comparable for one number of steps only.
    """
    if morf_curve.scores.shape != lerf_curve.scores.shape:
        raise ValueError(
            f"expected curves of one shape, got {tuple(morf_curve.scores.shape)} and {tuple(lerf_curve.scores.shape)}"
        )
    return (
        double((lerf_curve.scores - morf_curve.scores)[:, 1:])
        .sum(1)
        .to(lerf_curve.scores.device, torch.float32)
    )


def _flipped(
    model: ImageModel,
    x: Any,
    saliency: Tensor,
    target: Target,
    steps: int | None,
    seed: int,
    fill: CurveFill | None,
    batch_size: int | None,
    top: int,
    images: Sequence[int] | None = None,
) -> Run[Curve]:
    if images is None:
        model, x, target = prepare(model, x, target)
    assert isinstance(target, Tensor)
    replaced = replaced_pixels(x)
    steps = min(STEPS, replaced) if steps is None else integer(steps, "steps", low=1, high=replaced)
    counts = [round(k * replaced / steps) for k in range(steps + 1)]
    colors = random_colors(x, seed) if fill is None else curve_fill(model, x, fill)
    return replacement_curve(
        "deletion", model, x, colors, saliency, target, counts, batch_size, top, images, raw=True
    )


def replaced_pixels(x: Tensor) -> int:
    """Return the number of pixels of an image that all steps together replace."""
    return max(1, round(STEPS * SHARE * x[0, 0].numel()))


def random_colors(x: Tensor, seed: int = 0) -> Tensor:
    """Return uniform colors in [0, 1], drawn on the CPU and the same for every image, (N, C, H, W)."""
    generator = torch.Generator().manual_seed(check_seed(seed))
    return torch.rand(x.shape[1:], generator=generator).to(x).expand_as(x)


def mean_change(scores: Tensor) -> Tensor:
    """Return the mean over the steps of the score minus that of the image, (N, T) -> (N,)."""
    return (scores[:, 1:] - scores[:, :1]).mean(1)


def _scores_of(
    explanations: Sequence[Explanation], orders: Sequence[str], steps: int | None, seed: int
) -> list[list[Tensor]]:
    """Return the scores (T,) of each order for each explanation, which keeps them for other metrics."""
    every = [(each, order) for each in explanations for order in orders]
    new = [(each, order) for each, order in every if (order, steps, seed) not in each.results]
    if new:
        model, x, images, saliency, target = stacked([each for each, _ in new])
        signs = torch.tensor([1.0 if order == "morf" else -1.0 for _, order in new], device=saliency.device)
        run = _flipped(model, x, saliency * signs[:, None, None], target, steps, seed, None, None, 1, images)
        for (each, order), scores in zip(new, run.result(progress=False).scores, strict=True):
            each.results[order, steps, seed] = scores
    return [[each.results[order, steps, seed] for order in orders] for each in explanations]


def _changes(order: str, explanations: Sequence[Explanation], steps: int | None, seed: int) -> list[float]:
    scores = [each[0] for each in _scores_of(explanations, (order,), steps, seed)]
    return mean_change(torch.stack(scores)).tolist()


def _morf_changes(
    explanations: Sequence[Explanation], *, steps: int | None = None, seed: int = 0
) -> list[float]:
    return _changes("morf", explanations, steps, seed)


def _lerf_changes(
    explanations: Sequence[Explanation], *, steps: int | None = None, seed: int = 0
) -> list[float]:
    return _changes("lerf", explanations, steps, seed)


def _abpc_areas(
    explanations: Sequence[Explanation], *, steps: int | None = None, seed: int = 0
) -> list[float]:
    pairs = _scores_of(explanations, ("morf", "lerf"), steps, seed)
    return [double((least - most)[1:]).sum().item() for most, least in pairs]


def _points(explanation: Explanation, *, steps: int | None = None, seed: int = 0) -> int:
    """Return the number of points of a curve."""
    return 1 + (min(STEPS, replaced_pixels(explanation.x)) if steps is None else steps)


def _points_of_both(explanation: Explanation, *, steps: int | None = None, seed: int = 0) -> int:
    return 2 * _points(explanation, steps=steps)


_FACTS: dict[str, Any] = {
    "category": "faithfulness",
    "source": "Bach et al. 2015",
    "bounds": (-float("inf"), float("inf")),
}


@metric(
    "morf",
    title="MoRF",
    direction="lower",
    measures="mean change of the score while pixels get random colors, the most relevant ones first; low is good",
    several=_morf_changes,
    passes=_points,
    **_FACTS,
)
def morf_change(explanation: Explanation, *, steps: int | None = None, seed: int = 0) -> float:
    """Return the mean over the steps of the score minus that of the image."""
    return _morf_changes([explanation], steps=steps, seed=seed)[0]


@metric(
    "lerf",
    title="LeRF",
    direction="higher",
    measures="the same with the least relevant pixels first; high is good",
    several=_lerf_changes,
    passes=_points,
    **_FACTS,
)
def lerf_change(explanation: Explanation, *, steps: int | None = None, seed: int = 0) -> float:
    """Return the mean over the steps of the score minus that of the image."""
    return _lerf_changes([explanation], steps=steps, seed=seed)[0]


@metric(
    "abpc",
    title="ABPC",
    direction="higher",
    measures="area between the curves of LeRF and MoRF, summed over the steps",
    several=_abpc_areas,
    passes=_points_of_both,
    **_FACTS,
)
def abpc_area(explanation: Explanation, *, steps: int | None = None, seed: int = 0) -> float:
    """Return the sum of LeRF - MoRF over the steps."""
    return _abpc_areas([explanation], steps=steps, seed=seed)[0]
