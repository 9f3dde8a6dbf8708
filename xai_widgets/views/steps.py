"""The nearest step to a value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def nearest_ready(positions: Iterable[float], value: float, ready: Sequence[bool] = ()) -> int:
    """Return the index of the position nearest to a value, among those that are ready.

    A view stores its choice as a value (`area`, `fraction`) and derives the index from it, by this function in Python
    and by ``nearestReady`` of ``js/src/lib/slider.js`` in the browser. Setting the index sets the value.

    Parameters
    ----------
    positions : iterable of float
        The value of each step.
    value : float
        The chosen value.
    ready : sequence of bool, default ()
        Which steps are ready; missing entries mean ready.

    Returns
    -------
    int
        Index of the first of the nearest steps; -1 if none is ready.
    """
    distances = {
        index: abs(position - value)
        for index, position in enumerate(positions)
        if index >= len(ready) or ready[index]
    }
    return min(distances, key=lambda index: distances[index], default=-1)
