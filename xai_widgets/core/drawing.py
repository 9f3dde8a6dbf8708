"""Random numbers that are drawn on the CPU, the same for every device, and moved to the device in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

#: Most numbers that are moved at once.
BLOCK = 2**25


def drawn(draw: Callable[[], Tensor], count: int, device: torch.device) -> Iterator[Tensor]:
    """Yield the results of ``count`` calls, which draw on the CPU, on a device.

    On an accelerator, where each transfer makes the host wait, many are moved at once. The numbers do not depend on
    the blocks.
    """
    if device.type == "cpu":
        for _ in range(count):
            yield draw()
        return
    left = count
    while left:
        first = draw()
        block = [first, *(draw() for _ in range(min(left, max(1, BLOCK // first.numel())) - 1))]
        left -= len(block)
        yield from torch.stack(block).to(device)
