"""Scores of changed images: probabilities, their normalized change, and images whose pixels are replaced in an order.

With p, p_0 and p_b the probabilities for a changed image, the image and the blurred image (Fong and Vedaldi 2017,
footnote 4),

    p' = (p - p_0) / (p_0 - p_b)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

import torch
from torch import Tensor

from xai_widgets.core.batching import pass_batch_size, scores_of
from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import check_finite


def class_probabilities(
    model: ImageModel, changed: Tensor, target: Tensor, batch_size: int | None = None
) -> Tensor:
    """Return the probability of the class of each image for its changed images, (N, K).

    Parameters
    ----------
    model : ImageModel
        The network.
    changed : Tensor, (N, K, C, H, W)
        K changed images for each of N images.
    target : Tensor, (N,)
        The classes.
    batch_size : int, optional
        Images per pass. Default: as many as the memory allows.

    Raises
    ------
    ValueError
        If a score is NaN or infinite.
    """
    probabilities = model.probabilities(scores_of(model, changed.flatten(0, 1), batch_size))
    n, k = changed.shape[:2]
    return probabilities.view(n, k, -1).gather(2, target[:, None, None].expand(-1, k, 1))[..., 0]


@torch.no_grad()
def streamed_scores(
    model: ImageModel, images: Iterable[Tensor], size: Sequence[int], batch_size: int | None = None
) -> Tensor:
    """Return the scores (K, classes) of images that come in parts of any length, in batches of one size.

    The last batch is filled up, so that no score depends on which others are computed with it.

    Parameters
    ----------
    model : ImageModel
        The network.
    images : iterable of Tensor, (k, C, H, W)
        Pixels, K in all; one part is in memory at a time.
    size : sequence of int
        H and W.
    batch_size : int, optional
        Images per pass. Default: as many as are fastest.

    Raises
    ------
    ValueError
        If a score is NaN or infinite.
    """
    number = pass_batch_size(model, size, batch_size)
    buffer = torch.zeros(number, model.channels, *size, device=model.device)
    buffer = buffer.contiguous(memory_format=torch.channels_last)
    found, at = [], 0
    for part in images:
        for some in part.split([*_lengths(len(part), number - at, number)]):
            buffer[at : at + len(some)] = some
            at += len(some)
            if at == number:
                found.append(model(buffer, folded=True))
                at = 0
    if at:
        found.append(model(buffer, folded=True)[:at])
    return check_finite(torch.cat(found), model.name)


def _lengths(length: int, free: int, number: int) -> Iterator[int]:
    """Yield the lengths of pieces that fill a batch with so many free positions, and then others."""
    while length:
        piece = min(length, free)
        yield piece
        length, free = length - piece, number


def normalized_change(
    model: ImageModel,
    x: Tensor,
    blurred: Tensor,
    changed: Tensor,
    target: Tensor,
    batch_size: int | None = None,
) -> Tensor:
    """Return p' of changed images, (N, K), on the CPU.

    Parameters
    ----------
    x, blurred : Tensor, (N, C, H, W)
        The images, and the blurred images.
    model, changed, target, batch_size
        See :func:`class_probabilities`.

    Returns
    -------
    Tensor, (N, K)
        NaN for an image whose probability does not fall when it is blurred as a whole.
    """
    stack = torch.cat([x[:, None], blurred[:, None], changed], 1)
    each = class_probabilities(model, stack, target, batch_size)
    whole, gone, now = each[:, :1], each[:, 1:2], each[:, 2:]
    return ((now - whole) / torch.where(whole > gone, whole - gone, torch.nan)).cpu()


class ReplacedPixels:
    """Scores of images in which the most salient pixels are replaced, for several maps, in whole batches.

    The batches run over the steps of all maps. Where several maps belong to one image, the image without a replaced
    pixel and the one without any other pass once.

    Parameters
    ----------
    model : ImageModel
        The network.
    start, end : Tensor, (I, C, H, W)
        The images, and the images whose pixels replace theirs.
    ranks : Tensor of int, (N, H, W)
        For each map, the rank of every pixel, 0 for the one that is replaced first.
    counts : sequence of int, (T,)
        Number of replaced pixels at each step.
    images : sequence of int, (N,)
        The image of each map.
    batch_size : int
        Images per pass.
    whole : bool
        Whether the last batch is filled up, so that no score depends on which others are computed with it.
    """

    def __init__(
        self,
        model: ImageModel,
        start: Tensor,
        end: Tensor,
        ranks: Tensor,
        counts: Sequence[int],
        images: Sequence[int],
        batch_size: int,
        *,
        whole: bool = False,
    ) -> None:
        self.model, self.start, self.end, self.ranks = model, start, end, ranks
        self.counts = torch.tensor(counts, device=start.device, dtype=torch.int32)
        self.images, self.batch_size, self.whole = list(images), batch_size, whole
        #: Maps and steps by the image that they show, which passes once.
        shown: dict[tuple[int, int], list[tuple[int, int]]] = {}
        ends = (0, ranks[0].numel())
        strides = -(-len(counts) // batch_size)
        for row, image in enumerate(self.images):
            # Steps from all parts of the curve: the first batch gives a coarse curve, which the others refine.
            for step in (step for first in range(strides) for step in range(first, len(counts), strides)):
                count = counts[step]
                key = (-1 - image, count) if count in ends else (row, step)
                shown.setdefault(key, []).append((row, step))
        self._points = list(shown.values())

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self._points) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield the maps (K,), the steps (K,) and the scores (K, classes) of each batch."""
        # One buffer for all batches: to allocate and free a batch takes longer than to fill it.
        number = self.batch_size if self.whole else min(self.batch_size, len(self._points))
        pixels = _Pixels(self.model, self.start, self.end, self.ranks, number)
        for begin in range(0, len(self._points), self.batch_size):
            batch = self._points[begin : begin + self.batch_size]
            with torch.no_grad():
                at = 0
                for row, some in groupby((points[0] for points in batch), key=itemgetter(0)):
                    counts = self.counts[[step for _, step in some]]
                    pixels.write(at, row, self.images[row], counts)
                    at += len(counts)
                shown = pixels.buffer if self.whole else pixels.buffer[: len(batch)]
                output = self.model(shown, folded=True, normalized=True)[: len(batch)]
                check_finite(output, self.model.name)
            known = [(row, step, at) for at, points in enumerate(batch) for row, step in points]
            rows, steps, index = torch.tensor(known).unbind(1)
            yield rows, steps, output if len(known) == len(batch) else output[index.to(output.device)]


class _Pixels:
    """A batch of normalized images whose pixels come from two images, chosen by ranks.

    Floats are chosen by their bits, four operations in place on a contiguous row for each image: with m = -1, all ones,
    where a pixel is replaced, and 0 elsewhere,

        start ^ ((start ^ end) & m),   m = (rank - count) >> 31

    is the value of one of the two images to the last bit, in a quarter of the time of ``torch.where``, which repeats a
    mask over channels.
    """

    def __init__(self, model: ImageModel, start: Tensor, end: Tensor, ranks: Tensor, number: int) -> None:
        images = [model.normalized(each) for each in (start, end)]
        wide = images[0].dtype == torch.float64
        dtype, self._bits = (torch.float64, torch.int64) if wide else (torch.float32, torch.int32)
        self._shift, self._channels, self._ranks = (63 if wide else 31), start.shape[1], ranks
        # The layout of the network, in which the channels of a pixel are neighbors.
        self._start, last = (
            each.to(dtype).permute(0, 2, 3, 1).flatten(1).view(self._bits) for each in images
        )
        self._apart = self._start ^ last
        shape = (number, *start.shape[2:], start.shape[1])
        rows = torch.zeros(shape, dtype=dtype, device=start.device)
        self._rows = rows.flatten(1).view(self._bits)
        #: (number, C, H, W), in memory with channels last.
        self.buffer = rows.permute(0, 3, 1, 2)
        self._latest: tuple[int, Tensor] | None = None

    def write(self, at: int, row: int, image: int, counts: Tensor) -> None:
        """Write the images of one map (S,), with so many pixels replaced, from position ``at`` on."""
        if self._latest is None or self._latest[0] != row:
            repeated = self._ranks[row].to(self._bits).view(-1, 1).expand(-1, self._channels)
            self._latest = row, repeated.reshape(1, -1)
        part = self._rows[at : at + len(counts)]
        torch.sub(self._latest[1], counts.to(self._bits)[:, None], out=part)
        part.bitwise_right_shift_(self._shift).bitwise_and_(self._apart[image]).bitwise_xor_(
            self._start[image]
        )
