"""Which torch functions are which operation, and what they were called with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

RELU = {F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
CLAMP_MIN = {torch.clamp_min, torch.clamp_min_, Tensor.clamp_min, Tensor.clamp_min_}
CLAMP = {
    torch.clamp, torch.clamp_, Tensor.clamp, Tensor.clamp_, torch.clip, torch.clip_, Tensor.clip, Tensor.clip_,
}  # fmt: skip
MAX_POOL = {
    F.max_pool1d, F.max_pool2d, F.max_pool3d,
    F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d,
    torch.max_pool1d, torch.max_pool2d, torch.max_pool3d,
}  # fmt: skip
#: The forms that return the pooled output and its switches.
MAX_POOL_WITH_SWITCHES = {
    F.max_pool1d_with_indices, F.max_pool2d_with_indices, F.max_pool3d_with_indices,
    F.adaptive_max_pool1d_with_indices, F.adaptive_max_pool2d_with_indices, F.adaptive_max_pool3d_with_indices,
}  # fmt: skip


DENSE = {"linear", "matmul", "mm"}
CONVOLUTION = {"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
AVERAGE = {
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "mean", "sum",
}  # fmt: skip
INTERPOLATE = {"interpolate", "upsample"}
ADD, SUBTRACT = {"add", "add_"}, {"sub", "sub_", "subtract", "subtract_"}
MULTIPLY = {
    "mul", "mul_", "multiply", "multiply_", "div", "div_", "divide", "divide_", "true_divide", "true_divide_",
}  # fmt: skip
NEGATE = {"neg", "neg_", "negative", "negative_"}
#: Rectifiers with an upper end are found by :func:`is_bounded`.
BOUNDED = {F.relu6, F.hardtanh, F.hardtanh_}
#: Functions of one number: f(x) has as many values as x, and each depends on one of them.
ELEMENTWISE = {
    "celu", "celu_", "elu", "elu_", "gelu", "hardsigmoid", "hardswish", "hardtanh", "hardtanh_", "leaky_relu",
    "leaky_relu_", "logsigmoid", "mish", "prelu", "selu", "selu_", "sigmoid", "sigmoid_", "silu", "softplus",
    "softsign", "tanh", "tanh_",
}  # fmt: skip
#: Those of them that weigh what other layers say.
GATES = {"hardsigmoid", "sigmoid", "tanh"}
#: Where each of them takes ``inplace``.
_INPLACE_AT = {
    F.relu: 1, F.relu6: 1, F.hardtanh: 3, F.hardsigmoid: 1, F.hardswish: 1, F.silu: 1, F.mish: 1, F.elu: 2, F.celu: 2,
    F.selu: 1, F.leaky_relu: 2,
}  # fmt: skip
#: What only moves values, or passes on one of several: its own backward is right under any rule.
MOVING = {
    "__getitem__", "adaptive_max_pool1d", "alpha_dropout", "cat", "channel_shuffle", "chunk", "clone", "concat",
    "concatenate", "contiguous", "cpu", "cuda", "dropout", "dropout1d", "dropout2d", "dropout3d", "dropout_", "double",
    "expand", "expand_as", "feature_alpha_dropout", "feature_dropout", "flatten", "flip", "float", "index_select",
    "movedim", "narrow", "pad", "permute", "pixel_shuffle", "pixel_unshuffle", "reshape", "reshape_as", "roll",
    "select", "split", "squeeze", "squeeze_", "stack", "swapaxes", "t", "tensor_split", "to", "transpose", "type",
    "type_as", "unbind", "unflatten", "unsqueeze", "unsqueeze_", "view", "view_as", "__get__",
}  # fmt: skip


def argument(args: tuple[Any, ...], kwargs: dict[str, Any], place: int, name: str, default: Any) -> Any:
    """What a function was called with at this place, or by this name."""
    return args[place] if len(args) > place else kwargs.get(name, default)


def is_relu(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether it is ReLU in any of its spellings."""
    if func in RELU:
        return True
    if func not in CLAMP_MIN and func not in CLAMP:
        return False
    low = argument(args, kwargs, 1, "min", None)
    high = argument(args, kwargs, 2, "max", None) if func in CLAMP else None
    return isinstance(low, int | float) and low == 0 and high is None


def is_in_place(func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether it writes into what it is given."""
    place = _INPLACE_AT.get(func)
    if place is not None:
        return bool(argument(args, kwargs, place, "inplace", False))
    return name.endswith("_") and not name.endswith("__")


def is_bounded(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether it clamps at zero from below, and somewhere above."""
    if func is F.relu6:
        return True
    low = "min_val" if func in BOUNDED else "min"
    if not (func in BOUNDED or func in CLAMP) or argument(args, kwargs, 1, low, None) != 0:
        return False
    return upper_end(func, args, kwargs) is not None


def upper_end(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Where a rectifier clamps from above."""
    if func is F.relu6:
        return 6.0
    name, default = ("max_val", 1.0) if func in BOUNDED else ("max", None)
    return argument(args, kwargs, 2, name, default)


def is_average(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether an interpolation has no negative weight."""
    return argument(args, kwargs, 3, "mode", "nearest") != "bicubic"
