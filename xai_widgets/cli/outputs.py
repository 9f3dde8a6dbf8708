"""Output files, and text for the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from xai_widgets.cli.errors import CommandError, UsageError
from xai_widgets.errors import unknown_name

#: The kind of output by the ending of its file name.
KINDS = {".html": "page", ".png": "image", ".npy": "array", ".npz": "arrays"}


def kind_of(output: str) -> str:
    """Return the kind of an output: "page", "image", "array", "arrays" or "folder"; raise if it cannot be written."""
    path = Path(output)
    if path.is_dir() or output.endswith(("/", os.sep)) or not path.suffix:
        if path.exists() and not path.is_dir():
            raise CommandError(f"expected a name for a folder, got {output!r}, which is a file")
        return "folder"
    if path.suffix.lower() not in KINDS:
        raise UsageError(f"{unknown_name('ending', path.suffix, KINDS)} (or a folder, with / at its end)")
    check_parent(path)
    return KINDS[path.suffix.lower()]


def check_parent(path: Path) -> None:
    """Raise for a file whose folder does not exist or is not writable."""
    if path.is_dir():
        raise CommandError(f"expected the name of a file, got {str(path)!r}, which is a folder")
    if not path.parent.is_dir():
        raise CommandError(f"expected a file in an existing folder, got {str(path)!r}")
    if not os.access(path.parent, os.W_OK):
        raise CommandError(f"expected a file in a writable folder, got {str(path)!r}")


def report(path: Path, content: str) -> None:
    """Print the content and size of a file that was written."""
    print(f"wrote {path} ({content}, {size(path.stat().st_size)})")


def size(count: int) -> str:
    """Return a number of bytes as text."""
    for unit, each in (("MB", 1e6), ("kB", 1e3)):
        if count >= each:
            return f"{count / each:.3g} {unit}"
    return f"{count} bytes"


def count(number: int, noun: str) -> str:
    """Return a number with its noun, as in "1 image" and "2 images"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def check_open() -> None:
    """Raise before a long computation whose result could not be printed."""
    if sys.stdout is None:
        raise CommandError("expected an open standard output for the result, got a closed one")


def longest_name(folder: Path) -> int:
    """Return the maximum length of a file name in a folder, in bytes."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):
        return 255


def note(text: str) -> None:
    """Print a message that is not a result."""
    print(text, file=sys.stderr)


def table(rows: Iterable[Sequence[str]], width: int | None = None) -> str:
    """Return rows as text with aligned columns, each line truncated at ``width`` if there is one."""
    rows = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(extent) for cell, extent in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(
        line if width is None or len(line) <= width else line[: width - 3] + "..." for line in lines
    )
