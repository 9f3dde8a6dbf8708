"""Checks of the maps that methods return: refused if they are not finite, warned about if they show nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.errors import warn

#: What torch says of a network that has no backward pass, and of one whose weights were changed meanwhile.
_NO_BACKWARD = {
    "use_reentrant=True": "expected checkpoint() with use_reentrant=False, got the form without a gradient",
    "derivative for": "expected operations that can be differentiated, got one that has no derivative",
    "modified by an inplace operation": "expected weights at rest, got some that were changed during the pass",
}


def refusal(error: RuntimeError, title: str, model: ImageModel) -> ValueError | None:
    """Return a refusal in one sentence for an error of torch that says what the network does not allow."""
    reason = next((reason for said, reason in _NO_BACKWARD.items() if said in str(error)), None)
    return None if reason is None else ValueError(f"{title} cannot be computed for {model.name}: {reason}")


def check_map(made: Tensor, title: str, model: ImageModel) -> None:
    """Refuse maps that are not finite, and warn where one shows nothing: it is all zero, or the same everywhere.

    Parameters
    ----------
    made : Tensor, (N, C, h, w)
        The maps.
    title : str
        The method.
    model : ImageModel
        The network.
    """
    if not made.numel() or made.is_meta:
        return
    low, high = (bound.item() for bound in made.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(
            f"expected a finite map of {title} for {model.name}, got NaN or infinite values; so may its scores be"
        )
    zero, constant = (made == 0).flatten(1).all(1), _constant(made)
    if zero.any():
        reason = "no gradient or activation" if zero.all() else "nothing in favor of the class"
        warn(f"the map of {title} for {model.name}{_which(zero)} is 0 everywhere: {reason} reaches it")
    elif made.ndim == 4 and made[0, 0].numel() == 1:
        warn(f"the map of {title} for {model.name} has a single position; choose a layer before pooling")
    elif constant.any():
        warn(
            f"the map of {title} for {model.name}{_which(constant)} is the same at every position, so it shows nothing"
        )


def _constant(made: Tensor) -> Tensor:
    """Return for each image whether each channel is the same everywhere, up to rounding, (N,)."""
    flat = made.flatten(2) if made.ndim > 2 else made.flatten(1)[:, None]
    spread = flat.amax(-1) - flat.amin(-1)
    return (spread <= 16 * torch.finfo(made.dtype).eps * flat.abs().amax(-1)).all(1)


def _which(some: Tensor) -> str:
    """Name the first of some images, unless it is all of them."""
    return "" if some.all() else f", image {int(some.nonzero()[0]) + 1} of {len(some)},"
