"""Backward rules for ReLU and max-pooling.

A :class:`torch.overrides.TorchFunctionMode` intercepts every call of a torch function inside the block, from a module,
a functional call, a method or an in-place operator, and replaces it by an autograd function with another backward. The
network is not changed: there are no hooks to remove, and shared or in-place modules are supported. The mode is local to
the thread.

    with BackwardRules(relu=guided_relu):
        score = model(x)[:, target].sum()
    (gradient,) = torch.autograd.grad(score, x)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from xai_widgets.core.guard import thread_state
from xai_widgets.core.pointwise import by_onednn
from xai_widgets.rules.mode import RulesMode
from xai_widgets.rules.operations import (
    ADD,
    AVERAGE,
    CLAMP,
    CONVOLUTION,
    DENSE,
    ELEMENTWISE,
    GATES,
    INTERPOLATE,
    KINKED,
    MAX_POOL,
    MAX_POOL_WITH_SWITCHES,
    MOVING,
    MULTIPLY,
    NEGATE,
    SUBTRACT,
    is_bounded,
    is_in_place,
    is_relu,
    may_rectify,
    name_of,
    rectified,
    upper_bound,
)

#: A ReLU rule maps the input to the output of ReLU, with another backward.
ReluRule = Callable[..., Tensor]
#: A max-pool rule wraps the pooled output in an autograd function that overrides the backward pass.
PoolRule = Callable[[Tensor], Tensor]
#: Operations whose gradient does not depend on the input, if only one operand depends on the pixels.
_LINEAR = {
    name.strip("_")
    for names in (ADD, AVERAGE, CONVOLUTION, DENSE, INTERPOLATE, MOVING, MULTIPLY, NEGATE, SUBTRACT)
    for name in names
    if "max" not in name
} | {"batch_norm", "gather", "grad"}


class BackwardRules(RulesMode):
    """Replace the backward pass of ReLU and max-pooling inside the block.

    Parameters
    ----------
    title : str, default "the rule"
        Name of the method in errors.
    network : nn.Module, optional
        The network whose layers are named in errors.
    relu : callable, optional
        ``relu(x) -> max(x, 0)`` with another backward. Replaces ``F.relu``, ``torch.relu``, ``Tensor.relu``, clamping
        at a minimum of 0, their in-place forms, and other expressions for max(x, 0), see
        :func:`~xai_widgets.rules.operations.rectified`. The upper bound of ReLU6 and similar functions keeps its own
        backward.
    max_pool : callable, optional
        ``max_pool(y) -> y`` with another backward. Applied to the pooled output, before the gradient passes the
        switches.

    Attributes
    ----------
    met : dict of str to int
        Number of calls of each rule.
    switching : bool
        Whether there was an operation, other than ReLU with a rule, whose gradient depends on its input.
    others : set of str
        Activations other than ReLU, and functions with a kink, that kept their own backward; without gates.

    Raises
    ------
    ValueError
        For an operation that the mode cannot intercept, with its name.
    """

    def __init__(
        self,
        title: str = "the rule",
        network: nn.Module | None = None,
        *,
        relu: ReluRule | None = None,
        max_pool: PoolRule | None = None,
    ) -> None:
        super().__init__(title, network)
        self._relu = relu
        self._max_pool = max_pool
        self.met = {"relu": 0, "max_pool": 0}
        self.others: set[str] = set()
        self.switching = False

    def call(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the result of the function, with the backward pass of its rule; see :class:`RulesMode`."""
        if not _any_depends((*args, *kwargs.values())):
            return func(*args, **kwargs)
        # A target that computes the score is not a part of the network.
        replaces = not thread_state.in_target
        if replaces and self._relu is not None and may_rectify(func):
            bounded = is_bounded(func, args, kwargs)
            plain = bounded or is_relu(func, args, kwargs)
            x = (args[0] if args else kwargs["input"]) if plain else rectified(func, args, kwargs)
            if x is not None:
                self.met["relu"] += 1
                self.switching = self.switching or bounded
                # The caller may use x instead of the returned value, so x has to be changed.
                in_place = is_in_place(func, name_of(func), args, kwargs)
                if self._relu in _FUSED and func not in CLAMP and not (in_place and x._is_view()):
                    return self._relu(x, upper_bound(func, args, kwargs) if bounded else None, in_place)
                y = self._relu(x)
                if bounded:
                    y = y.clamp(max=upper_bound(func, args, kwargs))
                return assign_in_graph(x, y) if in_place else y
        if replaces and self._max_pool is not None and func in MAX_POOL:
            self.switching = True
            self.met["max_pool"] += 1
            return self._max_pool(func(*args, **kwargs))
        if replaces and self._max_pool is not None and func in MAX_POOL_WITH_SWITCHES:
            self.switching = True
            self.met["max_pool"] += 1
            y, switches = func(*args, **kwargs)
            return self._max_pool(y), switches
        name = name_of(func).strip("_")
        if replaces and _is_kinked(func):
            self.others.add(name)
        result = by_onednn(func)(*args, **kwargs)
        # A result that is not a tensor, such as a size, is a constant of the network.
        is_result = not self.switching and isinstance(result, Tensor | list | tuple)
        if is_result and not _is_linear(name, args, kwargs):
            self.switching = True
        return result


def _any_depends(values: Iterable[Any]) -> bool:
    # A loop, as this is asked for every operation.
    for value in values:
        if isinstance(value, Tensor):
            if value.requires_grad:
                return True
        elif isinstance(value, (list, tuple)) and _any_depends(value):
            return True
    return False


def _is_linear(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether the gradient of an operation is independent of the pixels."""
    if name == "detach":
        # Parameters are detached to make them constants; results of detached activations may depend on the pixels.
        return isinstance(args[0], nn.Parameter)
    products = name in MULTIPLY or name in DENSE or name in CONVOLUTION
    factors = sum(_any_depends([value]) for value in (*args, *kwargs.values()))
    return name in _LINEAR and (factors < 2 or not products)


@lru_cache(1024)
def _is_kinked(func: Callable[..., Any]) -> bool:
    """Return whether a function is an activation, or has a kink, without being a gate."""
    name = name_of(func).rstrip("_")
    setting = getattr(func, "__name__", "") == "__setitem__"
    return (name in ELEMENTWISE and name not in GATES) or name in KINKED or setting


class _Assign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        return x.copy_(y)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        return None, grad


def assign_in_graph(x: Tensor, y: Tensor) -> Tensor:
    """Assign y to x in place, also in the autograd graph.

    Equivalent to ``x.copy_(y)``, without its gradient of zeros for the previous value of x.
    """
    # If x is a view, the rest of its base has a gradient, which only copy_() handles.
    return x.copy_(y) if x._is_view() else _Assign.apply(x, y)


def _positive(grad: Tensor) -> Tensor:
    # The mode itself would intercept relu() if the backward pass runs inside the block.
    made: Tensor = torch.ops.aten.clamp_min.default(grad, 0)
    return made


def _rectify(ctx: Any, x: Tensor, upper: float | None, in_place: bool) -> Tensor:
    """Return x between 0 and ``upper``, of x itself if in place."""
    if not in_place:
        return x.clamp(0, upper)
    ctx.mark_dirty(x)
    return x.clamp_(0, upper)


class _GuidedRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, upper: float | None, in_place: bool) -> Tensor:
        y = _rectify(ctx, x, upper, in_place)
        ctx.save_for_backward(y)
        ctx.upper = upper
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (y,) = ctx.saved_tensors
        # The fused operations of the own backward of ReLU and ReLU6, whose results are changed in place.
        if ctx.upper is None:
            made = torch.ops.aten.threshold_backward.default(grad, y, 0)
        else:
            made = torch.ops.aten.hardtanh_backward.default(grad, y, 0, ctx.upper)
        return torch.ops.aten.clamp_min_.default(made, 0), None, None


class _DeconvRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, upper: float | None, in_place: bool) -> Tensor:
        y = _rectify(ctx, x, upper, in_place)
        ctx.upper = upper
        if upper is not None:
            ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        if ctx.upper is None:
            return _positive(grad), None, None
        (y,) = ctx.saved_tensors
        made = torch.ops.aten.hardtanh_backward.default(grad, y, -torch.inf, ctx.upper)
        return torch.ops.aten.clamp_min_.default(made, 0), None, None


class _PositiveGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _positive(grad)


def guided_relu(x: Tensor, upper: float | None = None, in_place: bool = False) -> Tensor:
    """ReLU whose backward is relu(g) * 1[x > 0] (Springenberg et al. 2015); with ``upper``, * 1[x < upper], too."""
    made: Tensor = _GuidedRelu.apply(x, upper, in_place)
    return made


def deconv_relu(x: Tensor, upper: float | None = None, in_place: bool = False) -> Tensor:
    """ReLU whose backward is relu(g) (Zeiler and Fergus 2014); with ``upper``, relu(g) * 1[x < upper]."""
    made: Tensor = _DeconvRelu.apply(x, upper, in_place)
    return made


def positive_gradient(y: Tensor) -> Tensor:
    """Identity whose backward is relu(g)."""
    return _PositiveGradient.apply(y)


#: Rules that rectify below an upper bound and in place, without further operations.
_FUSED = (guided_relu, deconv_relu)
