"""Segmentation of concepts by single filters (Bau et al. 2017; Fong and Vedaldi 2018, section 3.1.1).

    IoU_set(c; M_k, s) = sum_x |M_k(x) and L_c(x)| / sum_x |M_k(x) or L_c(x)|      (equation 1)

Both sums run over the images x of the split s that contain the concept c. The best filter has the largest IoU_set in
the training split; its IoU_set in the validation split is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_widgets.concepts.overlap import CUT, overlaps
from xai_widgets.concepts.per_image import PerImage
from xai_widgets.concepts.probe_data import FEWEST, Probe, check_probes, concept_index
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import integer, number
from xai_widgets.data.base import Concept


@dataclass(frozen=True, eq=False, repr=False)
class SingleFilters(ShortRepr):
    """The best filter of each concept, and the IoU of every filter with every concept.

    Attributes
    ----------
    layer : str
        Name of the layer.
    concepts : tuple of Concept
        The C concepts.
    trained : Tensor of bool, (C,)
        Whether a concept has at least ten training images with label masks; the filter of another one is not chosen.
    positives : Tensor, (C,)
        Number of training images with a label mask of the concept.
    best : Tensor, (C,)
        Index of the best filter in the training split; -1 if none was chosen.
    iou_set : Tensor, (C,)
        Set IoU of the best filter in the validation split; NaN without a filter, or without a validation image.
    train_iou, val_iou : Tensor, (C, K)
        Set IoU of each filter with each concept in the two splits; NaN without an image of the concept.
    per_image : PerImage
        IoU of the best filter with each label mask of the validation split.
    """

    layer: str
    concepts: tuple[Concept, ...]
    trained: Tensor
    positives: Tensor
    best: Tensor
    iou_set: Tensor
    train_iou: Tensor
    val_iou: Tensor
    per_image: PerImage

    def iou(self, concept: int | str | Concept) -> tuple[Tensor, Tensor]:
        """Return the validation images that contain a concept, and their IoUs with the best filter, each (n,)."""
        return self.per_image.of(concept)

    def top(self, concept: int | str | Concept, count: int = 5) -> tuple[Tensor, Tensor]:
        """Return the filters with the largest training IoU with a concept, and their validation IoUs, each (count,)."""
        index = concept_index(self.concepts, concept)
        count = integer(count, "count", low=1, high=self.train_iou.shape[1])
        filters = self.train_iou[index].nan_to_num().argsort(descending=True, stable=True)[:count]
        return filters, self.val_iou[index, filters]

    def concepts_per_filter(self) -> Tensor:
        """Return the number of concepts for which each filter is the best one, (K,)."""
        return torch.bincount(self.best[self.best >= 0], minlength=self.train_iou.shape[1])

    def table(self) -> list[dict[str, Any]]:
        """Return one row per concept, by descending validation IoU; concepts without a filter come last."""
        order = self.iou_set.nan_to_num(nan=-1).argsort(descending=True, stable=True)
        return [
            {
                "concept": self.concepts[c].name,
                "category": self.concepts[c].category,
                "filter": int(self.best[c]),
                "iou": float(self.iou_set[c]),
                "training images": int(self.positives[c]),
            }
            for c in order.tolist()
        ]


@without_inference_mode
def single_filters(train: Probe, val: Probe, *, cut: float = CUT) -> SingleFilters:
    """Find the filter that segments each concept best.

    Parameters
    ----------
    train, val : Probe
        Probes of one layer with the same thresholds.
    cut : float, default 0.5
        Value of the interpolated mask of a filter above which a pixel belongs to it, in [0, 1). With 0, the mask covers
        all that a bit touches, like that of a combination with the weight 1 for one filter and 0 for the others.

    Returns
    -------
    SingleFilters

    Raises
    ------
    ValueError
        For probes of other concepts, layers, or thresholds.
    """
    check_probes(train, val)
    cut = number(cut, "cut", low=0, below=1)
    shared, union, _, _ = count_overlaps(train, cut=cut)
    train_iou = shared / union
    positives = train.segmented
    trained = positives >= FEWEST
    best = torch.where(trained, train_iou.nan_to_num(nan=-1).argmax(1), -1)
    shared, union, part, whole = count_overlaps(val, best, cut)
    val_iou = shared / union
    chosen = val_iou.gather(1, best.clamp(min=0)[:, None])[:, 0]
    return SingleFilters(
        layer=train.layer,
        concepts=train.concepts,
        trained=trained,
        positives=positives,
        best=best,
        iou_set=torch.where(trained, chosen, torch.nan).float(),
        train_iou=train_iou.float(),
        val_iou=val_iou.float(),
        per_image=PerImage(val.concepts, val.pairs, (part / whole).float()),
    )


def count_overlaps(
    probe: Probe, best: Tensor | None = None, cut: float = CUT
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Count pixels of filters and concepts.

    Parameters
    ----------
    probe : Probe
        A complete probe.
    best : Tensor, (C,), optional
        One filter per concept, or -1.
    cut : float, default 0.5
        See :func:`single_filters`.

    Returns
    -------
    shared, union : Tensor of float64, (C, K)
        Pixels in the intersection and in the union of each filter and concept, summed over the images of the concept.
    part, whole : Tensor of float64, (P,)
        The same per pair, for the filter of its concept; NaN for -1, and without ``best``.
    """
    shape = (len(probe.concepts), probe.channels)
    shared, union = (torch.zeros(shape, dtype=torch.float64) for _ in range(2))
    part, whole = (torch.full((len(probe.pairs),), torch.nan, dtype=torch.float64) for _ in range(2))
    for pairs, both, areas in overlaps(probe, cut):
        concepts = probe.pairs[pairs, 1]
        either = areas + probe.pixels[pairs][:, None] - both
        # An image has at most one mask per concept.
        shared[concepts] += both.double()
        union[concepts] += either.double()
        if best is not None:
            filters = best[concepts]
            rows = (filters >= 0).nonzero()[:, 0]
            part[pairs.start + rows] = both[rows, filters[rows]].double()
            whole[pairs.start + rows] = either[rows, filters[rows]].double()
    return shared, union, part, whole
