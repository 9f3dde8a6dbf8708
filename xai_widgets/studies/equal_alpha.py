"""Regularizers of the layer-wise inverse at one share of an image (Kwon 2021, figure 5.8)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, get_args

from torch import Tensor

from xai_widgets.core.model import ImageModel, Target
from xai_widgets.core.run import Run
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import integer, number
from xai_widgets.errors import collect_warnings
from xai_widgets.inverse import LayerWise, SolverSettings, layer_wise
from xai_widgets.inverse.chain import Chain
from xai_widgets.inverse.interval import Empty
from xai_widgets.inverse.layer_wise import Regularizer
from xai_widgets.studies.study import Study

#: Values of lambda that a search begins with: the range of the l1 norm, and that of the others.
GRID = (0.0, 0.003, 0.03, 0.3, 1.0, 3.0)
#: Values of lambda of each round of a search.
BETWEEN = 3

#: All regularizers.
REGULARIZERS: tuple[Regularizer, ...] = get_args(Regularizer)
#: Rounds of search after the first values of lambda.
ROUNDS = 3


@dataclass(frozen=True, repr=False)
class AlphaMatch(ShortRepr):
    """The inverse of a regularizer that leaves about the chosen share of an image.

    Attributes
    ----------
    regularizer : {"activation", "l1", "l2"}
        The regularizer.
    lam : float
        Its lambda.
    mean_alpha, probability : float
        The share of the image that is left, and the probability of the class.
    top1, top5 : bool
        Whether the class is the best, or among the five best.
    x : Tensor, (C, H, W)
        The inverse x^.
    matched : bool
        Whether the share is within the tolerance of the chosen one.
    """

    regularizer: Regularizer
    lam: float
    mean_alpha: float
    probability: float
    top1: bool
    top5: bool
    x: Tensor
    matched: bool


class EqualAlphaKey(NamedTuple):
    """The class, the share of the image, and its empty color."""

    target: int
    mean_alpha: float
    empty: Empty = "mean"


@dataclass(frozen=True, repr=False)
class EqualAlpha(ShortRepr):
    """Inverses of one image with several regularizers that leave the same share of it, as far as they are found."""

    mean_alpha: float
    matches: tuple[AlphaMatch, ...] = ()


def at_equal_alpha(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    mean_alpha: float = 0.3,
    regularizers: Sequence[Regularizer] = REGULARIZERS,
    lam: Sequence[float] = GRID,
    known: Iterable[LayerWise] = (),
    tolerance: float = 0.02,
    rounds: int = ROUNDS,
    empty: Empty | None = None,
    settings: SolverSettings | None = None,
    batch_size: int = 64,
) -> Run[EqualAlpha]:
    """Find, for each regularizer, the lambda that leaves one share of an image (fig. 5.8).

    Each regularizer begins with a grid of lambda. In each round, three values of lambda between the two whose shares
    are around the chosen one are inverted together. The nearest share is returned, with whether it is near enough:
    where the share falls in a jump, none is.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        One image of any kind.
    target : int, str or callable, optional
        The class. Default: the predicted class.
    mean_alpha : float, default 0.3
        The share of the image that is left, between 0 and 1.
    regularizers : sequence of {"activation", "l1", "l2"}
        The regularizers.
    lam : sequence of float, default (0, 0.003, 0.03, 0.3, 1, 3)
        The grid that a search begins with.
    known : iterable of LayerWise
        Complete inverses of the same image, class and empty color, which replace the grids of their
        regularizers.
    tolerance : float, default 0.02
        Largest difference of the shares.
    rounds : int, default 3
        Most rounds for each regularizer.
    empty, settings, batch_size
        See :func:`~xai_widgets.inverse.layer_wise`.

    Returns
    -------
    Run of EqualAlpha
        A snapshot after each round; the match of a regularizer is replaced by a nearer one.

    Raises
    ------
    ValueError
        For several images, or the reasons of :func:`~xai_widgets.inverse.layer_wise`.
    """
    share = number(mean_alpha, "mean_alpha", low=0, high=1)
    tolerance, rounds = number(tolerance, "tolerance", low=0), integer(rounds, "rounds", low=0)
    with collect_warnings():
        chain = Chain.of(model, x)
    if len(chain.inputs[0]) != 1:
        raise ValueError(f"expected one image, got {len(chain.inputs[0])}; choose one of them")
    given = {inverse.regularizer: inverse for inverse in known}

    def inverted(regularizer: Regularizer, weights: Sequence[float]) -> LayerWise:
        return layer_wise(
            model,
            chain,
            target,
            lam=weights,
            regularizer=regularizer,
            empty=empty,
            settings=settings,
            batch_size=batch_size,
        ).result(progress=False)

    def steps() -> Iterator[EqualAlpha]:
        found: dict[str, AlphaMatch] = {}
        for regularizer in regularizers:
            latest = given.get(regularizer) or inverted(regularizer, lam)
            shares = dict(zip(latest.lam.tolist(), latest.mean_alpha[0].tolist(), strict=True))
            for number_of in range(rounds + 1):
                best = _nearest(latest, share, tolerance)
                if regularizer not in found or abs(best.mean_alpha - share) < abs(
                    found[regularizer].mean_alpha - share
                ):
                    found[regularizer] = best
                yield EqualAlpha(share, tuple(found.values()))
                between = _between(shares, share)
                if found[regularizer].matched or not between or number_of == rounds:
                    break
                latest = inverted(regularizer, between)
                shares |= dict(zip(latest.lam.tolist(), latest.mean_alpha[0].tolist(), strict=True))

    return Run(steps(), total=len(regularizers) * (rounds + 1), name="inverses at equal alpha")


def _nearest(inverse: LayerWise, share: float, tolerance: float) -> AlphaMatch:
    """Return the inverse whose share of the image is nearest."""
    shares = inverse.mean_alpha[0]
    index = int((shares - share).abs().argmin())
    mean = shares[index].item()
    return AlphaMatch(
        inverse.regularizer,
        inverse.lam[index].item(),
        mean,
        inverse.probability[0, index].item(),
        bool(inverse.reidentified[0, index]) if inverse.has_probabilities else False,
        bool(inverse.reidentified_top5[0, index]) if inverse.has_probabilities else False,
        inverse.x[0, index],
        abs(mean - share) <= tolerance,
    )


def _between(shares: Mapping[float, float], share: float) -> list[float]:
    """Return values of lambda between the two around a share; none if all shares are on one side of it."""
    order = sorted(shares)
    for low, high in pairwise(order):
        if shares[low] >= share >= shares[high]:
            if low == 0:
                # The size of lambda is still unknown.
                return [high / 64, high / 16, high / 4]
            return [low * (high / low) ** (step / (BETWEEN + 1)) for step in range(1, BETWEEN + 1)]
    return []


class EqualAlphaStudy(Study[EqualAlphaKey, EqualAlpha]):
    """The three regularizers at one share of one image; see :func:`at_equal_alpha`.

    Parameters
    ----------
    model : ImageModel
        The network.
    x : Tensor, (1, C, H, W)
        The image.
    options
        Options of :func:`at_equal_alpha`.
    """

    early_is_converged: ClassVar[bool] = False

    def __init__(self, model: ImageModel, x: Tensor, **options: Any) -> None:
        super().__init__()
        self.model, self.x, self.options = model, x, options

    def steps(self, key: EqualAlphaKey) -> int:
        """Return the largest number of rounds."""
        # Without making the run, which passes the image through the network.
        regularizers = self.options.get("regularizers", REGULARIZERS)
        return len(regularizers) * (self.options.get("rounds", ROUNDS) + 1)

    def run(self, key: EqualAlphaKey, start: EqualAlpha | None = None) -> Run[EqualAlpha]:
        """Return the search for a key."""
        return at_equal_alpha(
            self.model, self.x, key.target, mean_alpha=key.mean_alpha, empty=key.empty, **self.options
        )
