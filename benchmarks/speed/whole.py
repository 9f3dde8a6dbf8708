"""Work whose aim is a number of CPU seconds, and the cost of a start."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.speed.networks import Setting
from xai_widgets import perturbation
from xai_widgets.core.run import Run
from xai_widgets.explorers.deletion import STEPS
from xai_widgets.methods import METHODS
from xai_widgets.studies.deletion import RANDOM, DeletionKey, DeletionStudy

AREAS = (0.05, 0.1, 0.2)
TEN_AREAS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6)
CURVES = ("gradient", "guided_backprop", "integrated_gradients", "grad_cam")


def seconds_of(run: Run[Any]) -> tuple[float, float]:
    """Return the CPU seconds of a run until its first snapshot and to its end."""
    start, first = time.process_time(), 0.0
    for _ in run:
        first = first or time.process_time() - start
    return first, time.process_time() - start


def extremal(setting: Setting, areas: tuple[float, ...]) -> tuple[float, float]:
    """Search masks of some areas."""
    return seconds_of(perturbation.extremal(setting.model, setting.x, setting.target, areas=areas))


def curves(setting: Setting) -> tuple[float, float]:
    """Compute the default curves of ``DeletionExplorer``, those of random orders included."""
    study = DeletionStudy(
        setting.model, setting.x, {name: METHODS[name] for name in CURVES}, curve_steps=STEPS
    )
    keys = [DeletionKey(name, int(setting.target)) for name in (*CURVES, RANDOM)]
    start = time.process_time()
    found = study.compute(keys, progress=False)
    errors = [str(outcome.error) for outcome in found.values() if outcome.error]
    if errors:
        raise ValueError("; ".join(errors))
    return 0.0, time.process_time() - start


#: By title: the work, its aim in CPU seconds, that of its first snapshot (0: none), and that of its memory in MB.
WHOLES: dict[str, tuple[Callable[[Setting], tuple[float, float]], float, float, float]] = {
    "extremal masks of 3 areas": (lambda s: extremal(s, AREAS), 8, 1, 400),
    "extremal masks of 10 areas": (lambda s: extremal(s, TEN_AREAS), 15, 0, 0),
    "DeletionExplorer, 4 methods": (curves, 10, 0, 0),
}

_WIDGET = "import xai_widgets as xw; m = xw.load('scenes_vgg', device='cpu')"
_IMAGE = "from xai_widgets.data import scenes; x = scenes.scene(0, split='test').image"
#: Programs of a process of its own.
STARTS = {
    "import torch": "import torch",
    "import torch, xai_widgets": "import torch, xai_widgets",
    "... and first map": f"import torch; {_WIDGET}; {_IMAGE}; xw.attribution.gradient(m, x)",
    "... and first widget": f"import torch; {_WIDGET}; {_IMAGE}; xw.HeatmapView",
    "... and first explorer": f"import torch; {_WIDGET}; {_IMAGE}; xw.AttributionExplorer(m, x, "
    "methods=['gradient']).close()",
}


def starts(rounds: int) -> Iterator[dict[str, Any]]:
    """Measure the CPU seconds of whole processes in turn, after one that writes the bytecode."""
    import resource

    def seconds(code: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    times: dict[str, list[float]] = {name: [] for name in STARTS}
    for number in range(rounds + 1):
        for name, code in STARTS.items():
            took = seconds(code)
            if number:
                times[name].append(took)
    bare = times["import torch"]
    for name, each in times.items():
        added = [one - other for one, other in zip(each, bare, strict=True)]
        yield {
            "what": name, "seconds": statistics.median(each), "added": statistics.median(added),
            "low": min(added), "high": max(added),
        }  # fmt: skip
