"""Find the tensors that targets read in the raw output of a network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model_output import describe, entry_of, find_scores
from xai_widgets.core.validation import tensor

#: Entries that hold an embedding of the image in the outputs of Hugging Face.
EMBEDDINGS = ("image_embeds", "image_features", "pooler_output", "embeddings")


def class_map(output: Any, entry: str | int | None) -> Tensor:
    """Return the dense output of a network, (N, C, h, w); one without channels, (N, h, w), gets one.

    Parameters
    ----------
    output
        The raw output.
    entry : str or int, optional
        The entry that holds it. Default: the output itself, "logits", "out", or the first of a tuple.
    """
    found = find_scores(output, entry)
    if found is None and isinstance(output, list | tuple) and output and isinstance(output[0], Tensor):
        found = output[0]
    if found is None or not found.is_floating_point() or found.ndim not in (3, 4):
        raise ValueError(
            f"expected a network with a map of scores (N, C, h, w) in its output, got {_found(output, found)}; entry= "
            "names it"
        )
    return found if found.ndim == 4 else found[:, None]


def score_table(output: Any, entry: str | int | None) -> Tensor:
    """Return the outputs of a network with one number per image and output, (N, K)."""
    found = find_scores(output, entry)
    if found is not None and found.is_floating_point() and found.ndim == 4 and found.shape[2:] == (1, 1):
        found = found.flatten(1)
    if found is None or not found.is_floating_point() or found.ndim not in (1, 2):
        raise ValueError(
            f"expected a network with numbers (N, K) in its output, got {_found(output, found)}; entry= names them"
        )
    return found if found.ndim == 2 else found[:, None]


def embedding_of(output: Any, entry: str | int | None) -> Tensor:
    """Return the embeddings of images, (N, D), in the output of a network."""
    found = None
    if entry is None and not isinstance(output, Tensor):
        found = next((part for name in EMBEDDINGS if (part := entry_of(output, name)) is not None), None)
    found = find_scores(output, entry) if found is None else found
    if found is None or not found.is_floating_point() or found.ndim != 2:
        raise ValueError(
            f"expected a network with one embedding per image, (N, D), got {_found(output, found)}; entry= names it"
        )
    return found


def check_index(index: int, count: int, name: str) -> None:
    """Raise ValueError for an index that an output does not have."""
    if index >= count:
        raise ValueError(f"expected {name} from 0 to {count - 1}, got {index}")


def constant(values: Any, name: str, shape: tuple[str | int, ...]) -> Tensor:
    """Return a tensor of a target, as float32 without a graph, that can be used in autograd later."""
    # Tensors created in the caller's inference mode cannot.
    with outside_inference():
        return tensor(values, name, shape, finite=True).detach().clone().to(torch.float32)


def _found(output: Any, found: Tensor | None) -> str:
    return describe(output if found is None else found)
