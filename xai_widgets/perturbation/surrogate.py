"""Linear surrogates: the contribution of each segment of an image to the score, by a linear model of many coalitions.

A coalition z in {0, 1}^S shows some of the S segments and fills the others; f(z) is the output of the network for it.

LIME, Ribeiro et al. 2016 (equations 1 and 2, with the parameters of their code): coalitions show each segment with
probability 1/2, the first shows all,

    pi(z) = exp(-D(z)^2 / (2 width^2)),   D(z) = 1 - sqrt(|z| / S), the cosine distance to the whole image
    minimize over w, w_0   sum_z pi(z) (f(z) - w_0 - w z)^2 + ridge |w|^2

Kernel SHAP, Lundberg and Lee 2017 (theorem 2):

    pi(z) = (S - 1) / (binom(S, |z|) |z| (S - |z|))
    minimize over phi   sum_z pi(z) (f(z) - f(0) - phi z)^2   with   sum phi = f(1) - f(0)

whose solution over all coalitions consists of the Shapley values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from xai_widgets.core.cost import affordable
from xai_widgets.core.model import ImageModel, Target, check_model, prepare
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import integer, number
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.methods import Cost, run_method
from xai_widgets.ops.fill import Fill, fill_image
from xai_widgets.perturbation.masking import MOST_SAMPLES, MaskedOutputs, Output, value_name
from xai_widgets.perturbation.segments import as_segments, paint, segment_counts, segment_means

#: Draws coalitions (K, S) and their weights (K,) for S segments.
Draw = Callable[[int], tuple[Tensor, Tensor]]

#: Fits coefficients (S,) and an intercept to coalitions, weights and outputs, float64 on the CPU.
Fit = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, repr=False)
class Surrogate(ShortRepr):
    """Linear model of the segments of each image, fitted to the coalitions so far.

    Attributes
    ----------
    segments : Tensor, (N, H, W)
        Labels 0, 1, ... of the segments.
    values : Tensor, (N, S)
        Contribution of each segment to the output; S is the largest number of segments. 0 beyond the segments of an
        image, and for images that have not started.
    intercepts : Tensor, (N,)
        Output of the model where all segments are hidden.
    fits : Tensor, (N,)
        Weighted R^2 of the model, at most 1; NaN where the outputs do not vary yet.
    coalitions : Tensor, (N,)
        Number of coalitions.
    value_name : {"probability", "score"}
        Kind of the output; a network without probabilities has only scores.
    """

    segments: Tensor
    values: Tensor
    intercepts: Tensor
    fits: Tensor
    coalitions: Tensor
    value_name: str = "probability"

    def saliency(self) -> Tensor:
        """Return the value of the segment of each pixel, (N, H, W), signed."""
        return paint(self.values, self.segments)


@run_method(
    title="LIME",
    source="Ribeiro et al. 2016",
    formula="w of the linear model w_0 + w z of f(z), segments z shown or not, weighted by nearness to all shown",
    cost=Cost(0, 0, "samples", 1, 0),
    limits="As fine as its superpixels, and depends on them and on the fill.",
    quick={"samples": 16},
    signed=True,
)
@without_inference_mode
def lime(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    segments: int | Tensor | None = None,
    samples: int | None = None,
    width: float = 0.25,
    ridge: float = 1.0,
    fill: Fill | Literal["segments"] = "segments",
    output: Output = "probability",
    seed: int = 0,
    batch_size: int | None = None,
) -> Run[Surrogate]:
    """Fit a ridge regression on the segments that weights coalitions by their similarity to the whole image (LIME).

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    target : int, str, callable, sequence or Tensor, optional
        The class or a target (see :mod:`xai_widgets.targets`), or one per image. Default: the predicted class.
    segments : int or Tensor, optional
        Approximate number of superpixels, or your own labels (H, W) or (N, H, W). Default: 50.
    samples : int, optional
        Coalitions per image. Default: 1000; for a network whose passes are expensive as many as fit the budget of
        :mod:`xai_widgets.core.cost`, at least 512.
    width : float, default 0.25
        Width of the kernel, in units of the cosine distance, which ranges from 0 to 1.
    ridge : float, default 1.0
        Weight of the penalty |w|^2, at least 0.
    fill : {"segments", "gray", "mean", "blur", "black", "noise"}, float or Tensor, default "segments"
        Fill of a hidden segment: its own mean color, 0.5, the mean color of the image, the blurred image, a gray
        value, an image, or one per image.
    output : {"probability", "score"}, default "probability"
        After or before the activation of the network; networks without probabilities have only scores.
    seed : int, default 0
        Seed of the coalitions, which are drawn on the CPU and are the same for images with as many segments.
    batch_size : int, optional
        Coalitions per pass, and per snapshot. Default: those of the best throughput, and snapshots of 32.

    Returns
    -------
    Run of Surrogate
        One snapshot per batch.

    Raises
    ------
    ValueError
        For segments that do not fit the images, or samples, width or ridge out of range.
    ImportError
        Without scikit-image, if superpixels are needed.
    """
    width, ridge = number(width, "width", above=0), number(ridge, "ridge", low=0)
    samples, seed = _check_samples(model, samples), check_seed(seed)

    def draw(size: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        shown = (torch.rand((samples, size), generator=generator, device="cpu") < 0.5).double()
        shown[0] = 1
        distance = 1 - (shown.mean(1)).sqrt()
        return shown, torch.exp(-(distance**2) / (2 * width**2))

    def fit(shown: Tensor, weights: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        share = weights / weights.sum()
        center, mean = share @ shown, share @ outputs
        root = weights.sqrt()[:, None]
        # The ridge is added as rows of the least squares problem; it does not penalize the intercept.
        rows = torch.cat([root * (shown - center), ridge**0.5 * torch.eye(len(center), dtype=shown.dtype)])
        targets = torch.cat([root[:, 0] * (outputs - mean), outputs.new_zeros(len(center))])
        values = least_squares(rows, targets)
        return values, mean - center @ values

    return _explain("LIME", model, x, target, segments, fill, output, batch_size, draw, fit)


@run_method(
    title="Kernel SHAP",
    source="Lundberg and Lee 2017",
    formula="phi of f(0) + phi z fitted to f(z) with Shapley weights, segments z shown or not",
    cost=Cost(0, 0, "samples", 1, 0),
    guarantees="its segments sum to f(all shown) - f(none shown)",
    limits="As fine as its superpixels, and depends on them and on the fill.",
    quick={"samples": 16},
    signed=True,
)
@without_inference_mode
def kernel_shap(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    segments: int | Tensor | None = None,
    samples: int | None = None,
    fill: Fill | Literal["segments"] = "segments",
    output: Output = "probability",
    seed: int = 0,
    batch_size: int | None = None,
) -> Run[Surrogate]:
    """Estimate Shapley values of the segments (Kernel SHAP), exactly if the samples suffice for all coalitions.

    If they do, coalitions are evaluated by descending weight. Otherwise the sizes of coalitions are drawn in proportion
    to their weight, and each coalition is followed by its complement.

    Parameters
    ----------
    model, x, target, segments, fill, output, batch_size
        As for :func:`lime`.
    samples : int, optional
        Maximum number of coalitions per image, at least 2. Default: as for :func:`lime`, which suffices for all 2^S of
        up to 9 segments.
    seed : int, default 0
        Seed of the coalitions, which are drawn on the CPU and are the same for images with as many segments.

    Returns
    -------
    Run of Surrogate
        One snapshot per batch. In each, up to rounding, the values of an image sum to f(x) - f(fill), and its
        intercept is f(fill).

    Raises
    ------
    ValueError
        For segments that do not fit the images, or fewer than two samples.
    ImportError
        Without scikit-image, if superpixels are needed.
    """
    samples, seed = _check_samples(model, samples), check_seed(seed)

    def draw(size: int) -> tuple[Tensor, Tensor]:
        inner, weights = all_coalitions(size) if 2**size <= samples else _pairs(size, samples - 2, seed)
        ends = torch.tensor([1.0, 0.0], dtype=torch.float64, device="cpu")[:, None].expand(2, size)
        # The constraint fits both ends exactly, so their weights have no effect.
        return torch.cat([ends, inner]), torch.cat([weights.new_zeros(2), weights])

    def fit(shown: Tensor, weights: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        # Deviations from equal values that sum to 0 satisfy the constraint, so the fit for them is unconstrained.
        whole, nothing = outputs[0], outputs[1]
        size = shown.shape[1]
        equal = (whole - nothing) / size
        root = weights.sqrt()[:, None]
        rows = root * (shown - shown.mean(1, keepdim=True))
        deviation = least_squares(rows, root[:, 0] * (outputs - nothing - equal * shown.sum(1)))
        return equal + deviation, nothing

    # The first batch must hold both ends.
    return _explain("kernel SHAP", model, x, target, segments, fill, output, batch_size, draw, fit, first=2)


def least_squares(rows: Tensor, targets: Tensor) -> Tensor:
    """Return the least squares solution of ``rows @ vector = targets`` with the smallest norm."""
    if not bool(rows.any()):
        return rows.new_zeros(rows.shape[1])
    return torch.linalg.lstsq(rows, targets[:, None], driver="gelsd").solution[:, 0]


def all_coalitions(size: int) -> tuple[Tensor, Tensor]:
    """Return all coalitions of S segments except the empty and the full one, (2^S - 2, S), and their kernel weights."""
    numbers = torch.arange(1, 2**size - 1, device="cpu")
    shown = (numbers[:, None] >> torch.arange(size, device="cpu")) & 1
    number = shown.sum(1)
    table = [0.0] + [(size - 1) / (math.comb(size, k) * k * (size - k)) for k in range(1, size)]
    weights = torch.tensor(table, dtype=torch.float64, device="cpu")[number]
    order = weights.argsort(descending=True, stable=True)
    return shown[order].double(), weights[order]


def _pairs(size: int, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw coalitions in proportion to their Shapley kernel weight, each followed by its complement, with weights 1."""
    generator = torch.Generator().manual_seed(seed)
    k = torch.arange(1, size, dtype=torch.float64, device="cpu")
    # The total weight of the binom(S, k) coalitions of size k, up to a factor.
    weights = 1 / (k * (size - k))
    pairs = count // 2
    number = torch.multinomial(weights, pairs, replacement=True, generator=generator) + 1 if pairs else k[:0]
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
    batch_size: int | None,
    draw: Draw,
    fit: Fit,
    first: int = 1,
) -> Run[Surrogate]:
    """Return a run that evaluates coalitions batch by batch, at least ``first`` in each, and fits those so far."""
    model, x, target = prepare(model, x, target)
    labels = as_segments(segments, x)
    hidden = segment_means(x, labels) if isinstance(fill, str) and fill == "segments" else fill_image(fill, x)
    outputs = MaskedOutputs(model, x.shape, batch_size, output)
    sizes = segment_counts(labels)
    step = max(first, outputs.step)
    drawn = {size: draw(size) for size in set(sizes)}
    batches = [(n, start) for n in range(len(x)) for start in range(0, len(drawn[sizes[n]][0]), step)]

    def learn() -> Iterator[Surrogate]:
        # Values, intercept, fit and number of coalitions of each image: fitted on the CPU, and moved at once.
        table = torch.zeros(len(x), max(sizes) + 3, dtype=x.dtype, device="cpu")
        table[:, -2] = torch.nan
        moved = {size: shown.bool().to(x.device) for size, (shown, _) in drawn.items()}
        evaluated, classes = list[Tensor](), target.tolist()
        for n, start in batches:
            shown, weights = drawn[sizes[n]]
            masks = moved[sizes[n]][start : start + step].to(x.dtype)[:, labels[n]]
            (batch,) = outputs.checks.read(outputs.masked(x[n], hidden[n], masks)[:, classes[n]])
            evaluated = [*(evaluated if start else []), torch.tensor(batch, dtype=torch.float64)]
            observed = torch.cat(evaluated)
            end = len(observed)
            if _constant(observed):
                # A fit would explain rounding errors.
                vector, intercept = observed.new_zeros(sizes[n]), observed[0]
            else:
                vector, intercept = fit(shown[:end], weights[:end], observed)
            fitted = _r_squared(weights[:end], observed, shown[:end] @ vector + intercept)
            table[n, : sizes[n]] = vector
            table[n, -3], table[n, -2], table[n, -1] = intercept, fitted, end
            found = table.to(x.device, copy=True)
            intercepts, fits, coalitions = found[:, -3:].unbind(1)
            yield Surrogate(
                labels, found[:, :-3], intercepts, fits, coalitions.long(), value_name(model, output)
            )

    return Run(learn(), total=len(batches), name=name)


def _check_samples(model: ImageModel, samples: int | None) -> int:
    if samples is None:
        check_model(model)
        return affordable(model, model.size, least=512, most=1000)
    return integer(samples, "samples", low=2, high=MOST_SAMPLES)


def _constant(outputs: Tensor) -> bool:
    """Return whether outputs of single precision differ only by rounding."""
    return bool(outputs.max() - outputs.min() <= 4 * torch.finfo(torch.float32).eps * outputs.abs().max())


def _r_squared(weights: Tensor, outputs: Tensor, fitted: Tensor) -> float:
    """Return the weighted R^2; NaN if the outputs do not vary."""
    mean = (weights @ outputs) / weights.sum()
    variance = weights @ (outputs - mean) ** 2
    return float(1 - (weights @ (outputs - fitted) ** 2) / variance) if variance > 0 else math.nan
