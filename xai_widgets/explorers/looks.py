"""Colors and markers of the methods that are shown together."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count


class Looks:
    """Looks of names, as in `CurveView.series`: different for names that are shown together, and kept while they are.

    The first eight have colors of their own; further ones share a color and have a marker.
    """

    def __init__(self) -> None:
        self._shown: dict[str, int] = {}

    def take(self, names: Iterable[str]) -> dict[str, int]:
        """Return the look of each name; names that were not shown before have the first free ones.

        Parameters
        ----------
        names : iterable of str
            The names that are shown, without repetition.
        """
        names = list(names)
        kept = {self._shown[name] for name in names if name in self._shown}
        free = (look for look in count() if look not in kept)
        self._shown = {name: self._shown[name] if name in self._shown else next(free) for name in names}
        return dict(self._shown)
