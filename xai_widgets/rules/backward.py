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

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from xai_widgets.rules.mode import RulesMode
from xai_widgets.rules.operations import (
    ADD,
    AVERAGE,
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
    name_of,
    rectified,
    upper_end,
)

#: A rule for ReLU takes the input and gives the output with its own backward.
ReluRule = Callable[[Tensor], Tensor]
#: A rule for max-pooling takes the pooled output and gives it on with its own backward before the switches.
PoolRule = Callable[[Tensor], Tensor]
#: Operations whose backward pass is the same for every input, if only one operand depends on the pixels.
_LINEAR = {
    name.strip("_")
    for names in (ADD, AVERAGE, CONVOLUTION, DENSE, INTERPOLATE, MOVING, MULTIPLY, NEGATE, SUBTRACT)
    for name in names
    if "max" not in name
} | {"batch_norm", "gather", "grad"}


class BackwardRules(RulesMode):
    """Give ReLU and max-pooling another backward pass while the block runs.

    Parameters
    ----------
    title : str, default "the rule"
        The method, as errors say it.
    network : nn.Module, optional
        Whose layers errors name.
    relu : callable, optional
        ``relu(x) -> max(x, 0)`` with its own backward; in place of ``F.relu``, ``torch.relu``,
        ``Tensor.relu``, clamping at zero from below, their in-place forms, and of whatever else computes max(x, 0):
        see :func:`~xai_widgets.rules.operations.rectified`. The upper end of ReLU6 and its like keeps its own backward.
    max_pool : callable, optional
        ``max_pool(y) -> y`` with its own backward; applied to what the pooling returns, so that the gradient
        passes it before it goes through the switches.

    Attributes
    ----------
    met : dict of str to int
        How often each rule was used: a rule that met nothing has changed nothing.
    switching : bool
        Whether an operation was met, ReLU with a rule aside, whose backward pass depends on its input.
    others : set of str
        The activations and functions with a kink that were met and are no ReLU, but for those of gates: they keep
        their own backward.

    Raises
    ------
    ValueError
        For an operation on the way from the pixels that the mode cannot see, with its name.
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
        """Return what the function returns, with the rule's backward pass; see :class:`RulesMode`."""
        if not _any_depends((*args, *kwargs.values())):
            return func(*args, **kwargs)
        if self._relu is not None:
            bounded = is_bounded(func, args, kwargs)
            plain = bounded or is_relu(func, args, kwargs)
            x = (args[0] if args else kwargs["input"]) if plain else rectified(func, args, kwargs)
            if x is not None:
                self.met["relu"] += 1
                y = self._relu(x)
                if bounded:
                    self.switching = True
                    y = y.clamp(max=upper_end(func, args, kwargs))
                # The caller may go on with x instead of what is returned, so x has to become the result.
                in_place = is_in_place(func, name_of(func), args, kwargs)
                return assign_in_graph(x, y) if in_place else y
        if self._max_pool is not None and func in MAX_POOL:
            self.switching = True
            self.met["max_pool"] += 1
            return self._max_pool(func(*args, **kwargs))
        if self._max_pool is not None and func in MAX_POOL_WITH_SWITCHES:
            self.switching = True
            self.met["max_pool"] += 1
            y, switches = func(*args, **kwargs)
            return self._max_pool(y), switches
        name = name_of(func).rstrip("_")
        if (name in ELEMENTWISE and name not in GATES) or name in KINKED or _is_setting(func):
            self.others.add(name.strip("_"))
        result = func(*args, **kwargs)
        # What is no tensor, such as a size, is a constant of the network.
        if isinstance(result, Tensor | list | tuple) and not _is_linear(name.strip("_"), args, kwargs):
            self.switching = True
        return result


def _any_depends(values: Iterable[Any]) -> bool:
    return any(
        value.requires_grad
        if isinstance(value, Tensor)
        else isinstance(value, list | tuple) and _any_depends(value)
        for value in values
    )


def _is_linear(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the gradient of what depends on the pixels is the same whatever the pixels are."""
    if name == "detach":
        # Of parameters when they are made constants; of activations what follows may depend on the pixels, unseen.
        return isinstance(args[0], nn.Parameter)
    products = name in MULTIPLY or name in DENSE or name in CONVOLUTION
    factors = sum(_any_depends([value]) for value in (*args, *kwargs.values()))
    return name in _LINEAR and (factors < 2 or not products)


def _is_setting(func: Callable[..., Any]) -> bool:
    return getattr(func, "__name__", "") == "__setitem__"


class _Become(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        return x.copy_(y)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        return None, grad


def assign_in_graph(x: Tensor, y: Tensor) -> Tensor:
    """Write y into x, in the graph too.

    As ``x.copy_(y)``, whose backward also makes a gradient of zeros for what x was, and adds it on the way.
    """
    # Of a view, the rest of its base has a gradient, which only the operation of torch passes on.
    return x.copy_(y) if x._is_view() else _Become.apply(x, y)


def _positive(grad: Tensor) -> Tensor:
    # relu() would be seen, and counted, by the mode itself where the backward pass runs inside its block.
    made: Tensor = torch.ops.aten.clamp_min.default(grad, 0)
    return made


class _GuidedRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.clamp_min(0)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        # As ReLU's own backward does it, in one pass over the values.
        made: Tensor = torch.ops.aten.threshold_backward.default(_positive(grad), y, 0)
        return made


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
