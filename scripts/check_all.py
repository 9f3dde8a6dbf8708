"""Run sections of the checks: ``python scripts/check_all.py [-j JOBS] lint unit wheel``.

Each section is a target of the Makefile. All of them run, also after a failure, so that one run shows everything
that is wrong; at the end stand the time and the result of each, and one line that sums up the tests. Each section is a
process of its own: Playwright keeps an event loop running in its process, which notebook tests cannot bear.

Two sections run at once on two cores or more: one that waits for a browser or a kernel leaves its core to the other.
They begin in the order given, so the longest go first. The lines of a section have its name before them.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

#: The last line of a pytest run, "=== 3 passed, 1 skipped in 2.31s ===", or with -q without the signs.
PYTEST_SUMMARY = re.compile(r"^=* ?((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s")
#: The line "Tests  34 passed (34)" of vitest.
VITEST_SUMMARY = re.compile(r"^\s*Tests\s+(.*?)\s*\(\d+\)")
#: A line of pytest's short summary that names a failed test, "FAILED tests/test_a.py::test_it - Error", or one that
#: failed at first and passed when it ran again.
FAILURE = re.compile(r"^(FAILED|ERROR|RERUN) ")
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
#: Of the names of sections.
WIDTH = 10
#: Held while a line is written: two sections write at the same time, and ``print`` writes the end of a line separately.
WRITING = threading.Lock()


def write_line(line: str) -> None:
    """Write one line whole, whatever other sections write."""
    with WRITING:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def run_section(name: str) -> tuple[bool, float, Counter[str], list[str]]:
    """Run one target and pass its output through.

    Returns
    -------
    tuple
        Whether it succeeded, the seconds it took, how many tests of each outcome it reported, and the lines that name
        the failed ones and those that ran again.
    """
    write_line(f"{name:<{WIDTH}}| begins")
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS")}
    began = time.monotonic()
    process = subprocess.Popen(
        [os.environ.get("MAKE", "make"), "--no-print-directory", name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    )
    assert process.stdout is not None
    counts: Counter[str] = Counter()
    failures: list[str] = []
    for line in process.stdout:
        write_line(f"{name:<{WIDTH}}| {line.rstrip()}")
        plain = ESCAPES.sub("", line)
        if FAILURE.match(plain):
            failures.append(plain.rstrip())
        found = PYTEST_SUMMARY.match(plain) or VITEST_SUMMARY.match(plain)
        for number, outcome in re.findall(r"(\d+) ([a-z]+)", found[1]) if found else []:
            counts[outcome.removesuffix("s") if outcome in ("errors", "warnings") else outcome] += int(number)
    return process.wait() == 0, time.monotonic() - began, counts, failures


def main(arguments: list[str]) -> int:
    """Run the sections named and report; the exit status is 1 when any of them failed."""
    parser = argparse.ArgumentParser(description="Run sections of the checks.")
    parser.add_argument("sections", nargs="+")
    parser.add_argument(
        "-j", "--jobs", type=int, default=min(2, os.cpu_count() or 1), help="sections at once"
    )
    options = parser.parse_args(arguments)
    total: Counter[str] = Counter()
    failed: list[str] = []
    rows: list[str] = []
    began = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(run_section, options.sections))
    lines: list[str] = []
    for name, (good, seconds, counts, failures) in zip(options.sections, results, strict=True):
        if not good:
            failed.append(name)
        lines += failures
        total += counts
        tests = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
        rows.append(f"{name:<{WIDTH}} {'ok' if good else 'FAILED':<7} {seconds:6.0f} s  {tests}")
    print("\n##### sections", *rows, *lines, sep="\n")
    if failed:
        print(f"failed: {', '.join(failed)} (each runs alone as: make {failed[0]})")
    summary = ", ".join(f"{number} {outcome}" for outcome, number in sorted(total.items())) or "no tests"
    print(f"===== {summary} in {time.monotonic() - began:.2f}s =====", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
