"""Boolean arrays on disk, eight values to the byte, of which only the rows that are asked for are in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class PackedRows:
    """A growing file of boolean arrays of one shape.

    Rows are read with ordinary reads, not by mapping the file, so that the memory in use is that of the rows.

    Parameters
    ----------
    path : Path
        The file; it is created when the first row is appended.
    shape : sequence of int
        Shape of a row.
    count : int, default 0
        Number of rows in an existing file.
    """

    def __init__(self, path: Path, shape: Sequence[int], count: int = 0) -> None:
        self.path, self.shape, self.count = path, tuple(shape), count
        self._bits = math.prod(self.shape)
        self._bytes = -(-self._bits // 8)

    def __len__(self) -> int:
        return self.count

    def append(self, rows: NDArray[np.bool_]) -> None:
        """Append rows, (n, *shape)."""
        if len(rows) == 0:
            return
        with self.path.open("ab") as file:
            file.write(np.packbits(rows.reshape(len(rows), self._bits), axis=1).tobytes())
        self.count += len(rows)

    def read(self, indices: Sequence[int] | NDArray[Any] | range) -> NDArray[np.bool_]:
        """Return the rows with these indices, (n, *shape)."""
        packed = np.empty((len(indices), self._bytes), np.uint8)
        if len(indices):
            with self.path.open("rb", buffering=0) as file:
                if isinstance(indices, range) and indices.step == 1:
                    file.seek(indices.start * self._bytes)
                    _read_into(file, packed)
                else:
                    for row, index in zip(packed, indices, strict=True):
                        file.seek(int(index) * self._bytes)
                        _read_into(file, row)
        bits = np.unpackbits(packed, axis=1, count=self._bits).view(np.bool_)
        return bits.reshape(len(packed), *self.shape)


def _read_into(file: Any, target: NDArray[np.uint8]) -> None:
    """Fill a contiguous array from a file; EOFError if the file is too short."""
    view = memoryview(target).cast("B")  # type: ignore[arg-type]
    while len(view):
        read = file.readinto(view)
        if not read:
            raise EOFError(f"expected {len(view)} more bytes in {file.name}, got the end of the file")
        view = view[read:]
