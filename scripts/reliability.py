"""Try every explainer on many networks and write docs/reliability.md: ok, warned, refused, or a fault.

    python scripts/reliability.py --write
    python scripts/reliability.py --networks "timm resnet18d" half --methods grad_cam lrp

Each network is tried in a process of its own with a time limit, so that a crash or a hang is a result too. Without
--write the outcomes are printed. The exit code is 1 if there is a fault.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib.metadata
import json
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from reliability_checks import Cell, Reference, Trial, attempt, changes, state
from reliability_explainers import EVERY, explain
from reliability_networks import MEAN, STD, build, photographs
from reliability_networks import NETWORKS as LIBRARIES
from reliability_page import page
from reliability_targets import NETWORKS as TARGETS
from reliability_unusual import NETWORKS as UNUSUAL

from xai_widgets import ImageModel

ROOT = Path(__file__).resolve().parent.parent
JSON, PAGE = ROOT / "docs" / "reliability.json", ROOT / "docs" / "reliability.md"
NETWORKS = {**LIBRARIES, **UNUSUAL, **TARGETS}
#: Seconds for one network.
LIMIT = 900
PRELOADED = (
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "skimage",
    "ipywidgets",
    "xai_widgets.perturbation",
)


def try_network(name: str, methods: tuple[str, ...], sender: Connection) -> None:
    """Try explainers on a network; send the name, the outcome and the words of each as soon as it is there."""
    torch.set_num_threads(1)
    entry = NETWORKS[name]
    network = build(entry)
    options = {"mean": MEAN, "std": STD, **entry.options}
    every = photographs(entry.size, len(options["mean"]))
    holder: list[ImageModel] = []

    def wrap() -> ImageModel:
        made = ImageModel(network, size=entry.size, name=name, device="cpu", **options)
        holder.append(made)
        return made

    uninitialized = any(isinstance(each, torch.nn.UninitializedParameter) for each in network.parameters())
    before = None if uninitialized else state(network, bits=True)
    blank = Trial(network, None, every, torch.zeros(1), 0.0)  # type: ignore[arg-type]
    cell = attempt(blank, wrap, lambda _made: iter(()))[0]
    if uninitialized and cell.words.startswith("the network was changed"):
        # A lazy network gets its parameters by its first pass, as it does without this package.
        cell = Cell("ok")
    sender.send(("ImageModel", cell.outcome, cell.words, 0.0))
    if not holder or cell.outcome == "refused":
        return
    model = holder[0]
    before = before or state(network, bits=True)
    x = every[[0, 0, 1]]
    best = model.scores(x).topk(min(2, len(model.labels))).indices
    dtype = next((each.dtype for each in network.parameters()), torch.float32)
    epsilon = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
    targets = torch.stack([best[0, 0], best[0, -1], best[2, 0]])
    # The scores of targets and the pass with further inputs are not those of plain torch.
    plain = not {"targets", "inputs"} & options.keys()
    trial = Trial(network, model, x, targets, epsilon, Reference(model) if plain else None)
    for method in methods:
        if method != "ImageModel":
            began = time.process_time()
            cell = explain(trial, method, every)
            sender.send((method, cell.outcome, cell.words, time.process_time() - began))
    # Bits that were written past every version count.
    for change in changes(network, before):
        sender.send(("ImageModel", "FAULT", change, 0.0))


def _worker(name: str, methods: tuple[str, ...], sender: Connection) -> None:
    try:
        try_network(name, methods, sender)
    except BaseException:
        last = traceback.format_exc().strip().splitlines()[-1]
        sender.send(("", "FAULT", f"the trial failed: {last}", 0.0))
        raise


def run(name: str, methods: tuple[str, ...], context: Any, *, verbose: bool) -> dict[str, Any]:
    """Try a network in a process of its own; return its outcomes, and print them all if verbose."""
    began = time.monotonic()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_worker, args=(name, methods, sender))
    process.start()
    sender.close()
    cells: dict[str, list[str]] = {}
    total, failure = 0.0, ""
    while True:
        if not receiver.poll(max(0.0, began + LIMIT - time.monotonic())):
            failure = f"not done after {LIMIT} seconds"
            process.kill()
            break
        try:
            method, outcome, words, seconds = receiver.recv()
        except EOFError:
            break
        total += seconds
        if method:
            cells[method] = [outcome, words]
            if verbose:
                print(f"  {outcome:8s} {seconds:5.1f} s {method:32s} {words}", flush=True)
        else:
            failure = words
    process.join()
    if not failure and process.exitcode:
        failure = f"the process ended with exit code {process.exitcode}"
    if failure:
        cells[next((method for method in methods if method not in cells), "ImageModel")] = ["FAULT", failure]
    counts = Counter(outcome for outcome, _ in cells.values())
    lines = [f"{name}: {dict(counts)} in {total:.1f} s ({time.monotonic() - began:.1f} s in all)"]
    lines += [
        f"  FAULT {method}: {words}" for method, (outcome, words) in cells.items() if outcome == "FAULT"
    ]
    print("\n".join(lines), flush=True)
    return {"group": NETWORKS[name].group, "seconds": round(total, 1), "cells": cells}


def chosen(given: list[str] | None, every: Any, what: str) -> tuple[str, ...]:
    """Return the names that match those given, or patterns such as "timm *"."""
    names = tuple(name for name in every if not given or any(fnmatch.fnmatchcase(name, one) for one in given))
    if not names:
        raise SystemExit(f"expected names of {what}, got {given}; they are {', '.join(every)}")
    return names


def versions() -> dict[str, str]:
    """Return the versions of the packages that the networks come from."""
    found = {}
    for name in ("torch", "torchvision", "timm", "transformers"):
        try:
            found[name] = importlib.metadata.version(name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def write(results: dict[str, Any], folder: Path) -> None:
    """Write the outcomes and the page; what was not tried now keeps the outcomes of the file that is there."""
    path = folder / JSON.name
    before = json.loads(path.read_text(encoding="utf-8"))["networks"] if path.exists() else {}
    merged = {}
    for name in NETWORKS:
        each = [found[name] for found in (before, results) if name in found]
        if each:
            cells = {method: cell for one in each for method, cell in one["cells"].items()}
            ordered = {method: cells[method] for method in EVERY if method in cells}
            merged[name] = {**each[-1], "seconds": max(one["seconds"] for one in each), "cells": ordered}
    skipped = [name for name, entry in NETWORKS.items() if entry.missing and name not in merged]
    whole = {"versions": versions(), "skipped": skipped, "networks": merged}
    # A line for each explainer of a network would be thousands.
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(each)}" for name, each in merged.items())
    head = json.dumps({**whole, "networks": {}})[:-2]
    path.write_text(f"{head}\n{lines}\n}}}}\n", encoding="utf-8")
    (folder / PAGE.name).write_text(page(whole), encoding="utf-8")


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", metavar="NAME", help="names or patterns; default: all")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="names or patterns; default: all")
    parser.add_argument("--write", action="store_true", help="write docs/reliability.json and .md")
    parser.add_argument("--out", type=Path, default=JSON.parent, help="folder of the two files")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="networks at once")
    given = parser.parse_args()
    networks = chosen(given.networks, NETWORKS, "networks")
    methods = chosen(given.methods, EVERY, "methods")
    os.environ["OMP_NUM_THREADS"] = "1"
    forked = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if forked else "spawn")
    if forked:
        context.set_forkserver_preload([*PRELOADED, "__main__"])
    skipped = [name for name in networks if NETWORKS[name].missing]
    for name in skipped:
        print(f"{name}: skipped, {NETWORKS[name].group} is not installed")
    tried = [name for name in networks if name not in skipped]
    results: dict[str, Any] = {}
    with ThreadPoolExecutor(given.jobs) as pool:
        begun = {pool.submit(run, name, methods, context, verbose=not given.write): name for name in tried}
        for each in as_completed(begun):
            results[begun[each]] = each.result()
            if given.write:
                write(results, given.out)
    faults = sum(outcome == "FAULT" for each in results.values() for outcome, _ in each["cells"].values())
    print(f"{len(results)} networks, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
