"""What `import xai_widgets` costs on top of `import torch`: whole processes, in turn, after compiling.

python benchmarks/bench_import.py
"""

from __future__ import annotations

import compileall
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec

PAIRS = 9
USE = "import torch, xai_widgets; xai_widgets.ImageModel, xai_widgets.attribution, xai_widgets.metrics"
CASES = {
    "import torch": "import torch",
    "import torch, xai_widgets": "import torch, xai_widgets",
    "... and the names of model, attribution, metrics": USE,
    "... and of the explorers (ipywidgets, anywidget)": USE + "; xai_widgets.DeletionExplorer",
}


def seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def main() -> None:
    for package in ("torch", "xai_widgets", "ipywidgets", "anywidget", "traitlets", "numpy", "PIL", "tqdm"):
        spec = find_spec(package)
        assert spec is not None
        assert spec.submodule_search_locations
        compileall.compile_dir(spec.submodule_search_locations[0], quiet=2)
    for code in CASES.values():
        seconds(code)
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(PAIRS):
        for name, code in CASES.items():
            times[name].append(seconds(code))
    bare = times["import torch"]
    for name, measured in times.items():
        added = statistics.median(a - b for a, b in zip(measured, bare, strict=True))
        print(f"{name:50s} {statistics.median(measured):6.2f} s   added {added:+.2f} s (median of {PAIRS})")


if __name__ == "__main__":
    main()
