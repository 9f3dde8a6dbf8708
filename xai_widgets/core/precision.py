"""Arithmetic of the explainers in the precision of its tensors, whatever the caller's autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def outside_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """Leave the caller's autocast, where there is one: only the network is to run in it.

    A product of two float32 matrices inside autocast is rounded to half precision, and is then no longer of one type
    with the images.
    """
    return no_autocast(x.device)


def no_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Leave the caller's autocast on a device, where there is one."""
    active = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if active else nullcontext()
