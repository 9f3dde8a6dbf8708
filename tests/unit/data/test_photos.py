"""Photographs that need no download, and the imports they need."""

import subprocess
import sys

import numpy as np
import pytest

from xai_widgets import data


@pytest.mark.parametrize("name", data.photographs())
def test_photographs_are_color_images(name):
    image = data.photograph(name)
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert min(image.shape[:2]) >= 300
    assert image.std() > 5


def test_a_photograph_may_be_written_to():
    image = data.photograph("cat")
    image[:] = 0
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
    # Scenes without a photograph do not need scikit-image.
    assert data.scenes.scene(0, background="texture").image.any()
