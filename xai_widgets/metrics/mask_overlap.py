"""Overlap of a map with the pixels of an object: shares of its values, of its highest pixels, and its ranking.

With s the map, clipped below at 0, O the pixels of the object and K = |O|:

    relevance mass   sum of s over O / sum of s                                                    Arras et al. 2022
    relevance rank   share of the K most salient pixels that lie in O                              Arras et al. 2022
    AUC              probability that a pixel of O is more salient than another one, ties counting one half

A map of random values has about |O| / (H W), |O| / (H W), and 1/2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xai_widgets.core.precision import double
from xai_widgets.core.validation import tensor
from xai_widgets.errors import checked_keywords
from xai_widgets.metrics.base import Explanation, metric
from xai_widgets.metrics.deletion import ordering
from xai_widgets.ops.ranks import roc_auc
from xai_widgets.ops.resize import resize_map


@checked_keywords
def relevance_mass(saliency: Tensor, masks: Tensor) -> Tensor:
    """Return the share of the positive values of maps that lies on their objects.

    Parameters
    ----------
    saliency : Tensor, (N, h, w)
        Maps, resized to the masks. Negative values count as 0.
    masks : Tensor of bool, (N, H, W)
        The pixels of the object of each map.

    Returns
    -------
    Tensor, (N,)
        In [0, 1]; NaN for maps without a positive value, with a NaN, and for empty masks.
    """
    maps, inside = _pixels(saliency, masks)
    positive = double(maps.clamp(min=0))
    share = (positive * inside.to(positive.device)).sum(1) / positive.sum(1)
    return share.to(maps.device, torch.float32).masked_fill(~inside.any(1), torch.nan)


@checked_keywords
def relevance_rank(saliency: Tensor, masks: Tensor) -> Tensor:
    """Return the share of the K most salient pixels that lie on the object, with K its number of pixels.

    Parameters
    ----------
    saliency, masks
        See :func:`relevance_mass`. Ties are broken by the position, row by row.

    Returns
    -------
    Tensor, (N,)
        In [0, 1]; NaN for maps with a NaN and for empty masks.
    """
    maps, inside = _pixels(saliency, masks)
    broken = maps.isnan().any(1)
    ranks = ordering(maps.nan_to_num(0)[:, None])[:, 0]
    count = inside.sum(1)
    hits = (inside & (ranks < count[:, None])).sum(1)
    return (hits / count).masked_fill(broken, torch.nan)


@checked_keywords
def mask_auc(saliency: Tensor, masks: Tensor) -> Tensor:
    """Return the area under the ROC curve of maps, with the pixels of the object as positives.

    Parameters
    ----------
    saliency, masks
        See :func:`relevance_mass`; negative values count as they are.

    Returns
    -------
    Tensor, (N,)
        In [0, 1]; NaN for maps with a NaN, and for masks without or with every pixel.
    """
    return roc_auc(*_pixels(saliency, masks))


def _pixels(saliency: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values of maps in the size of the masks, and the masks, (N, H*W) each."""
    saliency = tensor(saliency, "saliency", ("N", "h", "w"))
    masks = tensor(masks, "masks", (len(saliency), "H", "W"))
    maps = resize_map(saliency, (masks.shape[1], masks.shape[2]))
    return maps.flatten(1), masks.to(maps.device).bool().flatten(1)


def _on_object(explanation: Explanation) -> tuple[Tensor, Tensor]:
    assert explanation.mask is not None
    return explanation.saliency, explanation.mask[None]


@metric(
    "relevance_mass",
    title="Relevance mass",
    category="localization",
    direction="higher",
    measures="share of the positive values of the map that lies on the object",
    source="Arras et al. 2022",
    needs=("mask",),
)
def relevance_mass_score(explanation: Explanation) -> float:
    """Return the relevance mass of one map."""
    return relevance_mass(*_on_object(explanation)).item()


@metric(
    "relevance_rank",
    title="Relevance rank",
    category="localization",
    direction="higher",
    measures="share of the K most salient pixels that lie on the object, which has K pixels",
    source="Arras et al. 2022",
    needs=("mask",),
)
def relevance_rank_score(explanation: Explanation) -> float:
    """Return the relevance rank of one map."""
    return relevance_rank(*_on_object(explanation)).item()


@metric(
    "mask_auc",
    title="AUC of the object",
    category="localization",
    direction="higher",
    measures="probability that a pixel of the object is more salient than another pixel; random maps have 0.5",
    needs=("mask",),
)
def mask_auc_score(explanation: Explanation) -> float:
    """Return the AUC of one map; NaN if the object is the whole image."""
    return mask_auc(*_on_object(explanation)).item()
