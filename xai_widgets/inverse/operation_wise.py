"""The operation-wise inverse: each operation undone at its operating point, from a class or an activation down.

Chapter 4 of the source. With x_bar the activation of the forward pass and phi' the operation linearized there:

    phi'(x) = d phi / dx (x_bar) (x - x_bar) + phi(x_bar)                                      equation 4.3
    phi^-1(y) = argmin_x |phi'(x) - y|_2 + l1 |x|_1 + l2 |x|_2,   0 <= x <= x_bar     equations 4.4, 4.6 and 4.7
    R^+ y = R^T y   of a ReLU, whose matrix R has a 1 for each neuron that was on              equation 4.8
    M^+ y = M^T y   of a max-pool, whose matrix M picks the maxima                             section 4.3.1

l1 = l2 = 0 for linear layers, which are likely to be over-determined. It begins with y = S_c e_c, the score of the
class, or with an activation. A residual block is one operation, linearized as a whole. With A = d phi / dx (x_bar) of
the operation before its ReLU, what is minimized here is

    |A x - y|^2                                  of a linear layer
    |R (A x - s y)|^2 + l1 |x|_1 + l2 |x|^2      of a convolution or block,   s = <phi(x_bar), y> / |y|^2

where the source leaves it open: of the readings in docs/results/settings.md one that reproduces other methods well.

- A x without the constant of equation 4.3: with biases an activation of nothing would have an inverse, and maps are
  mostly of that.
- R: the source wants active neurons only. With those that were off maps are much the same, and less is left of them. A
  linear layer keeps its zeros, as it would not be over-determined without them.
- Squares: by plain norms with these weights little is left, and maps are less alike.
- s brings y as near to the forward activation as a factor can: else what is left becomes less from unit to unit, and l1
  weighs more. An activation alone in its place has s = 1. Chapter 5 does alike (algorithm 2, line 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.precision import no_autocast
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import number, tensor
from xai_widgets.errors import unknown_name
from xai_widgets.inverse.chain import (
    EXACT,
    Chain,
    Inverted,
    UnitInverse,
    beside,
    check_settings,
    classes_of,
    exact_inverse,
    exactly,
    kind_of,
    solve,
    solved,
)
from xai_widgets.inverse.solver import Cost, SolverSettings
from xai_widgets.inverse.units import Unit, units_after
from xai_widgets.ops.resize import resize_map


@dataclass(frozen=True, kw_only=True)
class OperationWise(Inverted):
    """The inverses so far, one for each image (L is 1), from the output down; see :class:`Inverted`.

    Attributes
    ----------
    l1, l2 : float
        The weights of S.
    """

    l1: float
    l2: float

    def saliency(self) -> Tensor:
        """Sum over the channels of |x^|, (N, H, W), where the inverse has come to, brought to the images."""
        if self.x.ndim != 5:
            raise ValueError(
                f"the inverse has come to the input of {self.units[-1].unit!r}, which has no places, wanted one that "
                "goes further down"
            )
        return resize_map(self.x[:, 0].abs().sum(1), (self.image.shape[2], self.image.shape[3]))


@without_inference_mode
def operation_wise(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    start: tuple[str, Tensor] | None = None,
    l1: float = 0.1,
    l2: float = 0.9,
    until: str | None = None,
    settings: SolverSettings | None = None,
    batch_size: int = 64,
) -> Run[OperationWise]:
    """Invert the score of a class, or an activation, operation by operation.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    target : int, str, sequence or Tensor, optional
        The class, or one per image. Default: the predicted class.
    start : (str, Tensor), optional
        A unit by its name, and what is inverted of its output, (N, ...), from 0 to the activation there; in place of
        a class.
    l1, l2 : float, defaults 0.1 and 0.9
        Weights of S, at least 0, of operations with places.
    until : str, optional
        End at the output of this unit. Default: at the image.
    settings : SolverSettings, optional
        When an operation is done.
    batch_size : int, default 64
        Images that are solved at once.

    Returns
    -------
    Run of OperationWise
        A snapshot for each operation, and others under way, so that it can be stopped. A warning names those that did
        not converge.

    Raises
    ------
    TypeError
        If ``model`` is no ImageModel, or ``settings`` or ``start`` are none.
    ValueError
        For a network that is no chain of units, a weight below 0, an unknown unit or class, with the nearest one, both
        a target and a start, or a start that does not fit.
    """
    settings = check_settings(settings)
    l1, l2 = number(l1, "l1", low=0), number(l2, "l2", low=0)
    if target is not None and start is not None:
        raise ValueError("a target and a start were given, wanted one of them")
    batch_size = check_batch_size(batch_size)
    image, _ = prepare(model, x, None)
    chain = Chain.of(model, image)
    last = len(chain.units) - units_after(chain.units, until)
    if start is None:
        classes = classes_of(model, chain, target)
        assert classes is not None
        index = classes[:, None]
        # S_c e_c: the score of the class alone.
        y = torch.zeros_like(chain.output).scatter(1, index, chain.output.gather(1, index))
        first = len(chain.units) - 1
    else:
        classes, (first, y) = None, _check_start(start, chain)
    if first < last:
        raise ValueError(f"the start comes before {until!r}, wanted a unit between the image and the start")
    made = OperationWise(
        units=(),
        image=chain.inputs[0],
        target=classes,
        original_output=chain.output,
        l1=l1,
        l2=l2,
        notes=chain.notes(),
        **kind_of(model),
    )

    def play() -> Iterator[OperationWise]:
        latest, reached = made, y
        for index in reversed(range(last, first + 1)):
            unit, x_bar = chain.units[index], chain.inputs[index]
            for inverse in _invert(unit, x_bar, reached, l1, l2, settings, batch_size):
                if inverse is None:
                    yield latest
                else:
                    reached, latest = inverse.x[:, 0], replace(latest, units=(*latest.units, inverse))
            if index == 0:
                latest = replace(latest, output=chain.run(reached, batch_size)[:, None])
            yield latest
        latest.warn()

    searched = sum(unit.kind not in EXACT for unit in chain.units[last : first + 1])
    parts = -(-len(image) // batch_size)
    rounds = -(-settings.steps // settings.window)
    return Run(play(), total=first + 1 - last + searched * parts * rounds, name="operation-wise inverse")


def _invert(
    unit: Unit, x_bar: Tensor, y: Tensor, l1: float, l2: float, settings: SolverSettings, batch_size: int
) -> Iterator[UnitInverse | None]:
    """None under way, and the inverse (N, 1, ...) at last."""
    if unit.kind in EXACT:
        yield exactly(unit, exact_inverse(unit, x_bar, y)[:, None], x_bar)
        return
    with torch.no_grad():
        activation = unit.run(x_bar)
    if unit.relu:
        # R^T y: what was off stays off.
        y = y * (activation > 0)
    if unit.kind == "convolution":
        on = activation > 0
        nearest = (activation * y).flatten(1).sum(1) / _squares(y).clamp(min=1e-24)
        y = y * beside(nearest, y)
        cost = _cost(unit, x_bar, y, on, l1, l2)
    else:
        cost = _cost(unit, x_bar, y, torch.ones_like(y, dtype=torch.bool), 0.0, 0.0)
    # Nothing is the inverse of nothing.
    upper = x_bar * beside((y != 0).flatten(1).any(1), x_bar)
    # The cost is convex, so its minimum does not depend on where it begins; from 0 nothing is left where A^T y is 0.
    for solution in solve(cost, torch.zeros_like(x_bar), upper, settings, batch_size):
        yield None if solution is None else solved(unit, solution, x_bar)


def _cost(unit: Unit, x_bar: Tensor, y: Tensor, counts: Tensor, l1: float, l2: float) -> Cost:
    """Equation 4.4, of the outputs that count."""
    with torch.no_grad():
        constant = unit.before_relu(torch.zeros_like(x_bar[:1])) if unit.affine else None

    def cost(x: Tensor, index: Tensor) -> Tensor:
        made = _derivative(unit, x_bar[index], x) if constant is None else unit.before_relu(x) - constant
        off = (made - y[index]) * counts[index]
        return _squares(off) + l1 * x.flatten(1).abs().sum(1) + l2 * _squares(x)

    return cost


def _squares(x: Tensor) -> Tensor:
    """The squared Euclidean norm of each element of a batch, (B,)."""
    return x.flatten(1).square().sum(1)


def _derivative(unit: Unit, x_bar: Tensor, x: Tensor) -> Tensor:
    """A x, of the unit without its ReLU."""
    # As the derivative of u -> A^T u with respect to u, times x: both are backward passes.
    with torch.enable_grad(), no_autocast(x.device):
        at = x_bar.clone().requires_grad_()
        value = unit.before_relu(at)
        u = torch.zeros_like(value).requires_grad_()
        (transposed,) = torch.autograd.grad(value, at, u, create_graph=True)
        try:
            (made,) = torch.autograd.grad(transposed, u, x, create_graph=x.requires_grad)
        except (RuntimeError, NotImplementedError) as error:
            if "not implemented" not in str(error) and "does not require grad" not in str(error):
                raise
            raise ValueError(
                f"expected units whose gradient can be differentiated, got {unit.name!r} "
                f"({str(error).partition(chr(10))[0].rstrip('.')}); layer_wise needs none"
            ) from error
    return made


def _check_start(start: Any, chain: Chain) -> tuple[int, Tensor]:
    """The index of the unit whose output is inverted, and what of it."""
    if not (isinstance(start, tuple) and len(start) == 2 and isinstance(start[0], str)):
        raise TypeError(
            f"start is {type(start).__name__}, wanted a pair: the name of a unit and an activation"
        )
    names = [unit.name for unit in chain.units]
    if start[0] not in names:
        raise ValueError(unknown_name("unit", start[0], names))
    index = names.index(start[0])
    bound = [*chain.inputs[1:], chain.output][index]
    given = tensor(start[1], f"start at {start[0]!r}", tuple(bound.shape), finite=True, like=bound)
    return index, given.clone()
