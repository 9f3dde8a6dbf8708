"""The signs of activations: which calls of a trace give at least 0, which may not, and which are rectifiers."""

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
#: Calls that keep every value in its order.
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
#: Calls that move, repeat or pick values, or join tensors.
_MOVING = frozenset(
    {"cat", "concat", "concatenate", "stack", "hstack", "vstack", "permute", "transpose", "movedim", "moveaxis",
     "swapaxes", "swapdims", "t", "T", "mT", "getitem", "chunk", "split", "split_with_sizes", "tensor_split", "unbind",
     "narrow", "select", "index_select", "take_along_dim", "gather", "expand", "expand_as", "repeat", "tile",
     "repeat_interleave", "roll", "flip", "rot90", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "unfold",
     "fold", "setitem"}
)  # fmt: skip
#: Of these, those that keep each value once.
PERMUTATIONS = frozenset(
    {"permute", "transpose", "movedim", "moveaxis", "swapaxes", "swapdims", "t", "T", "mT", "roll", "flip", "rot90",
     "pixel_shuffle", "pixel_unshuffle", "channel_shuffle"}
)  # fmt: skip
_SUMS = frozenset({"sum", "nansum", "cumsum"})
#: Calls that give at least 0 if all that they are given is.
_KEEPING = (
    POOLS | AVERAGES | RESHAPES | _MOVING | _SUMS | _DENSE
    | {"add", "radd", "mul", "multiply", "rmul", "div", "divide", "true_divide", "truediv", "rdiv", "rtruediv", "amax",
       "amin", "max", "min", "minimum", "fmin", "maximum", "fmax", "pow", "lp_pool2d", "addcmul"}
)  # fmt: skip
_POSITIVE = frozenset(
    {"relu", "relu6", "sigmoid", "softmax", "softplus", "hardsigmoid", "abs", "absolute", "square", "exp", "sqrt",
     "norm", "linalg_vector_norm", "vector_norm", "gt", "ge", "lt", "le", "eq", "ne", "gumbel_softmax", "expit"}
)  # fmt: skip
#: Of what keeps or makes at least 0, what a unit may end with.
_ENDS = (
    POOLS | AVERAGES | RESHAPES
    | {"relu", "relu6", "sigmoid", "softmax", "softplus", "hardsigmoid", "abs", "square", "add", "radd", "mul", "rmul",
       "multiply", "cat", "concat", "concatenate", "interpolate", "upsample"}
) - {"clone", "detach", "alias", "to", "float", "double", "half", "bfloat16", "type", "type_as", "data"}  # fmt: skip
#: Activations with negative values, and the names by which they are known.
_NEGATIVE = {
    "silu": "SiLU", "gelu": "GELU", "hardswish": "Hardswish", "leaky_relu": "LeakyReLU", "elu": "ELU", "selu": "SELU",
    "celu": "CELU", "prelu": "PReLU", "mish": "Mish", "tanh": "Tanh", "hardtanh": "Hardtanh", "softsign": "Softsign",
    "tanhshrink": "Tanhshrink", "hardshrink": "Hardshrink", "softshrink": "Softshrink", "logsigmoid": "LogSigmoid",
    "rrelu": "RReLU", "glu": "GLU", "log_softmax": "log-softmax",
}  # fmt: skip


class Signs:
    """Which results of a trace are at least 0, whatever the image is.

    Parameters
    ----------
    traced : Trace
    image : bool
        Whether the image is at least 0 as the network takes it, after normalization.
    """

    def __init__(self, traced: Trace, *, image: bool) -> None:
        self._traced = traced
        self._users: dict[int, list[Call]] = {}
        for call in traced.calls:
            for value in call.values():
                self._users.setdefault(value.call, []).append(call)
        self._positive: set[int] = {0} if image else set()
        for index in range(1, len(traced.calls)):
            if self._is_positive(index):
                self._positive.add(index)

    def ends(self, index: int) -> bool:
        """Return whether a unit may end with the result of a call."""
        call, made = self._traced.calls[index], self._traced.results[index]
        if index == 0:
            return True
        known = call.name in _ENDS or self.rectified(index) is not None or self._bounded(call)
        return (
            known
            and index in self._positive
            and len(made) == 1
            and made[0].is_floating_point()
            and 2 <= made[0].ndim <= 4
            # A batch that is folded into other dimensions has no images to be inverted one by one.
            and len(made[0]) == len(self._traced.results[0][0])
        )

    def negative(self, index: int) -> str | None:
        """Return the name of an activation with negative values; None for every other call."""
        call = self._traced.calls[index]
        # What the scores themselves are, such as log-softmax, is no activation.
        last = isinstance(self._traced.output, Value) and index == self._traced.output.call
        if not call.depends or last or (call.name not in _NEGATIVE and call.name not in ("mul", "multiply")):
            return None
        if call.name in ("mul", "multiply"):
            return "SiLU" if self._gates_itself(call) else None
        return (
            None
            if index in self._positive or (call.name == "hardtanh" and self._bounded(call))
            else _NEGATIVE[call.name]
        )

    def rectified(self, index: int) -> Value | None:
        """Return what a call is the ReLU of, with or without an upper end; None for every other call."""
        call = self._traced.calls[index]
        first = call.argument(0, "input")
        if call.name in ("maximum", "max", "fmax"):
            other = call.argument(1, "other")
            return self._maximum(first, other) or self._maximum(other, first)
        if not isinstance(first, Value):
            return self._masked(call)
        if call.name in ("relu", "relu6"):
            return first
        if call.name == "hardtanh":
            return first if call.argument(1, "min_val", -1.0) == 0 else None
        if call.name in ("clamp", "clip", "clamp_min"):
            return first if self._is_zero(call.argument(1, "min")) else None
        if call.name == "threshold":
            zero = call.argument(1, "threshold") == 0 and call.argument(2, "value") == 0
            return first if zero else None
        return self._masked(call)

    # -- inside ---------------------------------------------------------------------------------------------

    def _is_positive(self, index: int) -> bool:
        call, made = self._traced.calls[index], self._traced.results[index]
        if not call.depends:
            # Not what it is now, but what it will be: only shapes and other constants of the network's own code.
            return all(self._is_high(each) for each in made)
        if call.name in _POSITIVE or self._bounded(call) or self.rectified(index) is not None:
            return True
        if call.name == "pow" and call.argument(1, "exponent") in (2, 4):
            return True
        if call.name in ("maximum", "fmax") or (call.name == "max" and len(call.args) > 1 and len(made) == 1):
            return any(
                self._at_least_0(call.argument(place, key)) for place, key in ((0, "input"), (1, "other"))
            )
        if call.name == "where":
            return all(
                self._at_least_0(call.argument(place, key)) for place, key in ((1, "input"), (2, "other"))
            )
        if is_pad(call):
            return self._at_least_0(call.argument(0, "input")) and self._pads_high(index, call)
        if call.name in ("interpolate", "upsample"):
            smooth = str(call.argument(3, "mode", "nearest")) in ("bicubic", "lanczos")
            return self._at_least_0(call.argument(0, "input")) and not smooth
        if call.name not in _KEEPING:
            return False
        if call.name in ("add", "radd") and call.kwargs.get("alpha", 1) < 0:
            return False
        return all(self._at_least_0(each) for each in _operands(call))

    def _at_least_0(self, operand: Any) -> bool:
        if isinstance(operand, Value):
            return operand.call in self._positive
        if isinstance(operand, Tensor):
            return self._is_high(operand)
        if isinstance(operand, Affine):
            return operand.base >= 0 and operand.step >= 0
        return not isinstance(operand, bool | int | float) or operand >= 0

    @staticmethod
    def _is_high(tensor: Tensor) -> bool:
        return tensor.is_complex() is False and (tensor.numel() == 0 or bool((tensor >= 0).all()))

    @staticmethod
    def _bounded(call: Call) -> bool:
        """Return whether a call clamps at a number of at least 0."""
        if call.name in ("clamp", "clip", "clamp_min"):
            low = call.argument(1, "min")
        elif call.name == "hardtanh":
            low = call.argument(1, "min_val", -1.0)
        elif call.name == "threshold":
            low = min(call.argument(1, "threshold"), call.argument(2, "value"))
        else:
            return False
        if isinstance(low, Tensor):
            return Signs._is_high(low)
        return isinstance(low, int | float) and low >= 0

    def _pads_high(self, index: int, call: Call) -> bool:
        """Return whether a pad adds nothing below 0, or lowest values that a max-pool never picks."""
        if str(call.argument(2, "mode", "constant")) != "constant":
            return True
        value = call.argument(3, "value") or 0
        users = self._users.get(index, [])
        return value >= 0 or (bool(users) and all(user.name in POOLS for user in users))

    def _is_zero(self, operand: Any) -> bool:
        if isinstance(operand, Value):
            call, (made, *_) = self._traced.calls[operand.call], self._traced.results[operand.call]
            # Zeros like an activation are zeros, whatever it is.
            return (not call.depends or call.name in ("zeros_like", "new_zeros")) and not made.any()
        if isinstance(operand, Tensor):
            return not operand.is_complex() and not operand.any()
        return isinstance(operand, int | float) and operand == 0

    def _maximum(self, x: Any, other: Any) -> Value | None:
        """Return x of the maximum of x, which depends on the image, and 0."""
        depends = isinstance(x, Value) and self._traced.calls[x.call].depends
        # A number in the place of a tensor is the dimension of a maximum over places.
        return x if depends and isinstance(other, Value | Tensor) and self._is_zero(other) else None

    def _masked(self, call: Call) -> Value | None:
        """Return x of ``x * (x > 0)``, ``where(x > 0, x, 0)`` and ``x.masked_fill(x < 0, 0)``."""
        if call.name in ("mul", "multiply"):
            operands = [call.argument(0, "input"), call.argument(1, "other")]
            for x, mask in (operands, operands[::-1]):
                if isinstance(x, Value) and self._compares(mask, x, above=True):
                    return x
        if call.name == "where":
            mask, x, other = (
                call.argument(0, "condition"),
                call.argument(1, "input"),
                call.argument(2, "other"),
            )
            if isinstance(x, Value) and self._is_zero(other) and self._compares(mask, x, above=True):
                return x
        if call.name == "masked_fill":
            x, mask, value = call.argument(0, "input"), call.argument(1, "mask"), call.argument(2, "value")
            if isinstance(x, Value) and self._is_zero(value) and self._compares(mask, x, above=False):
                return x
        return None

    def _compares(self, mask: Any, x: Value, *, above: bool) -> bool:
        """Return whether a mask is x > 0 or x >= 0, or what is left by it."""
        while isinstance(mask, Value) and self._traced.calls[mask.call].name in ("to", "float", "type_as"):
            mask = self._traced.calls[mask.call].argument(0, "input")
        if not isinstance(mask, Value):
            return False
        call = self._traced.calls[mask.call]
        wanted = ("gt", "ge", "greater", "greater_equal") if above else ("lt", "le", "less", "less_equal")
        return (
            call.name in wanted
            and call.argument(0, "input") == x
            and self._is_zero(call.argument(1, "other"))
        )

    def _gates_itself(self, call: Call) -> bool:
        """Return whether a call is x * sigmoid(x)."""
        operands = [call.argument(0, "input"), call.argument(1, "other")]
        for x, gate in (operands, operands[::-1]):
            if isinstance(x, Value) and isinstance(gate, Value) and x.call not in self._positive:
                made = self._traced.calls[gate.call]
                if made.name in ("sigmoid", "hardsigmoid") and made.argument(0, "input") == x:
                    return True
        return False


def is_pad(call: Call) -> bool:
    """Return whether a call pads."""
    return call.name in ("pad", "constant_pad_nd")


def weighs(call: Call) -> int:
    """Return 1 for an operation with weights or one that mixes places, such as attention, 0 for every other one."""
    return int(call.depends and call.name in CONVOLUTIONS | _DENSE | _ATTENTION)


def is_linear(traced: Trace, index: int) -> bool:
    """Return whether a call is a matrix and a bias of what depends on the image."""
    call = traced.calls[index]
    depending = [value for value in call.values() if traced.calls[value.call].depends]
    if call.name in CONVOLUTIONS | _DENSE | {
        "mul",
        "multiply",
        "rmul",
        "div",
        "divide",
        "true_divide",
        "truediv",
    }:
        first = call.argument(0, "input")
        return len(depending) == 1 and (
            call.name == "rmul" or first in depending or call.name.startswith("mul")
        )
    if call.name == "batch_norm":
        return not call.argument(5, "training", False)
    if call.name in RESHAPES | AVERAGES | _MOVING | _SUMS | {"add", "radd", "sub", "subtract", "rsub", "neg"}:
        # An index that depends on the image is no matrix.
        return call.name != "getitem" or len(depending) == 1
    return is_pad(call) or call.name in ("interpolate", "upsample")


def _operands(call: Call) -> list[Any]:
    """Return the tensors and numbers that a call computes with: not the dimensions and sizes of what moves values."""
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
