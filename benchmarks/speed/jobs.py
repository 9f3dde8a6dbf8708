"""Measurements that run in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.speed import measure
from benchmarks.speed.growth import GROWTH
from benchmarks.speed.networks import Setting
from benchmarks.speed.rows import ROWS, Row
from benchmarks.speed.whole import WHOLES

OURS, BARE = "ours", "bare"


def works_of(row: Row, setting: Setting) -> tuple[dict[str, measure.Work], dict[str, str]]:
    """Return the works of a row that can be done, called once, and why the others cannot."""
    works, refused = {}, {}
    for name, make in {OURS: row.ours, BARE: row.bare, **row.peers}.items():
        try:
            work = make(setting)
            work()
        except Exception as error:  # any error of another library is a result
            refused[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        else:
            works[name] = work
    return works, refused


def times(setting: Setting, name: str, rounds: int) -> dict[str, Any]:
    """Measure the time and the multiply-adds of a row; in a process of its own."""
    row = ROWS[name]
    rounds = min(rounds, row.rounds)
    works, refused = works_of(row, setting)
    result: dict[str, Any] = {"what": name, "network": setting.name, "refused": refused}
    if OURS not in works or BARE not in works:
        return result
    cpu = measure.in_turns(works, rounds)
    least = measure.multiply_adds(works[BARE])
    result |= {
        "rounds": rounds,
        "milliseconds": {key: 1e3 * statistics.median(each) for key, each in cpu.items()},
        "bare": measure.ratio(cpu[OURS], cpu[BARE]),
        "peers": {key: measure.ratio(cpu[key], cpu[OURS]) for key in works if key in row.peers},
        "passes": measure.multiply_adds(works[OURS]) / least,
        "aim": row.aim,
        "faster": row.faster,
    }
    with measure.threads(os.cpu_count() or 1):
        wall = measure.in_turns(works, max(1, rounds // 2), turn=0.0, clock=time.perf_counter)
    result["wall"] = {
        key: statistics.median(each) / statistics.median(wall[OURS])
        for key, each in wall.items()
        if key != OURS
    }
    return result


def memory(setting: Setting, name: str, whose: str) -> float | None:
    """Measure the peak memory of one work, in a process of its own."""
    row = ROWS[name]
    work = {OURS: row.ours, BARE: row.bare, **row.peers}[whose](setting)
    return measure.peak_megabytes(work)


def whole(setting: Setting, name: str) -> dict[str, Any]:
    """Measure work whose aim is in seconds, in a process of its own."""
    work, aim, aim_first, aim_memory = WHOLES[name]
    found: list[tuple[float, float]] = []
    peak = measure.peak_megabytes(lambda: found.append(work(setting)))
    ((first, seconds),) = found
    return {
        "what": name, "network": setting.name, "seconds": seconds, "first": first, "megabytes": peak,
        "aim": aim, "aim_first": aim_first, "aim_memory": aim_memory,
    }  # fmt: skip


def grown(setting: Setting, name: str, number: int, rounds: int) -> dict[str, Any]:
    """Measure one amount of work beside the first, in a process of its own."""
    of, _, numbers = GROWTH[name]
    peak = measure.peak_megabytes(of(setting, number))
    works = {"first": of(setting, numbers[0]), "this": of(setting, number)}
    cpu = measure.in_turns(works, rounds)
    return {"number": number, "time": measure.ratio(cpu["this"], cpu["first"]), "megabytes": peak}


def alone(work: Callable[..., Any], *given: Any) -> Any:
    """Return the result of a call in a copy of this process, which has made no threads so far."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(work(*given)))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise RuntimeError(f"{work.__name__} of {given[1:]} ended without a result") from None
    finally:
        process.join()
