"""RISE: the expected score when a pixel is shown, over thousands of random masks.

Petsiuk, Das and Saenko 2018. Masks m_k are grids of cells, each shown with probability p, upsampled bilinearly and
shifted at random, so that the mean of every pixel of a mask is p. With s_k the score of m_k x:

    map(u) = E[s m(u)] / p,   estimated in the paper by   1/(K p) sum_k s_k m_k(u)

Because E[m(u)] = p is known, the same expectation has an estimate with less noise, which is used here:

    map(u) = 1/((K-1) p) sum_k (s_k - s~) m_k(u) + s~,   s~ = mean of s_k

Both are unbiased. The first includes the noise of the mean of the masks, which exceeds the map where the score hardly
changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.cost import affordable
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.precision import outside_autocast
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import dimensions, integer, integers, number
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.methods import Cost, run_method
from xai_widgets.ops.fill import Fill, fill_image
from xai_widgets.perturbation.masking import MOST_SAMPLES, MaskedOutputs, Output, value_name

#: Default number of masks.
MASKS = 8000
#: Minimum number of masks before convergence is checked: the estimated error of few masks may be small by chance.
LEAST = 256


@dataclass(frozen=True, repr=False)
class Masks(ShortRepr):
    """Random masks, stored as coarse grids: a few bytes each, whatever the size of the image.

    Attributes
    ----------
    grids : Tensor, (K, cells, cells)
        1 for a cell that is shown, 0 for one that is hidden.
    shifts : Tensor, (K, 2)
        Rows and columns that are cropped at the top and left.
    rows, columns : Tensor, (shifts, H, cells) and (shifts, W, cells)
        Weights of the cells in each row and column of the image, for each shift.
    p : float
        Probability that a cell is shown.
    """

    grids: Tensor
    shifts: Tensor
    rows: Tensor
    columns: Tensor
    p: float

    def __len__(self) -> int:
        return len(self.grids)

    def __getitem__(self, some: slice) -> Tensor:
        """Return masks (B, H, W) in [0, 1]."""
        rows, columns = self.rows[self.shifts[some, 0]], self.columns[self.shifts[some, 1]]
        with outside_autocast(rows):
            return rows @ self.grids[some] @ columns.mT

    def at_cells(self, some: slice) -> Tensor:
        """Return the values of masks at the middle of each cell, (B, cells, cells)."""
        middles = []
        for lines, shifts in zip((self.rows, self.columns), self.shifts[some].T, strict=True):
            extent, cells = lines.shape[1:]
            pixels = (torch.arange(cells, device=lines.device) * 2 + 1) * extent // (2 * cells)
            middles.append(lines[:, pixels][shifts])
        with outside_autocast(self.grids):
            return middles[0] @ self.grids[some] @ middles[1].mT

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """Return sum_k weights_k m_k, (H, W), over the first masks, without upsampling any of them.

        Grids of one shift are summed first, so that the cost is that of two small products.
        """
        shifts, cells = len(self.rows), self.grids.shape[1]
        shift = self.shifts[: len(weights), 0] * len(self.columns) + self.shifts[: len(weights), 1]
        sums = self.grids.new_zeros(shifts * len(self.columns), cells, cells)
        sums.index_add_(0, shift, weights[:, None, None] * self.grids[: len(weights)])
        with outside_autocast(sums):
            lines = torch.einsum("yxab,xwb->yaw", sums.view(shifts, -1, cells, cells), self.columns)
            return torch.einsum("yha,yaw->hw", self.rows, lines)


def random_masks(
    size: tuple[int, int], count: int, *, cells: int = 7, p: float = 0.5, seed: int = 0, like: Tensor
) -> Masks:
    """Draw masks on the CPU, the same for every device.

    Parameters
    ----------
    size : (int, int)
        H and W.
    count : int
        K.
    cells : int, default 7
        Cells along each side, at most the pixels along the short side.
    p : float, default 0.5
        Probability that a cell is shown, in (0, 1).
    seed : int, default 0
        Seed of the grids and shifts.
    like : Tensor
        Any tensor on the device of the masks.
    """
    cells = integer(cells, "cells", low=1, high=min(size), hint="the pixels along the short side")
    p, seed = number(p, "p", above=0, below=1), check_seed(seed)
    lines = [_lines(extent, cells) for extent in size]
    generator = torch.Generator().manual_seed(seed)
    # Row by row, so that the first masks do not depend on their number.
    drawn = torch.rand((count, cells * cells + 2), generator=generator, device="cpu")
    grids = (drawn[:, 2:] < p).view(count, cells, cells)
    shifts = (drawn[:, :2] * torch.tensor([len(part) for part in lines], device="cpu")).long()
    rows, columns = (part.to(like.device) for part in lines)
    return Masks(grids.float().to(like.device), shifts.to(like.device), rows, columns, p)


def _lines(extent: int, cells: int) -> Tensor:
    """Return bilinear weights (shifts, extent, cells): cells upsampled to the image and one cell more, then cropped."""
    cell = -(-extent // cells)
    unit = torch.eye(cells, device="cpu")[None]
    weights = F.interpolate(unit, size=(cells + 1) * cell, mode="linear", align_corners=False)[0].T
    return weights.unfold(0, extent, 1)[:cell].mT.contiguous()


@dataclass(frozen=True, repr=False)
class Rise(ShortRepr):
    """Scores of all classes under the masks so far, which give the map of any class.

    Attributes
    ----------
    scores : tuple of Tensor, each (masks so far, classes)
        Scores of each image that has started.
    masks : Masks
        The masks, the same for all images.
    target : Tensor, (N,)
        The requested classes.
    errors : Tensor, (N,)
        Standard error of the map at the middle of the cells (root mean square, without a constant that all pixels
        share), as a share of the range of the map there; NaN for images that have not started, infinite for a constant
        map.
    value_name : {"probability", "score"}
        Kind of the scores; a network without probabilities has only scores.
    """

    scores: tuple[Tensor, ...]
    masks: Masks
    target: Tensor
    errors: Tensor
    value_name: str = "probability"

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.scores[0].shape[1]

    def saliency(self, target: int | Tensor | None = None) -> Tensor:
        """Return the map of a class, (N, H, W), in units of the score; the network does not run.

        Parameters
        ----------
        target : int or Tensor (N,), optional
            Any class index, or one per image. Default: the requested classes.

        Returns
        -------
        Tensor, (N, H, W)
            The expected score where the pixel is shown. 0 for images that have not started.
        """
        classes = self.target.tolist() if target is None else self._indices(target)
        size = (len(self.target), self.masks.rows.shape[1], self.masks.columns.shape[1])
        maps = self.masks.grids.new_zeros(size)
        for n, scores in enumerate(self.scores):
            maps[n] = _map(scores[:, classes[n]], self.masks)
        return maps

    def _indices(self, target: Any) -> list[int]:
        """Return one class index for each image."""
        count, last = len(self.target), self.classes - 1
        if dimensions(target, 0) == 0 and not isinstance(target, list | tuple):
            return [integer(target, "target", low=0, high=last)] * count
        return integers(target, "target", length=count, low=0, high=last)


def _map(scores: Tensor, masks: Masks) -> Tensor:
    mean, count = scores.mean(), max(1, len(scores) - 1)
    return masks.weighted_sum(scores - mean) / (count * masks.p) + mean


def _error(scores: Tensor, cells: Tensor, p: float) -> Tensor:
    """Return the standard error of the map at the cells and its range there, (2,)."""
    if len(scores) < 2:
        return scores.new_zeros(2)
    parts = (scores - scores.mean())[:, None, None] * (cells - p)
    map, error = parts.mean(0), parts.std(0) / len(scores) ** 0.5
    return torch.stack([error.square().mean().sqrt(), map.max() - map.min()])


@run_method(
    title="RISE",
    source="Petsiuk et al. 2018",
    formula="E[p_c(m * x) m] / E[m] over random masks m",
    cost=Cost(0, 0, "masks", 1, 0, note="fewer if the map converges before"),
    guarantees="unbiased: the mean probability of the class where a pixel is shown",
    limits="Noisy: small objects need more masks, and the map is as coarse as their cells.",
    quick={"masks": 16, "cells": 4},
    signed=None,
)
@without_inference_mode
def rise(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    masks: int | None = None,
    cells: int = 7,
    p: float = 0.5,
    tolerance: float = 0.04,
    fill: Fill = 0.0,
    output: Output = "probability",
    seed: int = 0,
    batch_size: int | None = None,
) -> Run[Rise]:
    """Estimate the mean score of random masks that show a pixel (RISE).

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    target : int, str, callable, sequence or Tensor, optional
        The class, or one per image. Default: the predicted class. The result has the maps of all classes, see
        :meth:`Rise.saliency`; their scores take 32 MB per image for 8000 masks and 1000 classes.
    masks : int, optional
        Maximum number of masks per image. Default: 8000; for a network whose passes are expensive as many as fit the
        budget of :mod:`xai_widgets.core.cost`, at least 1000.
    cells : int, default 7
        Cells along each side of a mask.
    p : float, default 0.5
        Probability that a cell is shown.
    tolerance : float, default 0.04
        An image is finished when the standard error of the map of its class, at the middle of the cells, is below this
        share of the range of the map, after at least 256 masks. The default takes 1000 to 2000 masks on the bundled
        networks; 0 uses all masks.
    fill : {"gray", "mean", "blur", "black", "noise"}, float or Tensor, default 0.0
        Fill of the hidden part; 0 is black, as published.
    output : {"probability", "score"}, default "probability"
        After or before the activation of the network; networks without probabilities have only scores.
    seed : int, default 0
        Seed of the masks, which are the same for every image and device.
    batch_size : int, optional
        Masks per pass, and per snapshot. Default: those of the best throughput, and snapshots of 32.

    Returns
    -------
    Run of Rise
        One snapshot per 32 masks, or per batch of the given size.

    Raises
    ------
    ValueError
        For fewer than two masks, more cells than pixels, p outside (0, 1) or a negative tolerance.
    """
    model, x, target = prepare(model, x, target)
    most = affordable(model, x.shape[2:], least=1000, most=MASKS) if masks is None else masks
    masks, tolerance, p = (
        integer(most, "masks", low=2, high=MOST_SAMPLES),
        number(tolerance, "tolerance", low=0),
        number(p, "p", above=0, below=1),
    )
    drawn = random_masks((x.shape[2], x.shape[3]), masks, cells=cells, p=p, seed=seed, like=x)
    hidden = fill_image(fill, x)
    outputs = MaskedOutputs(model, x.shape, batch_size, output)

    def sample() -> Iterator[Rise]:
        finished: list[Tensor] = []
        errors = x.new_full((len(x),), torch.nan)
        middles = drawn.at_cells(slice(None))
        for n, label in enumerate(target.tolist()):
            # The rows of a snapshot are never written to again, so it needs no copy.
            rows = x.new_empty((masks, len(model.labels)))
            for start in range(0, masks, outputs.step):
                batch = outputs.masked(x[n], hidden[n], drawn[start : start + outputs.step])
                end = start + len(batch)
                rows[start:end] = batch
                ((noise, spread),) = outputs.checks.read(_error(rows[:end, label], middles[:end], p))
                errors[n] = error = noise / spread if spread > 0 else torch.inf
                scores = (*finished, rows[:end])
                yield Rise(scores, drawn, target, errors.clone(), value_name(model, output))
                if end >= LEAST and error < tolerance:
                    break
            finished.append(rows[:end])

    return Run(sample(), total=len(x) * -(-masks // outputs.step), name=f"RISE, at most {masks} masks")
