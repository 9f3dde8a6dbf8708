"""The code of the how-to pages runs, block after block.

A comment ``<!-- test instead: CODE -->`` before a block holds the code that is run in its place, where the block itself
would download weights or import a library that is not installed; the block must still compile.
"""

import re
import shlex
import warnings
from pathlib import Path

import live
import pytest
import torch
from ipywidgets import Widget
from PIL import Image

import xai_widgets as xw
from xai_widgets.cli import main
from xai_widgets.cli.parsing import parse
from xai_widgets.data import photograph

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "how-to"
PAGES = sorted(FOLDER.glob("*.md"))
BLOCK = re.compile(r"(?:<!-- test instead:\n(.*?)-->\n+)?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^xai-widgets (.*?)(?:\s+#.*)?$", re.MULTILINE)


def read(path):
    return path.read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder with photographs in `photos` and the file `photo.jpg`."""
    (tmp_path / "photos").mkdir()
    for name in ("cat", "coffee"):
        Image.fromarray(photograph(name)).save(tmp_path / "photos" / f"{name}.jpg")
    Image.fromarray(photograph("cat")).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    Widget.close_all()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_code_of_a_page_runs(path):
    namespace = {"__name__": "__main__"}
    torch.manual_seed(0)
    blocks = BLOCK.findall(read(path))
    assert blocks or COMMAND.search(read(path))
    for instead, code in blocks:
        compile(code, path.name, "exec")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            _, value = live.run_cell(instead or code, namespace)
            live.finished(*namespace.values(), value)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_names_of_a_page_exist(path):
    names = set(re.findall(r"\bxw\.([a-zA-Z_]\w*)", read(path)))
    assert {name for name in names if not hasattr(xw, name)} == set()


def test_the_commands_of_the_pages_are_understood():
    commands = [shlex.split(words) for path in PAGES for words in COMMAND.findall(read(path))]
    assert {parse(words).module for words in commands} >= {"explain", "evaluate", "listing"}


def test_the_first_commands_for_a_folder_run(folder, capsys):
    words = shlex.split(COMMAND.findall(read(FOLDER / "folder.md"))[0])
    words[words.index("--methods") + 1] = "gradient"
    assert main(words) == 0, capsys.readouterr().err
    assert Path(words[words.index("-o") + 1]).stat().st_size > 0


def test_every_page_is_in_the_navigation_and_none_is_empty():
    navigation = read(FOLDER.parents[1] / "mkdocs.yml")
    for path in PAGES:
        assert f"how-to/{path.name}" in navigation
        assert len(read(path).split()) > 100
