"""A slider that stops at given values."""

from __future__ import annotations

import itertools
import math
from typing import Any

from traitlets import Bool, HasTraits, Int, List, TraitError, Unicode, observe

from xai_widgets.core.validation import brief
from xai_widgets.views.control import Asking
from xai_widgets.views.steps import nearest_ready
from xai_widgets.views.traits import Choice, Unit, owner


class Ascending(List):
    """A trait that holds finite numbers in strictly ascending order, from a list, tuple, array or range.

    Parameters
    ----------
    **metadata
        Metadata of the trait.
    """

    def __init__(self, **metadata: Any) -> None:
        super().__init__(**metadata)
        self.tag(sync=True)

    def validate(self, obj: HasTraits, value: Any) -> list[float]:
        """Convert numbers to floats, which can be sent; raise TraitError for any other value."""
        try:
            numbers = [float(number) for number in value]
        except Exception:  # the conversion of an object may raise anything
            raise TraitError(
                f"expected {owner(obj, self.name)} to be a list of numbers, got {brief(value)}"
            ) from None
        finite = all(map(math.isfinite, numbers))
        if not (finite and all(low < high for low, high in itertools.pairwise(numbers))):
            raise TraitError(
                f"expected {owner(obj, self.name)} to be finite and strictly ascending, got {brief(numbers)}"
            )
        return numbers


class SliderView(Asking):
    """A slider that stops at given values, such as counts, weights or layers.

    With the slider focused, the arrow keys go to the next stop that is ready, Page Up and Page Down move by several
    stops, Home and End go to the first and last one, and b to the marked one.

    Raises
    ------
    TypeError
        For a keyword that is not a trait of the view.
    traitlets.TraitError
        For an invalid value.

    Examples
    --------
    >>> view = SliderView(values=[1, 2, 4, 8], label="Channels", marked=2, mark_label="a* = 4")
    >>> view.frame = 3
    >>> view.fraction
    1.0
    """

    _bundle = "slider_view"

    values = Ascending(help="The stops, ascending. Arrays and ranges are converted.")
    labels: List[str] = List(
        Unicode(), help="The name of each stop; a stop without a name is shown by its value."
    ).tag(sync=True)
    label = Unicode("", help='Label of the slider, such as "Channels".').tag(sync=True)
    frame = Int(
        -1,
        min=-1,
        help=(
            "Index of the chosen stop, at first the first one; -1 without stops. A stop that is not ready "
            "or does not exist cannot be chosen: the frame is reset to the stop of `fraction`. If no stop "
            "is ready, all can be chosen."
        ),
    ).tag(sync=True)
    fraction = Unit(
        help=(
            "Position of the chosen value between the first and the last: (values[frame] - values[0]) / "
            "(values[-1] - values[0]). It follows the frame. Setting it, for instance by ``link((curve, "
            '"fraction"), (slider, "fraction"))``, chooses the nearest stop that is ready, the smaller of '
            "two; it is not rounded to that stop."
        )
    )
    ready: List[bool] = List(
        Bool(),
        help=("Which stops are ready; the others are dimmed and skipped. Missing entries mean ready."),
    ).tag(sync=True)
    marked = Int(
        -1, min=-1, help="Index of the stop that is marked by a star, which is a button; -1 for none."
    ).tag(sync=True)
    mark_label = Unicode(
        "", help='Label of the star, such as "a* = 12"; if empty, the name of its stop.'
    ).tag(sync=True)
    spacing = Choice(
        ("even", "proportional"),
        help="Whether stops are spaced evenly, or in proportion to their values.",
    )
    unit = Unicode("", help='Text after the chosen stop, such as "channels".').tag(sync=True)
    width = Int(0, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)

    @observe("values", "frame")
    def _choose(self, _change: object) -> None:
        """Set the fraction to the position of the frame."""
        nearest = self._nearest()
        if self.frame not in self._available():
            self.frame = nearest
        elif self.frame != nearest:
            self.fraction = self._fractions()[self.frame]

    @observe("ready")
    def _keep(self, _change: object) -> None:
        if self.frame not in self._available():
            self.frame = self._nearest()

    @observe("fraction")
    def _follow(self, _change: object) -> None:
        self.frame = self._nearest()

    def _available(self) -> list[int]:
        """Return the stops that can be chosen: all of them if none is ready."""
        ready = [index for index in range(len(self.values)) if all(self.ready[index : index + 1])]
        return ready or list(range(len(self.values)))

    def _nearest(self) -> int:
        """Return the stop of the fraction, or -1 if there is none."""
        available = self._available()
        ready = [index in available for index in range(len(self.values))]
        return nearest_ready(self._fractions(), self.fraction, ready)

    def _fractions(self) -> list[float]:
        if not self.values:
            return []
        first, span = self.values[0], self.values[-1] - self.values[0]
        return [(value - first) / span if span else 0.0 for value in self.values]
