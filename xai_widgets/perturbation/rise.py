"""RISE: which pixels are shown when the score is high, over thousands of random masks.

Petsiuk, Das and Saenko 2018. Masks m_k are grids of cells, each shown with probability p, brought to the image
bilinearly and shifted at random, so that the mean of every pixel of a mask is p. With s_k the score of m_k x:

    map(u) = E[s m(u)] / p,   estimated in the source as   1/(K p) sum_k s_k m_k(u)

As E[m(u)] = p is known, the same expectation has an estimate with less noise, which is the one used here:

    map(u) = 1/((K-1) p) sum_k (s_k - s~) m_k(u) + s~,   s~ = mean of s_k

Both are unbiased. The first carries the noise of the masks' own mean, which is larger than the map where the score
changes little.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.precision import outside_autocast
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import dimensions, integer, integers, number
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.methods import Cost, run_method
from xai_widgets.ops.fill import Fill, fill_image
from xai_widgets.perturbation.masking import MOST_SAMPLES, Output, Outputs, value_name


@dataclass(frozen=True)
class Masks:
    """Random masks, kept as their coarse grids: a few bytes each, whatever the size of the image.

    Attributes
    ----------
    grids : Tensor, (K, cells, cells)
        1 for a cell that is shown, 0 for one that is hidden.
    shifts : Tensor, (K, 2)
        How many rows and columns are cut off before the image begins.
    rows, columns : Tensor, (shifts, H, cells) and (shifts, W, cells)
        Weights of the cells in each line of the image, for each shift.
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
        """Masks (B, H, W) in [0, 1]."""
        rows, columns = self.rows[self.shifts[some, 0]], self.columns[self.shifts[some, 1]]
        with outside_autocast(rows):
            return rows @ self.grids[some] @ columns.mT

    def at_cells(self, some: slice) -> Tensor:
        """What the masks are at the middle of each cell, (B, cells, cells)."""
        middles = []
        for lines, shifts in zip((self.rows, self.columns), self.shifts[some].T, strict=True):
            extent, cells = lines.shape[1:]
            at = (torch.arange(cells, device=lines.device) * 2 + 1) * extent // (2 * cells)
            middles.append(lines[:, at][shifts])
        with outside_autocast(self.grids):
            return middles[0] @ self.grids[some] @ middles[1].mT

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """sum_k weights_k m_k, (H, W), of the first masks, without making any of them.

        Masks of one shift are summed as grids, then as rows: the cost is that of two small products.
        """
        shifts, cells = len(self.rows), self.grids.shape[1]
        place = self.shifts[: len(weights), 0] * len(self.columns) + self.shifts[: len(weights), 1]
        sums = self.grids.new_zeros(shifts * len(self.columns), cells, cells)
        sums.index_add_(0, place, weights[:, None, None] * self.grids[: len(weights)])
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
        Of the grids and shifts.
    like : Tensor
        On the device that is wanted.
    """
    cells = integer(cells, "cells", low=1, high=min(size), hint="the pixels along the short side")
    p, seed = number(p, "p", above=0, below=1), check_seed(seed)
    lines = [_lines(extent, cells) for extent in size]
    generator = torch.Generator().manual_seed(seed)
    # Mask by mask, so that the first masks do not hang on how many there are.
    drawn = torch.rand((count, cells * cells + 2), generator=generator, device="cpu")
    grids = (drawn[:, 2:] < p).view(count, cells, cells)
    shifts = (drawn[:, :2] * torch.tensor([len(part) for part in lines], device="cpu")).long()
    rows, columns = (part.to(like.device) for part in lines)
    return Masks(grids.float().to(like.device), shifts.to(like.device), rows, columns, p)


def _lines(extent: int, cells: int) -> Tensor:
    """Bilinear weights (shifts, extent, cells): cells are brought to one cell more than the image, then cut."""
    cell = -(-extent // cells)
    each = torch.eye(cells, device="cpu")[None]
    weights = F.interpolate(each, size=(cells + 1) * cell, mode="linear", align_corners=False)[0].T
    return weights.unfold(0, extent, 1)[:cell].mT.contiguous()


@dataclass(frozen=True)
class Rise:
    """Scores of all classes under the masks so far, from which the map of any class is made.

    Attributes
    ----------
    scores : tuple of Tensor, each (masks so far, classes)
        Of each image begun, for the first of the masks.
    masks : Masks
        The masks, the same for all images.
    target : Tensor, (N,)
        The classes that were asked for.
    errors : Tensor, (N,)
        Standard error of the map at the middle of the cells (root mean square, a constant that is the same for all
        pixels left aside), as a share of the range of the map there; NaN for images that are not begun, infinite
        where the map is flat.
    value_name : {"probability", "score"}
        What the scores are; networks without probabilities have only scores.
    """

    scores: tuple[Tensor, ...]
    masks: Masks
    target: Tensor
    errors: Tensor
    value_name: str = "probability"

    @property
    def classes(self) -> int:
        """How many classes there is a map of."""
        return self.scores[0].shape[1]

    def saliency(self, target: int | Tensor | None = None) -> Tensor:
        """The map of a class, (N, H, W), in units of the score; no pass through the network is made.

        Parameters
        ----------
        target : int or Tensor (N,), optional
            Any class index, or one per image. Default: the classes that were asked for.

        Returns
        -------
        Tensor, (N, H, W)
            The expected score where the pixel is shown. 0 for images that are not begun.
        """
        classes = self.target.tolist() if target is None else self._indices(target)
        size = (len(self.target), self.masks.rows.shape[1], self.masks.columns.shape[1])
        made = self.masks.grids.new_zeros(size)
        for n, scores in enumerate(self.scores):
            made[n] = _map(scores[:, classes[n]], self.masks)
        return made

    def _indices(self, target: Any) -> list[int]:
        """One class index for each image."""
        count, last = len(self.target), self.classes - 1
        if dimensions(target, 0) == 0 and not isinstance(target, list | tuple):
            return [integer(target, "target", low=0, high=last)] * count
        return integers(target, "target", length=count, low=0, high=last)


def _map(scores: Tensor, masks: Masks) -> Tensor:
    mean, count = scores.mean(), max(1, len(scores) - 1)
    return masks.weighted_sum(scores - mean) / (count * masks.p) + mean


def _error(scores: Tensor, cells: Tensor, p: float) -> float:
    """Standard error of the map at the cells, as a share of its range there; infinite where that is 0."""
    if len(scores) < 2:
        return torch.inf
    parts = (scores - scores.mean())[:, None, None] * (cells - p)
    map, error = parts.mean(0), parts.std(0) / len(scores) ** 0.5
    spread = (map.max() - map.min()).item()
    return error.square().mean().sqrt().item() / spread if spread > 0 else torch.inf


@run_method(
    title="RISE",
    source="Petsiuk et al. 2018",
    formula="E[p_c(m * x) m] / E[m] over random masks m",
    cost=Cost(0, 0, "masks", 1, 0, note="fewer where the map comes to rest before"),
    guarantees="unbiased: the mean probability of the class where a pixel is shown",
    limits="Noisy: small objects need more masks, and the map is no finer than their cells.",
)
@without_inference_mode
def rise(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    masks: int = 8000,
    cells: int = 7,
    p: float = 0.5,
    tolerance: float = 0.04,
    fill: Fill = 0.0,
    output: Output = "probability",
    seed: int = 0,
    batch_size: int = 32,
) -> Run[Rise]:
    """RISE: the mean score of random masks under which a pixel is shown.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    target : int, str, sequence or Tensor, optional
        The class, or one per image. Default: the predicted class. Maps of all other classes come with it, see
        :meth:`Rise.saliency`; the scores kept for them are 32 MB an image for 8000 masks and 1000 classes.
    masks : int, default 8000
        The most masks per image.
    cells : int, default 7
        Cells along each side of a mask.
    p : float, default 0.5
        Probability that a cell is shown.
    tolerance : float, default 0.04
        An image is finished when the standard error of its map, at the middle of the cells, has fallen below this
        share of the map's range, judged on the class asked for after at least 256 masks; the default takes 1000 to
        2000 masks on the bundled networks. 0: all masks.
    fill : {"gray", "mean", "blur"}, float or Tensor, default 0.0
        What shows where the image is hidden; black makes m x of it, as published.
    output : {"probability", "score"}, default "probability"
        After or before the activation of the network; networks without probabilities have only scores.
    seed : int, default 0
        Of the masks, which are the same for every image and device.
    batch_size : int, default 32
        Masks per pass.

    Returns
    -------
    Run of Rise
        One snapshot a batch.

    Raises
    ------
    ValueError
        For fewer than two masks, more cells than pixels, a p outside (0, 1), a negative tolerance.
    """
    x, target = prepare(model, x, target)
    masks, tolerance, p = (
        integer(masks, "masks", low=2, high=MOST_SAMPLES),
        number(tolerance, "tolerance", low=0),
        number(p, "p", above=0, below=1),
    )
    batch_size = check_batch_size(batch_size)
    drawn = random_masks((x.shape[2], x.shape[3]), masks, cells=cells, p=p, seed=seed, like=x)
    hidden = fill_image(fill, x)
    outputs = Outputs(model, x.shape, batch_size, output)

    def sample() -> Iterator[Rise]:
        finished: list[Tensor] = []
        errors = x.new_full((len(x),), torch.nan)
        middles = drawn.at_cells(slice(None))
        for n in range(len(x)):
            # What a snapshot was given is never written to again: it needs no copy.
            kept = x.new_empty((masks, len(model.labels)))
            for at in range(0, masks, batch_size):
                made = outputs.masked(x[n], hidden[n], drawn[at : at + batch_size])
                until = at + len(made)
                kept[at:until] = made
                error = _error(kept[:until, target[n]], middles[:until], p)
                errors[n] = error
                scores = (*finished, kept[:until])
                yield Rise(scores, drawn, target, errors.clone(), value_name(model, output))
                if until >= LEAST and error < tolerance:
                    break
            finished.append(kept[:until])

    return Run(sample(), total=len(x) * -(-masks // batch_size), name="RISE")


#: Masks before which convergence is not judged: an estimated error of few masks may be small by chance.
LEAST = 256
