"""Both inverses of one image, and what other methods keep of it, one after the other as one computation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.errors import as_sentence, collecting
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
from xai_widgets.methods import Method

#: What the inverses are called where one is refused.
INVERSES = ("layer-wise", "operation-wise")

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
    refused : tuple of (str, str)
        The title of each inverse or method that could not be computed, and why.
    notes : tuple of (str, str)
        The title of each method that warned, and of what.
    whole : bool
        Whether there is nothing left to compute.
    """

    layer_wise: LayerWise | None = None
    operation_wise: OperationWise | None = None
    points: tuple[tuple[str, float, float], ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
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
        latest = replace(first, refused=tuple(each for each in first.refused if each[0] not in INVERSES))
        try:
            for layer in _unless_done(latest.layer_wise, layers):
                latest = replace(latest, layer_wise=layer)
                yield latest
        except Exception as error:  # one that cannot be computed takes no other with it
            latest = _refused(latest, INVERSES[0], error)
        try:
            for operation in _unless_done(latest.operation_wise, operations):
                latest = replace(latest, operation_wise=operation)
                yield latest
        except Exception as error:
            latest = _refused(latest, INVERSES[1], error)
        if all(title in dict(latest.refused) for title in INVERSES):
            raise ValueError(": ".join(latest.refused[-2]))
        known = {title for title, *_ in (*latest.points, *latest.refused)}
        for method in methods:
            title = method.title or method.name
            if title in known:
                continue
            try:
                with collecting() as notes:
                    saliency = method.saliency(model, x, target)
                kept = reidentification(model, x, saliency, target)
                point = (title, float(kept.mean_alpha), float(kept.probability))
                told = ((title, "; ".join(notes)),) if notes else ()
                latest = replace(latest, points=(*latest.points, point), notes=(*latest.notes, *told))
            except Exception as error:
                latest = _refused(latest, title, error)
            yield latest
        yield replace(latest, whole=True)

    total = layers.total + operations.total + len(methods) + 1
    return Run(play(), total=total, name="inverses")


def _refused(result: InverseResult, title: str, error: Exception) -> InverseResult:
    """The result with the reason why one part of it is missing."""
    return replace(result, refused=(*result.refused, (title, as_sentence(error))))


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
