"""The command that writes docs/results, on few scenes: every line and the page are made."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("results")


def test_numbers_page_and_pictures_are_written(script, tmp_path, monkeypatch):
    from xai_widgets.perturbation import ExtremalSettings

    quick = {"settings": ExtremalSettings(steps=1, scan=1), "areas": (0.1, 0.3)}
    search = script.perturbation.extremal
    monkeypatch.setitem(script.OPTIONS, "extremal", quick)
    monkeypatch.setattr(script, "SANE", 1)
    monkeypatch.setattr(script, "STEPS", 300)
    monkeypatch.setattr(script, "ESTIMATED", 2)
    monkeypatch.setitem(script.OPTIONS, "noise_mask", {"settings": script.NoiseMaskSettings(max_steps=3)})
    monkeypatch.setattr(script, "NETWORKS", ("scenes_vgg",))
    monkeypatch.setattr(script.perturbation, "extremal", lambda *a, **k: search(*a, **k | quick))
    command = [
        "results.py",
        "--only",
        "gradient",
        "grad_cam",
        "extremal",
        "noise_mask",
        "attention_rollout",
        "--scenes",
        "2",
        "--out",
        str(tmp_path),
    ]
    monkeypatch.setattr(sys, "argv", command)
    script.main()
    numbers = json.loads((tmp_path / "perturbation.json").read_text())
    found = numbers["networks"]["scenes_vgg"]
    assert set(found["methods"]) == {"gradient", "grad_cam", "extremal", "noise_mask"}
    assert set(found["refused"]) == {"attention_rollout"}
    assert set(found["monotonicity"]["share"]) == {"0.0", "0.1"}
    assert 0 <= found["monotonicity"]["possible"] <= found["monotonicity"]["rows"]
    assert len(found["covered"]["steps"]) == found["covered"]["rows"]
    for one in found["methods"].values():
        assert 0 <= one["all"] <= 1
        assert len(one["sanity"]["spearman_abs"]) == len(script.CASCADE["scenes_vgg"])
    page = (tmp_path / "perturbation.md").read_text()
    assert "scenes_vgg" in page
    for words in ("Gradient (`gradient`)", "Grad-CAM (`grad_cam`)", "Extremal perturbation (`extremal`)"):
        assert words in page
    assert "| method | all | difficult |" in page
    assert (tmp_path / "perturbation_scenes_vgg.png").stat().st_size > 1000


def test_the_committed_page_is_made_of_the_committed_numbers(script):
    folder = ROOT / "docs" / "results"
    numbers = json.loads((folder / "perturbation.json").read_text())
    assert (folder / "perturbation.md").read_text() == script.page(numbers, pictures=True)
    for network in script.NETWORKS:
        # Methods that came later are in the next run of the command.
        assert set(numbers["networks"][network]["methods"]) <= set(script.explainers())
        assert (folder / f"perturbation_{network}.png").exists()


@pytest.mark.parametrize(
    "name", ["results", "results_inverse", "results_settings", "results_super_resolution"]
)
def test_scripts_stand_on_studies_without_widget_libraries(name):
    code = f"import sys, json; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import {name}; "
    code += "print(json.dumps(sorted(sys.modules)))"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert {module.partition(".")[0] for module in loaded} & {"ipywidgets", "anywidget", "traitlets"} == set()
    assert not any(module.startswith("xai_widgets.explorers") for module in loaded)
