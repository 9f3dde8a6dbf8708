"""``xai-widgets lab``: the notebooks of the package in JupyterLab."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from xai_widgets.cli import outputs
from xai_widgets.cli.errors import DONE, FAILED, CommandError
from xai_widgets.core.optional import installed, missing
from xai_widgets.core.writing import atomic_write

PACKAGE = Path(__file__).resolve().parents[1]


def run(options: argparse.Namespace) -> int:
    """Copy the notebooks, run JupyterLab until it is stopped, and return the exit code."""
    if not installed("jupyterlab"):
        raise CommandError(missing("jupyterlab", "notebooks"))
    folder = Path(options.folder)
    if folder.exists() and not folder.is_dir():
        raise CommandError(f"expected a name for a folder, got {options.folder!r}, which is a file")
    files = notebooks()
    copied = copy(files, folder)
    kept = len(files) - copied
    text = f"{outputs.count(copied, 'notebook')} copied to {folder}"
    outputs.note(text + (f", {kept} existing not changed" if kept else ""))
    return start(folder, files[0].name, options.passed)


def notebooks() -> list[Path]:
    """Return the notebooks: within an installed package, or beside the package in its repository."""
    for folder in (PACKAGE / "notebooks", PACKAGE.parent / "notebooks"):
        if files := sorted(folder.glob("*.ipynb")):
            return files
    raise CommandError("the notebooks are missing from this installation: install the package again")


def copy(files: list[Path], folder: Path) -> int:
    """Copy the notebooks that the folder does not have, and return their number."""
    folder.mkdir(parents=True, exist_ok=True)
    copied = 0
    for notebook in files:
        if not (folder / notebook.name).exists():
            with atomic_write(folder / notebook.name) as partial:
                partial.write_bytes(notebook.read_bytes())
            copied += 1
    return copied


def start(folder: Path, first: str, passed: list[str]) -> int:
    """Run JupyterLab, which handles interrupts itself and asks before it stops."""
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
