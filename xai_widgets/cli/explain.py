"""``xai-widgets explain``: saliency maps of images, as a page, images or arrays."""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from xai_widgets.cli import drawing, outputs
from xai_widgets.cli.errors import DONE, FAILED, CommandError, UsageError, message
from xai_widgets.cli.inputs import read_examples
from xai_widgets.cli.networks import check_layer, class_index, read_methods, read_network
from xai_widgets.cli.progress import compute
from xai_widgets.core.model import ImageModel
from xai_widgets.core.writing import atomic_write
from xai_widgets.data import Example
from xai_widgets.studies import AttributionKey, AttributionStudy


@dataclass(frozen=True)
class Maps:
    """The maps of a study with the names of its images.

    Attributes
    ----------
    study : AttributionStudy
    keys : list of list of AttributionKey
        One row for each method, one column for each image.
    names : list of str
        Names of the images.
    captions : list of str
        Class and probability of each image.
    pixels : numpy.ndarray of uint8, shape (N, H, W, 3)
        The images.
    """

    study: AttributionStudy
    keys: list[list[AttributionKey]]
    names: list[str]
    captions: list[str]
    pixels: NDArray[np.uint8]

    def map(self, key: AttributionKey) -> NDArray[np.float32] | None:
        """Return a map (h, w), or None if its method failed."""
        result = self.study.result(key)
        return None if result is None else result.numpy()

    def drawing(self, key: AttributionKey) -> Image.Image | None:
        """Return a map on its image, or None if its method failed."""
        values = self.map(key)
        return None if values is None else drawing.overlay(self.pixels[key.image], values)

    def __str__(self) -> str:
        return f"{outputs.count(len(self.keys), 'method')}, {outputs.count(len(self.names), 'image')}"


def run(options: argparse.Namespace) -> int:
    """Compute the maps, write them, and return the exit code."""
    kind = outputs.kind_of(options.output)
    examples = read_examples(options)
    if kind == "array" and len(options.methods) > 1:
        raise UsageError("expected one method for .npy, got several; use .npz")
    methods = read_methods(options.methods, options.seed)
    model = read_network(options)
    target = class_index(model, options.target)
    check_layer(model, methods, options.layer)
    x, names = read_images(model, examples)
    study = AttributionStudy(model, x, list(methods.values()))
    maps = arrange(study, target, options.layer, names)
    every = [key for row in maps.keys for key in row]
    compute(study, every, unit="map", quiet=options.quiet, describe=study.title)
    failed = report_notes(maps, quiet=options.quiet)
    if all(study.result(key) is None for key in every):
        raise CommandError("no map could be computed, so nothing was written")
    for name, caption in zip(names, maps.captions, strict=True):
        print(f"{name}: {caption}")
    path = Path(options.output)
    if kind == "folder":
        write_folder(maps, path)
    else:
        with atomic_write(path) as partial:
            if kind == "page":
                # Imported here: only a page needs the widget libraries.
                from xai_widgets.cli.page import write_page

                write_page(
                    partial,
                    study,
                    maps.keys,
                    maps.pixels,
                    title=options.title or f"Attribution maps of {model.name}",
                    columns=names,
                    captions=maps.captions,
                )
            elif kind == "image":
                drawing.sheet([[maps.drawing(key) for key in row] for row in maps.keys]).save(partial)
            else:
                write_arrays(maps, partial)
        outputs.report(path, str(maps))
    return FAILED if failed or len(names) < len(examples) else DONE


def read_images(model: ImageModel, examples: Sequence[Example]) -> tuple[Tensor, list[str]]:
    """Return the images that can be read and their names, and report the others."""
    images: list[Tensor] = []
    names: list[str] = []
    errors: dict[str, list[str]] = defaultdict(list)
    for example in examples:
        try:
            images.append(model.images(example.image))
            names.append(example.name)
        except Exception as error:  # a failure of one image does not stop the others
            if len(examples) == 1:
                raise
            errors[message(error)].append(example.name)
    for text, unread in errors.items():
        outputs.note(f"{', '.join(unread)}: not read: {text}")
    if not images:
        raise CommandError("no image could be read, so nothing was written")
    return torch.cat(images), names


def arrange(study: AttributionStudy, target: int | None, layer: str | None, names: list[str]) -> Maps:
    """Return the maps to compute, of one class or of the predicted class of each image."""
    model = study.model
    scores = study.all_scores()
    classes = scores.argmax(1).tolist() if target is None else [target] * len(names)
    keys = [
        [
            AttributionKey(name, image, classes[image], layer if method.takes_layer else None)
            for image in range(len(names))
        ]
        for name, method in study.methods.items()
    ]
    captions = []
    for values, index in zip(model.probabilities(scores), classes, strict=True):
        value = values[index].item()
        captions.append(
            f"{model.labels[index]} " + (f"{value:.0%}" if model.has_probabilities else f"{value:.3g}")
        )
    return Maps(study, keys, names, captions, study.model.to_rgb(study.images))


def report_notes(maps: Maps, *, quiet: bool) -> bool:
    """Print why maps failed and the warnings of others; return whether any map failed."""
    notes: dict[tuple[str, bool, str], list[str]] = defaultdict(list)
    for row in maps.keys:
        for key in row:
            outcome = maps.study.outcome(key)
            failed = bool(outcome.error)
            if text := outcome.error or "; ".join(outcome.warnings):
                notes[maps.study.title(key), failed, text].append(maps.names[key.image])
    for (title, failed, text), names in notes.items():
        if failed:
            outputs.note(f"{title} failed for {', '.join(names)}: {text}")
        elif not quiet:
            outputs.note(f"{title}, {', '.join(names)}: {text}")
    return any(failed for _, failed, _ in notes)


def write_folder(maps: Maps, folder: Path) -> None:
    """Write an image file for each map, named by its image and method."""
    folder.mkdir(parents=True, exist_ok=True)
    stems = file_stems(folder, maps.names, list(maps.study.methods))
    for row in maps.keys:
        for key in row:
            if (image := maps.drawing(key)) is not None:
                path = folder / f"{stems[key.image]}{_ending(key.method)}"
                with atomic_write(path) as partial:
                    image.save(partial)
                outputs.report(path, f"{key.method}, {maps.names[key.image]}")


def write_arrays(maps: Maps, path: Path) -> None:
    """Write the maps as arrays (images, height, width) of each method; a map that failed is NaN."""
    stacks: dict[str, Any] = {}
    for row in maps.keys:
        values = [maps.map(key) for key in row]
        shape = next((one.shape for one in values if one is not None), None)
        if shape is not None:
            filled = [np.full(shape, np.nan) if one is None else one for one in values]
            stacks[row[0].method] = np.stack(filled).astype(np.float32)
    if path.suffix.lower() == ".npy":
        np.save(path, next(iter(stacks.values())))
    else:
        np.savez_compressed(path, **stacks)


def _ending(method: str) -> str:
    return f"_{_as_file_name(method)}.png"


def file_stems(folder: Path, names: Sequence[str], methods: Sequence[str]) -> list[str]:
    """Return how the file names of images begin: all different, and short enough for the folder."""
    longest = max(len(_ending(method).encode()) for method in methods)
    # With room for the number of a repeated name.
    room = max(1, outputs.longest_name(folder) - longest - 8)
    stems = [_as_file_name(Path(name).stem).encode()[:room].decode(errors="ignore") for name in names]
    return _number_repeats(stems)


def _as_file_name(name: str) -> str:
    """Replace characters that a file name may not have."""
    return re.sub(r"[^\w-]+", "_", name)


def _number_repeats(names: Sequence[str]) -> list[str]:
    """Make names different by numbering repeats."""
    different: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in different:
            number += 1
            candidate = f"{name}_{number}"
        different.append(candidate)
    return different
