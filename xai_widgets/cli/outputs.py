"""What is written: a file appears under its name when it is complete, and not before."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from xai_widgets.cli.failures import Failure, Mistake
from xai_widgets.errors import unknown_name

#: What the end of a file's name says of what is to be in it.
KINDS = {".html": "page", ".png": "picture", ".npy": "array", ".npz": "arrays"}


def kind_of(output: str) -> str:
    """What is to be written: "page", "picture", "array", "arrays" or "folder"; refused before anything is computed."""
    path = Path(output)
    if path.is_dir() or output.endswith(("/", os.sep)) or not path.suffix:
        if path.exists() and not path.is_dir():
            raise Failure(f"{output!r} is a file, wanted another name for a folder")
        return "folder"
    if path.suffix.lower() not in KINDS:
        raise Mistake(f"{unknown_name('ending', path.suffix, KINDS)} (or a folder, with / at its end)")
    check_parent(path)
    return KINDS[path.suffix.lower()]


def check_parent(path: Path) -> None:
    """Refuse a file in a folder that is not there or may not be written to."""
    if path.is_dir():
        raise Failure(f"{str(path)!r} is a folder, wanted the name of a file")
    if not path.parent.is_dir():
        raise Failure(f"there is no folder {str(path.parent)!r}, wanted a file in one that exists")
    if not os.access(path.parent, os.W_OK):
        raise Failure(f"nothing may be written to the folder {str(path.parent)!r}, wanted another one")


def tell(path: Path, what: str) -> None:
    """Say what was written and how large it is."""
    print(f"wrote {path} ({what}, {size(path.stat().st_size)})")


def size(count: int) -> str:
    """A number of bytes in words."""
    for unit, each in (("MB", 1e6), ("kB", 1e3)):
        if count >= each:
            return f"{count / each:.3g} {unit}"
    return f"{count} bytes"


def counted(count: int, word: str) -> str:
    """As in "1 picture" and "2 pictures"."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def check_open() -> None:
    """Refuse to compute what could not be told: the standard output is closed."""
    if sys.stdout is None:
        raise Failure("the standard output is closed, wanted it open for the result")


def longest_name(folder: Path) -> int:
    """How many bytes the name of a file may have in a folder."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):
        return 255


def note(words: str) -> None:
    """Say something that is no result."""
    print(words, file=sys.stderr)


def table(rows: Iterable[Sequence[str]], width: int | None = None) -> str:
    """Rows with their columns below each other, cut at a width if there is one."""
    rows = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(extent) for cell, extent in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(
        line if width is None or len(line) <= width else line[: width - 3] + "..." for line in lines
    )
