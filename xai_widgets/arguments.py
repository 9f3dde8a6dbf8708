"""What a network is wrapped with and run by: device, image size, normalisation, batch size, found or checked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn


def best_device() -> torch.device:
    """The first of cuda, mps and cpu that is there."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def device_of(module: nn.Module) -> torch.device:
    """Where the first parameter or buffer is; the CPU if there is none."""
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return torch.device("cpu")


def dtype_of(module: nn.Module) -> torch.dtype:
    """The type of the first parameter of floats; float32 if there is none."""
    for parameter in module.parameters():
        if parameter.is_floating_point():
            return parameter.dtype
    return torch.float32


def check_device(device: str | int | torch.device) -> torch.device:
    """A device that is there, "auto" standing for the best one; ValueError for one that is not."""
    if device == "auto":
        return best_device()
    try:
        # Asking for a device is no proof that it is there; a tensor on it is.
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise ValueError(
            f"device {str(device)!r} is not there, wanted 'auto', 'cpu' or another that torch finds, such as "
            f"{str(best_device())!r}"
        ) from error


def check_size(size: int | tuple[int, int] | None) -> tuple[int, int]:
    """Height and width, 224 by default; ValueError for what is no size."""
    try:
        pair = (224, 224) if size is None else tuple(np.broadcast_to(np.asarray(size), 2).tolist())
    except ValueError:
        pair = ()
    if len(pair) != 2 or any(not isinstance(extent, int) or extent < 1 for extent in pair):
        raise ValueError(f"size is {size!r}, wanted a number of pixels or (height, width)")
    return pair


def check_normalisation(mean: Sequence[float] | None, std: Sequence[float] | None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, each (1, C, 1, 1); ValueError if they do not fit each other or an image."""
    given = mean if mean is not None else std if std is not None else [0.0] * 3
    try:
        means, stds = (
            torch.tensor(list([default] * len(given) if part is None else part), dtype=torch.float32)
            for part, default in ((mean, 0.0), (std, 1.0))
        )
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"mean is {mean!r} and std {std!r}, wanted one number per channel of both"
        ) from error
    if len(means) != len(stds) or len(means) not in (1, 3):
        raise ValueError(f"mean has {len(means)} and std {len(stds)} numbers, wanted 1 or 3 of both")
    if not torch.isfinite(means).all() or not (torch.isfinite(stds).all() and (stds > 0).all()):
        raise ValueError(
            f"mean is {means.tolist()} and std {stds.tolist()}, wanted finite numbers and std above 0"
        )
    return means.view(1, -1, 1, 1), stds.view(1, -1, 1, 1)


def check_batch_size(batch_size: int) -> None:
    """Refuse a batch size with which no pass would ever be made."""
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, wanted at least 1")
