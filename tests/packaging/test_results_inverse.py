"""The command that writes the results of the inverses, on few scenes: every line and the page are made."""

import functools
import importlib
import json
import sys
from pathlib import Path

import pytest

from xai_widgets.inverse import SolverSettings

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "docs" / "results"


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("results_inverse")


def test_numbers_page_and_pictures_are_written(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "NETWORKS", ("scenes_vgg",))
    monkeypatch.setattr(script, "LAMBDAS", (0.0, 0.4, 1.5))
    monkeypatch.setattr(script, "ABLATION", {"l1": (0.0, 0.1), "l2": (0.0, 0.7)})
    few = functools.partial(script.layer_wise, settings=SolverSettings(steps=5))
    monkeypatch.setattr(script, "layer_wise", few)
    monkeypatch.setattr(script, "METHODS", ("gradient_x_input", "grad_cam"))
    monkeypatch.setattr(sys, "argv", ["results_inverse.py", "--scenes", "2", "--out", str(tmp_path)])
    script.main()
    found = json.loads((tmp_path / "inverse.json").read_text())["networks"]["scenes_vgg"]
    own = found["by_lambda"]
    assert all(0 <= share <= 1 for share in own["alpha"] + own["top1"] + own["probability"])
    assert all(most <= half for half, most in zip(own["half"], own["most"], strict=True))
    # What the table compares is measured, whichever lambda the drop is at.
    drop = own["lam"][script.drop(own)]
    assert drop in {one["lam"] for one in found["curves"]}
    page = (tmp_path / "inverse.md").read_text()
    assert f"| layer-wise inverse, lambda {drop:g} |" in page
    for words in ("Gradient x input", "Grad-CAM", "falls most steeply"):
        assert words in page
    assert (tmp_path / "inverse_scenes_vgg.png").stat().st_size > 1000


def test_the_drop_is_where_the_share_falls_most_steeply(script):
    assert script.drop({"lam": [0, 0.5, 1, 3], "top1": [1.0, 0.9, 0.7, 0.3]}) == 1


def test_the_committed_page_is_made_of_the_committed_numbers(script):
    numbers = json.loads((COMMITTED / "inverse.json").read_text())
    assert (COMMITTED / "inverse.md").read_text() == script.page(numbers)
    for network in script.NETWORKS:
        assert numbers["networks"][network]["by_lambda"]["images"] == script.SCENES
        assert (COMMITTED / f"inverse_{network}.png").exists()
