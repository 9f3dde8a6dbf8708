"""``xai-widgets explain``: the maps of methods for pictures, as a page, pictures or arrays."""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from xai_widgets.cli import drawing, outputs
from xai_widgets.cli.failures import DONE, FAILED, Failure, Mistake, sentence
from xai_widgets.cli.inputs import Picture, pictures
from xai_widgets.cli.networks import check_layer, class_of, methods, network
from xai_widgets.core.model import ImageModel
from xai_widgets.core.writing import atomic_write
from xai_widgets.explorers import AttributionExplorer
from xai_widgets.exporting import export

#: Seconds between two looks at how far the computation is.
INTERVAL = 0.1
#: Largest width of a map in a page, CSS px.
CELL = 240


def run(options: argparse.Namespace) -> int:
    """Compute the maps and write them; the exit code."""
    kind = outputs.kind_of(options.output)
    given = pictures(options)
    if kind == "array" and len(options.methods) > 1:
        raise Mistake("-o ends in .npy, which holds the maps of one method, wanted .npz for several")
    chosen = methods(options.methods)
    model = network(options)
    target = class_of(model, options.target)
    check_layer(model, chosen, options.layer)
    x, names = readable(model, given)
    broken = len(names) < len(given)
    explorer = AttributionExplorer(
        model, x, list(chosen.values()), options.layer, target=target, names=names, start=False
    )
    try:
        compute(explorer, options)
        failed = tell_notes(explorer, options.quiet)
        if not any("done" in row for row in explorer.view.states):
            raise Failure("no map could be computed, so nothing was written")
        for name, caption in zip(names, explorer.view.captions, strict=True):
            print(f"{name}: {caption}")
        path = Path(options.output)
        if kind == "page":
            write_page(explorer, path, options.title or f"What {model.name} looks at")
        elif kind == "folder":
            write_folder(explorer, path, list(chosen))
        elif kind == "picture":
            write_picture(explorer, path)
        else:
            write_arrays(explorer, path, list(chosen))
    finally:
        explorer.close()
    return FAILED if failed or broken else DONE


def readable(model: ImageModel, given: Sequence[Picture]) -> tuple[Tensor, list[str]]:
    """The pictures that can be read, and their names; of the others it is told why not."""
    read: list[Tensor] = []
    names: list[str] = []
    troubles: dict[str, list[str]] = defaultdict(list)
    for each in given:
        try:
            read.append(model.images(each.image))
            names.append(each.name)
        except Exception as error:  # one picture takes no other with it
            if len(given) == 1:
                raise
            troubles[sentence(error)].append(each.name)
    for words, where in troubles.items():
        outputs.note(f"{', '.join(where)}: not read: {words}")
    if not read:
        raise Failure("no picture could be read, so nothing was written")
    return torch.cat(read), names


def compute(explorer: AttributionExplorer, options: argparse.Namespace) -> None:
    """Let the explorer compute, in the background, and show how far it is."""
    if options.layer is None:
        explorer.compute()
    else:
        # The first stop is each method's own layer; another one begins the computation.
        explorer.layer_slider.frame = 1
    total = len(explorer.view.rows) * len(explorer.view.columns)
    # None: only where somebody is looking, at a terminal.
    with tqdm(total=total, unit="map", leave=False, disable=options.quiet or None) as bar:
        ended = False
        while not ended:
            ended = explorer.wait(INTERVAL)
            bar.set_description_str(explorer.run_bar.message, refresh=False)
            bar.update(
                sum(state in ("done", "failed") for row in explorer.view.states for state in row) - bar.n
            )
    # Of cells that failed it is told with the others; here nothing can be said of any cell.
    if explorer.run_bar.status != "done" and not any("failed" in row for row in explorer.view.states):
        raise Failure(explorer.run_bar.error or "the computation was stopped")


def tell_notes(explorer: AttributionExplorer, quiet: bool) -> bool:
    """Say why maps could not be had, and what is to be known of others; whether there were any failures."""
    view = explorer.view
    said: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for title, states, notes in zip(view.rows, view.states, view.notes, strict=True):
        for column, state, words in zip(view.columns, states, notes, strict=True):
            if words:
                said[title, state, words].append(column)
    for (title, state, words), columns in said.items():
        if state == "failed":
            outputs.note(f"{title} failed for {', '.join(columns)}: {words}")
        elif not quiet:
            outputs.note(f"{title}, {', '.join(columns)}: {words}")
    return any(state == "failed" for _, state, _ in said)


def write_page(explorer: AttributionExplorer, path: Path, title: str) -> None:
    """One page with the table, and without the controls of the explorer, which would ask a kernel."""
    explorer.view.size = CELL
    with atomic_write(path) as partial:
        export(explorer.view, partial, title=title)
    outputs.tell(path, _extent(explorer))


def write_picture(explorer: AttributionExplorer, path: Path) -> None:
    """One picture with methods in rows and pictures in columns."""
    drawn = [
        [None if values is None else _drawn(explorer, column, values) for column, values in enumerate(row)]
        for row in _maps(explorer)
    ]
    with atomic_write(path) as partial:
        drawing.sheet(drawn).save(partial)
    outputs.tell(path, _extent(explorer))


def write_folder(explorer: AttributionExplorer, folder: Path, methods: list[str]) -> None:
    """A picture for each map, called by its picture and its method."""
    folder.mkdir(parents=True, exist_ok=True)
    stems = _stems(folder, explorer.view.columns, methods)
    for method, row in zip(methods, _maps(explorer), strict=True):
        for column, values in enumerate(row):
            if values is not None:
                path = folder / f"{stems[column]}{_ending(method)}"
                with atomic_write(path) as partial:
                    _drawn(explorer, column, values).save(partial)
                outputs.tell(path, f"{method}, {explorer.view.columns[column]}")


def write_arrays(explorer: AttributionExplorer, path: Path, methods: list[str]) -> None:
    """The raw maps, (pictures, height, width) of each method; NaN where a map could not be had."""
    stacks: dict[str, Any] = {}
    for method, row in zip(methods, _maps(explorer), strict=True):
        shape = next((values.shape for values in row if values is not None), None)
        if shape is not None:
            stack = [np.full(shape, np.nan) if one is None else one for one in row]
            stacks[method] = np.stack(stack).astype(np.float32)
    with atomic_write(path) as partial:
        if path.suffix.lower() == ".npy":
            np.save(partial, next(iter(stacks.values())))
        else:
            np.savez_compressed(partial, **stacks)
    outputs.tell(path, _extent(explorer))


def _maps(explorer: AttributionExplorer) -> Iterator[list[NDArray[Any] | None]]:
    """The maps of each method, one for each picture."""
    view = explorer.view
    for row in range(len(view.rows)):
        yield [view.map_at(row, column) for column in range(len(view.columns))]


def _drawn(explorer: AttributionExplorer, column: int, values: NDArray[Any]) -> Image.Image:
    return drawing.overlay(explorer.view.images[column], values)


def _extent(explorer: AttributionExplorer) -> str:
    methods, images = len(explorer.view.rows), len(explorer.view.columns)
    return f"{outputs.counted(methods, 'method')}, {outputs.counted(images, 'picture')}"


def _ending(method: str) -> str:
    """How the name of the picture of a method ends."""
    return f"_{_as_file(method)}.png"


def _stems(folder: Path, names: Sequence[str], methods: Sequence[str]) -> list[str]:
    """How the names of files of pictures begin: all differ, and none is longer than the folder takes, in bytes."""
    longest = max(len(_ending(method).encode()) for method in methods)
    # A number may be put behind a name that was met before.
    room = max(1, outputs.longest_name(folder) - longest - 8)
    return _distinct([_as_file(Path(name).stem).encode()[:room].decode(errors="ignore") for name in names])


def _as_file(name: str) -> str:
    """A name without what names of files may not hold."""
    return re.sub(r"[^\w-]+", "_", name)


def _distinct(names: list[str]) -> list[str]:
    """Names of which those that were met before are numbered."""
    made: list[str] = []
    for name in names:
        number, one = 1, name
        while one in made:
            number += 1
            one = f"{name}_{number}"
        made.append(one)
    return made
