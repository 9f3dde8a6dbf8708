"""End scripts while an explorer computes, many times, and count their exit codes.

``python scripts/exits.py --runs 50`` runs every ending in every host; ``--ending close --host module`` runs one.
The exit code is 1 if a script ended with another code than it should, or did not end.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Seconds after which a script is taken to hang; a pass of the network takes a few milliseconds.
PATIENCE = 120

START = """\
import sys, time
import torch
import xai_widgets as xw

network = torch.nn.Sequential(
    torch.nn.Conv2d(3, 32, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(),
    torch.nn.Linear(512, 5),
)
model = xw.ImageModel(network.eval(), size=64)
explorer = xw.DeletionExplorer(model, torch.rand(3, 64, 64), ["integrated_gradients", "gradient"], batch_size=4)
time.sleep({delay})
"""

#: Last lines of the script, by name, and the exit code that it should have.
ENDINGS: dict[str, tuple[str, int]] = {
    "nothing": ("", 0),
    "export": ("xw.export(explorer, sys.argv[-1])", 0),
    "system_exit": ("raise SystemExit(7)", 7),
    "exception": ("raise ValueError('an error of the script')", 1),
    "cancel": ("explorer.cancel()", 0),
    "close": ("explorer.close()", 0),
    "wait": ("explorer.wait(0.1)", 0),
}

HOSTS = ("script", "module", "command", "pytest", "subprocess")


def exit_code(folder: Path, host: str, ending: str, delay: float = 0.0) -> int | None:
    """Run a script in a host and return its exit code; None if it hangs."""
    last, _ = ENDINGS[ending]
    source = START.format(delay=delay) + last + "\n"
    page = str(folder / "page.html")
    name = "test_ending" if host == "pytest" else "ending"
    if host == "pytest":
        lines = "".join(f"    {line}\n" for line in source.splitlines())
        # The page has a name of its own here, as the arguments are those of pytest.
        source = f"def test_ending():\n{lines}".replace("sys.argv[-1]", repr(page))
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    path = str(folder / f"{name}.py")
    arguments = {
        "script": [path, page],
        "module": ["-m", name, page],
        "command": ["-c", source, page],
        "pytest": ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, path],
        "subprocess": [
            "-c",
            f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, {path!r}, {page!r}]).returncode)",
        ],
    }[host]
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "OMP_NUM_THREADS": "1"}
    try:
        return subprocess.run(
            [sys.executable, *arguments], env=env, cwd=folder, capture_output=True, timeout=PATIENCE
        ).returncode
    except subprocess.TimeoutExpired:
        return None


def expected(host: str, ending: str) -> int:
    """Return the exit code that a script should have; a test that exits or raises has failed, whatever its code."""
    code = ENDINGS[ending][1]
    return min(code, 1) if host == "pytest" else code


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--host", choices=HOSTS, action="append")
    parser.add_argument("--ending", choices=list(ENDINGS), action="append")
    options = parser.parse_args()
    failed = 0
    for host, ending in product(options.host or HOSTS, options.ending or ENDINGS):
        seen: Counter[int | None] = Counter()
        with tempfile.TemporaryDirectory() as folder:
            for number in range(options.runs):
                # From before the first step to the midst of the curves.
                seen[exit_code(Path(folder), host, ending, delay=0.03 * (number % 10))] += 1
        right = seen.pop(expected(host, ending), 0)
        failed += sum(seen.values())
        print(
            f"{host:11s} {ending:12s} {right} of {options.runs}",
            f"and {dict(seen)}" if seen else "",
            flush=True,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
