"""The benchmarks are not timed here, but they must still fit the package."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "benchmarks").glob("bench_*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_name_that_a_benchmark_takes_from_the_package_is_there(file, monkeypatch):
    monkeypatch.syspath_prepend(str(file.parent))
    spec = importlib.util.spec_from_file_location(f"imported_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    assert callable(module.main)


def test_the_page_of_performance_is_made_of_its_figures(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.speed import jobs
    from benchmarks.speed.networks import NETWORKS
    from benchmarks.speed.page import page

    results = json.loads((ROOT / "docs" / "performance.json").read_text())
    assert (ROOT / "docs" / "performance.md").read_text() == page(results)
    assert {row["what"] for row in results["rows"]} <= jobs.ROWS.keys()
    assert {row["network"] for row in results["rows"]} <= set(NETWORKS)
