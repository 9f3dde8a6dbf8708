"""What runs the checks: all sections at once and one summary, and the tests as other processors run them."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = """\
good:
\t@echo 'tests/unit/test_a.py ....'
\t@echo '=== 3 passed, 1 skipped in 2.31s ==='
more:
\t@echo '2 passed, 1 warning in 0.10s'
bad:
\t@echo 'FAILED tests/unit/test_b.py::test_it - AssertionError'
\t@echo '=== 1 failed, 4 passed in 1.00s ==='; exit 1
again:
\t@echo 'RERUN tests/browser/test_c.py::test_it'
\t@echo '=== 1 passed, 1 rerun in 1.00s ==='
waits:
\t@until test -e told; do sleep 0.05; done
tells:
\t@touch told
"""


def check_all(folder, *arguments):
    (folder / "Makefile").write_text(MAKEFILE)
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "check_all.py", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def test_all_sections_run_and_one_line_sums_them_up(tmp_path):
    done = check_all(tmp_path, "good", "bad", "more")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert "good      | tests/unit/test_a.py ...." in lines
    assert any(line.startswith("bad        FAILED") for line in lines)
    assert "failed: bad (each runs alone as: make bad)" in lines
    # The name of the failed test stands at the end too, where a log that is cut off still has it.
    assert "FAILED tests/unit/test_b.py::test_it - AssertionError" in lines[lines.index("##### sections") :]
    assert lines[-1].startswith("===== 1 failed, 9 passed, 1 skipped, 1 warning in ")
    assert check_all(tmp_path, "good", "more").returncode == 0


def test_a_test_that_ran_again_is_named(tmp_path):
    done = check_all(tmp_path, "good", "again")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert "RERUN tests/browser/test_c.py::test_it" in lines[lines.index("##### sections") :]
    assert lines[-1].startswith("===== 4 passed, 1 rerun, 1 skipped in ")


def test_two_sections_run_at_once(tmp_path):
    # The first ends only when the second has run.
    assert check_all(tmp_path, "--jobs", "2", "waits", "tells").returncode == 0


@pytest.fixture(scope="module")
def other_cpus():
    return importlib.import_module("other_cpus")


def test_tests_run_as_three_processors_and_with_one_and_two_threads(other_cpus):
    found = {(*choice.variables.items(), choice.threads) for choice in other_cpus.CHOICES}
    assert found == {
        ((name, value), threads)
        for name, value in [
            ("ATEN_CPU_CAPABILITY", "default"), ("ATEN_CPU_CAPABILITY", "avx2"),
            ("ONEDNN_MAX_CPU_ISA", "SSE41"), ("ONEDNN_MAX_CPU_ISA", "AVX2"),
        ]
        for threads in (1, 2)
    }  # fmt: skip
    assert all(choice.arguments == ["tests/unit", "tests/oracle"] for choice in other_cpus.CHOICES)
    assert all((ROOT / each).is_dir() for each in other_cpus.NUMERIC)


def test_torch_hears_of_the_choice(other_cpus):
    assert other_cpus.capability(other_cpus.SHORT[0]) == "DEFAULT"


def test_a_run_has_its_threads_and_the_tests_that_allow_for_rounding(other_cpus, tmp_path):
    (tmp_path / "test_some.py").write_text(
        "import torch\nfrom closeness import near\n"
        "def test_threads(): assert torch.get_num_threads() == near(2)\n"
        "def test_exact(): assert False\n"
    )
    choice = other_cpus.Choice({"ATEN_CPU_CAPABILITY": "default"}, 2, [])
    arguments = ["-c", str(ROOT / "pyproject.toml"), "-p", "conftest", "--rounding", str(tmp_path)]
    good, output = other_cpus.run(choice, arguments)
    assert good, output
    assert "1 passed, 1 deselected" in output
