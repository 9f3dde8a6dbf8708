"""Disable the caller's autocast, so that explainers compute in the precision of their tensors."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def outside_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """Disable the caller's autocast on the device of ``x``: only the network is to run in it.

    Inside autocast, a product of two float32 matrices has half precision, another dtype than the images.
    """
    return no_autocast(x.device)


def no_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Disable the caller's autocast on a device, if it is enabled."""
    active = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if active else nullcontext()


#: Types of devices without float64.
WITHOUT_FLOAT64 = {"mps"}


def double(x: Tensor) -> Tensor:
    """Return a tensor in float64: on its device, or on the CPU if its device does not support float64."""
    return (x.cpu() if x.device.type in WITHOUT_FLOAT64 else x).double()
