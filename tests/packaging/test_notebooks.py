"""Committed notebooks open without a question and hold the outputs of the code that they hold."""

import copy
import importlib.util
import json
import re
import types
from pathlib import Path

import pytest

import notebooks as script

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_tour_is_there():
    assert (ROOT / "notebooks" / "00_tour.ipynb") in NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_can_be_committed(path):
    assert script.problems(read(path)) == [], (
        "python scripts/notebooks.py --write runs it and stores its outputs"
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_shows_images_and_how_to_install(path):
    cells = [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]
    assert re.search(r'pip\W+install .*"xai-widgets\[', "".join(cells[0]["source"]))
    assert any("image/png" in output.get("data", {}) for cell in cells for output in cell["outputs"])


def test_the_tour_installs_the_package_where_it_is_missing(monkeypatch):
    """The badge of the README opens the tour on Colab, which does not have the package."""
    source = "".join(read(ROOT / "notebooks" / "00_tour.ipynb")["cells"][1]["source"])
    commands = []
    shell = types.SimpleNamespace(run_line_magic=lambda *command: commands.append(command))
    exec(source, {"get_ipython": lambda: shell})
    assert commands == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    exec(source, {"get_ipython": lambda: shell})
    ((magic, arguments),) = commands
    assert magic == "pip"
    extras = re.compile(r'"xai-widgets\[([\w,]+)\]"')
    # The packages of `lab` without a notebook server, which the host has.
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lab = re.search(r"^lab = \[(.*?)^\]", pyproject, re.MULTILINE | re.DOTALL)[1]
    assert sorted(extras.search(arguments)[1].split(",")) == sorted(extras.search(lab)[1].split(","))


def notebook(*sources):
    cells = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": source.splitlines(True),
        }
        for number, source in enumerate(sources)
    ]
    title = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": ["# A tour"]}
    return {"cells": [title, *cells], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def test_a_run_stores_the_outputs_of_every_cell():
    cells = (
        "import sys\nimport numpy as np\nimport xai_widgets as xw",
        "print('one')\nprint('two', file=sys.stderr)\n3 + 4",
        "xw.HeatmapView(image=np.zeros((4, 4, 3), np.uint8), maps=np.eye(4))",
    )
    done = script.run(notebook(*cells))
    assert script.problems(done) == []
    first, second, third = [cell["outputs"] for cell in done["cells"][1:]]
    assert first == []
    assert [output.get("text", output.get("data")) for output in second] == [["one\n"], {"text/plain": ["7"]}]
    assert set(third[0]["data"]) == {"text/plain", "image/png"}
    assert "image 4 × 4" in third[0]["metadata"]["image/png"]["alt"]


def test_a_failing_cell_fails_the_run():
    with pytest.raises(ZeroDivisionError):
        script.run(notebook("1 / 0"))


@pytest.fixture(scope="module")
def good():
    return script.run(notebook("1\n", "2"))


def output(**data):
    return {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": data}


def spoil(notebook, kind):
    code = notebook["cells"][1]
    if kind == "edited":
        code["source"] = ["3"]
    elif kind == "moved":
        notebook["cells"][1:] = notebook["cells"][:0:-1]
    elif kind == "not run":
        code["execution_count"] = None
    elif kind == "kernelspec":
        del notebook["metadata"]["kernelspec"]
    elif kind == "widgets":
        notebook["metadata"]["widgets"] = {"state": {}}
    else:
        text = {"path": f"{chr(47)}home{chr(47)}me/x.png", "address": "<A at 0x7f0011aabbcc>"}.get(kind, "")
        code["outputs"] = {
            "widget view": [output(**{WIDGET: {}, "text/plain": ""})],
            "image": [output(**{"image/png": "x" * (script.MAX_IMAGE + 1)})],
            "stderr": [{"output_type": "stream", "name": "stderr", "text": "1"}],
        }.get(kind, [output(**{"text/plain": text})])


@pytest.mark.parametrize(
    "kind",
    [
        "edited",
        "moved",
        "not run",
        "kernelspec",
        "widgets",
        "path",
        "address",
        "widget view",
        "image",
        "stderr",
    ],
)
def test_a_problem_is_found(good, kind):
    spoiled = copy.deepcopy(good)
    spoil(spoiled, kind)
    assert script.problems(good) == []
    assert len(script.problems(spoiled)) == 1


def test_edited_text_needs_no_run(good):
    edited = copy.deepcopy(good)
    edited["cells"][0]["source"] = ["# Another title"]
    assert script.problems(edited) == []
