"""Files of data sets: folders, tables and pixels, with errors that name the file and the expected content."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_widgets.core.validation import brief, instance

#: Endings of the files that are read as images when a folder is given.
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def image_files(folder: Path) -> list[Path]:
    """Return the image files of a folder in the order of their names."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)


def data_folder(folder: Any, holds: Iterable[str], kind: str) -> Path:
    """Return the path of a folder that has all files and folders in `holds`; else raise FileNotFoundError."""
    path = Path(instance(folder, "folder", (str, os.PathLike)))
    if not path.is_dir():
        raise FileNotFoundError(f"expected the folder of {kind}, got {str(path)!r}, which is not a folder")
    missing = [name for name in holds if not (path / name).exists()]
    if missing:
        raise FileNotFoundError(
            f"expected {' and '.join(missing)} in the folder of {kind}, got {str(path)!r} without; "
            f"give the folder that holds {', '.join(holds)}"
        )
    return path


def table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV file with a header that has at least these columns."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [name for name in columns if name not in (reader.fieldnames or [])]
        if missing:
            raise ValueError(
                f"expected the columns {', '.join(columns)} in {str(path)!r}, got none named {', '.join(missing)}"
            )
        rows = list(reader)
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise ValueError(
                f"expected a value for each column of {str(path)!r}, got another number in row {number}"
            )
    return rows


def pixels(path: Path, mode: str | None = "RGB") -> NDArray[np.uint8]:
    """Return the pixels of an image file as they are stored, without the rotation that EXIF asks for.

    Masks are drawn on the stored pixels. With the mode None, the pixels are not converted, so that a palette image
    gives the indices of its colors.
    """
    # Importing the data sets does not import torch.
    from xai_widgets.core.images import open_image

    with open_image(path) as image:
        try:
            return np.array(image if mode is None else image.convert(mode))
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"expected a complete image file, got {str(path)!r}, which is broken") from error


def check_same_size(image: tuple[int, ...], labels: tuple[int, ...], path: Path) -> None:
    """Raise ValueError if the labels in a file do not have the height and width of the image."""
    if image[:2] != labels[:2]:
        raise ValueError(
            f"expected labels of {image[0]} x {image[1]} pixels, the size of the image, got "
            f"{labels[0]} x {labels[1]} in {str(path)!r}"
        )


def split_choice(value: Any, splits: Iterable[str], path: Path) -> None:
    """Raise ValueError for a split that a data set does not have."""
    names = sorted(splits)
    if value not in names:
        raise ValueError(
            f"expected split to be one of {', '.join(names)} in {str(path)!r}, got {brief(value)}"
        )
