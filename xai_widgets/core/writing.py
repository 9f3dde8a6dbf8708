"""Write files so that the one that was there survives any failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4


@contextmanager
def complete(path: Path) -> Iterator[Path]:
    """Give a name beside ``path`` to write to, which becomes ``path`` at the end.

    After an error or an interrupt nothing of it is left, and a file that was there is as before. A link stays one: its
    file is replaced. What is no file, such as a device, is written to directly.

    Raises
    ------
    OSError
        If the file cannot be written, naming ``path``.
    """
    target = path.resolve() if path.is_symlink() else path
    if target.exists() and not target.is_file():
        yield path
        return
    # Short, as the name may be as long as names can be; with its ending, by which libraries choose a format.
    partial = target.with_name(f".{uuid4().hex[:12]}{target.suffix[:16]}")
    try:
        yield partial
        with suppress(OSError):
            # A file that was there keeps its permissions.
            os.chmod(partial, target.stat().st_mode & 0o7777)
        partial.replace(target)
    except OSError as error:
        if error.filename is None or str(error.filename) == str(partial):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
