"""Names of torch functions by their effect on the values of a network, and their arguments."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xai_widgets.tracing import Affine, Call, Trace, Value

POOLS = frozenset(
    {"max_pool1d", "max_pool2d", "max_pool3d", "max_pool2d_with_indices", "adaptive_max_pool1d", "adaptive_max_pool2d",
     "adaptive_max_pool2d_with_indices"}
)  # fmt: skip
AVERAGES = frozenset(
    {"avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "mean"}
)
#: Calls that keep all values in their order.
RESHAPES = frozenset(
    {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout", "feature_alpha_dropout",
     "flatten", "unflatten", "reshape", "view", "reshape_as", "view_as", "squeeze", "unsqueeze", "contiguous", "clone",
     "detach", "alias", "to", "float", "double", "half", "bfloat16", "type", "type_as", "data"}
)  # fmt: skip
CONVOLUTIONS = frozenset(
    {"conv1d", "conv2d", "conv3d", "convolution", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
)
_DENSE = frozenset({"linear", "matmul", "mm", "bmm", "baddbmm", "addmm", "einsum", "bilinear"})
_ATTENTION = frozenset({"scaled_dot_product_attention", "multi_head_attention_forward"})
#: Calls that move, repeat or select values, or concatenate tensors.
_MOVING = frozenset(
    {"cat", "concat", "concatenate", "stack", "hstack", "vstack", "permute", "transpose", "movedim", "moveaxis",
     "swapaxes", "swapdims", "t", "T", "mT", "getitem", "chunk", "split", "split_with_sizes", "tensor_split", "unbind",
     "narrow", "select", "index_select", "take_along_dim", "gather", "expand", "expand_as", "repeat", "tile",
     "repeat_interleave", "roll", "flip", "rot90", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "unfold",
     "fold", "setitem"}
)  # fmt: skip
#: Those of `_MOVING` that keep each value exactly once.
PERMUTATIONS = frozenset(
    {"permute", "transpose", "movedim", "moveaxis", "swapaxes", "swapdims", "t", "T", "mT", "roll", "flip", "rot90",
     "pixel_shuffle", "pixel_unshuffle", "channel_shuffle"}
)  # fmt: skip
_SUMS = frozenset({"sum", "nansum", "cumsum"})
PRODUCTS = frozenset({"mul", "multiply", "rmul"})
QUOTIENTS = frozenset({"div", "divide", "true_divide", "truediv"})
#: Calls that return non-negative values for non-negative arguments.
KEEPING = (
    POOLS | AVERAGES | RESHAPES | _MOVING | _SUMS | _DENSE
    | {"add", "radd", "mul", "multiply", "rmul", "div", "divide", "true_divide", "truediv", "rdiv", "rtruediv", "amax",
       "amin", "max", "min", "minimum", "fmin", "maximum", "fmax", "pow", "lp_pool2d", "addcmul"}
)  # fmt: skip
NONNEGATIVE = frozenset(
    {"relu", "relu6", "sigmoid", "softmax", "softplus", "hardsigmoid", "abs", "absolute", "square", "exp", "sqrt",
     "norm", "linalg_vector_norm", "vector_norm", "gt", "ge", "lt", "le", "eq", "ne", "gumbel_softmax", "expit"}
)  # fmt: skip
#: Calls with non-negative results at which a unit can end.
ENDS = (
    POOLS | AVERAGES | RESHAPES
    | {"relu", "relu6", "sigmoid", "softmax", "softplus", "hardsigmoid", "abs", "square", "add", "radd", "mul", "rmul",
       "multiply", "cat", "concat", "concatenate", "interpolate", "upsample"}
) - {"clone", "detach", "alias", "to", "float", "double", "half", "bfloat16", "type", "type_as", "data",
     "contiguous"}  # fmt: skip
#: Activation functions with negative values whose value for 0 is 0, and their usual names.
SIGNED = {
    "silu": "SiLU", "gelu": "GELU", "hardswish": "Hardswish", "leaky_relu": "LeakyReLU", "elu": "ELU", "selu": "SELU",
    "celu": "CELU", "prelu": "PReLU", "mish": "Mish", "tanh": "Tanh", "hardtanh": "Hardtanh", "softsign": "Softsign",
    "tanhshrink": "Tanhshrink", "hardshrink": "Hardshrink", "softshrink": "Softshrink", "rrelu": "RReLU",
}  # fmt: skip
#: Activation functions with which no unit ends: 0 is not the value of an inactive neuron.
UNBOUNDED = {"logsigmoid": "LogSigmoid", "log_softmax": "log-softmax", "glu": "GLU"}
#: Calls that return activations for activations: values of 0 stay 0.
ACTIVATIONS = (
    POOLS | AVERAGES | RESHAPES | _MOVING | _SUMS
    | {"add", "radd"} | PRODUCTS | QUOTIENTS
)  # fmt: skip
#: Calls after which a part that several activations cross is not divided: the next call reads what they join.
JOINING = RESHAPES | _MOVING | {"interpolate", "upsample"}
ARITHMETIC = frozenset({"add", "radd", "sub"}) | PRODUCTS | QUOTIENTS
#: The names of activation functions that multiply their input with a function of it, by a call in that function.
GATES = {
    "sigmoid": "SiLU", "expit": "SiLU", "hardsigmoid": "Hardswish", "relu6": "Hardswish", "hardtanh": "Hardswish",
    "clamp": "Hardswish", "clip": "Hardswish", "softplus": "Mish", "erf": "GELU", "tanh": "GELU",
}  # fmt: skip


def is_pad(call: Call) -> bool:
    """Return whether a call pads its input."""
    return call.name in ("pad", "constant_pad_nd")


def has_weights(call: Call) -> int:
    """Return 1 for a weighted operation on the image, such as a convolution or attention, else 0."""
    return int(call.depends and call.name in CONVOLUTIONS | _DENSE | _ATTENTION)


def is_linear(traced: Trace, index: int) -> bool:
    """Return whether a call is an affine function of its arguments that depend on the image."""
    call = traced.calls[index]
    before = depending(traced, call)
    if call.name in CONVOLUTIONS | _DENSE | PRODUCTS | QUOTIENTS:
        first = call.argument(0, "input")
        return len(before) == 1 and (call.name == "rmul" or first in before or call.name.startswith("mul"))
    if call.name == "batch_norm":
        return not call.argument(5, "training", False)
    if call.name in RESHAPES | AVERAGES | _MOVING | _SUMS | {"add", "radd", "sub", "subtract", "rsub", "neg"}:
        # Indexing by values that depend on the image is not linear.
        return call.name != "getitem" or len(before) == 1
    return is_pad(call) or call.name in ("interpolate", "upsample")


def depending(traced: Trace, call: Call) -> list[Value]:
    """Return the arguments of a call that depend on the image."""
    return [value for value in call.values() if traced.calls[value.call].depends]


def operands(call: Call) -> list[Any]:
    """Return the tensors and numbers that a call computes with, without dimensions, sizes and indices."""
    if call.name in ("add", "radd", "mul", "multiply", "rmul", "div", "divide", "true_divide", "truediv", "rdiv",
                     "rtruediv", "minimum", "fmin", "addcmul"):  # fmt: skip
        return [*call.args, *(call.kwargs[key] for key in ("input", "other", "value") if key in call.kwargs)]
    if call.name == "setitem":
        return [call.args[0], call.args[2]]
    leaves = [leaf for each in (*call.args, *call.kwargs.values()) for leaf in _flat(each)]
    return [leaf for leaf in leaves if isinstance(leaf, Value | Tensor) and not _is_index(leaf)]


def _flat(given: Any) -> list[Any]:
    if isinstance(given, Value | Affine) or not isinstance(given, tuple | list):
        return [given]
    return [leaf for each in given for leaf in _flat(each)]


def _is_index(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.dtype in (torch.int64, torch.int32, torch.bool)
