"""Backward rules for every operation between the pixels and the scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xai_widgets.core.function_calls import argument
from xai_widgets.core.pointwise import by_onednn
from xai_widgets.rules.attention import are_probabilities
from xai_widgets.rules.backward import assign_in_graph
from xai_widgets.rules.calls import (
    BilinearRule,
    Call,
    Compute,
    FunctionRule,
    GateRule,
    LinearRule,
    Norm,
    NormRule,
    Operation,
    ProductRule,
    ScaleRule,
)
from xai_widgets.rules.expansion import expanded
from xai_widgets.rules.mode import RulesMode
from xai_widgets.rules.operations import (
    ADD,
    AVERAGE,
    CONVOLUTION,
    DENSE,
    ELEMENTWISE,
    GATING,
    INTERPOLATE,
    MAX_POOL,
    MAX_POOL_WITH_SWITCHES,
    MOVING,
    MULTIPLY,
    NEGATE,
    POWER,
    PRODUCT,
    SUBTRACT,
    is_average,
    is_bounded,
    is_in_place,
    is_relu,
    name_of,
    rectified,
    upper_bound,
)

#: Types of arguments without parameters.
_ATOMS = frozenset({Tensor, int, float, bool, str, type(None)})


class PropagationRules(RulesMode):
    """Replace the backward pass of every operation between the pixels and the scores inside the block.

    Operations that only move values (concatenation, reshaping, dropout in eval mode) or select them (max-pooling) keep
    their own backward. Fused operations, such as attention, group norm or addmm, are replaced by elementary ones, see
    :mod:`xai_widgets.rules.expansion`. An operation without a rule raises ValueError with its name and layer.
    Parameters are constants: a tensor requires a gradient only if it depends on the pixels. The backward pass must run
    after the block.

    Parameters
    ----------
    title : str
        Name of the method in errors.
    network : nn.Module
        The network whose layers are named in errors.
    linear : callable, optional
        ``linear(a, w, f, run)`` for y = f(a, w) + bias, f an :class:`Operation`: convolutions and linear layers;
        averages, interpolation and sums, whose w is 1; and additions, as the sum of a stack. A constant first factor of
        a matrix product is w, too. Default: their own backward.
    scale : callable, optional
        ``scale(x, factor, shift, run)`` for y = factor * x + shift, both broadcast to y: batch norm in eval mode, and
        multiplication, addition or subtraction of a constant. Default: their own backward.
    rectifier : callable
        ``rectifier(x, run)`` for ReLU in all its forms, with or without an upper bound. ``run`` is a :class:`Call`.
    activation : callable, optional
        ``activation(x, run)`` for other elementwise functions, such as SiLU, GELU, sigmoid. Default: no rule.
    product : callable, optional
        ``product(x, other, run)`` for x * other, both of which depend on the pixels. Default: no rule.
    norm : callable, optional
        ``norm(x, n, run)`` for layer norm, n a :class:`Norm`. Default: no rule.
    max_pool : callable, optional
        ``max_pool(x, run)`` for max-pooling. Default: its own backward.
    bilinear : callable, optional
        ``bilinear(x, other, f, run)`` for a matrix product f(x, other), both factors of which depend on the pixels.
        Default: no rule.
    gate : callable, optional
        ``gate(name, x, dim, run)`` for results by which other activations are scaled: "softmax", norms and standard
        deviations. With it, the denominator of a quotient is a constant, powers are activations, and selections by a
        mask keep their own backward. Default: no rule.
    """

    def __init__(
        self,
        title: str,
        network: nn.Module,
        *,
        linear: LinearRule | None = None,
        scale: ScaleRule | None = None,
        rectifier: FunctionRule,
        activation: FunctionRule | None = None,
        product: ProductRule | None = None,
        norm: NormRule | None = None,
        max_pool: FunctionRule | None = None,
        bilinear: BilinearRule | None = None,
        gate: GateRule | None = None,
    ) -> None:
        super().__init__(title, network)
        #: Whether linear operations keep their own backward.
        self._own = linear is None and scale is None
        self._linear = linear or _plain
        self._scale = scale or _plain
        self._rectifier = rectifier
        self._activation = activation
        self._product = product
        self._norm = norm
        self._max_pool = max_pool
        self._bilinear = bilinear
        self._gate = gate

    def call(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the result of the function, with the backward pass of its rule; see :class:`RulesMode`."""
        if kwargs:
            kwargs = {key: _constant(value) for key, value in kwargs.items()}
        args = tuple([_constant(value) for value in args])
        name = name_of(func)
        if name in MOVING or not (_depends(args) or (kwargs and _depends([*kwargs.values()]))):
            return func(*args, **kwargs)
        elementary = expanded(func)
        if elementary is not None:
            # The mode is disabled inside a call.
            with self:
                return elementary(*([kwargs.pop("input")] if "input" in kwargs else []), *args, **kwargs)
        if name in GATING and self._gate is not None:
            dim = argument(args, kwargs, 1, "dim", None)
            return self._gate(name, args[0] if args else kwargs["input"], dim, lambda: func(*args, **kwargs))
        if name == "einsum":
            y = self._einsum(func, *args)
            return self._without_rule(func, name, args, kwargs) if y is None else y
        x: Any = args[0] if args else kwargs.get("input")
        in_place = is_in_place(func, name, args, kwargs)
        run = Call(func, args, kwargs, x, in_place)
        if func in MAX_POOL:
            return run() if self._max_pool is None else self._max_pool(x, run)
        if func in MAX_POOL_WITH_SWITCHES:
            y, switches = run()
            return (
                y if self._max_pool is None else self._max_pool(x, lambda *given: run(*given)[0])
            ), switches
        bounded = is_bounded(func, args, kwargs)
        standard = bounded or is_relu(func, args, kwargs)
        rectified_input = None if standard else rectified(func, args, kwargs)
        if standard:
            run.upper = upper_bound(func, args, kwargs) if bounded else None
            y = self._rectifier(x, run)
        elif rectified_input is not None:
            # Another expression for ReLU, whose masks and zeros are valid for these values only.
            x = rectified_input
            y = self._rectifier(x, Call(torch.clamp, (x, 0), {}, x, False))
        else:
            y = self._apply(func, name, args, kwargs, run) if isinstance(x, Tensor) else None
        if y is None:
            return self._without_rule(func, name, args, kwargs)
        return assign_in_graph(x, y) if in_place and not run.assigned else y

    def _without_rule(
        self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Return a result that does not depend on the pixels; ValueError for any other."""
        result = func(*args, **kwargs)
        if _depends(result) or (is_in_place(func, name, args, kwargs) and _depends(args[0])):
            raise ValueError(
                "expected a network of convolutions, linear layers, batch norm, ReLU, pooling, additions and "
                f"concatenations, got {name!r} in {self.layer_here()!r}, for which {self._title} has no rule"
            )
        return result

    def _apply(
        self,
        func: Callable[..., Any],
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run: Call,
    ) -> Any:
        """Return the output with the backward of its rule; None for an operation without a rule."""
        x, other = args[0] if args else kwargs["input"], argument(args, kwargs, 1, "other", None)
        if name in ELEMENTWISE:
            return None if self._activation is None else self._activation(x, run)
        if name in ADD | SUBTRACT and kwargs.get("alpha", 1) == 1:
            return self._add(x, other, -1 if name in SUBTRACT else 1, run)
        if name in DENSE | CONVOLUTION:
            weight = argument(args, kwargs, 1, "weight", argument(args, kwargs, 1, "mat2", other))
            if name in PRODUCT and _depends(weight):
                return self._product_of(x, weight, func)
            if _depends(weight) or not _depends(x):
                return None
            if self._own:
                return run.original()
            # Without the bias, which is the third argument.
            rest = (None, *args[3:]) if len(args) > 3 else ()
            named = _without(kwargs, "input", "weight", "other", "mat2", "bias")
            bias, f = argument(args, kwargs, 2, "bias", None), by_onednn(func)
            return self._linear(
                x, weight, _with_weight(name, weight, bias, lambda a, w: f(a, w, *rest, **named)), run
            )
        if name in AVERAGE or (name in INTERPOLATE and is_average(args, kwargs)):
            if self._own:
                return run.original()
            named = _without(kwargs, "input")
            return self._linear(x, _one(x), Operation(lambda a, w: w * func(a, *args[1:], **named)), run)
        if func is F.batch_norm:
            return run.original() if self._own else self._scale(x, *_batch_norm(args, kwargs), run)
        if name in MULTIPLY and not _depends(other) and kwargs.get("rounding_mode") is None:
            factor = _tensor(other, x)
            return self._scale(x, 1 / factor if "div" in name else factor, _zero(x), run)
        if name == "mul" and not _depends(x):
            return self._scale(other, x, _zero(x), run)
        if name in ("mul", "mul_", "multiply", "multiply_") and self._product is not None:
            return self._product(x, other, run)
        if func is F.layer_norm and self._norm is not None:
            return self._norm(x, _layer_norm(x, args, kwargs), run)
        if name in NEGATE:
            return self._scale(x, -_one(x), _zero(x), run)
        if name == "__rsub__" and not _depends(other):
            return self._scale(x, -_one(x), _tensor(other, x), run)
        return None if self._gate is None else self._apply_gated(func, name, args, kwargs, run)

    def _apply_gated(
        self,
        func: Callable[..., Any],
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run: Compute,
    ) -> Tensor | None:
        """Return the output of an operation that occurs in normalizations and masks; None for any other."""
        x, other = args[0] if args else kwargs["input"], argument(args, kwargs, 1, "other", None)
        if name in MULTIPLY and "div" in name and _depends(x) and kwargs.get("rounding_mode") is None:
            return self._scale(x, 1 / other.detach(), _zero(x), run)
        if name in POWER and self._activation is not None and _depends(x):
            return self._activation(x, run)
        if name.rstrip("_") in ("amax", "masked_fill", "where"):
            selected: Tensor = run()
            return selected
        return None

    def _product_of(
        self, first: Tensor, second: Tensor, multiply: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor | None:
        """Return a product of two tensors, the second of which depends on the pixels; None without a rule."""
        if not _depends(first):
            kind = "sum" if are_probabilities(first) else "dense"
            f = Operation(lambda a, w: multiply(w, a), kind)
            return self._linear(
                second, first, f, lambda *given: multiply(first, given[0] if given else second)
            )
        if self._bilinear is None:
            return None
        return self._bilinear(
            first, second, Operation(multiply), lambda *given: multiply(given[0] if given else first, second)
        )

    def _einsum(self, func: Callable[..., Any], equation: Any, *operands: Any) -> Tensor | None:
        """Return a product of two tensors in Einstein notation; None without a rule."""
        if len(operands) == 1 and isinstance(operands[0], list | tuple):
            operands = tuple(operands[0])
        if len(operands) != 2 or not isinstance(equation, str):
            return None
        first, second = operands
        if _depends(second):
            return self._product_of(first, second, lambda a, w: func(equation, a, w))
        f = Operation(lambda a, w: func(equation, a, w), "dense")
        return self._linear(
            first, second, f, lambda *given: func(equation, given[0] if given else first, second)
        )

    def _add(self, x: Tensor, other: Any, sign: int, run: Call) -> Any:
        """Return the sum or the difference of two values, one of which may be a constant."""
        if self._own:
            return run.original()
        if not _depends(other):
            return self._scale(x, _one(x), sign * _tensor(other, x), run)
        if sign < 0:
            positive = other
            other = self._scale(positive, -_one(positive), _zero(positive), lambda: -positive)
        if not _depends(x):
            return self._scale(other, _one(other), x, run)
        both = torch.stack(torch.broadcast_tensors(x, other))
        return self._linear(both, _one(x), Operation(lambda a, w: w * a.sum(0)), run)


def check_reached(scores: Tensor, name: str) -> None:
    """Raise ValueError for scores without a gradient."""
    if not scores.requires_grad:
        raise ValueError(
            f"expected a network whose scores depend on the pixels by operations with a rule, got {name}, through "
            "which no gradient passes"
        )


def _plain(*given: Any) -> Any:
    """Return the result of an operation, which is the last argument of its rule."""
    return given[-1]()


def _with_weight(
    name: str, weight: Tensor, bias: Tensor | None, function: Callable[[Tensor, Tensor], Tensor]
) -> Operation:
    """Return the operation of a convolution or a linear layer."""
    if name in DENSE:
        channels = {"linear": (0, -1)}.get(name, (1, -1))
        return Operation(function, "dense", bias, channels if weight.ndim == 2 else None)
    spatial = weight.ndim - 2
    if bias is not None:
        bias = bias.view(-1, *[1] * spatial)
    return Operation(function, "convolution", bias, None if "transpose" in name else (0, -spatial - 1))


def _batch_norm(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Return factor and shift of a batch norm, each (1, C, 1, ...)."""
    x = args[0] if args else kwargs["input"]
    mean, variance, weight, bias = (
        argument(args, kwargs, index, name, None)
        for index, name in enumerate(("running_mean", "running_var", "weight", "bias"), 1)
    )
    if mean is None or variance is None:
        # Without running statistics, those of the batch are used.
        over = [0, *range(2, x.ndim)]
        variance, mean = torch.var_mean(x.detach(), over, correction=0)
    factor = (variance + argument(args, kwargs, 7, "eps", 1e-5)).rsqrt()
    factor = factor if weight is None else factor * weight
    shift = -mean * factor if bias is None else bias - mean * factor
    shape = (1, -1, *[1] * (x.ndim - 2))
    return factor.view(shape), shift.view(shape)


def _layer_norm(x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Norm:
    shape = argument(args, kwargs, 1, "normalized_shape", ())
    weight, bias = argument(args, kwargs, 2, "weight", None), argument(args, kwargs, 3, "bias", None)
    dims = tuple(range(-len(shape), 0))
    return Norm(
        dims,
        argument(args, kwargs, 4, "eps", 1e-5),
        _one(x) if weight is None else weight,
        _zero(x) if bias is None else bias,
    )


def _constant(value: Any) -> Any:
    """Detach parameters."""
    if type(value) in _ATOMS:
        return value
    if isinstance(value, nn.Parameter):
        return value.detach()
    return type(value)(map(_constant, value)) if type(value) in (list, tuple) else value


def _depends(value: Any) -> bool:
    """Return whether a tensor, or any tensor of a list, depends on the pixels."""
    # A loop, as this is asked for every operation.
    if isinstance(value, Tensor):
        return value.requires_grad
    if isinstance(value, (list, tuple)):
        for item in value:
            if _depends(item):
                return True
    return False


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in names}


def _one(like: Tensor) -> Tensor:
    return torch.ones((), dtype=like.dtype, device=like.device)


def _zero(like: Tensor) -> Tensor:
    return torch.zeros((), dtype=like.dtype, device=like.device)


def _tensor(value: Any, like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)
