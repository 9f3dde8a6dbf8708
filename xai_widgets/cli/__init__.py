"""The command line: maps of pictures as a page, a picture or arrays, measures of methods, and the notebooks.

``xai-widgets --help`` teaches it. Results go to the standard output, progress and what went wrong to the standard
error. Exit codes: 0 done, 1 could not be done, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from xai_widgets.cli.failures import DONE, FAILED, INTERRUPTED, Failure, sentence
from xai_widgets.cli.parsing import PROGRAM, parse


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments ask for.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the name of the program. Default: those of this process.

    Returns
    -------
    int
        The exit code.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(given)
        # Here and not at the very end, where nobody would be told that it could not be written.
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough, as `head` has; nothing more can be said to it.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if "--debug" in given:
            traceback.print_exc()
        print(f"{PROGRAM}: {sentence(error)}", file=sys.stderr)
        return error.code if isinstance(error, Failure) else FAILED


def _run(given: Sequence[str]) -> int:
    try:
        options = parse(given)
    except SystemExit as asked:
        # Help and version end like this.
        return int(asked.code or DONE)
    # Here and not above: what a command needs is imported when it runs, so that help is there at once.
    run = importlib.import_module(f"xai_widgets.cli.{options.module}").run
    return int(run(options))


def keep_descriptors() -> None:
    """Occupy the numbers of standard streams that are closed, so that no file of ours is written to as one of them."""
    with contextlib.suppress(OSError):
        number = os.open(os.devnull, os.O_RDWR)
        while number <= 2:
            number = os.dup(number)
        os.close(number)


def script() -> None:
    """The program ``xai-widgets``."""
    keep_descriptors()
    if sys.stderr is None:
        # Nobody listens, and `print` would take the standard output for it.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a letter, as in a label, shows another one for it.
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    code = main()
    if code == INTERRUPTED:
        # The thread of an explorer may be in the midst of a pass: an orderly exit would wait for it or break it.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, AttributeError):
                stream.flush()
        os._exit(code)
    sys.exit(code)
