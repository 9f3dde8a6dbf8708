"""Sizes of the committed bundles, as they are and compressed, in kB, as a table of Markdown.

    python benchmarks/bench_bundles.py

A notebook loads the bundle of each view that it shows; `page` is the program of exported pages, with all views, and
`engine` runs a network in them.
"""

from __future__ import annotations

import gzip
from pathlib import Path

STATIC = Path(__file__).parent.parent / "xai_widgets" / "static"


def sizes(path: Path) -> str:
    """Return the size of a file in kB, and of the file compressed by gzip; empty without the file."""
    if not path.exists():
        return ""
    data = path.read_bytes()
    return f"{len(data) / 1e3:.1f} ({len(gzip.compress(data)) / 1e3:.1f})"


def main() -> None:
    print("| bundle | JS, kB (gzip) | CSS, kB (gzip) |\n|---|---|---|")
    for path in sorted(STATIC.glob("*.js")):
        print(f"| `{path.stem}` | {sizes(path)} | {sizes(path.with_suffix('.css'))} |")
    wasm = (STATIC / "engine.wasm.gz").read_bytes()
    print(f"| `engine.wasm` | {len(gzip.decompress(wasm)) / 1e3:.1f} ({len(wasm) / 1e3:.1f}) | |")


if __name__ == "__main__":
    main()
