"""Batches of as many images as fit into memory.

A batch that runs out of memory is tried again in halves. The batch size that fits is cached per network and image size,
so that the next computation starts with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.cost import pass_cost
from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import check_finite
from xai_widgets.errors import warn

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Largest number of images in a batch, and of their pixels. On a CPU larger batches are not faster.
CPU_IMAGES, CPU_PIXELS = 16, 2**20
OTHER_IMAGES, OTHER_PIXELS = 64, 2**22
#: Memory that a batch with gradients should take: bytes on a CPU, a share of the free memory on a GPU.
CPU_MEMORY, GPU_SHARE = 400_000_000, 0.25
#: Largest result of a layer in a batch without gradients on a CPU, in bytes. The allocator of glibc maps blocks of more
#: than 32 MiB anew each time, and returns the end of the heap when more than twice that is free: to fill new pages can
#: take longer than to compute what is written to them.
CPU_LAYER = 25_000_000
#: Images of fewer pixels are not worth a pass to estimate their memory.
SMALL = 128 * 128
#: Fewest images whose scores are computed with batch norm folded, for which a network is first recorded, in 3 passes.
FOLDED = 8
#: Error messages of the allocators of torch (CPU, CUDA, MPS) and of cuBLAS, in lower case.
OUT_OF_MEMORY = ("out of memory", "allocate memory", "not enough memory", "alloc_failed")

#: By network and image size: the batch size that fits, where a larger one did not.
_fitting: WeakKeyDictionary[ImageModel, dict[tuple[int, ...], int]] = WeakKeyDictionary()


def in_batches(
    model: ImageModel,
    items: Iterable[Item],
    compute: Callable[[list[Item]], Result],
    *,
    size: Sequence[int],
    batch_size: int | None = None,
    gradient: bool = True,
) -> Iterator[tuple[list[Item], Result]]:
    """Apply a function to batches of items, in their order.

    Parameters
    ----------
    model : ImageModel
        The network that the images pass through.
    items : iterable
        One item per image, read once and as needed.
    compute : callable
        Maps a list of items to a result. It must not have side effects, as it is called again with fewer items if it
        runs out of memory.
    size : sequence of int
        Height and width of the images.
    batch_size : int, optional
        Exact batch size, at least 1. Default: as many as fit, with a warning if the first batch size did not fit.
    gradient : bool, default True
        Whether the passes compute gradients, see :func:`pass_batch_size`.

    Yields
    ------
    list of items, and their result

    Raises
    ------
    ValueError
        For a batch size below 1.
    RuntimeError
        By torch, if the memory is too small for a single item or for the given batch size.
    """
    if batch_size is not None:
        batch_size = check_batch_size(batch_size)
    key = tuple(size)
    number = batch_size or _fitting.get(model, {}).get(key) or pass_batch_size(model, key, gradient=gradient)
    source, waiting, halved = iter(items), list[Item](), False
    while True:
        waiting.extend(islice(source, max(0, number - len(waiting))))
        if not waiting:
            return
        part = waiting[:number]
        result = _attempt(compute, part, last=batch_size is not None or len(part) == 1)
        if result is None:
            number, halved = len(part) // 2, True
            continue
        if halved:
            halved = False
            _fitting.setdefault(model, {})[key] = number
            warn(
                f"out of memory: batch size reduced to {number} for images of {' x '.join(map(str, key))} through "
                f"{model.name}; batch_size= sets another one"
            )
        del waiting[:number]
        yield part, result[0]


def _attempt(
    compute: Callable[[list[Item]], Result], part: list[Item], *, last: bool
) -> tuple[Result] | None:
    """Return the result in a tuple; None if memory ran out, unless this is the last attempt.

    The exception holds references to the tensors that filled the memory, so it must be freed before the next attempt.
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
    """Return whether an exception was raised because memory ran out."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in OUT_OF_MEMORY)


def initial_batch_size(model: ImageModel, size: tuple[int, ...]) -> int:
    """Return the batch size to try first for images of ``size`` (height, width).

    It is such that a pass with gradients takes about :data:`CPU_MEMORY`, or :data:`GPU_SHARE` of a GPU's free memory.
    """
    device, pixels = model.device, size[0] * size[1]
    images, most = (CPU_IMAGES, CPU_PIXELS) if device.type == "cpu" else (OTHER_IMAGES, OTHER_PIXELS)
    number = min(images, most // pixels)
    if number > 1 and pixels >= SMALL:
        free = GPU_SHARE * torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else CPU_MEMORY
        number = min(number, int(free / pass_cost(model, size).memory))
    return max(1, number)


def pass_batch_size(
    model: ImageModel, size: Sequence[int], batch_size: int | None = None, *, gradient: bool = False
) -> int:
    """Return the batch size of a method: the given one, or that of the best throughput in bounded memory.

    Parameters
    ----------
    model : ImageModel
        The network.
    size : sequence of int
        Height and width of the images.
    batch_size : int, optional
        The given batch size, at least 1.
    gradient : bool, default False
        Whether the passes compute gradients, as for :func:`initial_batch_size`.
    """
    if batch_size is not None:
        return check_batch_size(batch_size)
    return initial_batch_size(model, tuple(size)) if gradient else fast_batch_size(model, tuple(size))


def fast_batch_size(model: ImageModel, size: tuple[int, ...]) -> int:
    """Return the batch size for many images of ``size`` (height, width) without gradients.

    On a CPU it is such that no layer returns more than :data:`CPU_LAYER`. It does not depend on the memory that is
    free, so that the same images are in the same batches on every machine of a kind.
    """
    pixels = size[0] * size[1]
    if model.device.type != "cpu":
        return max(1, min(OTHER_IMAGES, OTHER_PIXELS // pixels))
    # Once one large block was freed, glibc keeps blocks of up to its size in the heap.
    torch.empty(31 * 2**20, dtype=torch.uint8)
    most = int(CPU_LAYER / (4 * max(1.0, pass_cost(model, size).largest)))
    return max(1, min(CPU_IMAGES, CPU_PIXELS // pixels, most))


@torch.no_grad()
def scores_of(model: ImageModel, x: Tensor, batch_size: int | None = None) -> Tensor:
    """Return the scores (N, classes) of pixels (N, C, H, W), computed in batches; ValueError for NaN."""
    folded = len(x) >= FOLDED
    passes = in_batches(
        model,
        x,
        lambda part: model(torch.stack(part), folded=folded),
        size=x.shape[2:],
        batch_size=batch_size,
        gradient=False,
    )
    return check_finite(torch.cat([scores for _, scores in passes]), model.name)
