"""Plain words: for a wrong name what was given, what is wanted and the nearest valid choice; and for warnings."""

from __future__ import annotations

import difflib
import sys
import warnings
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


class ExplanationWarning(UserWarning):
    """What is to be known of a result that is there all the same, such as a sum that is off."""


def tell(message: str) -> None:
    """Warn by an :class:`ExplanationWarning`, and name the line that called the package, however deep in it this is."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "xai_widgets":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, ExplanationWarning, stacklevel=level)
