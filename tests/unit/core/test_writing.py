import os

import pytest

from xai_widgets.core.writing import atomic_write


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "map.png"
    with atomic_write(path) as partial:
        assert partial.suffix == ".png"
        partial.write_text("half")
        assert not path.exists()
        partial.write_text("whole")
    assert path.read_text() == "whole"
    assert os.listdir(tmp_path) == ["map.png"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_was_there_survives_an_error(tmp_path, error):
    path = tmp_path / "map.png"
    path.write_text("before")

    def fail():
        with atomic_write(path) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["map.png"]


def test_permissions_and_links_stay(tmp_path):
    path, link = tmp_path / "map.png", tmp_path / "link.png"
    path.write_text("before")
    path.chmod(0o640)
    link.symlink_to(path)
    with atomic_write(link) as partial:
        partial.write_text("after")
    assert link.is_symlink()
    assert path.read_text() == "after"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_device_is_written_to_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe.html"
    os.mkfifo(pipe)
    with atomic_write(pipe) as partial:
        assert partial == pipe
    assert pipe.is_fifo()


def test_a_failure_names_the_file_that_was_asked_for(tmp_path):
    path = tmp_path / "gone" / "map.png"
    with pytest.raises(FileNotFoundError, match=r"map\.png"), atomic_write(path) as partial:
        partial.write_text("nowhere")
