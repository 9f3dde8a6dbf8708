"""Backward rules: the same forward pass, another backward pass, for the length of one block.

A :class:`torch.overrides.TorchFunctionMode` sees every call of a torch function made inside the block, whether it
comes from a module, a functional call, a method or an in-place operator, and puts an autograd function with
another backward in its place. The network is not touched: there is no hook to leave behind, and modules
that are shared or run in place need no rewriting. The mode belongs to the thread, so other threads see nothing.

    with BackwardRules(relu=guided_relu):
        score = model(x)[:, target].sum()
    (gradient,) = torch.autograd.grad(score, x)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

#: A rule for ReLU takes the input and gives the output with its own backward.
ReluRule = Callable[[Tensor], Tensor]
#: A rule for max-pooling takes the pooled output and gives it on with its own backward before the switches.
PoolRule = Callable[[Tensor], Tensor]

_RELU = {F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
_CLAMP_MIN = {torch.clamp_min, torch.clamp_min_, Tensor.clamp_min, Tensor.clamp_min_}
_CLAMP = {
    torch.clamp, torch.clamp_, Tensor.clamp, Tensor.clamp_, torch.clip, torch.clip_, Tensor.clip, Tensor.clip_,
}  # fmt: skip
_IN_PLACE = {
    torch.relu_, Tensor.relu_, torch.clamp_min_, Tensor.clamp_min_,
    torch.clamp_, Tensor.clamp_, torch.clip_, Tensor.clip_,
}  # fmt: skip
_MAX_POOL = {
    F.max_pool1d, F.max_pool2d, F.max_pool3d,
    F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d,
    torch.max_pool1d, torch.max_pool2d, torch.max_pool3d,
}  # fmt: skip
#: The forms that return the pooled output and its switches.
_MAX_POOL_WITH_SWITCHES = {
    F.max_pool1d_with_indices, F.max_pool2d_with_indices, F.max_pool3d_with_indices,
    F.adaptive_max_pool1d_with_indices, F.adaptive_max_pool2d_with_indices, F.adaptive_max_pool3d_with_indices,
}  # fmt: skip


class BackwardRules(TorchFunctionMode):
    """Give ReLU and max-pooling another backward pass while the block runs.

    Parameters
    ----------
    relu : callable, optional
        ``relu(x) -> max(x, 0)`` with its own backward; in place of ``F.relu``, ``torch.relu``,
        ``Tensor.relu``, clamping at zero from below, and of their in-place forms.
    max_pool : callable, optional
        ``max_pool(y) -> y`` with its own backward; applied to what the pooling returns, so that the gradient
        passes it before it goes through the switches.

    Attributes
    ----------
    met : dict of str to int
        How often each rule was used: a rule that met nothing has changed nothing.
    """

    def __init__(self, *, relu: ReluRule | None = None, max_pool: PoolRule | None = None) -> None:
        super().__init__()
        self._relu = relu
        self._max_pool = max_pool
        self.met = {"relu": 0, "max_pool": 0}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if self._relu is not None and _is_relu(func, args, kwargs):
            self.met["relu"] += 1
            x = args[0] if args else kwargs["input"]
            in_place = func in _IN_PLACE or (func is F.relu and _argument(args, kwargs, 1, "inplace", False))
            y = self._relu(x)
            # The caller may go on with x instead of what is returned, so x has to become the result.
            return x.copy_(y) if in_place else y
        if self._max_pool is not None and func in _MAX_POOL:
            self.met["max_pool"] += 1
            return self._max_pool(func(*args, **kwargs))
        if self._max_pool is not None and func in _MAX_POOL_WITH_SWITCHES:
            self.met["max_pool"] += 1
            y, switches = func(*args, **kwargs)
            return self._max_pool(y), switches
        return func(*args, **kwargs)


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], place: int, name: str, default: Any) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)


def _is_relu(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    if func in _RELU:
        return True
    if func not in _CLAMP_MIN and func not in _CLAMP:
        return False
    low = _argument(args, kwargs, 1, "min", None)
    high = _argument(args, kwargs, 2, "max", None) if func in _CLAMP else None
    return isinstance(low, int | float) and low == 0 and high is None


def _positive(grad: Tensor) -> Tensor:
    # relu() would be seen, and counted, by the mode itself where the backward pass runs inside its block.
    return grad.masked_fill(grad < 0, 0)


class _GuidedRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x > 0)
        return x.clamp_min(0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (active,) = ctx.saved_tensors
        return _positive(grad) * active


class _DeconvRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clamp_min(0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _positive(grad)


class _PositiveGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _positive(grad)


def guided_relu(x: Tensor) -> Tensor:
    """ReLU whose backward is relu(g) * 1[x > 0] (Springenberg et al. 2015)."""
    return _GuidedRelu.apply(x)


def deconv_relu(x: Tensor) -> Tensor:
    """ReLU whose backward is relu(g), whatever the forward pass was (Zeiler and Fergus 2014)."""
    return _DeconvRelu.apply(x)


def positive_gradient(y: Tensor) -> Tensor:
    """Identity whose backward is relu(g): what comes back from above loses its negative part."""
    return _PositiveGradient.apply(y)


# -- rules for everything on the way ----------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """y = f(a, w) + bias, linear in the activation a and in the weight w.

    Attributes
    ----------
    function : callable
        f.
    kind : {"convolution", "dense", "sum"}
        What it is; a sum, or an average, has no weights but 1.
    bias : Tensor, optional
        What comes from no activation, like y or broadcast to it. None: nothing.
    channels : (int, int), optional
        The dimension of w, and the one of y counted from its end, that number the channels of y. None: w has no such
        dimension.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    kind: str = "sum"
    bias: Tensor | None = None
    channels: tuple[int, int] | None = None

    def __call__(self, a: Tensor, weight: Tensor) -> Tensor:
        """f(a, w), without the bias."""
        return self.function(a, weight)


#: A rule gives what ``run()`` gives, with a backward of its own.
LinearRule = Callable[[Tensor, Tensor, Operation, Callable[[], Tensor]], Tensor]
ScaleRule = Callable[[Tensor, Tensor, Tensor, Callable[[], Tensor]], Tensor]
RectifierRule = Callable[[Tensor, Callable[[], Tensor]], Tensor]

_DENSE = {"linear", "matmul", "mm"}
_CONVOLUTION = {"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
_AVERAGE = {
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "mean", "sum",
}  # fmt: skip
_INTERPOLATE = {"interpolate", "upsample"}
_ADD, _SUBTRACT = {"add", "add_"}, {"sub", "sub_", "subtract", "subtract_"}
_MULTIPLY = {
    "mul", "mul_", "multiply", "multiply_", "div", "div_", "divide", "divide_", "true_divide", "true_divide_",
}  # fmt: skip
_NEGATE = {"neg", "neg_", "negative", "negative_"}
#: Rectifiers with an upper end are found by :func:`_is_bounded`.
_BOUNDED = {F.relu6, F.hardtanh, F.hardtanh_}
#: What only moves values, or passes on one of several: its own backward is right under any rule.
_MOVING = {
    "__getitem__", "adaptive_max_pool1d", "alpha_dropout", "cat", "channel_shuffle", "chunk", "clone", "concat",
    "concatenate", "contiguous", "cpu", "cuda", "dropout", "dropout1d", "dropout2d", "dropout3d", "dropout_", "double",
    "expand", "expand_as", "feature_alpha_dropout", "feature_dropout", "flatten", "flip", "float", "index_select",
    "movedim", "narrow", "pad", "permute", "pixel_shuffle", "pixel_unshuffle", "reshape", "reshape_as", "roll",
    "select", "split", "squeeze", "squeeze_", "stack", "swapaxes", "t", "tensor_split", "to", "transpose", "type",
    "type_as", "unbind", "unflatten", "unsqueeze", "unsqueeze_", "view", "view_as", "__get__",
}  # fmt: skip


class PropagationRules(TorchFunctionMode):
    """Give every operation between the pixels and the scores a backward pass of its own while the block runs.

    What only moves values (concatenation, reshaping, dropout in eval mode) or picks them (max-pooling) keeps its own.
    What has no rule is refused by its name and that of its layer. Parameters are constants: a tensor that requires a
    gradient is one that depends on the pixels. The backward pass has to run after the block.

    Parameters
    ----------
    title : str
        The method, as errors say it.
    network : nn.Module
        Whose layers errors name.
    linear : callable
        ``linear(a, w, f, run)`` for y = f(a, w) + bias, f an :class:`Operation`: convolutions and linear layers;
        averages, interpolation and sums, whose w is 1; and additions, as the sum of a stack.
    scale : callable
        ``scale(x, factor, shift, run)`` for y = factor * x + shift, both like y or broadcast to it: batch-norm in
        eval mode, and a constant that is multiplied, added or subtracted.
    rectifier : callable
        ``rectifier(x, run)`` for ReLU in all its forms, and ReLU with an upper end.
    """

    def __init__(
        self,
        title: str,
        network: nn.Module,
        *,
        linear: LinearRule,
        scale: ScaleRule,
        rectifier: RectifierRule,
    ) -> None:
        super().__init__()
        self._title = title
        self._network = network
        self._linear = linear
        self._scale = scale
        self._rectifier = rectifier

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = {key: _constant(value) for key, value in (kwargs or {}).items()}
        args = tuple(_constant(value) for value in args)
        on_the_way = [index for index, value in enumerate(args) if _depends(value)]
        name = getattr(func, "__name__", "")
        moving = name in _MOVING or func in _MAX_POOL or func in _MAX_POOL_WITH_SWITCHES
        if moving or not (on_the_way or any(map(_depends, kwargs.values()))):
            return func(*args, **kwargs)
        x: Any = args[0] if args else kwargs.get("input")
        in_place = _is_in_place(func, name, args, kwargs)

        def run() -> Tensor:
            first = x.clone() if in_place else x
            made: Tensor = func(first, *args[1:], **kwargs) if args else func(**{**kwargs, "input": first})
            return made

        y = self._apply(func, name, args, kwargs, run) if isinstance(x, Tensor) else None
        if y is None:
            result = func(*args, **kwargs)
            if _depends(result):
                raise ValueError(
                    f"{self._title} has no rule for {name!r}, met in {_layer_here(self._network)!r}, wanted a network "
                    "of convolutions, linear layers, batch-norm, ReLU, pooling, additions and concatenations"
                )
            return result
        return x.copy_(y) if in_place else y

    def _apply(
        self,
        func: Callable[..., Any],
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run: Callable[[], Tensor],
    ) -> Tensor | None:
        """The output with the backward of its rule; None for an operation that has none."""
        x, other = args[0] if args else kwargs["input"], _argument(args, kwargs, 1, "other", None)
        if _is_relu(func, args, kwargs) or _is_bounded(func, args, kwargs):
            return self._rectifier(x, run)
        if name in _ADD | _SUBTRACT and kwargs.get("alpha", 1) == 1:
            return self._add(x, other, -1 if name in _SUBTRACT else 1, run)
        if name in _DENSE | _CONVOLUTION:
            weight = _argument(args, kwargs, 1, "weight", other)
            if _depends(weight) or not _depends(x):
                return None
            # Without the bias, which is third.
            rest = (None, *args[3:]) if len(args) > 3 else ()
            named = _without(kwargs, "input", "weight", "other", "mat2", "bias")
            bias = _argument(args, kwargs, 2, "bias", None)
            return self._linear(
                x, weight, _with_weight(name, weight, bias, lambda a, w: func(a, w, *rest, **named)), run
            )
        if name in _AVERAGE or (name in _INTERPOLATE and _is_average(args, kwargs)):
            named = _without(kwargs, "input")
            return self._linear(x, _one(x), Operation(lambda a, w: w * func(a, *args[1:], **named)), run)
        if func is F.batch_norm:
            return self._scale(x, *_batch_norm(args, kwargs), run)
        if name in _MULTIPLY and not _depends(other) and kwargs.get("rounding_mode") is None:
            factor = _tensor(other, x)
            return self._scale(x, 1 / factor if "div" in name else factor, _zero(x), run)
        if name == "mul" and not _depends(x):
            return self._scale(other, x, _zero(x), run)
        if name in _NEGATE:
            return self._scale(x, -_one(x), _zero(x), run)
        if name == "__rsub__" and not _depends(other):
            return self._scale(x, -_one(x), _tensor(other, x), run)
        return None

    def _add(self, x: Tensor, other: Any, sign: int, run: Callable[[], Tensor]) -> Tensor:
        """The sum or the difference, where one of both may be a constant."""
        if not _depends(other):
            return self._scale(x, _one(x), sign * _tensor(other, x), run)
        if sign < 0:
            positive = other
            other = self._scale(positive, -_one(positive), _zero(positive), lambda: -positive)
        if not _depends(x):
            return self._scale(other, _one(other), x, run)
        both = torch.stack(torch.broadcast_tensors(x, other))
        return self._linear(both, _one(x), Operation(lambda a, w: w * a.sum(0)), run)


def _with_weight(
    name: str, weight: Tensor, bias: Tensor | None, function: Callable[[Tensor, Tensor], Tensor]
) -> Operation:
    """A convolution or a linear layer."""
    if name in _DENSE:
        places = {"linear": (0, -1)}.get(name, (1, -1))
        return Operation(function, "dense", bias, places if weight.ndim == 2 else None)
    spatial = weight.ndim - 2
    if bias is not None:
        bias = bias.view(-1, *[1] * spatial)
    return Operation(function, "convolution", bias, None if "transpose" in name else (0, -spatial - 1))


def _batch_norm(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Factor and shift of a batch-norm, each (1, C, 1, ...)."""
    x = args[0] if args else kwargs["input"]
    mean, variance, weight, bias = (
        _argument(args, kwargs, place, name, None)
        for place, name in enumerate(("running_mean", "running_var", "weight", "bias"), 1)
    )
    if mean is None or variance is None:
        # Without running statistics it takes those of the batch.
        over = [0, *range(2, x.ndim)]
        variance, mean = torch.var_mean(x.detach(), over, correction=0)
    factor = (variance + _argument(args, kwargs, 7, "eps", 1e-5)).rsqrt()
    factor = factor if weight is None else factor * weight
    shift = -mean * factor if bias is None else bias - mean * factor
    shape = (1, -1, *[1] * (x.ndim - 2))
    return factor.view(shape), shift.view(shape)


def _constant(value: Any) -> Any:
    """Parameters without their gradient."""
    if isinstance(value, nn.Parameter):
        return value.detach()
    return type(value)(map(_constant, value)) if type(value) in (list, tuple) else value


def _depends(value: Any) -> bool:
    """Whether a tensor, or one of several, depends on the pixels."""
    if isinstance(value, list | tuple):
        return any(map(_depends, value))
    return isinstance(value, Tensor) and value.requires_grad


def _is_in_place(func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    place = {F.relu: 1, F.relu6: 1, F.hardtanh: 3}.get(func)
    if place is not None:
        return bool(_argument(args, kwargs, place, "inplace", False))
    return name.endswith("_") and not name.endswith("__")


def _is_bounded(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether it clamps at zero from below, and somewhere above."""
    if func is F.relu6:
        return True
    low = "min_val" if func in _BOUNDED else "min"
    return (func in _BOUNDED or func in _CLAMP) and _argument(args, kwargs, 1, low, None) == 0


def _is_average(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether an interpolation has no negative weight."""
    return _argument(args, kwargs, 3, "mode", "nearest") != "bicubic"


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in names}


def _one(like: Tensor) -> Tensor:
    return torch.ones((), dtype=like.dtype, device=like.device)


def _zero(like: Tensor) -> Tensor:
    return torch.zeros((), dtype=like.dtype, device=like.device)


def _tensor(value: Any, like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)


def _layer_here(network: nn.Module) -> str:
    """The innermost layer of a network whose code is running."""
    names = {id(module): name for name, module in network.named_modules()}
    frame = inspect.currentframe()
    while frame is not None:
        name = names.get(id(frame.f_locals.get("self")))
        if name is not None:
            return name or type(network).__name__
        frame = frame.f_back
    return type(network).__name__
