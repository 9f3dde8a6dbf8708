"""The command that writes docs/results/super_resolution, on a small piece of one photograph."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from xai_widgets.inverse import SolverSettings

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ("curves", "inverses", "spectra", "chirp")


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("results_super_resolution")


def test_numbers_page_and_pictures_are_written(script, tmp_path, monkeypatch):
    # A piece of the first photograph, with eyes in it, in its place.
    piece = script.data.load_photograph(script.data.TEST[0])[:, :, 80:144, 190:254]
    monkeypatch.setattr(script.data, "load_photograph", lambda name: piece)
    monkeypatch.setattr(script, "SIZE", 32)
    monkeypatch.setattr(script, "LAMBDAS", (0.15, 0.5))
    monkeypatch.setattr(script, "SolverSettings", lambda: SolverSettings(steps=1))
    command = ["results_super_resolution.py", "--photographs", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    script.main()
    numbers = json.loads((tmp_path / "super_resolution.json").read_text())
    assert numbers["header"]["photographs"] == list(script.data.TEST[:1])
    for scale in ("x2", "x3", "x4"):
        assert numbers["gain"][scale]["gain"] > 0
        (one,) = numbers["distances"][scale].values()
        for measure in ("mse", "psnr", "ssim"):
            assert [len(row) for row in one[measure]] == [5, 5]
        # Phi(x) is the same for all lambda, and so is d_D.
        assert len({row[3] for row in one["mse"]}) == 1
        for reading in script.READINGS:
            for found in numbers["frequencies"][scale][reading]:
                count, _ = found["together"]
                # Of one photograph the patches are those of all.
                assert found["alone"] == {script.data.TEST[0]: found["together"]}
                assert 0 <= count <= 63
    for reading in script.READINGS:
        spectra = numbers["spectra"][reading]
        assert sum(spectra["patches"]) == 16
        assert script.more(spectra) == tuple(numbers["frequencies"]["x4"][reading][0]["together"])
    assert sum(group["patches"] for group in numbers["chirp"].values()) == 16
    page = (tmp_path / "super_resolution.md").read_text()
    assert page == script.page(numbers)
    for name in PICTURES:
        assert f"(super_resolution_{name}.png)" in page
        assert (tmp_path / f"super_resolution_{name}.png").stat().st_size > 1000
    # The page anew from the numbers, and no number anew.
    before = (tmp_path / "super_resolution.json").read_bytes()
    (tmp_path / "super_resolution.md").unlink()
    monkeypatch.setattr(sys, "argv", [*command, "--page"])
    script.main()
    assert (tmp_path / "super_resolution.md").read_text() == page
    assert (tmp_path / "super_resolution.json").read_bytes() == before


def test_the_committed_page_is_made_of_the_committed_numbers(script):
    folder = ROOT / "docs" / "results"
    numbers = json.loads((folder / "super_resolution.json").read_text())
    assert numbers["header"]["photographs"] == list(script.data.TEST)
    assert (folder / "super_resolution.md").read_text() == script.page(numbers)
    for name in PICTURES:
        assert (folder / f"super_resolution_{name}.png").exists()
