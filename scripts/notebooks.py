"""Keep notebooks fit to be committed: with a kernelspec, without outputs, counts or paths of a machine.

``python scripts/notebooks.py`` names what is wrong with the notebooks in ``notebooks/``; ``--clean`` mends it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
#: A path that only one machine has: a home folder or the top of a work tree.
MACHINE_PATH = re.compile(r"(?:/(?:home|root|Users|work|tmp)/|[A-Z]:\\\\)\w")


def problems(notebook: dict[str, Any]) -> list[str]:
    """Say in words why ``notebook`` (the parsed ``.ipynb``) is not fit to be committed; empty when it is."""
    found = []
    if notebook["metadata"].get("kernelspec", {}).get("name") != KERNELSPEC["name"]:
        found.append("its metadata names no python3 kernelspec, so Jupyter would ask for a kernel")
    if "widgets" in notebook["metadata"]:
        found.append("it holds the state of widgets")
    for number, cell in enumerate(notebook["cells"], start=1):
        if cell.get("outputs") or cell.get("execution_count") is not None:
            found.append(f"cell {number} holds outputs or an execution count")
        if match := MACHINE_PATH.search("".join(cell["source"])):
            found.append(f"cell {number} holds a path of one machine ({match[0]}...)")
    return found


def clean(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return ``notebook`` with a kernelspec and without outputs; what its cells say is left to its author."""
    metadata = {key: value for key, value in notebook["metadata"].items() if key != "widgets"}
    cells = []
    for cell in notebook["cells"]:
        emptied = {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {}
        kept = {key: value for key, value in cell["metadata"].items() if key != "execution"}
        cells.append({**cell, **emptied, "metadata": kept})
    return {**notebook, "cells": cells, "metadata": {**metadata, "kernelspec": KERNELSPEC}}


def main() -> int:
    """Check or clean every notebook; the exit status is 1 when one is not fit to be committed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clean", action="store_true", help="write the notebooks back without their outputs")
    cleaning = parser.parse_args().clean
    wrong = False
    for path in sorted(FOLDER.glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        if cleaning:
            cleaned = clean(notebook)
            if cleaned != notebook:
                path.write_text(json.dumps(cleaned, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            notebook = cleaned
        for problem in problems(notebook):
            wrong = True
            print(f"{path.name}: {problem}", file=sys.stderr)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
