"""Pixels that the masks of filters share with those of concepts, counted without enlarging a mask per filter.

The mask of a filter is M_k(x) = S(1[A_k(x) > T_k]), where S is bilinear interpolation to the label masks (without
aligned corners); a pixel belongs to it where M_k is above the cut, 1/2 by default. Bilinear interpolation depends on
the four bits around a pixel. All pixels with the same four bits form a block, so a block has 16 possible patterns. The
number of pixels of a block that are in M_k and in a label mask is looked up, for each block with a bit, in a table of
one number per pattern.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.concepts.probe_data import IMAGES, Probe

#: Default value of an interpolated mask above which a pixel belongs to it.
CUT = 0.5


class Blocks:
    """The pixels of a label mask by the four positions of a layer that surround them.

    Parameters
    ----------
    grid : (int, int)
        Rows h and columns w of the layer.
    size : (int, int)
        Height H and width W of a label mask.
    cut : float, default 0.5
        Value of an interpolated mask above which a pixel belongs to it.

    Attributes
    ----------
    block : Tensor of int64, (H W,)
        The block of each pixel: the index of its upper left position.
    covers : Tensor of float32, (H W, 16)
        Whether a pixel belongs to the mask for each pattern of the bits at the upper left (1), upper right (2), lower
        left (4) and lower right (8) position.
    """

    def __init__(self, grid: tuple[int, int], size: tuple[int, int], cut: float = CUT) -> None:
        self.grid = grid
        rows, columns = (_lower(small, large) for small, large in zip(grid, size, strict=True))
        self.block = (rows[:, None] * grid[1] + columns).flatten()
        # With the bit at (i, j) chosen by the parities of i and j, four numbers describe the bits around every pixel.
        parities = torch.arange(grid[0])[:, None] % 2 * 2 + torch.arange(grid[1]) % 2
        given = torch.arange(16)[:, None, None]
        above = F.interpolate((given >> parities & 1).float()[:, None], size, mode="bilinear")[:, 0] > cut
        upper, left = rows[:, None] % 2, columns % 2
        covers = torch.empty(16, *size)
        for pattern in range(16):
            # The assignment to parities under which a pixel sees this pattern.
            assigned = torch.zeros(size, dtype=torch.int64)
            for corner in range(4):
                parity = ((upper + corner // 2) % 2) * 2 + (left + corner % 2) % 2
                assigned |= (pattern >> corner & 1) << parity
            covers[pattern] = above.gather(0, assigned[None])[0]
        self.covers = covers.flatten(1).T.contiguous()

    def codes(self, bits: Tensor) -> Tensor:
        """Return the pattern of each block, uint8, (..., h, w), for bits (..., h, w)."""
        bits = bits.to(torch.uint8)
        below = torch.cat([bits[..., 1:, :], bits[..., -1:, :]], -2)
        right, corner = (torch.cat([each[..., 1:], each[..., -1:]], -1) for each in (bits, below))
        return bits + 2 * right + 4 * below + 8 * corner

    def table(self, masks: Tensor) -> Tensor:
        """Return the pixels of masks (m, H, W) by block and pattern, float32, (m, h w 16)."""
        positions = self.grid[0] * self.grid[1]
        which, pixel = masks.flatten(1).nonzero(as_tuple=True)
        counts = torch.zeros(len(masks) * positions, 16)
        counts.index_add_(0, which * positions + self.block[pixel], self.covers[pixel])
        return counts.reshape(len(masks), -1)


def _lower(small: int, large: int) -> Tensor:
    """Return the lower one of the two positions that each of ``large`` pixels is interpolated from, (large,)."""
    # The rounding of torch, in the precision of its interpolation.
    centers = (torch.arange(large, dtype=torch.float32) + 0.5) * (small / large) - 0.5
    return centers.clamp(min=0).floor().long().clamp(max=small - 1)


def overlaps(probe: Probe, cut: float = CUT) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield, for each image, its pairs, the shared pixels (m, K), and the pixels of the filters (K,).

    Both are float32 and exact.
    """
    blocks = Blocks(probe.grid, probe.label_size, cut)
    whole = blocks.table(torch.ones(1, *probe.label_size, dtype=torch.bool))[0]
    ranges = probe.pair_ranges()
    for begin in range(0, probe.count, IMAGES):
        codes = blocks.codes(probe.bits(begin, begin + IMAGES)).flatten(2)
        for image, patterns in enumerate(codes, start=begin):
            pairs = slice(int(ranges[image]), int(ranges[image + 1]))
            channels, positions = patterns.nonzero(as_tuple=True)
            entries = positions * 16 + patterns[channels, positions].long()
            areas = torch.zeros(probe.channels).index_add_(0, channels, whole[entries])
            table = blocks.table(probe.masks(pairs.start, pairs.stop))
            shared = torch.zeros(len(table), probe.channels).index_add_(1, channels, table[:, entries])
            yield pairs, shared, areas
