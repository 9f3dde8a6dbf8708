"""Concepts from folders of example images, for networks without pixel labels."""

from __future__ import annotations

import os
from pathlib import Path

from xai_widgets.data.reading import SUFFIXES, data_folder, image_files


def example_folders(folder: str | os.PathLike[str]) -> dict[str, list[Path]]:
    """Return the example images of each concept: one subfolder for each, named like the concept.

    Parameters
    ----------
    folder : path
        Folder whose subfolders hold images. Hidden subfolders and other files are ignored.

    Returns
    -------
    dict of str to list of Path
        Name of a concept -> its images, both in the order of their names. The images are not read.

    Raises
    ------
    FileNotFoundError
        If it is not a folder, or has no subfolder, or a subfolder has no image.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "striped").mkdir()
    >>> Image.new("RGB", (8, 8)).save(folder / "striped" / "zebra.png")
    >>> [(name, len(images)) for name, images in example_folders(folder).items()]
    [('striped', 1)]
    """
    path = data_folder(folder, (), "concepts")
    found: dict[str, list[Path]] = {}
    for inside in sorted(
        entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    ):
        images = image_files(inside)
        if not images:
            raise FileNotFoundError(
                f"expected an image in the folder {str(inside)!r}, got none; the endings are {' '.join(SUFFIXES)}"
            )
        found[inside.name] = images
    if not found:
        raise FileNotFoundError(
            f"expected a subfolder with images for each concept in {str(path)!r}, got no subfolder"
        )
    return found
