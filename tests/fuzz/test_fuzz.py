"""Random calls of everything that is public, the same in every run; ``fuzz.py`` makes more of them."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from calls import CALLS
from fuzz import fuzz, outcome

#: Calls of each part, 500 in all.
EACH = 500 // len(CALLS) + 1


@pytest.mark.parametrize("part", CALLS)
def test_random_calls_end_well(part):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        failures = [failure for _, failure in fuzz(EACH, 0, (part,)) if failure]
    finally:
        torch.set_num_threads(threads)
    assert not failures, "\n".join(f"{each.why}\n    {each.line}" for each in failures)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("torch.zeros(2).view(3)", "RuntimeError"),
        ("torch.zeros(2) / 0", "not finite"),
        ("float('x')", "accident"),
        ("[][0]", "IndexError"),
        ("M.default_steps(0)", None),
    ],
)
def test_the_fuzzer_sees_what_does_not_end_well(line, why):
    found = outcome(line)
    if why is None:
        assert isinstance(found, ValueError)
    else:
        assert isinstance(found, str)
        assert why in found
