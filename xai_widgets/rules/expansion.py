"""Forms of fused functions in elementary operations, each of which has a backward rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.rules.attention import expanded_attention


def expanded(func: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return the form of a fused function in elementary operations, equal up to rounding; None for any other."""
    return _EXPANDED.get(func) or expanded_attention(func)


def group_norm(
    x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Return a group norm as a layer norm of each group; see :func:`torch.nn.functional.group_norm`."""
    groups = x.reshape(len(x), num_groups, -1)
    y = F.layer_norm(groups, groups.shape[2:], eps=eps).view_as(x)
    shape = (1, -1, *[1] * (x.ndim - 2))
    y = y if weight is None else y * weight.view(shape)
    return y if bias is None else y + bias.view(shape)


def instance_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return an instance norm as a group norm or a batch norm; see :func:`torch.nn.functional.instance_norm`."""
    if use_input_stats:
        return group_norm(x, x.shape[1], weight, bias, eps)
    return F.batch_norm(x, running_mean, running_var, weight, bias, eps=eps)


def normalize(x: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: None = None) -> Tensor:
    """Return x divided by its norm; see :func:`torch.nn.functional.normalize`."""
    return x / torch.linalg.vector_norm(x, p, dim, keepdim=True).clamp_min(eps)


def rms_norm(
    x: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Return x divided by its root mean square; see :func:`torch.nn.functional.rms_norm`."""
    dims = tuple(range(-len(normalized_shape), 0))
    size = x[(0,) * (x.ndim - len(dims))].numel()
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    y = x / (torch.linalg.vector_norm(x, 2, dims, keepdim=True) ** 2 / size + eps).sqrt()
    return y if weight is None else y * weight


def addmm(x: Tensor, first: Tensor, second: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return beta x + alpha first second; see :func:`torch.addmm` and :func:`torch.baddbmm`."""
    y = first @ second
    y = y if alpha == 1 else y * alpha
    return (x if beta == 1 else x * beta) + y


def addcmul(x: Tensor, first: Tensor, second: Tensor, *, value: float = 1) -> Tensor:
    """Return x + value first second; see :func:`torch.addcmul`."""
    y = first * second
    return x + (y if value == 1 else y * value)


_EXPANDED: dict[Callable[..., Any], Callable[..., Any]] = {
    F.group_norm: group_norm,
    F.instance_norm: instance_norm,
    F.normalize: normalize,
    F.rms_norm: rms_norm,
    torch.addmm: addmm,
    Tensor.addmm: addmm,
    torch.baddbmm: addmm,
    Tensor.baddbmm: addmm,
    torch.addcmul: addcmul,
    Tensor.addcmul: addcmul,
}
