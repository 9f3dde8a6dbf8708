"""Joining traits of views in the browser."""

from __future__ import annotations

from uuid import uuid4

from xai_widgets.errors import unknown
from xai_widgets.views.base import View


def link(*ends: tuple[View, str]) -> None:
    """Join traits of views: what one of them is set to, the others are set to in the same frame.

    It happens in the browser and needs no kernel, like ``ipywidgets.jslink``, with which any two widgets can be
    joined. Between views this is the better way: a drag sends no message for each follower and frame.

    Parameters
    ----------
    *ends : (View, str)
        Two or more views with the name of a synced trait each. They take the value of the first. A trait that is
        linked already brings those it is linked with.

    Raises
    ------
    ValueError
        For fewer than two ends, a name that is no synced trait, or ends that belong to two other links.

    Examples
    --------
    >>> link((curves, "fraction"), (masked, "fraction"))  # doctest: +SKIP
    """
    if len(ends) < 2:
        raise ValueError(f"{len(ends)} ends were given, wanted at least two: (view, trait), (view, trait)")
    for view, name in ends:
        if name not in view.keys or name.startswith("_"):
            public = sorted(key for key in view.keys if not key.startswith("_"))
            raise ValueError(f"{type(view).__name__}: {unknown('synced trait', name, public)}")
    known = {view.channels[name] for view, name in ends if name in view.channels}
    if len(known) > 1:
        raise ValueError(
            f"the ends belong to {len(known)} links already, wanted at most one; join those first"
        )
    channel = known.pop() if known else uuid4().hex
    first, first_name = ends[0]
    for view, name in ends:
        setattr(view, name, getattr(first, first_name))
        view.channels = {**view.channels, name: channel}
