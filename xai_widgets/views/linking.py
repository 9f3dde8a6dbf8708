"""Joining traits of views in the browser."""

from __future__ import annotations

from uuid import uuid4
from weakref import WeakSet

from xai_widgets.errors import unknown_name
from xai_widgets.views.base import View


def link(*ends: tuple[View, str]) -> None:
    """Join traits of views: what one of them is set to, the others are set to in the same frame.

    It happens in the browser and needs no kernel, like ``ipywidgets.jslink``, with which any two widgets can be
    joined. Between views this is the better way: a drag sends no message for each follower and frame.

    Parameters
    ----------
    *ends : (View, str)
        Two or more views with the name of a synced trait each. They take the value of the first. Traits that are
        linked already bring those that they are linked with.

    Raises
    ------
    ValueError
        For fewer than two ends, or a name that is no synced trait.

    Examples
    --------
    >>> link((curves, "fraction"), (masked, "fraction"))  # doctest: +SKIP
    """
    if len(ends) < 2:
        raise ValueError(f"{len(ends)} ends were given, wanted at least two: (view, trait), (view, trait)")
    for view, name in ends:
        if name not in view.keys or name.startswith("_"):
            public = sorted(key for key in view.keys if not key.startswith("_"))
            raise ValueError(f"{type(view).__name__}: {unknown_name('synced trait', name, public)}")
    join(*ends)


def join(*ends: tuple[View, str]) -> None:
    """Join traits like :func:`link`, private ones included."""
    known = [view._channels[name] for view, name in ends if name in view._channels]
    channel = known[0] if known else uuid4().hex
    joined = [*ends, *(end for other in dict.fromkeys(known[1:]) for end in _members(other))]
    first, first_name = ends[0]
    for view, name in joined:
        setattr(view, name, getattr(first, first_name))
        view._channels = {**view._channels, name: channel}
        _linked.add(view)


#: Every view that has been linked, as long as it lives.
_linked: WeakSet[View] = WeakSet()


def _members(channel: str) -> list[tuple[View, str]]:
    """The traits that are joined in a channel."""
    return [(view, name) for view in list(_linked) for name, own in view._channels.items() if own == channel]
