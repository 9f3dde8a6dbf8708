"""Convolutions with constant weights, for 1 x 1 kernels by oneDNN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor


def by_onednn(func: Callable[..., Any]) -> Callable[..., Any]:
    """Return :func:`convolution` for ``F.conv2d``, any other function itself."""
    return convolution if func is F.conv2d else func


def convolution(*args: Any, **kwargs: Any) -> Tensor:
    """Return ``F.conv2d``, for constant 1 x 1 kernels on one thread of a CPU by oneDNN whatever the size of the batch.

    Torch itself uses oneDNN there from 16 images on, although it is faster for fewer, too, and small batches spare the
    memory.
    """
    if kwargs or not 3 <= len(args) <= 7 or not _is_slow(*args[:2]):
        return F.conv2d(*args, **kwargs)
    x, weight, bias, *settings = args
    groups = settings[3] if len(settings) > 3 else 1
    given: list[Any] = [(each, each) if isinstance(each, int) else each for each in settings[:3]]
    stride, padding, dilation = given + [(1, 1), (0, 0), (1, 1)][len(given) :]
    if isinstance(padding, str):
        return F.conv2d(*args)
    if not torch.is_grad_enabled():
        return torch.mkldnn_convolution(x, weight, bias, padding, stride, dilation, groups)
    constant = not weight.requires_grad and (bias is None or not bias.requires_grad)
    if constant and groups == 1 and (tuple(stride), tuple(padding)) == ((1, 1), (0, 0)):
        return cast(Tensor, Pointwise.apply(x, weight, bias))
    return F.conv2d(*args)


def _is_slow(x: Tensor, weight: Tensor) -> bool:
    """Return whether torch computes a 1 x 1 convolution without oneDNN, although it is there."""
    return bool(
        tuple(weight.shape[2:]) == (1, 1)
        and x.ndim == 4
        and 0 < len(x) < 16
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and torch.get_num_threads() == 1
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
    )


class Pointwise(torch.autograd.Function):
    """A 1 x 1 convolution by oneDNN, y = W x + b, whose backward pass W^T dy is such a convolution, too.

    Weight and bias are constants.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return y."""
        ctx.weight = weight
        return torch.mkldnn_convolution(x, weight, bias, [0, 0], [1, 1], [1, 1], 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Return W^T dy."""
        return cast(Tensor, Pointwise.apply(gradients[0], ctx.weight.transpose(0, 1), None)), None, None
