"""Links between traits of views, in the browser."""

from __future__ import annotations

from uuid import uuid4
from weakref import WeakSet

from xai_widgets.errors import unknown_name
from xai_widgets.views.base import View


def link(*ends: tuple[View, str]) -> None:
    """Link traits of views: if one of them changes, the others are set to its value in the same frame.

    Like ``ipywidgets.jslink``, which links any two widgets, it works in the browser and needs no kernel. For views it
    is faster, because a drag does not send a message for each linked view and frame.

    Parameters
    ----------
    *ends : (View, str)
        Two or more pairs of a view and the name of a synced trait. All are set to the value of the first. Existing
        links of the traits are kept, and joined to the new one.

    Raises
    ------
    ValueError
        For fewer than two ends, or a name that is not a synced trait.

    Examples
    --------
    >>> link((curves, "fraction"), (masked, "fraction"))  # doctest: +SKIP
    """
    if len(ends) < 2:
        raise ValueError(f"expected at least two ends, (view, trait), (view, trait), got {len(ends)}")
    for view, name in ends:
        if name not in view.keys or name.startswith("_"):
            public = sorted(key for key in view.keys if not key.startswith("_"))
            raise ValueError(f"{type(view).__name__}: {unknown_name('synced trait', name, public)}")
    join(*ends)


def join(*ends: tuple[View, str]) -> None:
    """Link traits like :func:`link`, including private ones."""
    known = [view._channels[name] for view, name in ends if name in view._channels]
    channel = known[0] if known else uuid4().hex
    joined = [*ends, *(end for other in dict.fromkeys(known[1:]) for end in _members(other))]
    first, first_name = ends[0]
    for view, name in joined:
        setattr(view, name, getattr(first, first_name))
        view._channels = {**view._channels, name: channel}
        _linked.add(view)


#: Views that have been linked.
_linked: WeakSet[View] = WeakSet()


def _members(channel: str) -> list[tuple[View, str]]:
    """Return the traits of a channel, each with its view."""
    return [(view, name) for view in list(_linked) for name, own in view._channels.items() if own == channel]
