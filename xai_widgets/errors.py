"""Plain words for wrong names: what was given, what is wanted, and the nearest valid choice."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown(kind: str, given: object, choices: Iterable[str]) -> str:
    """One sentence about a name that does not exist.

    Parameters
    ----------
    kind : str
        What the name is for, as in "layer" or "label".
    given : object
        What was given.
    choices : iterable of str
        The names that exist.

    Returns
    -------
    str
        For instance ``unknown layer 'conv_1'; did you mean 'conv1'?``
    """
    names = list(choices)
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(str(given).lower(), by_lower, n=3, cutoff=0.5)
    if near:
        return f"unknown {kind} {given!r}; did you mean {' or '.join(repr(by_lower[name]) for name in near)}?"
    shown = ", ".join(names[:12]) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
    return f"unknown {kind} {given!r}; wanted one of {shown or 'none: there are none'}"
