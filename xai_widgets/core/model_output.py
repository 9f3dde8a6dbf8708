"""Find the class scores in the output of a network, and the activation that it ends in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from xai_widgets.core.guard import outside_inference


class Prediction(NamedTuple):
    """One class of a prediction."""

    label: str
    probability: float
    score: float
    target: int

    def __repr__(self) -> str:
        numbers = f"probability {self.probability:.3g}, score {self.score:.4g}, target {self.target}"
        return f"Prediction({self.label!r}, {numbers})"


def find_scores(output: Any, key: str | int | None) -> Tensor | None:
    """Return the tensor of scores in a network's output, or None if it is ambiguous.

    Parameters
    ----------
    output
        A tensor, or a tuple, list, dict or object that holds tensors.
    key : str or int, optional
        The entry that holds the scores. Default: "logits", "out", "scores", the first entry of a tuple, or the only
        tensor of two dimensions.
    """
    if isinstance(output, Tensor):
        return output
    if key is not None:
        return entry_of(output, key)
    for name in ("logits", "out", "scores"):
        if (found := entry_of(output, name)) is not None:
            return found
    parts = _parts(output)
    if isinstance(output, tuple) and parts and isinstance(parts[0], Tensor) and parts[0].ndim == 2:
        return parts[0]
    flat = [part for part in parts if isinstance(part, Tensor) and part.ndim == 2]
    return flat[0] if len(flat) == 1 else None


def entry_of(output: Any, key: str | int) -> Tensor | None:
    """Return the tensor with a key, index or attribute name; None if there is none."""
    found = None
    with suppress(KeyError, IndexError):
        if isinstance(output, Mapping):
            found = output[key]
        elif isinstance(key, str):
            found = getattr(output, key, None)
        elif isinstance(output, Sequence):
            found = output[key]
    # A method of a dict, such as "values", or another entry may have the name.
    return found if isinstance(found, Tensor) else None


def _parts(output: Any) -> list[Any]:
    if isinstance(output, Mapping):
        return list(output.values())
    return list(output) if isinstance(output, Sequence) else list(getattr(output, "__dict__", {}).values())


def describe(output: Any) -> str:
    """Describe the output of a network for an error message."""
    if isinstance(output, Tensor):
        return f"a tensor of shape {tuple(output.shape)} and {output.dtype}"
    if isinstance(output, Mapping):
        return f"a dict with {', '.join(map(repr, output)) or 'nothing'}"
    if isinstance(output, tuple | list):
        return f"a {type(output).__name__} of {len(output)}"
    names = ", ".join(map(repr, getattr(output, "__dict__", {})))
    return type(output).__name__ + (f" with {names}" if names else "")


def as_scores(found: Tensor, number: int) -> Tensor | None:
    """Return scores as (N, classes), or None if the tensor does not hold class scores.

    Parameters
    ----------
    found : Tensor
        (N, classes), (N, classes, 1, 1), (N,), or a scalar for one image.
    number : int
        N, the number of images.
    """
    if not found.is_floating_point() or found.layout != torch.strided or not found.numel():
        return None
    if found.ndim == 4 and found.shape[2:] == (1, 1):
        found = found.flatten(1)
    if found.ndim == 1 or (found.ndim == 0 and number == 1):
        found = found.reshape(-1, 1)
        return found if len(found) == number else None
    return found if found.ndim == 2 else None


def distinct_weights(scores: Tensor) -> Tensor:
    """Return weights from 1 to 2 of the shape of scores, for a gradient of all of them: their sum may be constant."""
    return torch.linspace(1, 2, scores.numel(), device=scores.device, dtype=scores.dtype).view_as(scores)


#: Prefixes of the names of the autograd nodes of activations that return probabilities.
_ACTIVATIONS = {"Softmax": "softmax", "Sigmoid": "sigmoid", "Hardsigmoid": "sigmoid"}
#: Prefixes of the names of the autograd nodes of operations that do not change values.
_RESHAPING = (
    "ToCopy",
    "View",
    "Reshape",
    "UnsafeView",
    "Squeeze",
    "Unsqueeze",
    "Select",
    "Slice",
    "Clone",
    "Alias",
)


def final_activation(
    scores: Callable[[Tensor], Tensor], image: Tensor
) -> Literal["softmax", "sigmoid"] | None:
    """Return the activation that a network ends in; None if its outputs are not probabilities.

    It is found by the last operation of the network. Otherwise it is softmax if the outputs are at least 0 and sum to
    1, for this image and for noise.

    Parameters
    ----------
    scores : callable
        Maps an image to the outputs of the network, (1, classes).
    image : Tensor, (1, C, H, W)
        Any image.
    """
    if image.is_meta:
        return None
    with outside_inference(), torch.enable_grad():
        noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(0)).to(image.device)
        try:
            outputs = scores(noise.requires_grad_())
        # Some networks have no backward pass: parameters created in inference mode, or no derivative.
        except RuntimeError:
            with torch.no_grad():
                outputs = scores(noise)
        if not _in_unit_interval(outputs):
            return None
        found = _last_operation(outputs)
        if found is not None:
            return found
    with torch.no_grad():
        other = scores(image)
    sums = torch.cat([outputs.detach(), other]).sum(1)
    if outputs.shape[1] > 1 and _in_unit_interval(other) and bool(((sums - 1).abs() < 1e-2).all()):
        return "softmax"
    return None


def _in_unit_interval(values: Tensor) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


def _last_operation(outputs: Tensor) -> Literal["softmax", "sigmoid"] | None:
    """Return the activation that is the last operation in the autograd graph, reshaping aside."""
    node: Any = outputs.grad_fn
    while node is not None and node.name().startswith(_RESHAPING) and node.next_functions:
        node = node.next_functions[0][0]
    name = "" if node is None else node.name()
    for prefix, kind in _ACTIVATIONS.items():
        if name.startswith(prefix):
            return "softmax" if kind == "softmax" else "sigmoid"
    return None
