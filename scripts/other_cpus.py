"""Run tests as other processors would: ``python scripts/other_cpus.py [--short] [-j JOBS] [pytest arguments]``.

Processors differ in the instructions that torch and oneDNN choose, and so in the order in which sums are added and in
the last digits of every result. Environment variables make both choose as an older processor does. Without arguments
all unit and oracle tests run under each of four choices with one and with two threads (an hour or more on two cores).
With ``--short``, which is part of ``make test``, the tests that allow for rounding run under two choices.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Choice(NamedTuple):
    """Variables of the environment, the number of threads, and arguments for pytest."""

    variables: dict[str, str]
    threads: int
    arguments: list[str]

    def __str__(self) -> str:
        return (
            f"{' '.join(f'{name}={value}' for name, value in self.variables.items())} threads={self.threads}"
        )


ALL = ["tests/unit", "tests/oracle"]
#: Where numbers come from; the rest of the package draws and asks.
NUMERIC = [
    f"tests/unit/{folder}" for folder in ("attribution", "perturbation", "inverse", "metrics", "similarity")
]
CHOICES = [
    Choice({name: value}, threads, ALL)
    for threads in (1, 2)
    for name, values in {
        "ATEN_CPU_CAPABILITY": ("default", "avx2"),
        "ONEDNN_MAX_CPU_ISA": ("SSE41", "AVX2"),
    }.items()
    for value in values
]
#: Without networks whose size makes them slow, which are no more sensitive than smaller ones, and without float16, in
#: which a convolution for a processor without AVX sometimes gives other values from pass to pass.
QUICK = ["--rounding", "-k", "not torchvision and not vgg11_bn and not other_precisions"]
#: A processor without AVX, and one without AVX-512.
SHORT = [
    Choice(
        {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
        2,
        [*QUICK, *NUMERIC, "tests/oracle/test_interop.py", "tests/oracle/test_perturbation.py"],
    ),
    Choice({"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}, 1, [*QUICK, *NUMERIC]),
]


def run(choice: Choice, arguments: list[str]) -> tuple[bool, str]:
    """Run pytest under a choice; return whether it succeeded, and its output."""
    began = time.monotonic()
    environment = {
        **os.environ,
        **choice.variables,
        "XAI_WIDGETS_TEST_THREADS": str(choice.threads),
        # Beside other work, threads that wait for one another by spinning take many times as long.
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    # Two runs at once must not clear the cache of one another.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *choice.arguments, *arguments]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*command, "--basetemp", f"{folder}/tests"],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        )  # fmt: skip
    print(
        f"{'ok' if done.returncode == 0 else 'FAILED':<7} {time.monotonic() - began:6.0f} s  {choice}",
        flush=True,
    )
    return done.returncode == 0, done.stdout + done.stderr


def capability(choice: Choice) -> str:
    """Return the instructions that torch chooses: a processor too old for the choice would test nothing."""
    code = "import torch; print(torch.backends.cpu.get_cpu_capability())"
    environment = {**os.environ, **choice.variables}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def main(arguments: list[str]) -> int:
    """Run every choice and report; the exit status is 1 when any of them failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--short", action="store_true", help="tests that allow for rounding, under two choices"
    )
    parser.add_argument("-j", "--jobs", type=int, default=1, help="runs at once")
    options, rest = parser.parse_known_args(arguments)
    choices = SHORT if options.short else CHOICES
    natural = capability(Choice({}, 1, []))
    seen = {capability(choice) for choice in choices}
    print(f"this processor has {natural}; torch runs as {', '.join(sorted(seen))}", flush=True)
    began = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda choice: run(choice, rest), choices))
    for choice, (good, output) in zip(choices, results, strict=True):
        if not good:
            print(f"\n===== {choice}", output, sep="\n")
    counts = {
        outcome: sum(
            int(number) for _, output in results for number in re.findall(rf"(\d+) {outcome}", output[-2000:])
        )
        for outcome in ("failed", "passed", "skipped")
    }
    summary = ", ".join(f"{number} {outcome}" for outcome, number in counts.items() if number) or "no tests"
    print(f"===== {summary} in {time.monotonic() - began:.2f}s =====")
    return 0 if all(good for good, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
