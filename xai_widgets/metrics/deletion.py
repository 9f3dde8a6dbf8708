"""Deletion and insertion: the score while pixels are removed, or added, in order of their saliency.

The protocol of RISE (Petsiuk et al. 2018). At 224 x 224 pixels, 224 pixels at a time, the most salient ones first:

    deletion     from the image to the color that the normalization maps to 0; a low area under the curve is good
    insertion    from the blurred image (Gaussian, 11 x 11, sigma 5) to the image; a high area is good

The score is the probability of the class, or its score if the network has no probabilities. The area under the curve is
the trapezoid sum over [0, 1]. A curve is judged beside that of a random order
(:func:`~xai_widgets.metrics.random_order`), which not every method beats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from xai_widgets.core.batching import pass_batch_size
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.optional import optional
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import choice, integer, tensor
from xai_widgets.errors import checked_keywords
from xai_widgets.metrics.base import Explanation, metric, stacked
from xai_widgets.metrics.changed_images import ReplacedPixels
from xai_widgets.ops.blur import truncated_blur
from xai_widgets.ops.fill import Fill, FillName, fill_image
from xai_widgets.ops.resize import resize_map

Mode = Literal["deletion", "insertion"]

#: A fill by name, gray value or image; "training_mean" is the color that the normalization maps to 0, the mean of the
#: training images; black if the network is not normalized. "blur" is the blur of RISE, 11 x 11 with sigma 5.
CurveFill = Fill | Literal["training_mean"]

#: The default fill of each mode.
FILLS: dict[Mode, CurveFill] = {"deletion": "training_mean", "insertion": "blur"}


@dataclass(frozen=True)
class Curve:
    """A deletion or insertion curve, as far as it is computed.

    Attributes
    ----------
    mode : {"deletion", "insertion"}
        Whether pixels are removed or added.
    fractions : Tensor, (T,)
        Fractions of the pixels that are replaced, from 0 to 1.
    scores : Tensor, (N, T)
        Probability, or score, of each image's class at each fraction; NaN where it is not computed yet.
    top_scores : Tensor, (N, T, k)
        The highest probabilities, or scores, of any class, best first; NaN where they are not computed yet.
    top_classes : Tensor, (N, T, k)
        The classes of the highest scores; -1 where they are not computed yet.
    value_name : {"probability", "score"}
        Whether the scores are probabilities; a network without probabilities has only scores.
    draws : Tensor, (R, N, T), optional
        The scores of R random orders, whose mean `scores` is; None for a single order.
    """

    mode: Mode
    fractions: Tensor
    scores: Tensor
    top_scores: Tensor
    top_classes: Tensor
    value_name: str = "probability"
    draws: Tensor | None = None

    @property
    def band(self) -> Tensor | None:
        """The 5th and the 95th percentile of the scores of several orders, (2, N, T); None for a single order."""
        return None if self.draws is None else spread(self.draws)

    @property
    def auc(self) -> Tensor:
        """Area under the curve, (N,), by the trapezoid rule; NaN until the curve is complete."""
        return torch.trapezoid(self.scores, self.fractions)

    def resampled(self, steps: int) -> Curve:
        """Return the curve at ``steps`` + 1 evenly spaced fractions, from 0 to the last one.

        Scores are interpolated linearly; the highest classes are those of the nearest fraction.
        """
        fractions = torch.linspace(0, float(self.fractions[-1]), integer(steps, "steps", low=1) + 1)
        right = torch.searchsorted(self.fractions, fractions).clamp(1, len(self.fractions) - 1)
        low, high = self.fractions[right - 1], self.fractions[right]
        weight = ((fractions - low) / (high - low)).clamp(0, 1)
        nearest = torch.where(weight < 0.5, right - 1, right)

        def interpolated(scores: Tensor) -> Tensor:
            return torch.lerp(scores[..., right - 1], scores[..., right], weight)

        return replace(
            self,
            fractions=fractions,
            scores=interpolated(self.scores),
            draws=None if self.draws is None else interpolated(self.draws),
            top_scores=self.top_scores[:, nearest],
            top_classes=self.top_classes[:, nearest],
        )

    def __repr__(self) -> str:
        count, steps = self.scores.shape[0], len(self.fractions) - 1
        areas = ", ".join(f"{area:.3f}" for area in self.auc[:4].tolist()) + (", ..." if count > 4 else "")
        return f"Curve({self.mode}, images: {count}, steps: {steps}, auc: {areas})"

    def plot(self, axes: Any = None) -> Any:
        """Draw the curve of each image with matplotlib.

        Parameters
        ----------
        axes : matplotlib.axes.Axes, optional
            Where to draw. Default: a new figure.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        axes = optional("matplotlib.pyplot", "plots").figure().add_subplot() if axes is None else axes
        for number, (scores, area) in enumerate(zip(self.scores.tolist(), self.auc.tolist(), strict=True)):
            axes.plot(self.fractions.tolist(), scores, label=f"image {number}: AUC {area:.3f}")
        axes.set_xlabel(f"share of pixels {'removed' if self.mode == 'deletion' else 'added'}")
        axes.set_ylabel(self.value_name)
        axes.legend()
        return axes


def spread(draws: Tensor) -> Tensor:
    """Return the 5th and the 95th percentile over the first dimension, stacked; linear between two values."""
    return torch.quantile(draws, draws.new_tensor([0.05, 0.95]), dim=0)


def default_steps(pixels: int) -> int:
    """Return the default number of steps for an image of so many pixels: 224 as in RISE, or one per pixel."""
    return min(224, integer(pixels, "pixels", low=1))


@checked_keywords
def ordering(saliency: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """Return the rank of every pixel: 0 for the most salient one, H*W - 1 for the least salient one.

    Parameters
    ----------
    saliency : Tensor, (N, h, w)
        Higher is more important. Ties are broken by the position, row by row.
    size : (int, int), optional
        H and W; the saliency is first resized to them, bilinearly. Default: h and w.

    Returns
    -------
    Tensor, (N, H, W)
        int32; a permutation of 0 .. H*W - 1 for each image.
    """
    saliency = tensor(saliency, "saliency", ("N", "h", "w"), finite=True)
    if size is not None:
        saliency = resize_map(saliency, size)
    order = saliency.flatten(1).argsort(dim=1, descending=True, stable=True)
    ranks = torch.empty_like(order, dtype=torch.int32)
    positions = torch.arange(order.shape[1], device=order.device, dtype=torch.int32)
    return ranks.scatter_(1, order, positions.expand_as(ranks)).view_as(saliency)


@without_inference_mode
def deletion(
    model: ImageModel,
    x: Any,
    saliency: Tensor,
    target: Target = None,
    *,
    steps: int | None = None,
    fill: CurveFill = "training_mean",
    batch_size: int | None = None,
    top: int = 5,
) -> Run[Curve]:
    """Remove pixels in order of their saliency and record the score.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    saliency : Tensor, (N, h, w)
        Higher is more important, as from ``method.saliency``; resized to the images.
    target : int, str, callable, sequence or Tensor, optional
        The class, or one for each image. Default: the predicted class.
    steps : int, optional
        T - 1, from 1 to the number of pixels. Default: 224 as in RISE, or the number of pixels if that is less.
    fill : {"training_mean", "mean", "black", "gray", "blur", "noise"}, float or Tensor, default "training_mean"
        Replacement of removed pixels: the color that the normalization maps to 0, as in RISE (black if the network is
        not normalized); the mean color of each image; 0; 0.5; each image blurred; noise with the mean and deviation
        of each image; a gray value; or an image, or one per image.
    batch_size : int, optional
        Images per pass. Default: as many as are fastest.
    top : int, default 5
        Number of highest classes to keep at each step.

    Returns
    -------
    Run of Curve
        One snapshot for each batch, from coarse to fine; ``deletion(...).result()`` is the whole curve.
    """
    model, x, target = prepare(model, x, target)
    end = curve_fill(model, x, fill)
    return _curve("deletion", model, x, end, saliency, target, steps, batch_size, top)


@without_inference_mode
def insertion(
    model: ImageModel,
    x: Any,
    saliency: Tensor,
    target: Target = None,
    *,
    steps: int | None = None,
    fill: CurveFill = "blur",
    batch_size: int | None = None,
    top: int = 5,
) -> Run[Curve]:
    """Add pixels in order of their saliency and record the score.

    Parameters
    ----------
    model, x, saliency, target, steps, batch_size, top
        See :func:`deletion`.
    fill : {"blur", "training_mean", "mean", "black", "gray", "noise"}, float or Tensor, default "blur"
        The start; see :func:`deletion`.

    Returns
    -------
    Run of Curve
        One snapshot for each batch.
    """
    model, x, target = prepare(model, x, target)
    start = curve_fill(model, x, fill)
    return _curve("insertion", model, start, x, saliency, target, steps, batch_size, top)


def curve_fill(model: ImageModel, x: Tensor, fill: CurveFill) -> Tensor:
    """Return the images that a fill stands for, (N, C, H, W); see :func:`deletion`."""
    if isinstance(fill, str):
        choice(fill, "fill", ("training_mean", *get_args(FillName)))
        if fill == "training_mean":
            return model.mean.to(x).clamp(0, 1).expand_as(x)
        if fill == "blur":
            return truncated_blur(x)
    return fill_image(fill, x)


def _curve(
    mode: Mode,
    model: ImageModel,
    start: Tensor,
    end: Tensor,
    saliency: Tensor,
    target: Tensor,
    steps: int | None,
    batch_size: int | None,
    top: int,
    images: Sequence[int] | None = None,
) -> Run[Curve]:
    """Return the run of either mode, in equal steps from no pixel to all of them."""
    pixels = start[0, 0].numel()
    steps = default_steps(pixels) if steps is None else steps
    steps = integer(steps, "steps", low=1, high=pixels, hint="the number of pixels")
    counts = [round(k * pixels / steps) for k in range(steps + 1)]
    return replacement_curve(mode, model, start, end, saliency, target, counts, batch_size, top, images)


def replacement_curve(
    mode: Mode,
    model: ImageModel,
    start: Tensor,
    end: Tensor,
    saliency: Tensor,
    target: Tensor,
    pixels: Sequence[int],
    batch_size: int | None = None,
    top: int = 5,
    images: Sequence[int] | None = None,
    *,
    raw: bool = False,
) -> Run[Curve]:
    """Return the run of a curve: step k shows the ``pixels[k]`` most salient pixels of ``end`` on ``start``.

    With ``raw``, scores are those before the softmax. ``images`` names the image of each map, where one image has
    several; the curves of its maps do not depend on which are computed together.
    """
    n, (height, width) = len(saliency), start.shape[2:]
    top = integer(top, "top", low=1)
    saliency = tensor(saliency, "saliency", ("N", "h", "w"))
    if images is None and n != len(start):
        raise ValueError(f"expected one saliency map for each of {len(start)} images, got {n}")
    replaced = ReplacedPixels(
        model,
        start,
        end,
        ordering(saliency.to(start.device), (height, width)),
        pixels,
        range(n) if images is None else images,
        pass_batch_size(model, (height, width), batch_size),
        whole=images is not None,
    )
    top = min(top, len(model.labels))
    curve = Curve(
        mode,
        torch.tensor(pixels, dtype=torch.int32) / (height * width),
        torch.full((n, len(pixels)), torch.nan),
        torch.full((n, len(pixels), top), torch.nan),
        torch.full((n, len(pixels), top), -1),
        "score" if raw else model.value_name,
    )

    def snapshots() -> Iterator[Curve]:
        scores, values, classes = curve.scores.clone(), curve.top_scores.clone(), curve.top_classes.clone()
        for rows, steps, output in replaced:
            probs = output if raw else model.probabilities(output)
            best = probs.topk(top, dim=1)
            scores[rows, steps] = probs.gather(1, target[rows.to(target.device), None])[:, 0].cpu()
            values[rows, steps], classes[rows, steps] = best.values.cpu(), best.indices.cpu()
            yield replace(
                curve, scores=scores.clone(), top_scores=values.clone(), top_classes=classes.clone()
            )

    return Run(snapshots(), total=len(replaced), name=mode)


def curves_of(
    explanations: Sequence[Explanation], mode: Mode, *, steps: int | None, fill: CurveFill
) -> Curve:
    """Return the curves of several maps of one network, computed together."""
    model, x, images, saliency, target = stacked(explanations)
    other = curve_fill(model, x, fill)
    start, end = (x, other) if mode == "deletion" else (other, x)
    return _curve(mode, model, start, end, saliency, target, steps, None, 1, images).result(progress=False)


def _areas_of(
    mode: Mode,
    explanations: Sequence[Explanation],
    *,
    steps: int | None = None,
    fill: CurveFill | None = None,
) -> list[float]:
    fill = FILLS[mode] if fill is None else fill
    return curves_of(explanations, mode, steps=steps, fill=fill).auc.tolist()


def _points(explanation: Explanation, *, steps: int | None = None, fill: CurveFill | None = None) -> int:
    """Return the number of points of a curve."""
    return 1 + (default_steps(explanation.x[0, 0].numel()) if steps is None else steps)


@metric(
    "deletion",
    title="Deletion",
    category="faithfulness",
    direction="lower",
    measures="area under the curve of the probability while the most salient pixels are removed; low is good",
    source="Petsiuk et al. 2018",
    several=partial(_areas_of, "deletion"),
    passes=_points,
)
def deletion_auc(
    explanation: Explanation, *, steps: int | None = None, fill: CurveFill = "training_mean"
) -> float:
    """Return the area under the deletion curve."""
    return _areas_of("deletion", [explanation], steps=steps, fill=fill)[0]


@metric(
    "insertion",
    title="Insertion",
    category="faithfulness",
    direction="higher",
    measures="the same while they are added to the blurred image; high is good",
    source="Petsiuk et al. 2018",
    several=partial(_areas_of, "insertion"),
    passes=_points,
)
def insertion_auc(explanation: Explanation, *, steps: int | None = None, fill: CurveFill = "blur") -> float:
    """Return the area under the insertion curve."""
    return _areas_of("insertion", [explanation], steps=steps, fill=fill)[0]
