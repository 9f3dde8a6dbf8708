"""Both inverses of a class as attribution methods (Kwon 2021, chapters 4 and 5).

The dissertation compares the layer-wise inverse with other methods at lambda = 0.7, where it begins to lose the class,
by alpha = x^ / x (section 5.4.1, table 5.1), and the operation-wise one by the sum of |x^| over the channels (section
4.4.1, table 4.1). With m the color of a pixel of which nothing is left:

    layer_wise_inverse       mean over the channels of (x^ - m) / (x - m),   lambda = 0.7
    operation_wise_inverse   |x^ - m|
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import integer
from xai_widgets.inverse.interval import Empty
from xai_widgets.inverse.layer_wise import Regularizer, layer_wise
from xai_widgets.inverse.operation_wise import operation_wise
from xai_widgets.inverse.solver import SolverSettings
from xai_widgets.methods.registry import Cost, method

#: Lambda of the comparisons of the dissertation.
LAMBDA = 0.7

_SETTINGS = SolverSettings()


@method(
    title="Layer-wise inverse",
    source="Kwon 2021",
    formula="(x^ - m) / (x - m), with x^ = argmin |phi(x) - y| + lambda R(x) unit by unit from the class on",
    cost=Cost(1, 0, "steps", 2, 1, note="of each unit, fewer where its solver converges earlier"),
    guarantees="the share of each pixel that is left, from 0 to 1",
    limits="Networks that do not divide into units are refused; a lambda that is too large leaves nothing.",
    requires=("units",),
    signed=False,
    quick={"steps": 2},
)
def layer_wise_inverse(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    lam: float | Sequence[float] = LAMBDA,
    regularizer: Regularizer = "activation",
    empty: Empty = "mean",
    steps: int = _SETTINGS.steps,
    batch_size: int = 64,
) -> Tensor:
    """Invert a class unit by unit, and return the share of each pixel that is left, (N, 1, H, W).

    Parameters
    ----------
    lam : float or sequence of float, default 0.7
        Lambda, at least 0; the mean over several.
    regularizer : {"activation", "l1", "l2"}, default "activation"
        Regularizer R of the spatial units.
    empty : {"mean", "black"}, default "mean"
        The color m of a pixel of which nothing is left.
    steps : int, default 100
        Most iterations of each unit.
    batch_size : int, default 64
        Inverses to solve at once.
    """
    settings = SolverSettings(steps=integer(steps, "steps", low=1))
    run = layer_wise(
        model,
        x,
        target,
        lam=lam,
        regularizer=regularizer,
        empty=empty,
        settings=settings,
        batch_size=batch_size,
    )
    return run.result(progress=False).saliency()[:, None]


@method(
    title="Operation-wise inverse",
    source="Kwon 2021",
    formula="|x^ - m|, with x^ the inverse of S_c e_c through each operation, linearized at its activation",
    cost=Cost(
        1,
        0,
        "steps",
        3,
        2,
        note="of each operation, fewer where its solver converges earlier, more in blocks",
    ),
    guarantees="values of at least 0; x^ is between the color m and the image",
    limits="Networks that do not divide into units are refused; a score below 0 shows what pulls it down.",
    requires=("units",),
    signed=False,
    quick={"steps": 2},
)
def operation_wise_inverse(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    l1: float = 0.1,
    l2: float = 0.9,
    empty: Empty = "mean",
    steps: int = _SETTINGS.steps,
    batch_size: int = 64,
) -> Tensor:
    """Invert a class score operation by operation, and return how much of each value is left, (N, C, H, W).

    Parameters
    ----------
    l1, l2 : float, defaults 0.1 and 0.9
        Weights of the l1 and l2 terms of spatial operations, at least 0.
    empty : {"mean", "black"}, default "mean"
        The color m of a pixel of which nothing is left.
    steps : int, default 100
        Most iterations of each operation.
    batch_size : int, default 64
        Images to solve at once.
    """
    settings = SolverSettings(steps=integer(steps, "steps", low=1))
    run = operation_wise(
        model, x, target, l1=l1, l2=l2, empty=empty, settings=settings, batch_size=batch_size
    )
    return run.result(progress=False).units[-1].kept[:, 0].abs()
