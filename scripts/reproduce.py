"""Reproduce a table of a source with its networks and data sets, and write it beside the published numbers.

    python scripts/reproduce.py --list
    python scripts/reproduce.py kwon-4.1 --data imagenet --weights torchvision --out results
    python scripts/reproduce.py fong-ch4-1 --data datasets --weights networks --out results

The results are TABLE.md, TABLE.csv and TABLE.tex, with the scores in SQLite files beside them: the same command
continues after an interruption. docs/results/reproducing.md describes data, weights and cost of each table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import reproduce_kwon
import reproduce_layers
import reproduce_localization
import reproduce_noise_mask
import reproduce_pointing
from reproduce_run import Reproduction, Setup
from reproduce_tables import Cells, to_csv, to_latex, to_markdown

from xai_widgets.core.optional import optional
from xai_widgets.errors import unknown_name

MODULES = (
    reproduce_kwon,
    reproduce_localization,
    reproduce_pointing,
    reproduce_layers,
    reproduce_noise_mask,
)
#: All tables by name.
REPRODUCTIONS: dict[str, Reproduction] = {
    one.table.name: one for module in MODULES for one in module.REPRODUCTIONS
}


def weights_from(given: Sequence[str]) -> dict[str, str]:
    """Return weights by network of arguments such as "torchvision", "folder" or "vgg16=file"."""
    found = {}
    for each in given:
        name, equals, value = each.rpartition("=")
        if value not in ("torchvision", "random") and not Path(value).exists():
            raise ValueError(
                f"expected weights as 'torchvision', 'random', a file, a folder or NAME=FILE, got {value!r}, which "
                f"does "
                "not exist"
            )
        found[name if equals else ""] = value
    return found


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    made.add_argument("table", nargs="?", metavar="TABLE", help="name of a table; see --list")
    made.add_argument("--list", action="store_true", help="list the tables")
    made.add_argument("--data", type=Path, help="folder of the data sets")
    made.add_argument(
        "--weights",
        nargs="+",
        default=[],
        metavar="WEIGHTS",
        help="'torchvision', a state dict, a folder of them, or NAME=FILE for each network; 'random' for a trial",
    )
    made.add_argument("--out", type=Path, default=Path("results"), help="folder of the results")
    made.add_argument("--images", type=int, help="number of images (default: that of the source)")
    made.add_argument("--size", type=int, help="side of the images in pixels (default: that of the source)")
    made.add_argument("--rows", nargs="+", default=[], metavar="ROW", help="these rows alone")
    made.add_argument("--networks", nargs="+", default=[], metavar="NAME", help="these networks alone")
    made.add_argument(
        "--boxes", type=Path, help="folder of the boxes of ImageNet (default: boxes in that of the data)"
    )
    made.add_argument("--quick", action="store_true", help="few steps and samples, for a trial")
    made.add_argument("--client", metavar="ADDRESS", help="scheduler of a Dask cluster")
    return made


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Connect to a Dask cluster, whose workers get the modules of these scripts with each task."""
    if address is None:
        yield None
        return
    for name, module in list(sys.modules.items()):
        if name.startswith("reproduce_"):
            optional("cloudpickle", "evaluations on a cluster").register_pickle_by_value(module)
    with optional("distributed", "evaluations on a cluster").Client(address) as client:
        yield client


def write(one: Reproduction, cells: Cells, setup: Setup) -> str:
    """Write a table in three formats, and return its page."""
    setup.out.mkdir(parents=True, exist_ok=True)
    page = to_markdown(one.table, cells, setup.facts())
    texts = {"md": page, "csv": to_csv(one.table, cells), "tex": to_latex(one.table, cells)}
    for suffix, text in texts.items():
        (setup.out / f"{one.table.name}.{suffix}").write_text(text, encoding="utf-8")
    return page


def main(arguments: Sequence[str] | None = None) -> str:
    """Measure and write one table."""
    made = parser()
    given = made.parse_args(arguments)
    if given.list:
        listing = "\n".join(f"{name:12} {one.table.source}" for name, one in REPRODUCTIONS.items())
        print(listing)
        return listing
    if given.table not in REPRODUCTIONS:
        made.error(unknown_name("table", given.table, REPRODUCTIONS))
    one = REPRODUCTIONS[given.table]
    keys = [row.key for row in one.table.rows]
    for row in given.rows:
        if row not in keys:
            made.error(unknown_name("row", row, keys))
    if given.data is None or not given.data.is_dir():
        made.error(f"expected --data with the folder of the data sets, got {given.data}")
    try:
        weights = weights_from(given.weights)
    except ValueError as error:
        made.error(str(error))
    setup = Setup(
        given.data,
        given.out,
        weights,
        images=given.images,
        size=given.size,
        rows=given.rows,
        networks=given.networks,
        quick=given.quick,
        extra={} if given.boxes is None else {reproduce_localization.BOXES: str(given.boxes)},
    )
    with connected(given.client) as client:
        cells = one.measure(replace(setup, client=client))
    page = write(one, cells, setup)
    print(page)
    return page


if __name__ == "__main__":
    main()
