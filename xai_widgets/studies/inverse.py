"""Both inverses of one image, the share of it that other methods keep, and uniform fading, as one computation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, TypeVar

from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.errors import as_sentence, collect_warnings, warn
from xai_widgets.inverse import (
    Inverted,
    LayerWise,
    OperationWise,
    SolverSettings,
    UniformFading,
    layer_wise,
    operation_wise,
    reidentification,
    uniform,
)
from xai_widgets.inverse.chain import Chain
from xai_widgets.inverse.interval import Empty
from xai_widgets.inverse.layer_wise import Regularizer
from xai_widgets.methods import Method
from xai_widgets.studies.study import Study

#: Titles of the inverses.
INVERSES = ("layer-wise", "operation-wise")

#: Cost of an inverse beside the point of a method, for the progress.
INVERSE = 10

AnyInverse = TypeVar("AnyInverse", bound=Inverted)


class InverseKey(NamedTuple):
    """The choices that the inverses depend on.

    Attributes
    ----------
    target : int
        The class that is inverted, without a start.
    regularizer : {"activation", "l1", "l2"}
        The regularizer of the layer-wise inverse.
    empty : {"mean", "black"}
        The color of a pixel of which nothing is left, for the inverses, the methods and uniform fading.
    start : (str, int or None, (int, int) or None), optional
        The unit, channel and position to invert in place of the class; None for all channels or positions. Then there
        are no points of methods and no fading, which are about a class.
    """

    target: int
    regularizer: Regularizer = "activation"
    empty: Empty = "mean"
    start: tuple[str, int | None, tuple[int, int] | None] | None = None


@dataclass(frozen=True)
class MethodPoint:
    """The image that the attribution of a method leaves, and whether it keeps the class (eq. 5.13).

    Attributes
    ----------
    title : str
        Title of the method.
    mean_alpha : float
        Share of the image that is left.
    probability : float
        Probability of the class for x~; its score if the outputs are plain numbers.
    top1, top5 : bool
        Whether the class is the best, or among the five best, for x~.
    x : Tensor, (C, H, W)
        The weighted image x~.
    """

    title: str
    mean_alpha: float
    probability: float
    top1: bool
    top5: bool
    x: Tensor = field(repr=False, compare=False)


@dataclass(frozen=True)
class InverseResult:
    """Both inverses of an image, uniform fading, and the points of other methods.

    Attributes
    ----------
    layer_wise : LayerWise or None
        The layer-wise inverses for each lambda, from the output down to the unit reached so far.
    operation_wise : OperationWise or None
        The operation-wise inverse so far; None before it begins.
    uniform : UniformFading or None
        The baseline: the whole image faded by the same alpha.
    points : tuple of MethodPoint
        For each other method what it leaves of the image.
    failed : tuple of (str, str)
        The title of each inverse or method that failed, and the reason.
    warnings : tuple of (str, str)
        The title of each method with warnings, and the warnings.
    """

    layer_wise: LayerWise | None = None
    operation_wise: OperationWise | None = None
    uniform: UniformFading | None = None
    points: tuple[MethodPoint, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()


class InverseStudy(Study[InverseKey, InverseResult]):
    """The layer-wise inverse for all lambda, the operation-wise one, uniform fading and the methods, in this order.

    A stopped computation continues: complete parts are kept, and an inverse that was stopped on its way stays until a
    new one, which begins at the output again, has come farther.

    Parameters
    ----------
    model : ImageModel
        The network.
    x : Tensor, (1, C, H, W)
        The image.
    lam, settings, batch_size
        See :func:`~xai_widgets.inverse.layer_wise`.
    methods : collection of Method
        The methods that the inverses are compared with.
    """

    early_is_converged: ClassVar[bool] = False

    def __init__(
        self,
        model: ImageModel,
        x: Tensor,
        *,
        lam: float | Sequence[float],
        methods: Collection[Method] = (),
        settings: SolverSettings | None = None,
        batch_size: int = 64,
    ) -> None:
        super().__init__()
        self.model, self.x, self.lam, self.methods = model, x, lam, methods
        self.settings, self.batch_size = settings, batch_size
        #: The units of the network and their activations in the latest run.
        self.chain: Chain | None = None

    def run(self, key: InverseKey, start: InverseResult | None = None) -> Run[InverseResult]:
        """Return the computation for a key: a snapshot for each unit and method, and some in between."""
        options: dict[str, Any] = {
            "settings": self.settings,
            "batch_size": self.batch_size,
            "empty": key.empty,
            "start": key.start,
        }
        target = key.target if key.start is None else None
        # The notes of the inverses are warnings of the computation, not of the call that begins it.
        with collect_warnings():
            # Traced anew for each run, as the network may have been trained further, and once for both inverses.
            chain = self.chain = Chain.of(self.model, self.x)
            layers = layer_wise(
                self.model, chain, target, lam=self.lam, regularizer=key.regularizer, **options
            )
            operations = operation_wise(self.model, chain, target, **options)

        methods = self.methods if key.start is None else ()
        done = 0

        def steps() -> Iterator[InverseResult]:
            nonlocal done
            latest = start or InverseResult()
            latest = replace(latest, failed=tuple(each for each in latest.failed if each[0] not in INVERSES))
            try:
                for layer in _unless_complete(latest.layer_wise, layers):
                    latest = replace(latest, layer_wise=layer)
                    yield latest
            except Exception as error:  # the failure of one part does not stop the others
                latest = _with_failure(latest, INVERSES[0], error)
            done += 1
            try:
                for operation in _unless_complete(latest.operation_wise, operations):
                    latest = replace(latest, operation_wise=operation)
                    yield latest
            except Exception as error:
                latest = _with_failure(latest, INVERSES[1], error)
            done += 1
            if all(title in dict(latest.failed) for title in INVERSES):
                raise ValueError(": ".join(latest.failed[-2]))
            for note in _notes(latest):
                warn(note)
            if key.start is None and latest.uniform is None:
                latest = replace(
                    latest,
                    uniform=uniform(
                        self.model, self.x, key.target, empty=key.empty, batch_size=self.batch_size
                    ),
                )
            known = {point.title for point in latest.points} | {title for title, _ in latest.failed}
            for method in methods:
                if method.title not in known:
                    latest = self._add_point(latest, method, key)
                    done += 1
                    yield latest
            yield latest

        def fraction() -> float:
            inverses: tuple[Run[Any], ...] = (layers, operations)
            parts = [
                INVERSE * (1.0 if done > number else run.progress) for number, run in enumerate(inverses)
            ]
            return (sum(parts) + max(0, done - 2)) / (2 * INVERSE + len(methods))

        total = layers.total + operations.total + len(methods) + 1
        return Run(steps(), total=total, name="inverses", fraction=fraction)

    def _add_point(self, result: InverseResult, method: Method, key: InverseKey) -> InverseResult:
        """Return a result with the point of one more method, or with the reason why there is none."""
        try:
            with collect_warnings() as messages:
                attribution = method(self.model, self.x, key.target)
            kept = reidentification(self.model, self.x, attribution, key.target, empty=key.empty)
        except Exception as error:
            return _with_failure(result, method.title, error)
        point = MethodPoint(
            method.title,
            float(kept.mean_alpha),
            float(kept.probability),
            bool(kept.top1),
            bool(kept.top5),
            kept.x[0],
        )
        warnings = ((method.title, "; ".join(messages)),) if messages else ()
        return replace(result, points=(*result.points, point), warnings=(*result.warnings, *warnings))


def _notes(result: InverseResult) -> list[str]:
    """Return the notes of both inverses, each once."""
    inverses = (result.layer_wise, result.operation_wise)
    return list(dict.fromkeys(note for inverse in inverses if inverse is not None for note in inverse.notes))


def _with_failure(result: InverseResult, title: str, error: Exception) -> InverseResult:
    """Return a result with the reason why one part of it is missing."""
    return replace(result, failed=(*result.failed, (title, as_sentence(error))))


def _unless_complete(before: AnyInverse | None, run: Run[AnyInverse]) -> Iterator[AnyInverse]:
    """Yield the snapshots that are farther than an earlier one; nothing if that is complete.

    The run is left at its last snapshot, before its warning: units that did not converge are marked where they are
    shown.
    """
    if before is not None and before.output is not None:
        return
    for made in run:
        if before is None or len(made.units) > len(before.units):
            before = made
        yield before
        if before.output is not None:
            return
