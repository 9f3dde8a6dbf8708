"""Folders of example images."""

import pytest
from PIL import Image

from xai_widgets.data import example_folders


def test_each_subfolder_is_a_concept(tmp_path):
    for name in ("striped/b.JPG", "striped/a.png", "dotted/one.jpeg", ".cache/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "striped/notes.txt").write_text("not an image")
    (tmp_path / "readme.txt").write_text("not a folder")
    assert example_folders(tmp_path) == {
        "dotted": [tmp_path / "dotted/one.jpeg"],
        "striped": [tmp_path / "striped/a.png", tmp_path / "striped/b.JPG"],
    }


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected the folder of concepts, got .*nothing"):
        example_folders(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="expected a subfolder with images for each concept"):
        example_folders(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"expected an image in the folder .*empty"):
        example_folders(tmp_path)
    with pytest.raises(TypeError, match="expected folder"):
        example_folders(3)
