"""What a command says to people when it cannot go on, and with which exit code it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

#: Exit codes: done, could not be done, wrong usage, interrupted.
DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130

#: What the package raises with a sentence for people; anything else was not foreseen, and its kind is told too.
FORESEEN = (ValueError, TypeError, OSError, RuntimeError, ImportError)


class Failure(Exception):
    """What was asked for could not be done; the message is one sentence."""

    code = FAILED


class Mistake(Failure):
    """The command was called in a wrong way."""

    code = WRONG


@contextmanager
def names() -> Iterator[None]:
    """Within, a name or a number that is refused was given by mistake."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise Mistake(str(error)) from error


def sentence(error: BaseException) -> str:
    """What went wrong, on one line."""
    if isinstance(error, OSError) and error.strerror:
        # Without its number, and with the file where one is known.
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    words = str(error).strip().partition("\n")[0]
    if isinstance(error, (Failure, *FORESEEN)) and words:
        return words
    kind = type(error).__name__
    return f"{kind}: {words}" if words else kind
