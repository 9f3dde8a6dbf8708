"""Traits that several views share, with errors in one plain sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from traitlets import Float, HasTraits, TraitError, Unicode

from xai_widgets.core.validation import brief
from xai_widgets.errors import unknown_name

#: Pixels are deleted from the image, or inserted into its perturbation.
MODES = ("deletion", "insertion")


def owner(obj: HasTraits, name: str | None) -> str:
    """Name a trait as its user wrote it, for instance ``CurveView.fraction``."""
    return f"{type(obj).__name__}.{name}"


def low_below_high(name: str, value: Iterable[float]) -> list[float]:
    """Return two finite numbers, the first below the second; TraitError for anything else."""
    low, high = limits = [float(limit) for limit in value]
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise TraitError(f"{name} is {limits}, wanted [low, high], finite and low below high")
    return limits


def finite(value: Any) -> Any:
    """Return what JSON can hold of a value: None for each NaN or infinite number in it, however deep."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return value


class Choice(Unicode):
    """One of a few words.

    Parameters
    ----------
    choices : iterable of str
        The words; the first is the default.
    **metadata
        Passed on to the trait.
    """

    def __init__(self, choices: Iterable[str], **metadata: Any) -> None:
        self.choices = tuple(choices)
        super().__init__(self.choices[0], **metadata)
        self.tag(sync=True)

    def validate(self, obj: HasTraits, value: Any) -> str:
        """Refuse what is none of the words, with the nearest that is."""
        if not isinstance(value, str) or value not in self.choices:
            raise TraitError(f"{owner(obj, self.name)}: {unknown_name('choice', value, self.choices)}")
        return str(value)


class Unit(Float):
    """A number in [0, 1].

    Parameters
    ----------
    default_value : float, default 0.0
        The value at the start.
    **metadata
        Passed on to the trait.
    """

    def __init__(self, default_value: float = 0.0, **metadata: Any) -> None:
        super().__init__(default_value, **metadata)
        self.tag(sync=True)

    def validate(self, obj: HasTraits, value: Any) -> float:
        """Refuse what lies outside; the rounding of a sum of steps is forgiven."""
        try:
            number = float(value)
        except Exception:  # an object may raise whatever it likes when it is asked for its number
            number = math.nan
        if not -1e-6 <= number <= 1 + 1e-6:
            raise TraitError(f"{owner(obj, self.name)} is {brief(value)}, wanted a number from 0 to 1")
        return min(max(number, 0.0), 1.0)
