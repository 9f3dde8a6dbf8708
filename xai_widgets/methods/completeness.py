"""Promised sums, measured: the attribution carries its gap, and a large one is said."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from xai_widgets.core.validation import dimensions, tensor
from xai_widgets.errors import warn

#: What is said of a sum and of what it should be.
Words = Callable[[str, str], str]


def total(attribution: Tensor, number: int | None = None) -> Tensor:
    """Return the sum of an attribution (N, ...) for each image, (N,).

    Parameters
    ----------
    attribution : Tensor, (N, ...)
        What a method returned.
    number : int, optional
        N, which is checked.
    """
    shape = ("N", "C", "H", "W")[: max(2, dimensions(attribution, 4))]
    made = tensor(attribution, "attribution", ("N" if number is None else number, *shape[1:]), finite=True)
    return made.flatten(1).sum(1)


def with_gap(
    made: Tensor,
    wanted: Tensor,
    tolerance: float,
    words: Words,
    *,
    rounding: Tensor | float = 0.0,
) -> Tensor:
    """Give an attribution its ``gap``, how far it is from the sum that its method promises.

    Parameters
    ----------
    made : Tensor, (N, ...)
        The attribution.
    wanted : Tensor, (N,)
        What it should sum to.
    tolerance : float
        The share of ``wanted`` beyond which the worst of the images is said in a warning.
    words : callable
        ``words(sum, wanted)`` makes the warning of both numbers.
    rounding : Tensor (N,) or float, default 0.0
        What a sum may be off besides.

    Returns
    -------
    Tensor
        ``made``, with ``made.gap``, (N,): its sum less what is wanted, in the unit of both.
    """
    total = made.flatten(1).sum(1)
    gap = total - wanted
    excess = gap.abs() - tolerance * wanted.abs() - rounding
    worst = int(excess.argmax())
    if excess[worst] > 0:
        warn(words(f"{total[worst].item():.3g}", f"{wanted[worst].item():.3g}"))
    setattr(made, "gap", gap)  # noqa: B010 - a tensor has no such attribute of its own
    return made
