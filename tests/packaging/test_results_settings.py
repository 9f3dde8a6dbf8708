"""The command that writes docs/results/settings, on few scenes: every line, the page and the pictures are made."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from xai_widgets.inverse import SolverSettings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("results_settings")


def test_numbers_page_and_pictures_are_written(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "SOLVER", SolverSettings(steps=1))
    monkeypatch.setattr(script, "NETWORKS", ("scenes_vgg",))
    monkeypatch.setattr(script, "FEW", 1)
    monkeypatch.setattr(script, "CHANNELS", 1)
    few = {words: script.READINGS[words] for words in ("as it is", "plain norms")}
    monkeypatch.setattr(script, "READINGS", few)
    command = ["results_settings.py", "--scenes", "1", "--searched", "9", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    script.main()
    numbers = json.loads((tmp_path / "settings.json").read_text())
    found = numbers["networks"]["scenes_vgg"]
    methods = {key.split()[0] for key in found["settings"]}
    assert methods == {"grad_cam", "excitation_backprop", "integrated_gradients", "deconvnet"}
    pools = [one for key, one in found["settings"].items() if key.startswith("excitation_backprop")]
    assert [one["positions"][0] for one in pools] == [3, 6, 12, 24, 48]
    for one in found["settings"].values():
        assert len(one["by_sigma"]) == len(one["class_blind"]) == len(script.SIGMAS)
        for value in one["by_sigma"]:
            assert value["images"] <= 1
            assert value["mean"] is None or abs(value["mean"]) <= 1 + 1e-6
    assert set(found["readings"]["readings"]) == set(script.READINGS)
    page = (tmp_path / "settings.md").read_text()
    for words in (
        "Grad-CAM",
        "Excitation backprop at `stage4.pool`",
        "plain norms",
        "1 channels of `stage3.relu2`",
    ):
        assert words in page
    for picture in ("settings_scenes_vgg.png", "settings_patterns_scenes_vgg.png"):
        assert f"({picture})" in page
        assert (tmp_path / picture).stat().st_size > 10_000
    written = page
    monkeypatch.setattr(sys, "argv", [*command[:1], "--page", "--out", str(tmp_path)])
    (tmp_path / "settings.md").unlink()
    script.main()
    assert (tmp_path / "settings.md").read_text() == written


def test_the_first_reading_is_that_of_the_package(script, monkeypatch):
    import torch

    import xai_widgets
    from xai_widgets.inverse.chain import Chain

    monkeypatch.setattr(script, "SOLVER", SolverSettings(steps=3))
    for name in script.NETWORKS[:2]:
        model = xai_widgets.load(name, device="cpu")
        x = script.images_of(model, 1)
        chain = Chain.of(model, x)
        target = model.targets(None, x)[:, None]
        scores = torch.zeros_like(chain.output).scatter(1, target, chain.output.gather(1, target))
        own = script.inverted(
            chain, model.mean.flatten(), len(chain.units) - 1, scores, script.Reading(), 0.1, 0.9
        )
        made = script.quietly(script.inverse.reproduce_integrated_gradients(model, x, settings=script.SOLVER))
        torch.testing.assert_close(own, made.map, atol=1e-4, rtol=1e-3)


def test_the_committed_page_is_made_of_the_committed_numbers(script):
    folder = ROOT / "docs" / "results"
    numbers = json.loads((folder / "settings.json").read_text())
    assert (folder / "settings.md").read_text() == script.page(numbers)
    assert set(numbers["networks"]) == set(script.NETWORKS)
    assert numbers["header"]["scenes"] == script.SCENES
    for network, found in numbers["networks"].items():
        assert (folder / f"settings_{network}.png").exists()
        if network.startswith("scenes"):
            assert set(found["readings"]["readings"]) == set(script.READINGS)
            assert (folder / f"settings_patterns_{network}.png").exists()
