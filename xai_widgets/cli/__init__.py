"""The command line: maps of images as a page, images or arrays, scores of methods, and the notebooks.

``xai-widgets --help`` explains it. Results go to the standard output, progress and errors to the standard error. Exit
codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from xai_widgets.cli.errors import DONE, FAILED, INTERRUPTED, CommandError, message
from xai_widgets.cli.parsing import PROGRAM, parse


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The arguments without the name of the program. Default: those of this process.

    Returns
    -------
    int
        The exit code.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(arguments)
        # Here and not at exit, where an error of the output would not change the exit code.
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has stopped, as `head` does; nothing more can be written to it.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        print(f"{PROGRAM}: {message(error)}", file=sys.stderr)
        return error.code if isinstance(error, CommandError) else FAILED


def _run(arguments: Sequence[str]) -> int:
    try:
        options = parse(arguments)
    except SystemExit as exit:
        # Raised by --help and --version.
        return int(exit.code or DONE)
    # Imported here, so that help needs none of the imports of a command.
    run = importlib.import_module(f"xai_widgets.cli.{options.module}").run
    return int(run(options))


def keep_descriptors() -> None:
    """Open the standard streams that are closed, so that no other file gets one of their numbers."""
    with contextlib.suppress(OSError):
        number = os.open(os.devnull, os.O_RDWR)
        while number <= 2:
            number = os.dup(number)
        os.close(number)


def script() -> None:
    """Run the program ``xai-widgets``."""
    keep_descriptors()
    if sys.stderr is None:
        # With a closed standard error, `print` would write to the standard output.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character, for instance of a label, shows a replacement.
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    sys.exit(main())
