"""Probabilities of a class for changed images, and their normalized change.

With p, p_0 and p_b the probabilities for a changed image, the image and the blurred image (Fong and Vedaldi 2017,
footnote 4),

    p' = (p - p_0) / (p_0 - p_b)
"""

from __future__ import annotations

import torch
from torch import Tensor

from xai_widgets.core.batching import scores_of
from xai_widgets.core.model import ImageModel


def class_probabilities(
    model: ImageModel, changed: Tensor, target: Tensor, batch_size: int | None = None
) -> Tensor:
    """Return the probability of the class of each image for its changed images, (N, K).

    Parameters
    ----------
    model : ImageModel
        The network.
    changed : Tensor, (N, K, C, H, W)
        K changed images for each of N images.
    target : Tensor, (N,)
        The classes.
    batch_size : int, optional
        Images per pass. Default: as many as the memory allows.

    Raises
    ------
    ValueError
        If a score is NaN or infinite.
    """
    probabilities = model.probabilities(scores_of(model, changed.flatten(0, 1), batch_size))
    n, k = changed.shape[:2]
    return probabilities.view(n, k, -1).gather(2, target[:, None, None].expand(-1, k, 1))[..., 0]


def normalized_change(
    model: ImageModel,
    x: Tensor,
    blurred: Tensor,
    changed: Tensor,
    target: Tensor,
    batch_size: int | None = None,
) -> Tensor:
    """Return p' of changed images, (N, K), on the CPU.

    Parameters
    ----------
    x, blurred : Tensor, (N, C, H, W)
        The images, and the blurred images.
    model, changed, target, batch_size
        See :func:`class_probabilities`.

    Returns
    -------
    Tensor, (N, K)
        NaN for an image whose probability does not fall when it is blurred as a whole.
    """
    stack = torch.cat([x[:, None], blurred[:, None], changed], 1)
    each = class_probabilities(model, stack, target, batch_size)
    whole, gone, now = each[:, :1], each[:, 1:2], each[:, 2:]
    return ((now - whole) / torch.where(whole > gone, whole - gone, torch.nan)).cpu()
