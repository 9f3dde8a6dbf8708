"""``xai-widgets lab``: the notebooks of the package in JupyterLab."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from xai_widgets.cli import outputs
from xai_widgets.cli.failures import DONE, FAILED, Failure
from xai_widgets.core.optional import installed, missing
from xai_widgets.core.writing import atomic_write

PACKAGE = Path(__file__).resolve().parents[1]


def run(options: argparse.Namespace) -> int:
    """Copy the notebooks and run JupyterLab until it is stopped; the exit code."""
    if not installed("jupyterlab"):
        raise Failure(missing("jupyterlab", "notebooks"))
    folder = Path(options.folder)
    if folder.exists() and not folder.is_dir():
        raise Failure(f"{options.folder!r} is a file, wanted the name of a folder")
    found = notebooks()
    copied = copy(found, folder)
    kept = len(found) - copied
    words = f"{outputs.counted(copied, 'notebook')} copied to {folder}"
    outputs.note(words + (f", {kept} there already and left as they are" if kept else ""))
    return start(folder, found[0].name, options.passed)


def notebooks() -> list[Path]:
    """The notebooks: in the package where it was installed, beside it where it is worked on."""
    for folder in (PACKAGE / "notebooks", PACKAGE.parent / "notebooks"):
        if found := sorted(folder.glob("*.ipynb")):
            return found
    raise Failure("the notebooks are missing from this installation: install the package again")


def copy(found: list[Path], folder: Path) -> int:
    """Copy those notebooks that are not there; how many."""
    folder.mkdir(parents=True, exist_ok=True)
    copied = 0
    for notebook in found:
        if not (folder / notebook.name).exists():
            with atomic_write(folder / notebook.name) as partial:
                partial.write_bytes(notebook.read_bytes())
            copied += 1
    return copied


def start(folder: Path, first: str, passed: list[str]) -> int:
    """Run JupyterLab; an interrupt is its own matter, which asks before it stops."""
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder.resolve()}"]
    command += [f"--LabApp.default_url=/lab/tree/{first}", *passed]
    # The kernel is that of this environment, whatever kernels the user has installed.
    process = subprocess.Popen(command, env=os.environ | {"JUPYTER_PREFER_ENV_PATH": "1"})
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            continue
        return DONE if code == 0 else FAILED
