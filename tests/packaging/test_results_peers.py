"""The command that writes the page of maps beside those of other libraries, on few of them."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from xai_widgets.attribution import COMPOSITES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("peers_maps")


def test_numbers_page_and_figure_are_written(script, tmp_path, monkeypatch):
    few = [pair for pair in script.PAIRS if pair.method in ("gradient", "guided_backprop", "grad_cam", "lrp")]
    monkeypatch.setattr(script, "PAIRS", few)
    monkeypatch.setattr(script, "PHOTOGRAPHS", {"coffee": "espresso"})
    monkeypatch.setattr(script, "KEPT", {"scenes_vgg": 1})
    monkeypatch.setattr(sys, "argv", ["peers_maps.py", "--out", str(tmp_path)])
    script.main()
    numbers = json.loads((tmp_path / "peers.json").read_text())
    found = {row["method"]: row["correlation"] for row in numbers["maps"]}
    # Float32 on both sides.
    assert found["gradient"] > 0.999
    assert found["grad_cam"] > 0.999
    assert numbers["plain"] > 0.999
    assert numbers["kept"]["conserving"]["scenes_vgg"] == pytest.approx(1, abs=0.01)
    assert (tmp_path / "peers.md").read_text() == script.page(numbers)
    assert (tmp_path / "peers.png").stat().st_size > 1000


def test_the_committed_page_is_made_of_the_committed_numbers(script):
    folder = ROOT / "docs" / "results"
    numbers = json.loads((folder / "peers.json").read_text())
    assert (folder / "peers.md").read_text() == script.page(numbers)
    assert (folder / "peers.png").exists()
    assert {row["method"] for row in numbers["maps"]} == {pair.method for pair in script.PAIRS}
    # Composites that came later are in the next run of the command.
    assert set(numbers["kept"]) <= set(COMPOSITES)
