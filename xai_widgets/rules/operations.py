"""Classification of torch functions into operations, and access to their arguments."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.function_calls import argument

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
#: Forms that return the pooled output and its switches.
MAX_POOL_WITH_SWITCHES = {
    F.max_pool1d_with_indices, F.max_pool2d_with_indices, F.max_pool3d_with_indices,
    F.adaptive_max_pool1d_with_indices, F.adaptive_max_pool2d_with_indices, F.adaptive_max_pool3d_with_indices,
}  # fmt: skip


DENSE = {"linear", "matmul", "mm", "bmm"}
#: Products of two tensors, linear in each.
PRODUCT = {"matmul", "mm", "bmm", "einsum"}
#: Results by which other activations are scaled: weights of attention, and norms.
GATING = {
    "softmax", "norm", "vector_norm", "linalg_vector_norm", "linalg_norm", "std", "var", "std_mean", "var_mean",
}  # fmt: skip
#: Powers, which occur in normalizations and in activations such as StarReLU.
POWER = {"pow", "square", "sqrt", "rsqrt"}
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
#: Rectifiers with an upper bound, see :func:`is_bounded`.
BOUNDED = {F.relu6, F.hardtanh, F.hardtanh_}
#: Elementwise functions.
ELEMENTWISE = {
    "celu", "celu_", "elu", "elu_", "gelu", "hardsigmoid", "hardswish", "hardtanh", "hardtanh_", "leaky_relu",
    "leaky_relu_", "logsigmoid", "mish", "prelu", "selu", "selu_", "sigmoid", "sigmoid_", "silu", "softplus",
    "softsign", "tanh", "tanh_",
}  # fmt: skip
#: Elementwise functions that are used as gates of other activations.
GATES = {"hardsigmoid", "sigmoid", "tanh"}
#: Functions that may be another expression for ReLU, which is checked by their values.
RECTIFYING = {
    "__setitem__", "clamp", "clamp_max", "clamp_min", "clip", "fmax", "hardtanh", "index_put", "leaky_relu",
    "masked_fill", "max", "maximum", "mul", "multiply", "prelu", "rrelu", "threshold", "where",
}  # fmt: skip
#: Those that are not equal to ReLU by chance.
_CERTAIN = {"clamp", "clamp_min", "clip", "fmax", "leaky_relu", "maximum", "prelu", "rrelu", "threshold"}
#: Functions with a kink, which may be part of an expression for ReLU, such as |x| + x.
KINKED = {
    "abs", "clamp", "clamp_max", "clamp_min", "clip", "fmax", "fmin", "hardshrink", "heaviside", "masked_fill",
    "maximum", "minimum", "relu", "rrelu", "sign", "softshrink", "threshold", "where", "masked_scatter",
    "logaddexp", "logsumexp", "sqrt", "pow", "square", "exp", "expm1", "log", "log1p", "erf",
}  # fmt: skip
#: Index of the argument ``inplace``.
_INPLACE_AT = {
    F.relu: 1, F.relu6: 1, F.hardtanh: 3, F.hardsigmoid: 1, F.hardswish: 1, F.silu: 1, F.mish: 1, F.elu: 2, F.celu: 2,
    F.selu: 1, F.leaky_relu: 2, F.threshold: 3, F.rrelu: 4,
}  # fmt: skip
#: Operations that only move or select values: their own backward is correct under any rule.
MOVING = {
    "__getitem__", "adaptive_max_pool1d", "alpha_dropout", "cat", "channel_shuffle", "chunk", "clone", "concat",
    "concatenate", "contiguous", "cpu", "cuda", "dropout", "dropout1d", "dropout2d", "dropout3d", "dropout_", "double",
    "broadcast_to", "expand", "expand_as", "feature_alpha_dropout", "feature_dropout", "flatten", "flip", "float",
    "hstack", "index_select", "moveaxis", "movedim", "narrow", "pad", "permute", "pixel_shuffle", "pixel_unshuffle",
    "repeat", "repeat_interleave", "reshape", "reshape_as", "roll", "rot90", "select", "split", "split_with_sizes",
    "squeeze", "squeeze_", "stack", "swapaxes", "t", "tensor_split", "tile", "to", "transpose", "type", "type_as",
    "unbind", "unflatten", "unfold", "unsqueeze", "unsqueeze_", "view", "view_as", "vstack", "__get__",
}  # fmt: skip


@lru_cache(1024)
def name_of(func: Callable[..., Any]) -> str:
    """Return the name of a torch function, such as "relu" for ``torch.ops.aten.relu.default``."""
    name = str(getattr(func, "__name__", ""))
    name = name.partition(".")[0] if isinstance(func, torch._ops.OpOverload) else name
    # Some functions of torch.nn.functional have a private name.
    return name if name.startswith("__") else name.lstrip("_")


def is_zero(value: Any) -> bool:
    """Return whether a constant is 0, as a number or as a tensor of zeros without a gradient."""
    if isinstance(value, Tensor):
        return not value.requires_grad and not bool(value.any())
    return isinstance(value, int | float) and value == 0


def is_relu(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a call is a standard form of ReLU of its first argument."""
    if func in RELU or (isinstance(func, torch._ops.OpOverload) and name_of(func) in ("relu", "relu_")):
        return True
    if func not in CLAMP_MIN and func not in CLAMP:
        return False
    low = argument(args, kwargs, 1, "min", None)
    high = argument(args, kwargs, 2, "max", None) if func in CLAMP else None
    return is_zero(low) and high is None


@lru_cache(1024)
def may_rectify(func: Callable[..., Any]) -> bool:
    """Return whether some call of a function computes max(x, 0), maybe with an upper bound."""
    name = name_of(func)
    name = name if name == "__setitem__" else name.rstrip("_")
    known = func in RELU or func in CLAMP_MIN or func in CLAMP or func in BOUNDED or func is F.relu6
    return known or name == "relu" or name in RECTIFYING


def rectified(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """Return x if a call computes max(x, 0) by another expression than ReLU, otherwise None.

    For example ``threshold(x, 0, 0)``, ``maximum(x, 0)``, ``where(x > 0, x, 0)``, ``x * (x > 0)``, ``x[x < 0] = 0``.
    """
    name = name_of(func)
    name = name if name == "__setitem__" else name.rstrip("_")
    if name not in RECTIFYING:
        return None
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    moving = [tensor for tensor in tensors if tensor.requires_grad]
    if len(moving) != 1 or not moving[0].is_floating_point():
        return None
    x = moving[0]
    others = [value for value in (*args, *kwargs.values()) if value is not x]
    if name in ("mul", "multiply") and not _is_mask(others, x):
        return None
    with torch.no_grad():
        expected = x.clamp(min=0)
        if name == "__setitem__":
            actual = x.detach().clone()
            func(actual, *args[1:], **kwargs)
        else:
            copied = [value.clone() if value is x else value for value in args]
            named = {key: value.clone() if value is x else value for key, value in kwargs.items()}
            actual = func(*copied, **named)
    same = isinstance(actual, Tensor) and actual.shape == expected.shape and torch.equal(actual, expected)
    # Without negative values, a mask of ones looks like ReLU.
    return x if same and (name in _CERTAIN or bool((x < 0).any())) else None


def _is_mask(others: list[Any], x: Tensor) -> bool:
    mask = others[0] if len(others) == 1 else None
    if not isinstance(mask, Tensor) or mask.shape != x.shape:
        return False
    return mask.dtype == torch.bool or bool(((mask == 0) | (mask == 1)).all())


def is_in_place(func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a call changes its first argument in place."""
    if name == "__setitem__":
        return True
    index = _INPLACE_AT.get(func)
    if index is not None:
        return bool(argument(args, kwargs, index, "inplace", False))
    return name.endswith("_") and not name.endswith("__")


def is_bounded(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a call clamps to a minimum of 0 and a maximum."""
    if func is F.relu6:
        return True
    low = "min_val" if func in BOUNDED else "min"
    if not (func in BOUNDED or func in CLAMP) or not is_zero(argument(args, kwargs, 1, low, None)):
        return False
    return upper_bound(func, args, kwargs) is not None


def upper_bound(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the upper bound of a rectifier."""
    if func is F.relu6:
        return 6.0
    name, default = ("max_val", 1.0) if func in BOUNDED else ("max", None)
    return argument(args, kwargs, 2, name, default)


def is_average(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether an interpolation has only weights of at least 0."""
    return argument(args, kwargs, 3, "mode", "nearest") != "bicubic"
