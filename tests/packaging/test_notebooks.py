"""Committed notebooks open without a question and hold the outputs of the code that they hold."""

import copy
import json
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
    assert '%pip install "xai-widgets[lab' in "".join(cells[0]["source"])
    assert any("image/png" in output.get("data", {}) for cell in cells for output in cell["outputs"])


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
