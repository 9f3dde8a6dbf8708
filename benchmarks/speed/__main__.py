"""Measure this package beside other libraries, and write docs/performance.json and docs/performance.md.

    python -m benchmarks.speed [--quick] [--networks NAME ...] [--rows NAME ...] [--parts rows whole growth start]

All works of a row take turns in one process, on one thread in CPU time and on all threads in wall time. Memory is that
of a first call in a process of its own. A part of the measurements replaces that part of the files, if they are of the
same machine and versions; the whole replaces all.
"""

from __future__ import annotations

import argparse
import datetime
import json
import warnings
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed import measure
from benchmarks.speed.growth import GROWTH
from benchmarks.speed.jobs import BARE, OURS, alone, grown, memory, times, whole
from benchmarks.speed.networks import NETWORKS, Setting
from benchmarks.speed.page import page
from benchmarks.speed.peers import versions
from benchmarks.speed.rows import ROWS
from benchmarks.speed.whole import WHOLES, starts

DOCS = Path(__file__).resolve().parents[2] / "docs"
QUICK = ("gradient", "grad_cam", "integrated_gradients", "occlusion")
PARTS = ("rows", "whole", "growth", "start")


def loaded(network: str) -> Setting:
    """Return a setting whose default layer and fastest batches are known."""
    setting = Setting.of(network)
    _ = setting.layer, setting.batch, setting.gradient_batch
    return setting


def measured_row(setting: Setting, name: str, rounds: int) -> dict[str, Any]:
    """Measure times and memory of a row."""
    row: dict[str, Any] = alone(times, setting, name, rounds)
    if "bare" in row:
        row["megabytes"] = {
            whose: alone(memory, setting, name, whose) for whose in (OURS, BARE, *row["peers"])
        }
    return row


def header() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "machine": measure.machine(),
        "versions": {"torch": torch.__version__, **versions()},
    }


def kept(head: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of the file, if they are of this machine and these versions."""
    try:
        found: dict[str, Any] = json.loads((DOCS / "performance.json").read_text())
    except FileNotFoundError:
        return {}
    same = all(found["machine"][key] == value for key, value in head["machine"].items() if key != "load")
    return found if same and found["versions"] == head["versions"] else {}


def put(rows: list[dict[str, Any]], row: dict[str, Any]) -> None:
    """Put a row in the place of that of the same work, or at the end."""
    row["date"] = datetime.date.today().isoformat()
    key = (row.get("network"), row["what"])
    for index, other in enumerate(rows):
        if (other.get("network"), other["what"]) == key:
            rows[index] = row
            return
    rows.append(row)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="four rows on two networks, printed only")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    given = parser.parse_args()
    if given.quick:
        given.networks, given.rows, given.parts = ["efficientnet_lite0", "scenes_vgg"], QUICK, ["rows"]
    everything = not given.quick and all(
        list(getattr(given, key)) == list(every)
        for key, every in (("networks", NETWORKS), ("rows", ROWS), ("parts", PARTS))
    )
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    head = header()
    results = {} if everything or given.quick else kept(head)
    results = {**{part: [] for part in PARTS}, **results, **head}

    def save(part: str, row: dict[str, Any]) -> None:
        put(results[part], row)
        print(json.dumps(row), flush=True)
        if not given.quick:
            (DOCS / "performance.json").write_text(json.dumps(results, indent=1) + "\n")
            (DOCS / "performance.md").write_text(page(results))

    if "rows" in given.parts:
        for network in given.networks:
            setting = loaded(network)
            for name in given.rows:
                if network in (ROWS[name].networks or NETWORKS):
                    save("rows", measured_row(setting, name, given.rounds))
    if "whole" in given.parts:
        setting = loaded("efficientnet_lite0")
        for name in WHOLES:
            save("whole", alone(whole, setting, name))
    if "growth" in given.parts:
        for name, (_, network, numbers) in GROWTH.items():
            setting = loaded(network)
            steps = [alone(grown, setting, name, number, given.rounds) for number in numbers]
            save("growth", {"what": name, "network": network, "steps": steps})
    if "start" in given.parts:
        for row in starts(given.rounds):
            save("start", row)


if __name__ == "__main__":
    main()
