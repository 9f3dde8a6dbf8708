"""The images of a command: files, folders of files, and generated scenes with the masks of their objects."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from xai_widgets.cli.errors import CommandError, UsageError
from xai_widgets.core.model import ImageModel
from xai_widgets.data import Example, scenes
from xai_widgets.data.reading import SUFFIXES, image_files
from xai_widgets.errors import unknown_name


def read_examples(options: argparse.Namespace) -> list[Example]:
    """Return the named files and those of named folders, or the scenes; at least one."""
    if options.scenes is not None and options.images:
        raise UsageError("expected files or --scenes, got both; leave one out")
    if options.scenes is not None:
        return generate_scenes(options.scenes, options.seed)
    if not options.images:
        raise UsageError("expected images, got none; name files or folders, or try --scenes N without any")
    paths = list_files(options.images)
    return [Example(path, name) for name, path in zip(distinct(paths), paths, strict=True)]


def distinct(paths: Sequence[Path]) -> list[str]:
    """Return names of files, with as many of their folders as it takes to make them different."""
    # A file that is named twice is one file.
    unique = list(dict.fromkeys(paths))
    names: dict[Path, str] = {}
    for path in unique:
        parts = [part for part in path.parts if part != path.anchor]
        ends = (str(Path(*parts[-count:])) for count in range(1, len(parts) + 1))
        same = [other for other in unique if other is not path and other.name == path.name]
        names[path] = next(
            (end for end in ends if not any(_ends_with(other, Path(end)) for other in same)), str(path)
        )
    return [names[path] for path in paths]


def _ends_with(path: Path, end: Path) -> bool:
    return path.parts[-len(end.parts) :] == end.parts


def list_files(names: Sequence[str]) -> list[Path]:
    """Return the named files, and the image files of named folders in the order of their names."""
    paths: list[Path] = []
    for path in map(Path, names):
        if path.is_dir():
            inside = image_files(path)
            if not inside:
                raise CommandError(
                    f"expected an image in the folder {str(path)!r}, got none; the endings are {' '.join(SUFFIXES)}"
                )
            paths += inside
        elif path.is_file():
            paths.append(path)
        else:
            siblings = path.parent.iterdir() if path.parent.is_dir() else []
            nearby = [str(path.parent / sibling.name) for sibling in siblings]
            raise CommandError(unknown_name("file or folder", str(path), nearby))
    return paths


def generate_scenes(count: int, seed: int) -> list[Example]:
    """Return generated scenes with two objects each."""
    some = scenes.generate(count, objects=2, split="test", seed=seed, background="texture")
    return [Example(scene.image, f"scene {number}", scene.masks) for number, scene in enumerate(some)]


def knows_scenes(model: ImageModel) -> bool:
    """Return whether the classes of a network are those of the scenes."""
    return list(model.labels) == list(scenes.CLASSES)
