"""Both inverses of one image, and what other methods keep of it, one after the other as one computation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from torch import Tensor

from xai_widgets.attribution import Method
from xai_widgets.inverse import (
    Inverted,
    LayerWise,
    OperationWise,
    SolverSettings,
    layer_wise,
    operation_wise,
    reidentification,
)
from xai_widgets.inverse.layer_wise import Regularizer
from xai_widgets.model import ImageModel
from xai_widgets.run import Run

AnyInverse = TypeVar("AnyInverse", bound=Inverted)


@dataclass(frozen=True)
class InverseResult:
    """What is shown for a class and a regularizer.

    Attributes
    ----------
    layer_wise : LayerWise or None
        The inverses for each lambda, as far as they have come.
    operation_wise : OperationWise or None
        The other inverse, as far as it has come; None before it begins.
    points : tuple of (str, float, float)
        Of other methods the title, mean(alpha), and the probability of the class for alpha x.
    whole : bool
        Whether there is nothing left to compute.
    """

    layer_wise: LayerWise | None = None
    operation_wise: OperationWise | None = None
    points: tuple[tuple[str, float, float], ...] = ()
    whole: bool = False


def inverses(
    model: ImageModel,
    x: Tensor,
    target: int,
    *,
    lam: float | Sequence[float],
    regularizer: Regularizer,
    methods: Collection[Method],
    settings: SolverSettings | None,
    start: InverseResult | None,
    batch_size: int,
) -> Run[InverseResult]:
    """The layer-wise inverse for all lambda, the operation-wise one, and the methods, in this order.

    Parameters
    ----------
    model : ImageModel
        The network.
    x : Tensor, (1, C, H, W)
        The image.
    target : int
        The class.
    lam, regularizer, settings, batch_size
        As in :func:`~xai_widgets.inverse.layer_wise`.
    methods : collection of Method
        What the inverses are compared with.
    start : InverseResult or None
        What to go on with: what is done of it stays, and an inverse that is half-way stays until a new one, from the
        output down, has come farther. A whole one is made anew.

    Returns
    -------
    Run of InverseResult
        A snapshot for each unit and method, and others under way.

    Raises
    ------
    ValueError, TypeError
        As both inverses.
    """
    first = start if start is not None and not start.whole else InverseResult()
    layers = layer_wise(
        model, x, target, lam=lam, regularizer=regularizer, settings=settings, batch_size=batch_size
    )
    operations = operation_wise(model, x, target, settings=settings, batch_size=batch_size)

    def play() -> Iterator[InverseResult]:
        latest = first
        for layer in _unless_done(latest.layer_wise, layers):
            latest = replace(latest, layer_wise=layer)
            yield latest
        for operation in _unless_done(latest.operation_wise, operations):
            latest = replace(latest, operation_wise=operation)
            yield latest
        for method in list(methods)[len(latest.points) :]:
            kept = reidentification(model, x, method.saliency(model, x, target), target)
            point = (method.title or method.name, float(kept.mean_alpha), float(kept.probability))
            latest = replace(latest, points=(*latest.points, point))
            yield latest
        yield replace(latest, whole=True)

    total = layers.total + operations.total + len(methods) + 1
    return Run(play(), total=total, name="inverses")


def _unless_done(before: AnyInverse | None, run: Run[AnyInverse]) -> Iterator[AnyInverse]:
    """What is farther than before, as long as there is something to do.

    It ends with the last snapshot and without the warning after it: nobody reads what a thread warns of, and what did
    not converge is written at its stop.
    """
    if before is not None and before.output is not None:
        return
    for made in run:
        if before is None or len(made.units) > len(before.units):
            before = made
        yield before
        if before.output is not None:
            return
