"""The pictures of a command: files, folders of them, and generated scenes with what is known of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_widgets.cli.failures import Failure, Mistake
from xai_widgets.core.model import ImageModel
from xai_widgets.data import scenes
from xai_widgets.errors import unknown_name

#: Files of a folder that are taken for pictures; one that is named is taken whatever it is called.
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


@dataclass(frozen=True)
class Picture:
    """A picture, not read yet if it is a file.

    Attributes
    ----------
    name : str
        What it is called.
    image : Path or numpy.ndarray
        What `ImageModel.images` takes.
    classes : dict of int to numpy.ndarray, shape (H, W), bool
        Where the objects of the classes are that are known to be in it.
    """

    name: str
    image: Path | NDArray[Any]
    classes: dict[int, NDArray[np.bool_]]


def pictures(options: argparse.Namespace) -> list[Picture]:
    """The files of folders and those that are named, or the scenes; at least one."""
    if options.scenes is not None and options.images:
        raise Mistake("--scenes was given beside files, wanted one of both")
    if options.scenes is not None:
        return generated(options.scenes, options.seed)
    if not options.images:
        raise Mistake("no picture was given, wanted files, folders, or --scenes N to try it without any")
    paths = files(options.images)
    return [Picture(name, path, {}) for name, path in zip(distinct(paths), paths, strict=True)]


def distinct(paths: Sequence[Path]) -> list[str]:
    """Names of files; of those that share one, with as much of their folders as tells them apart."""
    # The same file given twice is one.
    unlike = list(dict.fromkeys(paths))
    made: dict[Path, str] = {}
    for path in unlike:
        parts = [part for part in path.parts if part != path.anchor]
        names = (str(Path(*parts[-count:])) for count in range(1, len(parts) + 1))
        alike = [other for other in unlike if other is not path and other.name == path.name]
        made[path] = next(
            (name for name in names if not any(_ends_with(other, Path(name)) for other in alike)), str(path)
        )
    return [made[path] for path in paths]


def _ends_with(path: Path, end: Path) -> bool:
    return path.parts[-len(end.parts) :] == end.parts


def files(given: Sequence[str]) -> list[Path]:
    """The files, and in the place of folders those in them, in the order of their names."""
    found: list[Path] = []
    for path in map(Path, given):
        if path.is_dir():
            inside = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
            if not inside:
                raise Failure(
                    f"there is no picture in the folder {str(path)!r}, wanted one of {' '.join(SUFFIXES)}"
                )
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
            raise Failure(unknown_name("file or folder", str(path), near(path, beside)))
    return found


def near(path: Path, beside: Sequence[str]) -> list[str]:
    """The files beside one that is not there, written as it was."""
    return [str(path.parent / name) for name in beside]


def generated(count: int, seed: int) -> list[Picture]:
    """Scenes with two objects each."""
    made = scenes.generate(count, objects=2, split="test", seed=seed, background="texture")
    return [
        Picture(f"scene {number}", each.image, {k: each.category == k for k in each.labels})
        for number, each in enumerate(made)
    ]


def knows_scenes(model: ImageModel) -> bool:
    """Whether the classes of a network are those of the scenes."""
    return list(model.labels) == list(scenes.CLASSES)
