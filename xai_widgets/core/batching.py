"""Passes with as many images at a time as fit into memory.

How many fit is found by trying: a pass that runs out of memory is made again in halves. What fitted is kept for the
network and the size of its images, so that the next computation begins there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import check_finite
from xai_widgets.errors import warn

Item = TypeVar("Item")
Made = TypeVar("Made")

#: Images a pass, at most, and their pixels. On a CPU larger batches are no faster.
CPU_IMAGES, CPU_PIXELS = 16, 2**20
OTHER_IMAGES, OTHER_PIXELS = 64, 2**22
#: What the allocators of torch say, on a CPU, on CUDA and on MPS, and cuBLAS, in small letters.
OUT_OF_MEMORY = ("out of memory", "allocate memory", "not enough memory", "alloc_failed")

#: By network and size of its images: how many fitted after more had not.
_fitting: WeakKeyDictionary[ImageModel, dict[tuple[int, ...], int]] = WeakKeyDictionary()


def in_batches(
    model: ImageModel,
    items: Iterable[Item],
    compute: Callable[[list[Item]], Made],
    *,
    size: Sequence[int],
    batch_size: int | None = None,
) -> Iterator[tuple[list[Item], Made]]:
    """Compute something of items, in their order, several at a time.

    Parameters
    ----------
    model : ImageModel
        The network that they go through.
    items : iterable
        One for each image that goes through the network; drawn when their turn comes, and once.
    compute : callable
        What is made of some of them. It changes nothing but what it returns, as it is called again with fewer after
        it ran out of memory.
    size : sequence of int
        The height and the width of the images.
    batch_size : int, optional
        At least 1; how many at a time, exactly. Default: as many as fit, which a warning tells where that is fewer
        than were tried.

    Yields
    ------
    list of items, and what was made of them

    Raises
    ------
    ValueError
        For a batch size below 1.
    RuntimeError
        Of torch, if the memory is too small for a single item, or for a batch size that was given.
    """
    if batch_size is not None:
        batch_size = check_batch_size(batch_size)
    key = tuple(size)
    number = batch_size or _fitting.get(model, {}).get(key) or first_number(model.device, key)
    source, waiting, halved = iter(items), list[Item](), False
    while True:
        waiting.extend(islice(source, max(0, number - len(waiting))))
        if not waiting:
            return
        part = waiting[:number]
        made = _attempt(compute, part, last=batch_size is not None or len(part) == 1)
        if made is None:
            number, halved = len(part) // 2, True
            continue
        if halved:
            halved = False
            _fitting.setdefault(model, {})[key] = number
            warn(
                f"memory ran out: {number} images of {' x '.join(map(str, key))} at a time fit through {model.name}, "
                "and from now on no more are tried; batch_size= sets another number"
            )
        del waiting[:number]
        yield part, made[0]


def _attempt(compute: Callable[[list[Item]], Made], part: list[Item], *, last: bool) -> tuple[Made] | None:
    """What was made; None if memory ran out, unless that was the last attempt.

    It returns before another one is made: the error, as long as it lives, holds all that filled the memory.
    """
    try:
        return (compute(part),)
    except (RuntimeError, MemoryError) as error:
        if last or not is_out_of_memory(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in OUT_OF_MEMORY)


def first_number(device: torch.device, size: tuple[int, ...]) -> int:
    """How many images (height, width) are tried at first: as many as are quick on a CPU, more elsewhere."""
    images, pixels = (CPU_IMAGES, CPU_PIXELS) if device.type == "cpu" else (OTHER_IMAGES, OTHER_PIXELS)
    return max(1, min(images, pixels // (size[0] * size[1])))


@torch.no_grad()
def scores_of(model: ImageModel, x: Tensor, batch_size: int | None = None) -> Tensor:
    """Return the scores (N, classes) of pixels (N, C, H, W), as many at a time as fit; ValueError for NaN."""
    passes = in_batches(
        model, x, lambda part: model(torch.stack(part)), size=x.shape[2:], batch_size=batch_size
    )
    return check_finite(torch.cat([made for _, made in passes]), model.name)
