"""`lab`: notebooks are copied once and never over others, and JupyterLab is started on them."""

import subprocess
import sys
from pathlib import Path

import pytest

from xai_widgets.cli import lab

ROOT = Path(__file__).resolve().parents[3]


class Process:
    """Stands for JupyterLab, which takes two interrupts before it ends."""

    code = 0
    started: list

    def __init__(self, command, env):
        Process.started = [command, env]
        self.interrupts = 2

    def wait(self):
        if self.interrupts:
            self.interrupts -= 1
            raise KeyboardInterrupt
        return self.code


@pytest.fixture
def jupyter(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", Process)
    monkeypatch.setattr(lab, "installed", lambda package: True)
    return Process


def test_notebooks_are_copied_and_jupyterlab_is_started_on_the_tour(cli, jupyter, tmp_path):
    done = cli("lab", "mine/notebooks", "--", "--no-browser", "--port", "8899")
    assert done.code == 0
    made = tmp_path / "mine" / "notebooks"
    names = {path.name: path.read_bytes() for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {path.name: path.read_bytes() for path in made.iterdir()} == names
    command, env = jupyter.started
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={made}" in command
    assert "--LabApp.default_url=/lab/tree/00_tour.ipynb" in command
    assert command[-3:] == ["--no-browser", "--port", "8899"]
    assert env["JUPYTER_PREFER_ENV_PATH"] == "1"
    assert done.err == f"{len(names)} notebooks copied to mine/notebooks\n"


def test_what_is_there_is_left(cli, jupyter, tmp_path):
    folder = tmp_path / "xai_widgets_notebooks"
    folder.mkdir()
    (folder / "00_tour.ipynb").write_text("mine", encoding="utf-8")
    done = cli("lab")
    assert (folder / "00_tour.ipynb").read_text(encoding="utf-8") == "mine"
    assert done.err.endswith(", 1 existing not changed\n")
    first = {path.name for path in folder.iterdir()}
    assert cli("lab").err.startswith("0 notebooks copied")
    assert {path.name for path in folder.iterdir()} == first


def test_the_code_of_jupyterlab_is_returned(cli, jupyter, monkeypatch):
    monkeypatch.setattr(jupyter, "code", 3)
    assert cli("lab").code == 1


def test_without_jupyterlab_one_sentence_names_the_extra(cli, monkeypatch, files):
    monkeypatch.setattr(lab, "installed", lambda name: False)
    before = files()
    done = cli("lab")
    assert (done.code, done.err) == (
        1,
        "xai-widgets: notebooks need JupyterLab, which is not installed; pip install 'xai-widgets[lab]'\n",
    )
    assert files() == before


def test_a_file_is_no_folder(cli, jupyter, photo):
    photo()
    done = cli("lab", "photo.png")
    assert (done.code, done.err) == (
        1,
        "xai-widgets: expected a name for a folder, got 'photo.png', which is a file\n",
    )


def test_notebooks_of_an_installed_package_are_found_first(monkeypatch, tmp_path):
    package = tmp_path / "site" / "xai_widgets"
    monkeypatch.setattr(lab, "PACKAGE", package)
    with pytest.raises(lab.CommandError, match="install the package again"):
        lab.notebooks()
    for folder, name in ((tmp_path / "site", "beside"), (package, "inside")):
        (folder / "notebooks").mkdir(parents=True)
        (folder / "notebooks" / f"{name}.ipynb").touch()
        assert [path.stem for path in lab.notebooks()] == [name]
