"""Refuse outputs that are not finite, of many passes in one transfer from the device.

A check reads a number from the device, which makes the host wait until all that was asked of the device is done. Passes
inside :meth:`FiniteChecks.collect` are checked later, all at once, by :meth:`FiniteChecks.read`. On the CPU, where
nothing waits, they are checked immediately.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from xai_widgets.core.guard import thread_state
from xai_widgets.core.validation import check_finite


class FiniteChecks:
    """Checks of outputs that are still to be read."""

    def __init__(self) -> None:
        #: Outputs, each with the names of its network and of its kind.
        self._pending: list[tuple[Tensor, str, str]] = []

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Postpone the checks inside the block by :func:`~xai_widgets.core.validation.check_finite`."""
        before, thread_state.pending = thread_state.pending, self._pending
        try:
            yield
        finally:
            thread_state.pending = before

    def read(self, *values: Tensor) -> list[list[float]]:
        """Return the numbers in tensors of one device, in one transfer with the postponed checks.

        Raises
        ------
        ValueError
            If outputs since the last call contain NaN or infinity.
        """
        pending = self._pending[:]
        self._pending.clear()
        sums = [scores.sum().to(torch.float32) for scores, *_ in pending]
        parts = [each.flatten().to(torch.float32) for each in values]
        if sums:
            parts.append(torch.stack(sums).sum()[None])
        if not parts:
            return []
        numbers = iter(torch.cat(parts).tolist())
        read = [[next(numbers) for _ in range(each.numel())] for each in values]
        # A sum of finite numbers is finite unless it overflows.
        if sums and not math.isfinite(next(numbers)):
            for scores, source, what in pending:
                check_finite(scores, source, what)
        return read
