"""Committed notebooks open without a question and hold no outputs."""

import copy
import json
from pathlib import Path

import pytest

import notebooks as script

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_the_tour_is_there():
    assert (ROOT / "notebooks" / "00_tour.ipynb") in NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_fit_to_be_committed(path):
    assert script.problems(json.loads(path.read_text(encoding="utf-8"))) == [], (
        "make format takes outputs away"
    )


GOOD = {
    "cells": [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# A tour"},
        {
            "cell_type": "code",
            "id": "b",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": ["1\n", "2"],
        },
    ],
    "metadata": {"kernelspec": script.KERNELSPEC},
    "nbformat": 4,
    "nbformat_minor": 5,
}


def spoil(notebook, kind):
    code = notebook["cells"][1]
    if kind == "outputs":
        code["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "1"}]
    elif kind == "count":
        code["execution_count"] = 3
    elif kind == "kernelspec":
        del notebook["metadata"]["kernelspec"]
    elif kind == "widgets":
        notebook["metadata"]["widgets"] = {"state": {}}
    else:
        code["source"] = [f"open('{chr(47)}home{chr(47)}me/x.png')"]


@pytest.mark.parametrize("kind", ["outputs", "count", "kernelspec", "widgets", "path"])
def test_what_is_wrong_is_found_and_cleaned(kind):
    notebook = copy.deepcopy(GOOD)
    assert script.problems(notebook) == []
    spoil(notebook, kind)
    assert len(script.problems(notebook)) == 1
    # A path stands in what the author wrote, so it is named and left.
    assert len(script.problems(script.clean(notebook))) == (kind == "path")
