"""Atomic writing of files: an existing file survives any failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``, which is renamed to ``path`` on success and removed on failure.

    A symbolic link is kept and its target replaced. Anything that is not a regular file, such as a device, is written
    to directly.

    Raises
    ------
    OSError
        If the file cannot be written; its filename is ``path``.
    """
    target = path.resolve() if path.is_symlink() else path
    if target.exists() and not target.is_file():
        yield path
        return
    # Short, as the name may already have the maximum length; with its suffix, by which libraries choose a format.
    partial = target.with_name(f".{uuid4().hex[:12]}{target.suffix[:16]}")
    try:
        yield partial
        with suppress(OSError):
            # Keep the permissions of an existing file.
            os.chmod(partial, target.stat().st_mode & 0o7777)
        partial.replace(target)
    except OSError as error:
        if error.filename is None or str(error.filename) == str(partial):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
