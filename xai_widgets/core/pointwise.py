"""Convolutions with constant weights, for 1 x 1 kernels by oneDNN."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor


def convolution(x: Tensor, weight: Tensor, bias: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return ``F.conv2d``, for 1 x 1 kernels on one thread of a CPU by oneDNN whatever the size of the batch.

    Torch itself uses oneDNN there from 16 images on, although it is faster for four images, too, and small batches
    spare the memory.
    """
    slow = tuple(weight.shape[2:]) == (1, 1) and len(x) < 16 and torch.get_num_threads() == 1
    known = slow and not args[4:] and not kwargs and x.device.type == "cpu" and x.dtype == torch.float32
    settings = [[each] * 2 if isinstance(each, int) else each for each in args[:3]]
    if not known or any(isinstance(each, str) for each in settings):
        return F.conv2d(x, weight, bias, *args, **kwargs)
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:
        return F.conv2d(x, weight, bias, *args, **kwargs)
    defaults: list[Any] = [[1, 1], [0, 0], [1, 1]]
    stride, padding, dilation = ([int(one) for one in each] for each in settings + defaults[len(settings) :])
    groups = args[3] if len(args) > 3 else 1
    if not torch.is_grad_enabled():
        return torch.mkldnn_convolution(x, weight, bias, padding, stride, dilation, groups)
    if stride == [1, 1] and padding == [0, 0] and groups == 1:
        """Return W^T dy."""
        return cast(Tensor, Pointwise.apply(x, weight, bias))
    return F.conv2d(x, weight, bias, *args, **kwargs)


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
