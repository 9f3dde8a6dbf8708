"""Both inverses of one image, and the share of the image that other methods keep, as one computation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from torch import Tensor, nn

from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.errors import as_sentence, collect_warnings
from xai_widgets.inverse import (
    Inverted,
    LayerWise,
    OperationWise,
    Reconstruction,
    SolverSettings,
    layer_wise,
    operation_wise,
    reconstruction,
    reidentification,
)
from xai_widgets.inverse.chain import Chain
from xai_widgets.inverse.layer_wise import Regularizer
from xai_widgets.methods import Method
from xai_widgets.studies.study import Study

#: Titles of the inverses.
INVERSES = ("layer-wise", "operation-wise")

#: Cost of an inverse beside the point of a method, for the progress.
INVERSE = 10

AnyInverse = TypeVar("AnyInverse", bound=Inverted)


class InverseKey(NamedTuple):
    """The choices that the inverses depend on."""

    target: int
    regularizer: Regularizer = "activation"


@dataclass(frozen=True)
class InverseResult:
    """Both inverses of an image, and the points of other methods.

    Attributes
    ----------
    layer_wise : LayerWise or None
        The layer-wise inverses for each lambda, from the output down to the unit reached so far.
    operation_wise : OperationWise or None
        The operation-wise inverse so far; None before it begins.
    points : tuple of (str, float, float)
        For each other method its title, mean(alpha), and the probability of the class for alpha x.
    failed : tuple of (str, str)
        The title of each inverse or method that failed, and the reason.
    warnings : tuple of (str, str)
        The title of each method with warnings, and the warnings.
    """

    layer_wise: LayerWise | None = None
    operation_wise: OperationWise | None = None
    points: tuple[tuple[str, float, float], ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()


class InverseStudy(Study[InverseKey, InverseResult]):
    """The layer-wise inverse for all lambda, the operation-wise one, and the methods, in this order.

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
        options: dict[str, Any] = {"settings": self.settings, "batch_size": self.batch_size}
        # Traced anew for each run, as the network may have been trained further, and once for both inverses.
        chain = self.chain = Chain.of(self.model, self.x)
        layers = layer_wise(
            self.model, chain, key.target, lam=self.lam, regularizer=key.regularizer, **options
        )
        operations = operation_wise(self.model, chain, key.target, **options)

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
            known = {title for title, *_ in (*latest.points, *latest.failed)}
            for method in self.methods:
                if method.title not in known:
                    latest = self._add_point(latest, method, key.target)
                    done += 1
                    yield latest
            yield latest

        def fraction() -> float:
            inverses: tuple[Run[Any], ...] = (layers, operations)
            parts = [
                INVERSE * (1.0 if done > number else run.progress) for number, run in enumerate(inverses)
            ]
            return (sum(parts) + max(0, done - 2)) / (2 * INVERSE + len(self.methods))

        total = layers.total + operations.total + len(self.methods) + 1
        return Run(steps(), total=total, name="inverses", fraction=fraction)

    def _add_point(self, result: InverseResult, method: Method, target: int) -> InverseResult:
        """Return a result with the point of one more method, or with the reason why there is none."""
        try:
            with collect_warnings() as messages:
                saliency = method.saliency(self.model, self.x, target)
            kept = reidentification(self.model, self.x, saliency, target)
        except Exception as error:
            return _with_failure(result, method.title, error)
        point = (method.title, float(kept.mean_alpha), float(kept.probability))
        warnings = ((method.title, "; ".join(messages)),) if messages else ()
        return replace(result, points=(*result.points, point), warnings=(*result.warnings, *warnings))


class RegressionResult(NamedTuple):
    """The inverse of a network that makes images, and the distances of its outputs; None before it is complete."""

    inverse: LayerWise
    reconstruction: Reconstruction | None


class RegressionInverseStudy(Study[Regularizer, RegressionResult]):
    """The layer-wise inverse of a network that adds a residual to an image, for all lambda; one for each regularizer.

    Parameters
    ----------
    network : nn.Module
        From luminance (N, 1, H, W) to the residual.
    x : Tensor, (1, 1, H, W)
        The image.
    truth : Tensor, (1, 1, H, W), optional
        The image at high resolution.
    lam, settings, batch_size
        See :func:`~xai_widgets.inverse.layer_wise`.
    """

    def __init__(
        self,
        network: nn.Module,
        x: Tensor,
        *,
        truth: Tensor | None = None,
        lam: float | Sequence[float],
        settings: SolverSettings | None = None,
        batch_size: int = 8,
    ) -> None:
        super().__init__()
        self.network, self.x, self.truth, self.lam = network, x, truth, lam
        self.settings, self.batch_size = settings, batch_size

    def run(self, key: Regularizer, start: RegressionResult | None = None) -> Run[RegressionResult]:
        """Return the computation with a regularizer: a snapshot for each unit, and one with the distances."""
        run = layer_wise(
            self.network,
            self.x,
            lam=self.lam,
            regularizer=key,
            settings=self.settings,
            batch_size=self.batch_size,
        )

        def steps() -> Iterator[RegressionResult]:
            for inverse in run:
                yield RegressionResult(inverse, None)
            x = self.x.expand_as(inverse.x[0])
            truth = x if self.truth is None else self.truth.expand_as(x)
            distances = reconstruction(self.network, x, inverse.x[0], truth, batch_size=self.batch_size)
            yield RegressionResult(inverse, distances)

        return Run(steps(), total=run.total + 1, name="inverse", fraction=lambda: 0.98 * run.progress)


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
