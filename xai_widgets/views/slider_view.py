"""A slider that stops at given values."""

from __future__ import annotations

import itertools
import math
from typing import Any

from traitlets import Bool, HasTraits, Int, List, TraitError, Unicode, observe

from xai_widgets.core.validation import brief
from xai_widgets.views.base import View
from xai_widgets.views.steps import nearest_ready
from xai_widgets.views.traits import Choice, Unit, owner


class Ascending(List):
    """Finite numbers, each larger than the one before: a list, a tuple, an array or a range.

    Parameters
    ----------
    **metadata
        Passed on to the trait.
    """

    def __init__(self, **metadata: Any) -> None:
        super().__init__(**metadata)
        self.tag(sync=True)

    def validate(self, obj: HasTraits, value: Any) -> list[float]:
        """Make plain floats, which can be sent, of whatever numbers are given."""
        try:
            numbers = [float(number) for number in value]
        except Exception:  # an object may raise whatever it likes when it is asked for its numbers
            raise TraitError(f"{owner(obj, self.name)} is {brief(value)}, wanted a list of numbers") from None
        finite = all(map(math.isfinite, numbers))
        if not (finite and all(low < high for low, high in itertools.pairwise(numbers))):
            raise TraitError(
                f"{owner(obj, self.name)} is {brief(numbers)}, wanted finite numbers, each larger than the one before"
            )
        return numbers


class SliderView(View):
    """A slider that stops at given values: of a count, a weight, a layer.

    With the slider focused, the arrows go to the next stop that is ready, Page Up and Page Down farther, Home and End
    to the first and the last, and b to the marked one.

    Raises
    ------
    TypeError
        For a keyword that is no trait of the view.
    traitlets.TraitError
        For a value that does not fit, in one sentence.

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
        Unicode(), help="What each stop is called; a missing one is called by its number."
    ).tag(sync=True)
    label = Unicode("", help='What is chosen, for instance "Channels".').tag(sync=True)
    frame = Int(
        -1,
        min=-1,
        help=(
            "The chosen stop; -1 only as long as there is none. A stop that is not ready, or not there, "
            "cannot be chosen: the frame goes back to the stop of `fraction`. As long as none is ready "
            "all count. Default the first stop."
        ),
    ).tag(sync=True)
    fraction = Unit(
        help=(
            "How far the chosen value lies between the first and the last: (values[frame] - values[0]) / "
            '(values[-1] - values[0]). It follows the frame. Set, as by ``link((curve, "fraction"), '
            '(slider, "fraction"))``, it chooses the nearest stop that is ready, the smaller of two, and '
            "itself stays where it is."
        )
    )
    ready: List[bool] = List(
        Bool(),
        help=(
            "Which stops are there yet; those that are not are dimmed and passed over. Missing entries, "
            "and so the empty list, the default, mean ready."
        ),
    ).tag(sync=True)
    marked = Int(-1, min=-1, help="A stop with a star that leads there, -1 for none, the default.").tag(
        sync=True
    )
    mark_label = Unicode(
        "", help=('What the star says, for instance "a* = 12". Default "": the name of its stop.')
    ).tag(sync=True)
    spacing = Choice(
        ("even", "proportional"),
        help="Whether the stops stand at equal distances, or where their values lie.",
    )
    unit = Unicode("", help='What stands after the chosen stop, for instance "channels".').tag(sync=True)
    width = Int(0, min=0, help="Largest width in CSS px, 0 for the width of the column.").tag(sync=True)

    @observe("values", "frame")
    def _choose(self, _change: object) -> None:
        """Set the fraction to that of the frame."""
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
