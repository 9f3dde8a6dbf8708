"""Prediction difference: the evidence for a class that is lost if a patch is sampled from its surroundings.

Zintgraf et al. 2017, equations 2 to 4; Liao, "Uncovering What Network Sees by Noise Covering", 2018, section 2.2.2. For
each patch w of k x k pixels, in a window of l x l around it, with the class c:

    p(c | x without w) = mean of p(c | x with w ~ p(w | rest of the window))                           (2, 5)
    WE_w = log2 odds(c | x) - log2 odds(c | x without w),   odds = p / (1 - p)                          (3)
    p <- (p n + 1) / (n + K)   for n training images and K classes (2 for a sigmoid), so that no odds are infinite

w and the rest of its window are assumed jointly normal, with the same distribution at every position. The map at a
pixel is the mean evidence of the patches that contain it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.cost import affordable
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.precision import double
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import integer
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.methods import Cost, run_method
from xai_widgets.perturbation.masking import MOST_SAMPLES, MaskedOutputs, check_probabilities

#: Default number of samples of a patch.
SAMPLES = 10

#: Maximum number of windows from which the normal distribution is estimated.
WINDOWS = 10_000

#: Share of the mean variance that is added to the variance of each pixel, so that there may be fewer windows than
#: pixels in a window.
SHRINKAGE = 1e-3


@dataclass(frozen=True, repr=False)
class Difference(ShortRepr):
    """Evidence lost with each patch so far.

    Attributes
    ----------
    map : Tensor, (N, H, W)
        Mean over the patches that contain a pixel, in bits; 0 where none is computed yet.
    evidence : Tensor, (N, rows, columns)
        Weight of evidence of each patch, in bits; NaN where none is computed yet.
    """

    map: Tensor
    evidence: Tensor

    def saliency(self) -> Tensor:
        """Return the map, (N, H, W), signed; positive where the pixels are evidence for the class."""
        return self.map


class ConditionalPatches:
    """Normal distribution of image windows, from which patches are drawn conditionally on the rest of a window.

    Parameters
    ----------
    references : Tensor, (M, C, H, W)
        Images from whose windows the distribution is estimated.
    patch : int
        k, side of a patch in pixels.
    surround : int
        Pixels of a window on each side of the patch, l = k + 2 surround.
    generator : torch.Generator
        CPU generator of the patches, and of the choice of windows if there are too many.
    """

    def __init__(self, references: Tensor, patch: int, surround: int, generator: torch.Generator) -> None:
        self.patch, self.surround, self.generator = patch, surround, generator
        self.channels, self.extent = references.shape[1], patch + 2 * surround
        # Small linear systems, in double precision, which not every device supports.
        down, right = (side - self.extent + 1 for side in references.shape[2:])
        total = len(references) * down * right
        chosen = torch.randperm(total, generator=generator, device="cpu")[:WINDOWS]
        windows = references.cpu().unfold(2, self.extent, 1).unfold(3, self.extent, 1)
        image, position = chosen // (down * right), chosen % (down * right)
        rows = windows[image, :, position // right, position % right].flatten(1).double()
        self.mean = rows.mean(0)
        centered = rows - self.mean
        self.covariance = centered.T @ centered / max(1, len(rows) - 1)
        variance = self.covariance.diagonal().mean()
        self.covariance.diagonal().add_(SHRINKAGE * variance + 1e-8)
        self.conditional = cache(self._conditional)

    def _conditional(self, row: int, column: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the conditional distribution of a patch at this position in its window.

        These are the indices of its pixels and of the other pixels of the window, the regression of the first on the
        second, and the Cholesky factor of the conditional covariance.
        """
        inside = torch.zeros(self.channels, self.extent, self.extent, dtype=torch.bool, device="cpu")
        inside[:, row : row + self.patch, column : column + self.patch] = True
        own, others = (part.flatten().nonzero()[:, 0] for part in (inside, ~inside))
        across = self.covariance[others[:, None], own]
        regression = torch.linalg.solve(self.covariance[others[:, None], others], across).T
        conditional = self.covariance[own[:, None], own] - regression @ across
        return own, others, regression, torch.linalg.cholesky((conditional + conditional.T) / 2)

    def draw(self, image: Tensor, row: int, column: int, count: int) -> Tensor:
        """Draw patches (count, C, k, k) to replace the one at (row, column) of an image (C, H, W) on the CPU.

        Pixels are clamped to [0, 1].
        """
        # At a border the window is moved inwards, so that the patch is not in its middle.
        top, left = (
            min(max(0, start - self.surround), side - self.extent)
            for start, side in zip((row, column), image.shape[1:], strict=True)
        )
        own, others, regression, root = self.conditional(row - top, column - left)
        window = image[:, top : top + self.extent, left : left + self.extent].flatten().double()
        mean = self.mean[own] + regression @ (window[others] - self.mean[others])
        noise = torch.randn((count, len(own)), generator=self.generator, dtype=torch.float64, device="cpu")
        drawn = (mean + noise @ root.T).clamp(0, 1).float()
        return drawn.view(count, self.channels, self.patch, self.patch)


def evidence(probability: Tensor, classes: int, trained: int) -> Tensor:
    """Return the log2 odds of probabilities, in bits, with Laplace's correction for ``trained`` training images."""
    corrected = (double(probability) * trained + 1) / (trained + classes)
    return torch.log2(corrected / (1 - corrected)).to(probability)


@run_method(
    title="Prediction difference",
    source="Zintgraf et al. 2017",
    formula="log2 odds(c given x) - log2 odds(c given x without a patch), the patch sampled from its window",
    cost=Cost(1, 0, "samples of each patch", 1, 0),
    limits="Small patches hardly change the output of a network; patches are drawn as if pixels were jointly normal.",
    quick={"samples": 2},
    signed=True,
)
@without_inference_mode
def prediction_difference(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    patch: int | None = None,
    surround: int | None = None,
    stride: int | None = None,
    samples: int | None = None,
    references: Any = None,
    trained: int = 100_000,
    seed: int = 0,
    batch_size: int | None = None,
) -> Run[Difference]:
    """Sample each patch from its surroundings, and measure how much evidence for the class is lost.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    target : int, str, callable, sequence or Tensor, optional
        The class or a target (see :mod:`xai_widgets.targets`), or one per image. Default: the predicted class.
    patch : int, optional
        k, in pixels. Default: 1/14 of the short side, 16 at 224; the paper uses 10 at 224.
    surround : int, optional
        Pixels of the window on each side of a patch, at least 1; l = k + 2 surround. Default: 1/112 of the short side,
        2 at 224 as in the paper.
    stride : int, optional
        Step in pixels, at most ``patch``. Default: half the patch, which makes 729 patches at 224 pixels, or the whole
        patch if ten passes for each of these exceed the budget of :mod:`xai_widgets.core.cost`; the paper uses 1.
    samples : int, optional
        Samples of each patch. Default: 10 as in the paper, or as many as fit the budget, at least 4.
    references
        Images of any kind, from whose windows the normal distribution is estimated, preferably a few dozen training
        images. Default: the images themselves.
    trained : int, default 100000
        n, the number of training images; bounds the odds.
    seed : int, default 0
        Seed of the samples, which are drawn on the CPU; it is reset for each image.
    batch_size : int, optional
        Images per pass, and per snapshot. Default: those of the best throughput, and snapshots of 32.

    Returns
    -------
    Run of Difference
        One snapshot for each batch, which holds at least one patch.

    Raises
    ------
    ValueError
        For patches and surroundings that do not fit the image, a stride that leaves pixels uncovered, numbers below 1,
        or a network without probabilities.
    """
    model, x, target = prepare(model, x, target)
    check_probabilities(model, "prediction_difference", "occlusion")
    # A sigmoid has two outcomes: the class, or not.
    classes = len(model.labels) if model.activation == "softmax" else 2
    short = min(x.shape[2:])
    patch = max(1, round(short / 14)) if patch is None else integer(patch, "patch", low=1)
    surround = max(1, round(short / 112)) if surround is None else integer(surround, "surround", low=1)
    if patch + 2 * surround > short:
        raise ValueError(
            f"expected patch + 2 surround of at most {short} pixels, the short side, got patch {patch} and surround "
            f"{surround}"
        )
    covering = "patches have to cover every pixel"
    if samples is not None:
        samples = integer(samples, "samples", low=1, high=MOST_SAMPLES)
    passes = affordable(model, x.shape[2:], least=1, most=MOST_SAMPLES) if None in (stride, samples) else 0
    if stride is None:
        half = (patch + 1) // 2
        times = SAMPLES if samples is None else samples
        stride = half if times * len(_corners(x, patch, half)) <= passes else patch
    stride = integer(stride, "stride", low=1, high=patch, hint=covering)
    corners = _corners(x, patch, stride)
    count = max(4, min(SAMPLES, passes // len(corners))) if samples is None else samples
    trained = integer(trained, "trained", low=1)
    seed = check_seed(seed)
    references = x if references is None else model.images(references)
    outputs = MaskedOutputs(model, x.shape, batch_size, "probability")
    shape = (len(x), *(len({corner[axis] for corner in corners}) for axis in (0, 1)))
    group = max(1, outputs.step // count)
    points = [(n, at) for n in range(len(x)) for at in range(0, len(corners), group)]

    def compare() -> Iterator[Difference]:
        generator, labels = torch.Generator().manual_seed(seed), target.tolist()
        patches = ConditionalPatches(references, patch, surround, generator)
        whole = evidence(outputs.of(x).gather(1, target[:, None])[:, 0], classes, trained)
        table = x.new_full((len(x), len(corners)), torch.nan)
        total, cover = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0])
        for n, at in points:
            if at == 0:
                generator.manual_seed(seed)
                pixels = x[n].cpu()
            batch = corners[at : at + group]
            drawn = pixels.repeat(len(batch), count, 1, 1, 1)
            for copies, (row, column) in zip(drawn, batch, strict=True):
                copies[..., row : row + patch, column : column + patch] = patches.draw(
                    pixels, row, column, count
                )
            moved = drawn.flatten(0, 1).to(x.device)
            probs = outputs.of(moved)[:, labels[n]].view(-1, count).mean(1)
            lost = whole[n] - evidence(probs, classes, trained)
            table[n, at : at + group] = lost
            for (row, column), bits in zip(batch, lost, strict=True):
                total[n, row : row + patch, column : column + patch] += bits
                cover[n, row : row + patch, column : column + patch] += 1
            yield Difference(total / cover.clamp(min=1), table.view(shape).clone())

    name = f"prediction difference, {len(corners)} patches, {count} samples each"
    return Run(compare(), total=len(points), name=name)


def _corners(x: Tensor, patch: int, stride: int) -> list[tuple[int, int]]:
    """Return row and column of each patch; the last ones are moved inwards, so that no patch is cut."""
    rows, columns = ([*range(0, side - patch, stride), side - patch] for side in x.shape[2:])
    return [(row, column) for row in rows for column in columns]
