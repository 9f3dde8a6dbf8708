"""Defaults and checks of the arguments of a model: device, image size, normalization, batch size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xai_widgets.core.validation import brief, integer, integers
from xai_widgets.core.validation import numbers as numbers_of

#: Largest batch size; torch cannot split a batch into larger parts.
MAX_BATCH = 2**31 - 1
#: Largest side of an image.
MAX_SIDE = 2**15


def best_device() -> torch.device:
    """Return the first available device of cuda, mps and cpu."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def device_of(module: nn.Module) -> torch.device:
    """Return the device of the first parameter or buffer; the CPU if there is none."""
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return torch.device("cpu")


def dtype_of(module: nn.Module) -> torch.dtype:
    """Return the dtype of the first floating-point parameter; float32 if there is none."""
    for parameter in module.parameters():
        if parameter.is_floating_point():
            return parameter.dtype
    return torch.float32


def check_device(device: str | int | torch.device) -> torch.device:
    """Return an available device, "auto" being the best one; ValueError for any other."""
    if isinstance(device, str) and device == "auto":
        return best_device()
    try:
        # torch.device() accepts unavailable devices; creating a tensor does not.
        return torch.empty(0, device=device).device
    except Exception as error:  # torch raises RuntimeError, AssertionError, TypeError and others
        raise ValueError(
            f"expected an available device, got {brief(device)}; use 'auto', 'cpu' or another device that torch "
            f"finds, such as {str(best_device())!r}"
        ) from error


def check_size(size: int | tuple[int, int] | None) -> tuple[int, int]:
    """Return height and width, 224 by default; ValueError for an invalid size."""
    if size is None:
        return 224, 224
    try:
        # A single number first; a pair raises TypeError there.
        try:
            height = width = integer(size, "size", low=1, high=MAX_SIDE)
        except TypeError:
            height, width = integers(size, "size", length=2, low=1, high=MAX_SIDE)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"expected size as a number of pixels or (height, width), got {brief(size)}"
        ) from error
    return height, width


def check_normalization(
    mean: Sequence[float] | None, std: Sequence[float] | None, channels: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation, each (1, C, 1, 1); ValueError if their lengths are not those of the channels.

    One number stands for all ``channels``. Without ``channels``, their number is that of ``mean`` or ``std``, or 3.
    """
    given = {
        name: None if part is None else torch.tensor(numbers_of(part, name), dtype=torch.float32)
        for name, part in (("mean", mean), ("std", std))
    }
    lengths = [len(part) for part in given.values() if part is not None]
    count = integer(max(lengths, default=3) if channels is None else channels, "channels", low=1)
    means = torch.zeros(count) if given["mean"] is None else given["mean"]
    stds = torch.ones(count) if given["std"] is None else given["std"]
    if any(length not in (1, count) for length in lengths) or (channels is None and len(set(lengths)) > 1):
        raise ValueError(
            f"expected one number per channel, {count}, in mean and std, got {' and '.join(map(str, lengths))}"
        )
    if not (stds > 0).all():
        raise ValueError(f"expected std above 0, got {brief(stds.tolist())}")
    return means.repeat(count // len(means)).view(1, -1, 1, 1), stds.repeat(count // len(stds)).view(
        1, -1, 1, 1
    )


def check_batch_size(batch_size: int) -> int:
    """Return a batch size as an ``int``; ValueError for one below 1."""
    return min(integer(batch_size, "batch_size", low=1), MAX_BATCH)
