"""Environments of Python beside the one that runs the tests: made, filled and removed."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UV = shutil.which("uv", path=str(Path(sys.executable).parent))


def run(*command, cwd=ROOT, **variables):
    """Return the output of a command that succeeds, without the variables that steer the Python of this process."""
    env = {
        key: value
        for key, value in os.environ.items()
        if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def environment(name, python):
    """Create an empty environment of an interpreter, and yield its Python.

    It is in the repository, not among temporary files: there torch is linked, not copied, where uv's cache is on
    the same disk, and there is room for it where temporary files live in memory.
    """
    folder = ROOT / "build" / name
    shutil.rmtree(folder, ignore_errors=True)
    try:
        run(*([UV, "venv", "--python", python] if UV else [python, "-m", "venv"]), folder)
        yield folder / "bin" / "python"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def install(python, *what):
    """Install packages into the environment of an interpreter."""
    if UV:
        run(UV, "pip", "install", "--python", python, *what)
    else:
        run(python, "-m", "pip", "install", *what)


def interpreter(version):
    """Return an interpreter of a version such as "3.12": that of the tests, on the path, of pyenv, or None."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [
        sys.executable,
        shutil.which(f"python{version}"),
        *sorted(root.glob(f"versions/{version}.*/bin/python")),
    ]
    for candidate in filter(None, found):
        # A shim of pyenv may exist and refuse to run.
        done = subprocess.run(
            [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0 and done.stdout.strip() == version:
            return str(candidate)
    return None
