"""Linear surrogates: how much each segment of an image adds to the score, by a linear model of many coalitions.

A coalition z in {0, 1}^S shows some of the S segments and fills the others; f(z) is what the network says of it.

LIME, Ribeiro et al. 2016 (equations 1 and 2, with their released figures): coalitions show each segment with
probability 1/2, the first shows all,

    pi(z) = exp(-D(z)^2 / (2 width^2)),   D(z) = 1 - sqrt(|z| / S), the cosine distance to the whole image
    minimize over w, w_0   sum_z pi(z) (f(z) - w_0 - w z)^2 + ridge |w|^2

Kernel SHAP, Lundberg and Lee 2017 (theorem 2):

    pi(z) = (S - 1) / (binom(S, |z|) |z| (S - |z|))
    minimize over phi   sum_z pi(z) (f(z) - f(0) - phi z)^2   with   sum phi = f(1) - f(0)

whose solution over all coalitions are the Shapley values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import integer, number
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.methods import Cost, run_method
from xai_widgets.ops.fill import Fill, fill_image
from xai_widgets.perturbation.masking import MOST_SAMPLES, Output, Outputs, value_name
from xai_widgets.perturbation.segments import as_segments, counts, paint, segment_means

#: Coalitions (K, S) and their weights (K,) for S segments.
Draw = Callable[[int], tuple[Tensor, Tensor]]

#: Coefficients (S,) and intercept from coalitions, weights and outputs, float64 on the CPU.
Fit = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Surrogate:
    """A linear model of each image's segments, fitted to the coalitions so far.

    Attributes
    ----------
    segments : Tensor, (N, H, W)
        Labels 0, 1, ... of the segments.
    values : Tensor, (N, S)
        What each segment adds to the output, S of the image with the most; 0 beyond an image's own, and for images that
        are not begun.
    intercepts : Tensor, (N,)
        What the model says where all is hidden.
    fits : Tensor, (N,)
        Weighted R^2 of the model, at most 1; NaN where the outputs do not vary yet.
    coalitions : Tensor, (N,)
        How many there were.
    value_name : {"probability", "score"}
        What the output is; networks without probabilities have only scores.
    """

    segments: Tensor
    values: Tensor
    intercepts: Tensor
    fits: Tensor
    coalitions: Tensor
    value_name: str = "probability"

    def saliency(self) -> Tensor:
        """Each pixel has the value of its segment, (N, H, W), signed."""
        return paint(self.values, self.segments)


@run_method(
    title="LIME",
    source="Ribeiro et al. 2016",
    formula="w of the linear model w_0 + w z of f(z), segments z shown or not, weighted by nearness to all shown",
    cost=Cost(0, 0, "samples", 1, 0),
    limits="As fine as its superpixels, and it depends on them and on what fills those that are hidden.",
)
@without_inference_mode
def lime(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    segments: int | Tensor | None = None,
    samples: int = 1000,
    width: float = 0.25,
    ridge: float = 1.0,
    fill: Fill | Literal["segments"] = "segments",
    output: Output = "probability",
    seed: int = 0,
    batch_size: int = 32,
) -> Run[Surrogate]:
    """LIME: a ridge regression on the segments, in which coalitions near the whole image count more.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    target : int, str, sequence or Tensor, optional
        The class, or one per image. Default: the predicted class.
    segments : int or Tensor, optional
        About how many superpixels, or your own labels (H, W) or (N, H, W). Default: 50.
    samples : int, default 1000
        Coalitions per image.
    width : float, default 0.25
        Of the kernel, in units of the cosine distance, which runs from 0 to 1.
    ridge : float, default 1.0
        At least 0.
    fill : {"segments", "gray", "mean", "blur"}, float or Tensor, default "segments"
        What hides a segment: its own mean color, 0.5, the image's mean color, the blurred image, a gray value, an
        image, or one per image.
    output : {"probability", "score"}, default "probability"
        After or before the activation of the network; networks without probabilities have only scores.
    seed : int, default 0
        Of the coalitions, drawn on the CPU and anew for each image.
    batch_size : int, default 32
        Coalitions per pass.

    Returns
    -------
    Run of Surrogate
        One snapshot a batch.

    Raises
    ------
    ValueError
        For segments that do not fit the images, or samples, width or ridge out of range.
    ImportError
        Without scikit-image, if superpixels have to be made.
    """
    width, ridge = number(width, "width", above=0), number(ridge, "ridge", low=0)
    samples, seed = _check_samples(samples), check_seed(seed)

    def draw(size: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        shown = (torch.rand((samples, size), generator=generator, device="cpu") < 0.5).double()
        shown[0] = 1
        distance = 1 - (shown.mean(1)).sqrt()
        return shown, torch.exp(-(distance**2) / (2 * width**2))

    def fit(shown: Tensor, weights: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        share = weights / weights.sum()
        middle, mean = share @ shown, share @ outputs
        root = weights.sqrt()[:, None]
        # The ridge as further rows of a least squares problem: its weight on the intercept is none.
        rows = torch.cat([root * (shown - middle), ridge**0.5 * torch.eye(len(middle), dtype=shown.dtype)])
        wanted = torch.cat([root[:, 0] * (outputs - mean), outputs.new_zeros(len(middle))])
        values = least_squares(rows, wanted)
        return values, mean - middle @ values

    return _explain("LIME", model, x, target, segments, fill, output, batch_size, draw, fit)


@run_method(
    title="Kernel SHAP",
    source="Lundberg and Lee 2017",
    formula="phi of f(0) + phi z nearest to f(z) by Shapley weights, segments z shown or not",
    cost=Cost(0, 0, "samples", 1, 0),
    guarantees="its segments sum to f(all shown) - f(none shown)",
    limits="As fine as its superpixels, and it depends on them and on what fills those that are hidden.",
)
@without_inference_mode
def kernel_shap(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    segments: int | Tensor | None = None,
    samples: int = 1000,
    fill: Fill | Literal["segments"] = "segments",
    output: Output = "probability",
    seed: int = 0,
    batch_size: int = 32,
) -> Run[Surrogate]:
    """Kernel SHAP: Shapley values of the segments, exact where all coalitions fit into the samples.

    Where they do, those of the largest weight come first. Else the sizes of coalitions are drawn by their weight, and
    each coalition is followed by its complement.

    Parameters
    ----------
    model, x, target, segments, fill, output, batch_size
        As for :func:`lime`.
    samples : int, default 1000
        The most coalitions per image, at least 2: all 2^S of up to 9 segments.
    seed : int, default 0
        Of the coalitions, drawn on the CPU and anew for each image.

    Returns
    -------
    Run of Surrogate
        One snapshot a batch. In each, and up to rounding, the values of an image add up to f(x) - f(fill), and its
        intercept is f(fill).

    Raises
    ------
    ValueError
        For segments that do not fit the images, or fewer than two samples.
    ImportError
        Without scikit-image, if superpixels have to be made.
    """
    samples, seed = _check_samples(samples), check_seed(seed)

    def draw(size: int) -> tuple[Tensor, Tensor]:
        inner, weights = all_coalitions(size) if 2**size <= samples else _pairs(size, samples - 2, seed)
        ends = torch.tensor([1.0, 0.0], dtype=torch.float64, device="cpu")[:, None].expand(2, size)
        # The ends are met exactly, by the constraint: they need no weight.
        return torch.cat([ends, inner]), torch.cat([weights.new_zeros(2), weights])

    def fit(shown: Tensor, weights: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        # Around equal shares, in the space of what adds up to 0, the constraint is no constraint.
        whole, nothing = outputs[0], outputs[1]
        size = shown.shape[1]
        equal = (whole - nothing) / size
        root = weights.sqrt()[:, None]
        rows = root * (shown - shown.mean(1, keepdim=True))
        rest = least_squares(rows, root[:, 0] * (outputs - nothing - equal * shown.sum(1)))
        return equal + rest, nothing

    # The first batch has both ends.
    return _explain("kernel SHAP", model, x, target, segments, fill, output, batch_size, draw, fit, first=2)


def least_squares(rows: Tensor, wanted: Tensor) -> Tensor:
    """The smallest of the vectors for which ``rows @ vector`` is nearest to ``wanted``; zeros for no rows."""
    if not bool(rows.any()):
        return rows.new_zeros(rows.shape[1])
    return torch.linalg.lstsq(rows, wanted[:, None], driver="gelsd").solution[:, 0]


def all_coalitions(size: int) -> tuple[Tensor, Tensor]:
    """All coalitions of S segments but none and all of them, (2^S - 2, S), and their Shapley kernel weights."""
    numbers = torch.arange(1, 2**size - 1, device="cpu")
    shown = (numbers[:, None] >> torch.arange(size, device="cpu")) & 1
    number = shown.sum(1)
    table = [0.0] + [(size - 1) / (math.comb(size, k) * k * (size - k)) for k in range(1, size)]
    weights = torch.tensor(table, dtype=torch.float64, device="cpu")[number]
    order = weights.argsort(descending=True, stable=True)
    return shown[order].double(), weights[order]


def _pairs(size: int, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Coalitions drawn by their Shapley kernel weight, each followed by its complement; all of weight 1."""
    generator = torch.Generator().manual_seed(seed)
    at = torch.arange(1, size, dtype=torch.float64, device="cpu")
    # Of a size k there are binom(S, k): the weight of all of them is what is left of the kernel.
    sizes = 1 / (at * (size - at))
    pairs = count // 2
    number = torch.multinomial(sizes, pairs, replacement=True, generator=generator) + 1 if pairs else at[:0]
    ranks = torch.rand((pairs, size), generator=generator, device="cpu").argsort(1).argsort(1)
    shown = (ranks < number[:, None]).double()
    return torch.stack([shown, 1 - shown], 1).flatten(0, 1), shown.new_ones(2 * pairs)


def _explain(
    name: str,
    model: ImageModel,
    x: Any,
    target: Target,
    segments: Any,
    fill: Fill | Literal["segments"],
    output: Output,
    batch_size: int,
    draw: Draw,
    fit: Fit,
    first: int = 1,
) -> Run[Surrogate]:
    """The run of either: coalitions batch by batch, ``first`` of them at least, and a fit to those so far."""
    x, target = prepare(model, x, target)
    batch_size = check_batch_size(batch_size)
    labels = as_segments(segments, x)
    hidden = segment_means(x, labels) if isinstance(fill, str) and fill == "segments" else fill_image(fill, x)
    outputs = Outputs(model, x.shape, batch_size, output)
    sizes = counts(labels)
    step = max(first, batch_size)
    drawn = {size: draw(size) for size in set(sizes)}
    points = [(n, at) for n in range(len(x)) for at in range(0, len(drawn[sizes[n]][0]), step)]

    def learn() -> Iterator[Surrogate]:
        values, coalitions = x.new_zeros(len(x), max(sizes)), torch.zeros_like(target)
        intercepts, fits = x.new_zeros(len(x)), x.new_full((len(x),), torch.nan)
        said: list[Tensor] = []
        for n, at in points:
            shown, weights = drawn[sizes[n]]
            masks = shown[at : at + step].to(x.device, x.dtype)[:, labels[n]]
            made = outputs.masked(x[n], hidden[n], masks)[:, target[n]]
            said = [*(said if at else []), made.cpu().double()]
            answers = torch.cat(said)
            until = len(answers)
            if _constant(answers):
                # A fit would find how the network rounds.
                vector, intercept = answers.new_zeros(sizes[n]), answers[0]
            else:
                vector, intercept = fit(shown[:until], weights[:until], answers)
            values[n, : sizes[n]], intercepts[n], coalitions[n] = vector.to(x), intercept, until
            fits[n] = _explained(weights[:until], answers, shown[:until] @ vector + intercept)
            yield Surrogate(
                labels,
                values.clone(),
                intercepts.clone(),
                fits.clone(),
                coalitions.clone(),
                value_name(model, output),
            )

    return Run(learn(), total=len(points), name=name)


def _check_samples(samples: int) -> int:
    return integer(samples, "samples", low=2, high=MOST_SAMPLES)


def _constant(outputs: Tensor) -> bool:
    """Whether outputs of single precision differ by no more than its rounding."""
    return bool(outputs.max() - outputs.min() <= 4 * torch.finfo(torch.float32).eps * outputs.abs().max())


def _explained(weights: Tensor, outputs: Tensor, fitted: Tensor) -> float:
    """Weighted R^2; NaN where there is nothing to explain."""
    mean = (weights @ outputs) / weights.sum()
    spread = weights @ (outputs - mean) ** 2
    return float(1 - (weights @ (outputs - fitted) ** 2) / spread) if spread > 0 else math.nan
