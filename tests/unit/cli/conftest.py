"""The program in this process, in an empty folder, with its output."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from xai_widgets.cli import main
from xai_widgets.data import scenes

#: Networks and methods as a user writes them, 16 pixels wide and with three classes.
OWN = """
import torch
from torch import nn
from xai_widgets.core.model import ImageModel

def network():
    torch.manual_seed(0)
    first = nn.Conv2d(3, 4, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))

def model():
    return ImageModel(network(), labels=["a", "b", "7"], size=16, device="cpu")

def gray(model, x, target):
    return x.mean(1)

def broken(model, x, target):
    raise RuntimeError("this method is broken\\nin several lines")

def fails():
    raise ValueError("no such file")

number = 3
"""


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Call the program with arguments; its exit code and the output of both streams."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n", encoding="utf-8")

    def call(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    yield call
    sys.modules.pop("own", None)


@pytest.fixture
def files(tmp_path):
    """List the folder: the names of files, hidden ones too, and their bytes."""

    def contents():
        return {
            str(path.relative_to(tmp_path)): path.read_bytes()
            for path in tmp_path.rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        }

    return contents


@pytest.fixture
def photo(tmp_path):
    """Write a small image of noise into the folder; its path."""

    def make(name="photo.png", seed=0, size=(16, 16)):
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return make


@pytest.fixture
def corrupt(photo):
    """Write the first half of an image file; its path."""

    def make(name="corrupt.png"):
        path = photo(name)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return path

    return make


@pytest.fixture
def scene_file(tmp_path):
    """An image that the bundled networks know, as JPEG."""

    def make(name="photo.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(scenes.scene(2, split="test", background="texture").image).save(path)
        return path

    return make
