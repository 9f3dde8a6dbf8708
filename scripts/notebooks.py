"""Run the notebooks and store their outputs, so that GitHub shows what the cells display.

    python scripts/notebooks.py                          check the committed notebooks
    python scripts/notebooks.py --write                  run the notebooks with problems, and store their outputs
    python scripts/notebooks.py --write 00_tour          run the named notebooks

A widget is stored as a static image and a text, not as widget state. A hash of the code is stored, too, so that a cell
that was edited and not run is found.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import time
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "notebooks"
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
#: Key of the metadata that holds the hash of the code that was run.
HASH = "xai_widgets_code_sha256"
WIDGET = "application/vnd.jupyter.widget-view+json"
#: MIME types that are stored; GitHub shows the richest of them.
STORED = ("text/plain", "image/png")
#: Largest image and largest notebook, bytes of the file.
MAX_IMAGE, MAX_NOTEBOOK = 150_000, 1_500_000
#: A path that only one machine has: a home folder or the top of a work tree.
MACHINE_PATH = re.compile(r"(?:/(?:home|root|Users|work|tmp|var/folders)/|[A-Z]:\\\\)\w")
#: The address of an object in memory.
ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")


def code_hash(notebook: dict[str, Any]) -> str:
    """Return a hash of the sources of all code cells, in order."""
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def problems(notebook: dict[str, Any]) -> list[str]:
    """Describe why a notebook (the parsed ``.ipynb``) cannot be committed; return an empty list if it can."""
    found = []
    if notebook["metadata"].get("kernelspec", {}).get("name") != KERNELSPEC["name"]:
        found.append("its metadata lacks the kernelspec python3, so Jupyter would ask for a kernel")
    if "widgets" in notebook["metadata"]:
        found.append("it holds widget state")
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    if [cell.get("execution_count") for cell in code] != list(range(1, len(code) + 1)):
        found.append("its code cells were not run once each, from top to bottom")
    elif notebook["metadata"].get(HASH) != code_hash(notebook):
        found.append("its code was edited after its last run")
    if len(_encode(notebook).encode()) > MAX_NOTEBOOK:
        found.append(f"its file exceeds {MAX_NOTEBOOK} bytes")
    for number, cell in enumerate(notebook["cells"], start=1):
        found += [f"cell {number} {problem}" for problem in _cell_problems(cell)]
    return found


def _cell_problems(cell: dict[str, Any]) -> list[str]:
    """Describe the problems of the source and of the outputs of a cell."""
    found, texts = [], ["".join(cell["source"])]
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        if output["output_type"] == "error" or output.get("name") == "stderr":
            found.append("holds an error or output of stderr")
        if set(data) - set(STORED):
            found.append(
                f"holds {', '.join(sorted(set(data) - set(STORED)))}, expected only {', '.join(STORED)}"
            )
        if len(data.get("image/png", "")) > MAX_IMAGE:
            found.append(f"holds an image of more than {MAX_IMAGE} bytes")
        texts += ["".join(output.get("text", "")), "".join(data.get("text/plain", ""))]
    for pattern, name in ((MACHINE_PATH, "a path of one machine"), (ADDRESS, "an address in memory")):
        if match := pattern.search("\n".join(texts)):
            found.append(f"holds {name} ({match[0]}...)")
    return found


def run(notebook: dict[str, Any]) -> dict[str, Any]:
    """Run all cells in this process, and return the notebook with their outputs.

    Each cell is run as Jupyter runs it, but its output is stored when all explorers have finished, so that the static
    images show final results. Nothing of stderr is stored.
    """
    # Both are needed to run notebooks only, and take seconds to import.
    import ipywidgets
    import live

    namespace: dict[str, Any] = {"__name__": "__main__"}
    cells, count = [], 0
    for cell in notebook["cells"]:
        kept = {key: value for key, value in cell["metadata"].items() if key != "execution"}
        cell = {**cell, "metadata": kept}
        if cell["cell_type"] == "code":
            count += 1
            text, value = live.run_cell("".join(cell["source"]), namespace)
            live.finished(*namespace.values(), value)
            cell |= {"execution_count": count, "outputs": _outputs(text, value, count)}
        cells.append(cell)
    ipywidgets.Widget.close_all()
    metadata = {key: value for key, value in notebook["metadata"].items() if key != "widgets"}
    metadata |= {"kernelspec": KERNELSPEC, HASH: code_hash(notebook)}
    return {**notebook, "cells": cells, "metadata": metadata}


def _outputs(text: str, value: Any, count: int) -> list[dict[str, Any]]:
    """Return the printed text and the value of the last line as outputs of a cell."""
    import ipywidgets
    from IPython.core.formatters import DisplayFormatter

    from xai_widgets.views.static_repr import StaticRepr

    found: list[dict[str, Any]] = []
    if text:
        found.append({"name": "stdout", "output_type": "stream", "text": text.splitlines(True)})
    if value is None:
        return found
    data, metadata = DisplayFormatter().format(value)
    if isinstance(value, ipywidgets.Box) and not isinstance(value, StaticRepr):
        data, metadata = _box_bundle(value)
    data = {kind: data[kind] for kind in STORED if kind in data}
    data["text/plain"] = data["text/plain"].splitlines(True)
    if "image/png" in data:
        data["image/png"] = data["image/png"].strip() + "\n"
    metadata = {kind: metadata[kind] for kind in STORED if kind in metadata}
    found.append(
        {"data": data, "execution_count": count, "metadata": metadata, "output_type": "execute_result"}
    )
    return found


def _box_bundle(box: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the text and the image of a plain box of ipywidgets, as an explorer returns its own."""
    from xai_widgets.views.preview import add_captions, encode_png
    from xai_widgets.views.static_repr import STATIC_IMAGE_NOTE, StaticRepr

    data: dict[str, Any] = {"text/plain": type(box).__name__}
    if (image := StaticRepr.static_image(box)) is None:
        return data, {}
    image = add_captions(image, STATIC_IMAGE_NOTE)
    data["image/png"] = encode_png(image)
    return data, {"image/png": {"width": image.shape[1], "height": image.shape[0], "alt": type(box).__name__}}


def _encode(notebook: dict[str, Any]) -> str:
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _write(path: Path) -> dict[str, Any]:
    """Run a notebook, write it with its outputs, and return it."""
    import torch

    warnings.simplefilter("ignore", UserWarning)
    torch.set_num_threads(1)
    began = time.process_time()
    notebook = run(json.loads(path.read_text(encoding="utf-8")))
    path.write_text(_encode(notebook), encoding="utf-8")
    print(f"{path.name:26s} {time.process_time() - began:6.1f} s", flush=True)
    return notebook


def main() -> int:
    """Check or run the notebooks, and return the exit code: 1 if one has a problem."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="run the notebooks and store their outputs")
    parser.add_argument(
        "names", nargs="*", help="notebooks, such as 00_tour; default: all that have problems"
    )
    given = parser.parse_args()
    failed = False
    for path in [FOLDER / f"{name}.ipynb" for name in given.names] or sorted(FOLDER.glob("*.ipynb")):
        found = problems(json.loads(path.read_text(encoding="utf-8")))
        if given.write and (found or given.names):
            found = problems(_write(path))
        for problem in found:
            failed = True
            print(f"{path.name}: {problem}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
