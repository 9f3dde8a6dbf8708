"""Traits that several views share."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from traitlets import Float, HasTraits, TraitError, Unicode

from xai_widgets.core.validation import brief
from xai_widgets.errors import unknown_name

#: How maps are enlarged; an image is enlarged smoothly for each but the last.
INTERPOLATIONS = ("bicubic", "smooth", "pixelated")
#: Pixels are deleted from the image, or inserted into the perturbed image.
MODES = ("deletion", "insertion")
#: Pixels get other colors, the most relevant or the least relevant ones first.
ORDERS = ("MoRF", "LeRF")


def owner(obj: HasTraits, name: str | None) -> str:
    """Return the qualified name of a trait, such as ``CurveView.fraction``."""
    return f"{type(obj).__name__}.{name}"


def low_below_high(name: str, value: Iterable[float]) -> list[float]:
    """Return the limits as floats; raise TraitError unless they are finite and low < high."""
    low, high = limits = [float(limit) for limit in value]
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise TraitError(f"expected {name} to be [low, high], finite and low below high, got {limits}")
    return limits


def finite(value: Any) -> Any:
    """Return a value with None for each NaN or infinite number in it, at any depth, because JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return value


class Choice(Unicode):
    """A trait that holds one of several strings.

    Parameters
    ----------
    choices : iterable of str
        Valid strings; the first is the default.
    **metadata
        Metadata of the trait.
    """

    def __init__(self, choices: Iterable[str], **metadata: Any) -> None:
        self.choices = tuple(choices)
        super().__init__(self.choices[0], **metadata)
        self.tag(sync=True)

    def validate(self, obj: HasTraits, value: Any) -> str:
        """Raise TraitError for an unknown string; the message gives the nearest valid one."""
        if not isinstance(value, str) or value not in self.choices:
            raise TraitError(f"{owner(obj, self.name)}: {unknown_name('choice', value, self.choices)}")
        return str(value)


class Unit(Float):
    """A trait that holds a float in [0, 1].

    Parameters
    ----------
    default_value : float, default 0.0
        Default value.
    **metadata
        Metadata of the trait.
    """

    def __init__(self, default_value: float = 0.0, **metadata: Any) -> None:
        super().__init__(default_value, **metadata)
        self.tag(sync=True)

    def validate(self, obj: HasTraits, value: Any) -> float:
        """Convert to a float; raise TraitError if it is outside of [0, 1] by more than rounding."""
        try:
            number = float(value)
        except Exception:  # the conversion of an object may raise anything
            number = math.nan
        if not -1e-6 <= number <= 1 + 1e-6:
            raise TraitError(
                f"expected {owner(obj, self.name)} to be a number from 0 to 1, got {brief(value)}"
            )
        return min(max(number, 0.0), 1.0)
