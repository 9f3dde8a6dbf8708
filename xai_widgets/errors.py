"""Plain words: for a wrong name what was given, what is wanted and the nearest valid choice; and for warnings."""

from __future__ import annotations

import difflib
import sys
import threading
import warnings
from collections.abc import Iterable


def unknown_name(kind: str, given: object, choices: Iterable[str]) -> str:
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
    # The repr of an object may be long, or fail.
    printed = repr(given) if type(given) in (str, int, float, bool) else type(given).__name__
    text = given[:200].lower() if isinstance(given, str) else printed
    printed = printed if len(printed) <= 60 else f"{printed[:57]}..."
    near = difflib.get_close_matches(text, by_lower, n=3, cutoff=0.5)
    if near:
        return f"unknown {kind} {printed}; did you mean {' or '.join(repr(by_lower[name]) for name in near)}?"
    few = names[: 12 if sum(map(len, names[:12])) < 240 else 3]
    few = [name if len(name) <= 60 else f"{name[:57]}..." for name in few]
    shown = ", ".join(few) + (f", ... ({len(names)} in all)" if len(names) > len(few) else "")
    return f"unknown {kind} {printed}; wanted one of {shown or 'none: there are none'}"


class ExplanationWarning(UserWarning):
    """What is to be known of a result that is there all the same, such as a sum that is off."""


class _Collected(threading.local):
    """The list that takes the warnings of this thread, if there is one."""

    messages: list[str] | None = None


_collected = _Collected()


class collecting:
    """Collect the messages of :func:`warn` in this thread instead of warning, each message once.

    The filters of :mod:`warnings` belong to the whole process, so a thread must not change them.

    Examples
    --------
    >>> with collecting() as messages:
    ...     tell("the sum is off")
    >>> messages
    ['the sum is off']
    """

    # A class and not a generator: no interrupt comes between the last line of `__enter__` and the block.
    def __enter__(self) -> list[str]:
        self._around = _collected.messages
        messages: list[str] = []
        _collected.messages = messages
        return messages

    def __exit__(self, *_error: object) -> None:
        _collected.messages = self._around


def warn(message: str) -> None:
    """Warn by an :class:`ExplanationWarning`, and name the line that called the package, however deep in it this is."""
    if (messages := _collected.messages) is not None:
        if message not in messages:
            messages.append(message)
        return
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "xai_widgets":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, ExplanationWarning, stacklevel=level)


def as_sentence(error: BaseException) -> str:
    """Return the first line of an error, or its type if it says nothing."""
    try:
        words = str(error).strip().partition("\n")[0]
    except Exception:  # the error of anybody's code
        words = ""
    return words or type(error).__name__
