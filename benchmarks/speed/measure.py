"""CPU time in turns, wall time, peak memory and multiply-adds of a piece of work."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from xai_widgets.core.cost import operations_of

Work = Callable[[], Any]
#: A turn repeats its work for at least so many seconds, so that the clock and single interruptions do not count.
TURN = 0.15


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Compute on ``number`` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_turns(
    works: Mapping[str, Work],
    rounds: int,
    *,
    turn: float = TURN,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Return the seconds of a call of each work in each round; each was called before. Odd rounds run in reverse."""
    calls = {}
    for name, work in works.items():
        start = clock()
        work()
        calls[name] = max(1, round(turn / max(clock() - start, 1e-6)))
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        for name in list(works)[:: -1 if number % 2 else 1]:
            start = clock()
            for _ in range(calls[name]):
                works[name]()
            times[name].append((clock() - start) / calls[name])
    return times


def ratio(first: list[float], second: list[float]) -> dict[str, float]:
    """Return the median, least and largest ratio of two times of the same round."""
    each = [one / other for one, other in zip(first, second, strict=True)]
    return {"median": statistics.median(each), "low": min(each), "high": max(each)}


def multiply_adds(work: Work) -> float:
    """Return the multiply-adds of a call, backward passes included: the same on every machine."""
    return operations_of(work).multiply_adds


def peak_megabytes(work: Work) -> float | None:
    """Return how far the memory of this process rises in a first call, in MB; None on systems other than Linux.

    To be called in a process of its own.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        # Memory that was freed but kept by the allocator would hide a part of the peak.
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak to the present size
    except OSError:
        return None
    before = _status("VmRSS")
    work()
    return max(0.0, _status("VmHWM") - before)


def _status(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def machine() -> dict[str, Any]:
    """Return facts of this machine that its speed depends on."""
    name = ""
    with suppress(OSError):
        found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
        name = found[1] if found else ""
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "load": round(os.getloadavg()[0], 1),
    }
