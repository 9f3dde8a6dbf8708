"""Completeness check: measure the gap, attach it to the attribution, warn if it is large."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from xai_widgets.core.validation import dimensions, tensor
from xai_widgets.errors import warn

#: Maps the actual and the expected sum to the text of a warning.
WarningText = Callable[[str, str], str]


def total(attribution: Tensor, number: int | None = None) -> Tensor:
    """Return the sum of an attribution (N, ...) for each image, (N,).

    Parameters
    ----------
    attribution : Tensor, (N, ...)
        Result of a method.
    number : int, optional
        Expected N.
    """
    shape = ("N", "C", "H", "W")[: max(2, dimensions(attribution, 4))]
    values = tensor(attribution, "attribution", ("N" if number is None else number, *shape[1:]), finite=True)
    return values.flatten(1).sum(1)


def with_gap(
    attribution: Tensor,
    expected: Tensor,
    tolerance: float,
    warning: WarningText,
    *,
    rounding: Tensor | float = 0.0,
) -> Tensor:
    """Attach the completeness gap to an attribution, and warn if it is large.

    Parameters
    ----------
    attribution : Tensor, (N, ...)
        The attribution.
    expected : Tensor, (N,)
        The sum that the method guarantees.
    tolerance : float
        Fraction of ``expected`` above which the worst image is reported in a warning.
    warning : callable
        ``warning(total, expected)`` returns the text of the warning for both numbers.
    rounding : Tensor (N,) or float, default 0.0
        Additional absolute tolerance.

    Returns
    -------
    Tensor
        ``attribution``, with the attribute ``gap``, (N,): its sum minus ``expected``.
    """
    total = attribution.flatten(1).sum(1)
    gap = total - expected
    excess = gap.abs() - tolerance * expected.abs() - rounding
    worst = int(excess.argmax())
    if excess[worst] > 0:
        warn(warning(f"{total[worst].item():.3g}", f"{expected[worst].item():.3g}"))
    setattr(attribution, "gap", gap)  # noqa: B010 - not an attribute of every tensor
    return attribution
