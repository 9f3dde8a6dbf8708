"""Folding of batch norm into the layer before it while the network runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from xai_widgets.rules.propagation import Operation


def at_least_float32(values: Tensor) -> Tensor:
    """Convert half-precision values to float32."""
    return values.float() if values.element_size() < 4 else values


def producer_node(x: Tensor) -> Any:
    """Return the autograd node that produced x, or the value that an in-place operation assigned to it."""
    node: Any = x.grad_fn
    assigned = node is not None and node.name().endswith(("CopyBackwards", "_AssignBackward"))
    return node.next_functions[1][0] if assigned else node


def fold(
    weight: Tensor, f: Operation, y: Tensor, factor: Tensor, shift: Tensor
) -> tuple[Tensor, Operation] | None:
    """Return weight and operation of factor * y + shift, y the output of a layer; None if it varies in a channel."""
    if f.channels is None:
        return None
    of_weight, of_output = f.channels
    size = y.shape[of_output]
    axis = factor.ndim + of_output
    if factor.numel() != 1 and not (axis >= 0 and factor.shape[axis] == factor.numel() == size):
        return None
    view = [1] * weight.ndim
    view[of_weight] = -1
    bias = shift if f.bias is None else f.bias * factor + shift
    return weight * factor.reshape(view), replace(f, bias=bias)
