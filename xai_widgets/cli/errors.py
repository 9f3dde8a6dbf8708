"""Errors of commands, their exit codes, and their messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

#: Exit codes: success, failure, wrong usage, interrupt.
DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130

#: Exceptions that the package raises with a message for users; the message of any other one begins with its type.
EXPECTED = (ValueError, TypeError, OSError, RuntimeError, ImportError)


class CommandError(Exception):
    """A command failed; the message is one sentence."""

    code = FAILED


class UsageError(CommandError):
    """A command was called with wrong arguments."""

    code = WRONG


@contextmanager
def usage_errors() -> Iterator[None]:
    """Raise a :class:`UsageError` for a name or number that is refused."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error


def message(error: BaseException) -> str:
    """Return the message of an error on one line."""
    if isinstance(error, OSError) and error.strerror:
        # Without its number, and with the file if it is known.
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, (CommandError, *EXPECTED)) and text:
        return text
    kind = type(error).__name__
    return f"{kind}: {text}" if text else kind
