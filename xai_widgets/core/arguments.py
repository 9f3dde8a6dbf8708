"""What a network is wrapped with and run by: device, image size, normalization, batch size, found or checked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xai_widgets.core.validation import brief, integer, integers
from xai_widgets.core.validation import numbers as numbers_of

#: Images of a batch, at most: no more can be split off by torch, and no memory holds them.
MOST_IMAGES = 2**31 - 1
#: Side of an image, at most.
MOST_PIXELS = 2**15


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
    if isinstance(device, str) and device == "auto":
        return best_device()
    try:
        # Asking for a device is no proof that it is there; a tensor on it is.
        return torch.empty(0, device=device).device
    except Exception as error:  # torch raises RuntimeError, AssertionError, TypeError and others
        raise ValueError(
            f"device {brief(device)} is not there, wanted 'auto', 'cpu' or another that torch finds, such as "
            f"{str(best_device())!r}"
        ) from error


def check_size(size: int | tuple[int, int] | None) -> tuple[int, int]:
    """Return height and width, 224 by default; ValueError for anything that is no size."""
    if size is None:
        return 224, 224
    try:
        # One number of any library first: of a pair it is refused.
        try:
            height = width = integer(size, "size", low=1, high=MOST_PIXELS)
        except TypeError:
            height, width = integers(size, "size", length=2, low=1, high=MOST_PIXELS)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"expected size as a number of pixels or (height, width), got {brief(size)}"
        ) from error
    return height, width


def check_resize(resize: int | None, size: tuple[int, int]) -> int | None:
    """Return the short side of resized pictures; ValueError if ``size`` cannot be cropped from them."""
    if resize is None:
        return None
    made = integer(resize, "resize", low=1)
    if made < max(size):
        raise ValueError(f"expected resize of at least the size, {max(size)}, got {made}")
    return made


def check_normalization(mean: Sequence[float] | None, std: Sequence[float] | None) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation, each (1, C, 1, 1); ValueError if they do not fit each other or an image."""
    given = {
        name: None if part is None else torch.tensor(numbers_of(part, name), dtype=torch.float32)
        for name, part in (("mean", mean), ("std", std))
    }
    count = next((len(part) for part in given.values() if part is not None), 3)
    means = torch.zeros(count) if given["mean"] is None else given["mean"]
    stds = torch.ones(count) if given["std"] is None else given["std"]
    if len(means) != len(stds) or len(means) not in (1, 3):
        raise ValueError(f"expected 1 or 3 numbers in both mean and std, got {len(means)} and {len(stds)}")
    if not (stds > 0).all():
        raise ValueError(f"expected std above 0, got {brief(stds.tolist())}")
    return means.view(1, -1, 1, 1), stds.view(1, -1, 1, 1)


def check_batch_size(batch_size: int) -> int:
    """Return a batch size as an ``int``; ValueError for one below 1, with which no pass would be made."""
    return min(integer(batch_size, "batch_size", low=1), MOST_IMAGES)
