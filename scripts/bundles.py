"""Build the bundles of ``js/`` into ``xai_widgets/static``, or check that the committed ones are what a build gives.

``python scripts/bundles.py`` builds; with ``--check`` it builds into a temporary folder, compares, and fails when
a file differs, is missing, or stands there without a source.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATIC = ROOT / "xai_widgets" / "static"
KINDS = (".js", ".css", ".txt", ".json", ".gz")
#: What a build without any view makes too.
BESIDE = {"notices.txt", "engine_notices.txt", "colormaps.json", "engine.wasm.gz"}


def bundles(folder: Path) -> dict[str, bytes]:
    """Return the content of every bundle in ``folder``, and of what stands beside them, by its name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in KINDS}


def build(folder: Path) -> None:
    """Bundle the views and the program of exported pages into ``folder``, with the npm script of developers."""
    subprocess.run(["npm", "run", "--silent", "build", "--", str(folder)], cwd=ROOT / "js", check=True)


def differences(committed: dict[str, bytes], fresh: dict[str, bytes]) -> list[str]:
    """Say in words in what two sets of bundles differ."""
    words = [f"{name} has no source in js/src" for name in sorted(committed.keys() - fresh.keys())]
    words += [f"{name} is missing" for name in sorted(fresh.keys() - committed.keys())]
    return words + [
        f"{name} is not what its source builds"
        for name in sorted(committed.keys() & fresh.keys())
        if _content(name, committed[name]) != _content(name, fresh[name])
    ]


def _content(name: str, data: bytes) -> bytes:
    """Return what a file holds: versions of Node compress the same content differently."""
    return gzip.decompress(data) if name.endswith(".gz") else data


def main() -> int:
    """Build, or check; the exit status is 1 when a check fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail when a bundle is not fresh"
    )
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder)
        fresh = bundles(folder)
        if fresh.keys() <= BESIDE:
            print("npm run build made no bundle", file=sys.stderr)
            return 1
        wrong = differences(bundles(STATIC), fresh)
        if not check:
            # A build leaves nothing behind of a view that was removed or renamed.
            for stale in bundles(STATIC).keys() - fresh.keys():
                (STATIC / stale).unlink()
            for bundle in fresh:
                shutil.copyfile(folder / bundle, STATIC / bundle)
    if check and wrong:
        print("xai_widgets/static is stale:", *wrong, "run: make build, and commit the result", sep="\n  ")
        return 1
    sizes = ", ".join(f"{name} {len(content) / 1000:.1f} kB" for name, content in fresh.items())
    print(f"bundles are {'fresh' if check else 'built'}: {sizes}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
