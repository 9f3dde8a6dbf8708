"""Prediction difference: how much the evidence for a class falls when a patch is drawn anew from what is around it.

Zintgraf et al. 2017 (equations 2 to 4); Liao's thesis, 2.2.2. For each patch w of k x k pixels, in a window of l x l
around it, with the class c:

    p(c | x without w) = mean of p(c | x with w ~ p(w | rest of the window))                           (2, 5)
    WE_w = log2 odds(c | x) - log2 odds(c | x without w),   odds = p / (1 - p)                          (3)
    p <- (p n + 1) / (n + K)   for n training images and K classes (2 for a sigmoid), so that no odds are infinite

w and the rest of its window are jointly normal, the same wherever the window is. A pixel has the mean evidence of the
patches that hold it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import integer
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.methods import Cost, run_method
from xai_widgets.perturbation.masking import MOST_SAMPLES, Outputs, check_probabilities

#: Windows from which the normal distribution is estimated, at most.
WINDOWS = 10_000

#: How much of the variance of pixels is added to each, so that windows fewer than their pixels will do.
SHRINKAGE = 1e-3


@dataclass(frozen=True)
class Difference:
    """Evidence that falls with each patch, as far as it is computed.

    Attributes
    ----------
    map : Tensor, (N, H, W)
        Mean over the patches that hold a pixel, in bits; 0 where there was none yet.
    evidence : Tensor, (N, rows, columns)
        Weight of evidence of each patch, in bits; NaN where it is not computed yet.
    """

    map: Tensor
    evidence: Tensor

    def saliency(self) -> Tensor:
        """The map, (N, H, W), signed; positive where the pixels speak for the class."""
        return self.map


class Patches:
    """Patches of images, conditionally on what is around them, as one normal distribution of windows.

    Parameters
    ----------
    references : Tensor, (M, C, H, W)
        Images whose windows are taken.
    patch : int
        k.
    surround : int
        Pixels on each side of the patch that belong to its window, l = k + 2 surround.
    generator : torch.Generator
        On the CPU; draws the windows, if there are more than are needed, and the patches.
    """

    def __init__(self, references: Tensor, patch: int, surround: int, generator: torch.Generator) -> None:
        self.patch, self.surround, self.generator = patch, surround, generator
        self.channels, self.extent = references.shape[1], patch + 2 * surround
        # Small systems in double precision, which not every device has.
        at = [side - self.extent + 1 for side in references.shape[2:]]
        total = len(references) * at[0] * at[1]
        some = torch.randperm(total, generator=generator, device="cpu")[:WINDOWS]
        windows = references.cpu().unfold(2, self.extent, 1).unfold(3, self.extent, 1)
        image, place = some // (at[0] * at[1]), some % (at[0] * at[1])
        rows = windows[image, :, place // at[1], place % at[1]].flatten(1).double()
        self.mean = rows.mean(0)
        centered = rows - self.mean
        self.covariance = centered.T @ centered / max(1, len(rows) - 1)
        variance = self.covariance.diagonal().mean()
        self.covariance.diagonal().add_(SHRINKAGE * variance + 1e-8)
        self.conditional = cache(self._conditional)

    def _conditional(self, row: int, column: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of a patch at this place of its window: its pixels, the others, the regression, the root of the rest."""
        inside = torch.zeros(self.channels, self.extent, self.extent, dtype=torch.bool, device="cpu")
        inside[:, row : row + self.patch, column : column + self.patch] = True
        own, others = (part.flatten().nonzero()[:, 0] for part in (inside, ~inside))
        across = self.covariance[others[:, None], own]
        regression = torch.linalg.solve(self.covariance[others[:, None], others], across).T
        rest = self.covariance[own[:, None], own] - regression @ across
        return own, others, regression, torch.linalg.cholesky((rest + rest.T) / 2)

    def draw(self, image: Tensor, row: int, column: int, count: int) -> Tensor:
        """Patches (count, C, k, k) in place of the one at (row, column) of an image (C, H, W) on the CPU.

        Pixels that the normal distribution takes beyond [0, 1] are brought back to it.
        """
        # At a border the window is moved inwards, and the patch is no longer in its middle.
        top, left = (
            min(max(0, place - self.surround), side - self.extent)
            for place, side in zip((row, column), image.shape[1:], strict=True)
        )
        own, others, regression, root = self.conditional(row - top, column - left)
        window = image[:, top : top + self.extent, left : left + self.extent].flatten().double()
        mean = self.mean[own] + regression @ (window[others] - self.mean[others])
        noise = torch.randn((count, len(own)), generator=self.generator, dtype=torch.float64, device="cpu")
        drawn = (mean + noise @ root.T).clamp(0, 1).float()
        return drawn.view(count, self.channels, self.patch, self.patch)


def evidence(probability: Tensor, classes: int, trained: int) -> Tensor:
    """log2 odds of probabilities, corrected by Laplace for so many training images: bits."""
    corrected = (probability.double() * trained + 1) / (trained + classes)
    return torch.log2(corrected / (1 - corrected)).to(probability.dtype)


@run_method(
    title="Prediction difference",
    source="Zintgraf et al. 2017",
    formula="log2 odds(c given x) - log2 odds(c given x without a patch), the patch drawn anew from its window",
    cost=Cost(1, 0, "samples of each patch", 1, 0),
    limits="Small patches hardly change what a network says; patches are drawn as if pixels were jointly normal.",
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
    samples: int = 10,
    references: Any = None,
    trained: int = 100_000,
    seed: int = 0,
    batch_size: int = 32,
) -> Run[Difference]:
    """Draw each patch anew from what is around it, and measure how much evidence for the class is lost.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    target : int, str, sequence or Tensor, optional
        The class, or one per image. Default: the predicted class.
    patch : int, optional
        k, in pixels. Default: 1/14 of the short side, 16 at 224; the source has 10 at 224.
    surround : int, optional
        Pixels around a patch that it depends on, at least 1; l = k + 2 surround. Default: 1/112 of the short side, at
        least 1: 2 at 224, as in the source.
    stride : int, optional
        Step in pixels, at most ``patch``. Default: half the patch; the source has 1. With the defaults that is 729
        patches at 224 pixels, and ten times as many passes.
    samples : int, default 10
        Draws of each patch.
    references
        Images of any kind, from whose windows the normal distribution is estimated, best those that the network was
        trained with: a few dozen. Default: the images themselves.
    trained : int, default 100000
        n, how many images the network was trained with; bounds the odds.
    seed : int, default 0
        Of all draws, which are made on the CPU, anew for each image.
    batch_size : int, default 32
        Images per pass.

    Returns
    -------
    Run of Difference
        One snapshot for as many patches as fill a batch, at least one.

    Raises
    ------
    ValueError
        For patches and surroundings that do not fit the image, a stride that leaves pixels out, numbers below 1, or a
        network without probabilities.
    """
    x, target = prepare(model, x, target)
    check_probabilities(model, "prediction_difference", "occlusion")
    # A sigmoid is one of two: the class, or not.
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
    stride = (
        (patch + 1) // 2 if stride is None else integer(stride, "stride", low=1, high=patch, hint=covering)
    )
    samples, trained = (
        integer(samples, "samples", low=1, high=MOST_SAMPLES),
        integer(trained, "trained", low=1),
    )
    seed, batch_size = check_seed(seed), check_batch_size(batch_size)
    known = x if references is None else model.images(references)
    outputs = Outputs(model, x.shape, batch_size, "probability")
    # The last patch is moved inwards, so that all are whole.
    starts = [[*range(0, side - patch, stride), side - patch] for side in x.shape[2:]]
    places = [(row, column) for row in starts[0] for column in starts[1]]
    group = max(1, batch_size // samples)
    points = [(n, at) for n in range(len(x)) for at in range(0, len(places), group)]

    def compare() -> Iterator[Difference]:
        generator = torch.Generator().manual_seed(seed)
        patches = Patches(known, patch, surround, generator)
        whole = evidence(outputs.of(x).gather(1, target[:, None])[:, 0], classes, trained)
        table = x.new_full((len(x), len(places)), torch.nan)
        total, cover = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0])
        for n, at in points:
            if at == 0:
                generator.manual_seed(seed)
                pixels = x[n].cpu()
            some = places[at : at + group]
            drawn = x[n].repeat(len(some), samples, 1, 1, 1)
            for shown, (row, column) in zip(drawn, some, strict=True):
                shown[..., row : row + patch, column : column + patch] = patches.draw(
                    pixels, row, column, samples
                ).to(x.device)
            probs = outputs.of(drawn.flatten(0, 1))[:, target[n]].view(-1, samples).mean(1)
            lost = whole[n] - evidence(probs, classes, trained)
            table[n, at : at + group] = lost
            for (row, column), bits in zip(some, lost, strict=True):
                total[n, row : row + patch, column : column + patch] += bits
                cover[n, row : row + patch, column : column + patch] += 1
            shape = (len(x), len(starts[0]), len(starts[1]))
            yield Difference(total / cover.clamp(min=1), table.view(shape).clone())

    return Run(compare(), total=len(points), name="prediction difference")
