"""Quantiles of the activations of each channel over all images and positions, in one pass and in bounded memory.

For n values a_1, ..., a_n of a channel and a share tau, the threshold is

    T = the (floor(tau n) + 1)-th largest value, so that at most a share tau of the values is larger than T

which is ``numpy.quantile(a, 1 - tau, method="inverted_cdf")``. The values above T are among the floor(tau n) largest.
:class:`TopValues` keeps the largest values and their indices, so that both T and the positions above it are exact after
one pass. Where that needs too much memory, :class:`SampledValues` takes the quantile of S random positions, the same
for all channels; the share of all values above T then has a standard error of sqrt(tau (1 - tau) / S).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Channels that are pruned together.
CHUNK = 64
#: Bytes of a kept value and its index.
BYTES = 12


def kept_values(total: int, share: float) -> int:
    """Return the number of largest values that decide a threshold, floor(share total) + 1."""
    # A product such as 0.005 * 600 may fall just below the integer that it stands for.
    return min(total, math.floor(share * total * (1 + 4 * torch.finfo(torch.float64).eps)) + 1)


def exact_bytes(channels: int, total: int, share: float, batch: int) -> int:
    """Return the memory in bytes that :class:`TopValues` needs for batches of ``batch`` values per channel."""
    keep = kept_values(total, share)
    return channels * (keep + max(keep, batch)) * BYTES


class TopValues:
    """The largest values of each channel of a stream, with their indices.

    Parameters
    ----------
    channels : int
        Number of channels K.
    keep : int
        Number of values that are kept per channel.
    batch : int
        Largest number of values per channel that are added at once.
    device : torch.device
        Device of the buffers.
    """

    def __init__(self, channels: int, keep: int, batch: int, device: torch.device) -> None:
        self.keep = keep
        capacity = keep + max(keep, batch)
        self.values = torch.full((channels, capacity), -torch.inf, device=device)
        self.indices = torch.zeros((channels, capacity), dtype=torch.int64, device=device)
        self._filled = torch.zeros(channels, dtype=torch.int64, device=device)
        self._bound = torch.full((channels,), -torch.inf, device=device)

    def add(self, values: Tensor, first: int) -> None:
        """Add values (K, n), whose indices begin with ``first``."""
        chosen = values > self._bound[:, None]
        counts = chosen.sum(1)
        if bool((self._filled + counts > self.values.shape[1]).any()):
            self._prune()
            chosen = values > self._bound[:, None]
            counts = chosen.sum(1)
        rows, columns = chosen.nonzero(as_tuple=True)
        begins = counts.cumsum(0) - counts
        slots = torch.arange(len(rows), device=rows.device) - begins[rows] + self._filled[rows]
        self.values[rows, slots] = values[rows, columns]
        self.indices[rows, slots] = columns + first
        self._filled += counts

    def _prune(self) -> None:
        """Drop all but the largest values of each channel."""
        for begin in range(0, len(self.values), CHUNK):
            part = slice(begin, begin + CHUNK)
            values, order = self.values[part].topk(self.keep, dim=1, sorted=False)
            self.indices[part, : self.keep] = self.indices[part].gather(1, order)
            self.values[part, : self.keep] = values
            self.values[part, self.keep :] = -torch.inf
            self._bound[part] = values.amin(1)
        self._filled.clamp_(max=self.keep)

    def thresholds(self) -> Tensor:
        """Return the smallest kept value of each channel, (K,)."""
        self._prune()
        return self._bound.clone()

    def above(self) -> tuple[Tensor, Tensor]:
        """Return the channels and the indices of all values above the thresholds, each (n,), by ascending index."""
        self._prune()
        channels, slots = (self.values > self._bound[:, None]).nonzero(as_tuple=True)
        indices = self.indices[channels, slots]
        order = indices.argsort()
        return channels[order], indices[order]


class SampledValues:
    """The values of each channel at random positions of a stream.

    Parameters
    ----------
    channels : int
        Number of channels K.
    total : int
        Length of the stream.
    size : int
        Number of positions S, at most ``total``.
    device : torch.device
        Device of the buffers.
    """

    def __init__(self, channels: int, total: int, size: int, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)
        # With replacement: duplicates do not bias a quantile, and a permutation of the stream may not fit.
        self.positions = torch.randint(total, (size,), generator=generator).sort().values.to(device)
        self.values = torch.empty((channels, size), device=device)

    def add(self, values: Tensor, first: int) -> None:
        """Add values (K, n), whose indices begin with ``first``."""
        ends = torch.tensor([first, first + values.shape[1]], device=self.positions.device)
        begin, end = torch.searchsorted(self.positions, ends).tolist()
        self.values[:, begin:end] = values[:, self.positions[begin:end] - first]

    def thresholds(self, share: float) -> Tensor:
        """Return the threshold of each channel, (K,)."""
        keep = kept_values(self.values.shape[1], share)
        parts = [part.topk(keep, dim=1, sorted=False).values.amin(1) for part in self.values.split(CHUNK)]
        return torch.cat(parts)
