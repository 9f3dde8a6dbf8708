"""Cost of every method and curve at its defaults on a real network, in passes and in memory.

    OMP_NUM_THREADS=1 python benchmarks/bench_networks.py --only rise lime --share 0.1

CPU seconds on one thread, and the same in bare passes of one image, timed before and after each method: other
processes slow both alike. Each method runs in a process of its own, whose peak memory is given above that of the
network. ``--share`` runs a part of each long computation and extrapolates.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from typing import Any

import torch

import xai_widgets as xw
from xai_widgets import perturbation
from xai_widgets.core.cost import pass_cost
from xai_widgets.core.run import Run
from xai_widgets.methods import METHODS
from xai_widgets.metrics import deletion


def pass_seconds(model: xw.ImageModel, x: torch.Tensor) -> float:
    """Return the CPU seconds of a pass of the bare network, the shortest of three."""
    inputs = ((x - model.mean) / model.std).contiguous(memory_format=torch.channels_last)
    seconds = []
    with torch.no_grad():
        for _ in range(3):
            start = time.process_time()
            model.module(inputs)
            seconds.append(time.process_time() - start)
    return min(seconds)


def peak() -> float:
    """Return the peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def drain(run: Run[Any], share: float) -> tuple[float, float, float]:
    """Run a share of a computation; return its CPU seconds, those until the first snapshot, and the share."""
    start = time.process_time()
    first = 0.0
    for _ in run:
        first = first or time.process_time() - start
        if run.progress >= share:
            break
    # A run that stops by itself has converged: nothing is to be extrapolated.
    return time.process_time() - start, first, run.progress if run.progress < 1 and share < 1 else 1.0


def measure(network: str, name: str, share: float, results: Any) -> None:
    """Measure one method, in a process of its own."""
    import skimage.data

    torch.set_num_threads(1)
    model = xw.load(network, device="cpu")
    x = model.images(skimage.data.cat())
    target = model.targets(None, x)
    bare = [pass_seconds(model, x)]
    base, start = peak(), time.process_time()
    try:
        if name == "deletion":
            made: Any = deletion(model, x, x.mean(1), target)
        else:
            # A function of perturbations returns a run, its method the result.
            made = getattr(perturbation, name, METHODS[name])(model, x, target)
        if isinstance(made, Run):
            label = made.name
            seconds, first, done = drain(made, share)
        else:
            label, seconds, done = "", time.process_time() - start, 1.0
            first = seconds
    except ValueError as error:
        results.put(f"| `{name}` | refused: {str(error)[:60]} | | | | |")
        return
    bare.append(pass_seconds(model, x))
    total = seconds / done
    one = sum(bare) / len(bare)
    results.put(
        f"| `{name}` | {total:.1f} | {total / one:.0f} | {first:.1f} | {peak() - base:.0f} MB | {label} |"
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="efficientnet_lite0")
    parser.add_argument("--only", nargs="*", default=[*METHODS, "deletion"])
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args()
    cost = pass_cost(xw.load(options.network, device="cpu"))
    adds, values = cost.multiply_adds / 1e6, cost.values / 1e6
    print(f"{options.network}: {adds:.0f} million multiply-adds, {values:.1f} million values\n")
    print(
        "| method | CPU seconds | bare passes | first snapshot, s | peak memory | run |\n|---|---|---|---|---|---|"
    )
    context = multiprocessing.get_context("spawn")
    for name in options.only:
        results = context.Queue()
        process = context.Process(target=measure, args=(options.network, name, options.share, results))
        process.start()
        print(results.get(), flush=True)
        process.join()


if __name__ == "__main__":
    main()
