"""Photographs that need no download, and what is imported for them."""

import subprocess
import sys

import numpy as np
import pytest

from xai_widgets import data


@pytest.mark.parametrize("name", data.photographs())
def test_photographs_are_color_pictures(name):
    picture = data.photograph(name)
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    assert min(picture.shape[:2]) >= 300
    assert picture.std() > 5


def test_a_photograph_may_be_written_to():
    picture = data.photograph("cat")
    picture[:] = 0
    assert data.photograph("cat").max() > 0


def test_unknown_photograph_names_the_nearest():
    with pytest.raises(ValueError, match="'coffee'"):
        data.photograph("cofee")


def test_importing_data_imports_neither_skimage_nor_torch():
    code = "import sys, xai_widgets.data; print([m for m in ('skimage', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_missing_skimage_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    data.photos._load.cache_clear()
    with pytest.raises(ImportError, match=r"xai-widgets\[images\]"):
        data.photograph("cat")
    data.scenes.backgrounds._load.cache_clear()
    with pytest.raises(ImportError, match=r"xai-widgets\[images\]"):
        data.scenes.scene(0, background="photograph")
    # What needs no photograph needs no scikit-image.
    assert data.scenes.scene(0, background="texture").image.any()
