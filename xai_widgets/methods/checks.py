"""Checks of the maps that methods return: an error if a map is not finite, a warning if it is constant."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.errors import warn

#: Parts of torch's error messages for networks without a backward pass, with the reasons to report.
_NO_BACKWARD = {
    "use_reentrant=True": "expected checkpoint() with use_reentrant=False, got the form without a gradient",
    "derivative for": "expected differentiable operations, got one without a derivative",
    "modified by an inplace operation": "expected constant weights, got weights that changed during the pass",
}


def unsupported_error(error: RuntimeError, title: str, model: ImageModel) -> ValueError | None:
    """Return a ValueError with the reason if torch's error shows that the network has no backward pass."""
    reason = next((reason for part, reason in _NO_BACKWARD.items() if part in str(error)), None)
    return None if reason is None else ValueError(f"{title} cannot be computed for {model.name}: {reason}")


def check_map(maps: Tensor, title: str, model: ImageModel) -> None:
    """Raise ValueError for maps that are not finite, and warn if a map is zero or constant.

    Parameters
    ----------
    maps : Tensor, (N, C, h, w)
        The maps.
    title : str
        Title of the method.
    model : ImageModel
        The network.
    """
    if not maps.numel() or maps.is_meta:
        return
    low, high = (bound.item() for bound in maps.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(
            f"expected a finite map of {title} for {model.name}, got NaN or infinite values; check the scores, too"
        )
    zero, constant = (maps == 0).flatten(1).all(1), _constant(maps)
    if zero.any():
        warn(
            f"the map of {title} for {model.name}{_first(zero)} is 0 everywhere: no activation, gradient or evidence "
            "for the target reaches it"
        )
    elif maps.ndim == 4 and maps[0, 0].numel() == 1:
        warn(f"the map of {title} for {model.name} has a single position; choose a layer before pooling")
    elif constant.any():
        warn(f"the map of {title} for {model.name}{_first(constant)} is the same at every position")


def _constant(maps: Tensor) -> Tensor:
    """Return for each image whether every channel is constant up to rounding, (N,)."""
    flat = maps.flatten(2) if maps.ndim > 2 else maps.flatten(1)[:, None]
    spread = flat.amax(-1) - flat.amin(-1)
    return (spread <= 16 * torch.finfo(maps.dtype).eps * flat.abs().amax(-1)).all(1)


def _first(selected: Tensor) -> str:
    """Name the first selected image for a warning, unless all images are selected."""
    return "" if selected.all() else f", image {int(selected.nonzero()[0]) + 1} of {len(selected)},"
