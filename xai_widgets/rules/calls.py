"""Intercepted calls, and the operations that rules are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from xai_widgets.core.pointwise import by_onednn


@dataclass(frozen=True)
class Operation:
    """y = f(a, w) + bias, linear in the activation a and in the weight w.

    Attributes
    ----------
    function : callable
        f.
    kind : {"convolution", "dense", "sum", "norm"}
        Kind of operation; "sum" includes averages, also with weights of attention; otherwise its weight is 1.
    bias : Tensor, optional
        Bias, broadcast to y. Default: no bias.
    channels : (int, int), optional
        The dimension of the channels of y in w, and in y counted from its end. None: w has no such dimension.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    kind: str = "sum"
    bias: Tensor | None = None
    channels: tuple[int, int] | None = None

    def __call__(self, a: Tensor, weight: Tensor) -> Tensor:
        """Return f(a, w), without the bias."""
        return self.function(a, weight)


@dataclass(frozen=True)
class Norm:
    """y = (x - mean x) / sqrt(var x + eps) * weight + bias, mean and variance over the last dimensions.

    Attributes
    ----------
    dims : tuple of int
        The last dimensions, counted from the end.
    eps : float
    weight, bias : Tensor
        Broadcast to y.
    """

    dims: tuple[int, ...]
    eps: float
    weight: Tensor
    bias: Tensor


class Call:
    """A call of a torch function: computes it without changing its first argument x, or with another tensor for x.

    Attributes
    ----------
    in_place : bool
        Whether the network expects x to be changed.
    upper : float or None
        Of a rectifier, its upper bound.
    assigned : bool
        Whether a rule has changed x itself.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        x: Any,
        in_place: bool,
    ) -> None:
        self._func, self._args, self._kwargs, self._x = by_onednn(func), args, kwargs, x
        self.in_place = in_place
        self.upper: Any = None
        self.assigned = False

    def __call__(self, replacement: Tensor | None = None) -> Any:
        """Return the result for x or for another tensor, neither of which is changed."""
        first = self._x if replacement is None else replacement
        first = first.clone() if self.in_place else first
        if self._args:
            return self._func(first, *self._args[1:], **self._kwargs)
        return self._func(**{**self._kwargs, "input": first})

    def original(self) -> Any:
        """Return the result as the network computes it, which may change x."""
        self.assigned = True
        return self._func(*self._args, **self._kwargs)


def in_graph(ctx: Any, x: Tensor, run: Any) -> Tensor:
    """Return the result of a call in the forward of an autograd function of x, which changes x if the network would.

    Only the caller of the function can change a view, as the rest of its base has a gradient.
    """
    fused = isinstance(run, Call) and run.in_place and not x._is_view()
    if fused:
        ctx.mark_dirty(x)
    result: Tensor = run.original() if fused else run()
    return result


#: Computes the original operation, optionally with another tensor as the first argument; a :class:`Call`, or a function
#: of the same form.
Compute = Callable[..., Any]
#: A rule returns the result of ``run()``, with another backward.
LinearRule = Callable[[Tensor, Tensor, Operation, Compute], Tensor]
ScaleRule = Callable[[Tensor, Tensor, Tensor, Compute], Tensor]
FunctionRule = Callable[..., Tensor]
ProductRule = Callable[[Tensor, Tensor, Compute], Tensor]
NormRule = Callable[[Tensor, Norm, Compute], Tensor]
BilinearRule = Callable[[Tensor, Tensor, Operation, Compute], Tensor]
GateRule = Callable[[str, Tensor, Any, Compute], Any]
