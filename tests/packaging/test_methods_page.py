"""The page of the methods says what the registry says, and shows a picture of each."""

import dataclasses
import importlib
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "methods"
RUN = "run `python scripts/methods.py`, or with --only NAME for a new method, and commit docs/methods"


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("methods")


def test_the_committed_page_says_what_the_registry_says(script):
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == script.page(), RUN


def test_every_method_has_a_picture_and_every_picture_a_method(script):
    drawn = {path.stem for path in FOLDER.glob("*.png")}
    possible = {name for name, method in script.every().items() if script.has_image(method)}
    assert drawn == {"scene", *possible}, RUN
    assert len(possible) < len(script.every()), "methods that require attention have no image"


def test_the_pictures_are_small(script):
    sizes = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert sum(sizes.values()) < 1.5e6
    for path in FOLDER.glob("*.png"):
        assert Image.open(path).size[1] == script.SIDE


def test_the_page_has_all_facts_of_a_method(script):
    method = script.every()["integrated_gradients"]
    text = script.section("attribution", method)
    for words in (
        "### Integrated gradients",
        "![Integrated gradients](integrated_gradients.png)",
        "`attribution.integrated_gradients(model, x, target, baseline=0.0, steps=50, quadrature='right', "
        "batch_size=None)`",
        f"`{method.formula}`",
        "map: signed sum over channels\n",
        "source: Sundararajan et al. 2017",
        f"cost: {method.cost}",
        f"guarantees: {method.guarantees}",
        f"limits: {method.limits}",
    ):
        assert words in text


def test_links_lead_to_headings_as_github_names_them(script):
    titles = ["Grad-CAM", "CAM", "Grad-CAM++", "Greedy regions (XRAI)", "Gradient x input", "Grad-CAM+"]
    wanted = ["grad-cam", "cam", "grad-cam-1", "greedy-regions-xrai", "gradient-x-input", "grad-cam-2"]
    assert script.anchors(titles) == dict(zip(titles, wanted, strict=True))
    page = script.page()
    headings = re.findall(r"^### (.*)$", page, re.MULTILINE)
    assert headings == [method.title for method in script.every().values()]
    assert len(set(headings)) == len(headings)
    assert re.findall(r"\]\(#(.*?)\)", page) == list(script.anchors(headings).values())


def test_pictures_are_drawn_and_what_fails_is_said(script, tmp_path, monkeypatch):
    def broken(model, x, target, **options):
        raise ValueError("no such thing")

    gradient = dataclasses.replace(script.GROUPS["attribution"][2]["gradient"], function=broken)
    monkeypatch.setitem(script.GROUPS["attribution"][2], "gradient", gradient)
    monkeypatch.setattr(sys, "argv", ["methods.py", "--only", "gradient", "grad_cam", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="gradient: ValueError: no such thing"):
        script.main()
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", "scene.png", "grad_cam.png"}
    assert Image.open(tmp_path / "grad_cam.png").size == (2 * script.SIDE + 4, script.SIDE)
