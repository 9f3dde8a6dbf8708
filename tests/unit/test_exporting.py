"""Exported pages: what is packed, disabled controls, and errors."""

import base64
import datetime
import errno
import gzip
import html
import json
import math
import os
import re
import struct
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pytest
from networks import SharedInPlace, images, one_sentence, settle, wrap
from PIL import Image
from traitlets import Unicode

import xai_widgets as xw
from xai_widgets.explorers.page_packing import SHARED
from xai_widgets.explorers.page_states import titled
from xai_widgets.views import ClassPicker, HeatmapView


def unpacked(path):
    """The header of a page, and its blobs."""
    page = path.read_text(encoding="utf-8")
    data = re.search(r'<script type="application/gzip" id="widgets-data">([^<]*)</script>', page)[1]
    packed = gzip.decompress(base64.b64decode(data))
    (length,) = struct.unpack_from("<I", packed)
    header, at, blobs = json.loads(packed[4 : 4 + length]), 4 + length, []
    for size in header["blobs"]:
        blobs.append(packed[at : at + size])
        at += size
    assert at == len(packed)
    return header, blobs


@pytest.fixture
def heatmap():
    generator = np.random.default_rng(0)
    image = generator.integers(0, 255, (12, 10, 3), dtype=np.uint8)
    return HeatmapView(image=image, maps=generator.random((2, 6, 5), dtype=np.float32), title="A & <b>")


def test_a_page_holds_the_state_and_every_array_once(heatmap, tmp_path):
    other = HeatmapView(image=heatmap.image, maps=heatmap.maps * 2)
    made = xw.export(widgets.HBox([heatmap, other]), tmp_path / "page.html")
    header, blobs = unpacked(made.path)
    assert set(header["models"]) >= {heatmap.model_id, other.model_id}
    assert header["models"][heatmap.model_id]["state"]["opacity"] == 0.7
    found = {(model, *path): blobs[blob] for model, path, blob in header["positions"]}
    assert found[heatmap.model_id, "image", "data"] == heatmap.image.tobytes()
    assert found[other.model_id, "maps", "data"] == other.maps.tobytes()
    assert len(header["positions"]) == 4
    assert len(blobs) == 3
    # The program and the stylesheet of both.
    assert len(header["texts"]) == 2
    assert all(len(text) >= SHARED for text in header["texts"])


def test_its_size_is_stated_and_its_title_is_text(heatmap, tmp_path):
    made = xw.export(heatmap, tmp_path / "page.html")
    page = made.path.read_text(encoding="utf-8")
    assert made.size == made.path.stat().st_size > made.data > 0
    assert f"{made.size / 1e6:.2f} MB" in str(made)
    assert "<title>A &amp; &lt;b&gt;</title>" in page
    assert "<title>Mine</title>" in xw.export(heatmap, made.path, title="Mine").path.read_text(
        encoding="utf-8"
    )


def test_a_box_has_a_title_of_its_own(heatmap, tmp_path):
    path = xw.export(widgets.HBox([heatmap]), tmp_path / "page.html").path
    assert "<title>Widgets</title>" in path.read_text(encoding="utf-8")


def test_a_page_loads_nothing(heatmap, tmp_path):
    page = xw.export(heatmap, tmp_path / "page.html").path.read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    frame = re.sub(r'<script type="application/gzip".*?</script>', "", page, flags=re.DOTALL)
    assert re.findall(r'(?:src|href)="?[^"]*', frame) == []


def test_controls_that_need_the_kernel_are_left_out_and_nothing_else(tmp_path):
    explorer = xw.DeletionExplorer(
        wrap(settle(SharedInPlace())), images(1), ["gradient"], steps=2, start=False
    )
    header, _ = unpacked(xw.export(widgets.VBox([explorer]), tmp_path / "page.html").path)
    pickers = (explorer.kind_picker, explorer.fill_picker, explorer.image_picker)
    asking = (explorer.class_picker, explorer.run_bar, explorer.method_picker, *pickers)
    assert header["disabled"] == sorted(part.model_id for part in asking)
    assert explorer.curves.model_id in header["models"]
    # Taken out of its explorer a part is itself.
    header, _ = unpacked(xw.export(explorer.method_picker, tmp_path / "page.html").path)
    assert header["disabled"] == []
    header, _ = unpacked(xw.export(widgets.HBox([explorer.run_bar]), tmp_path / "page.html").path)
    assert header["disabled"] == [explorer.run_bar.model_id]


def caption(path):
    page = path.read_text(encoding="utf-8")
    return html.unescape(re.search(r'<p id="caption">(.*?)</p>', page)[1])


def test_a_line_names_network_image_class_methods_version_and_date(tmp_path):
    image = Image.fromarray(np.zeros((32, 32, 3), dtype=np.uint8))
    image.save(tmp_path / "My cat.png")
    explorer = xw.DeletionExplorer(
        xw.load("scenes_vgg"), str(tmp_path / "My cat.png"), ["gradient"], target=3, start=False
    )
    path = xw.export(explorer, tmp_path / "page.html").path
    words = caption(path).split(" · ")
    assert words[:2] == ["scenes_vgg", "My cat"]
    assert re.fullmatch(r"class striped kite \([\d.e-]+ %\)", words[2])
    assert words[3:] == [
        "Gradient",
        f"xai_widgets {xw.__version__}",
        datetime.date.today().isoformat(),
    ]
    page = path.read_text(encoding="utf-8")
    assert "<title>Deletion explorer: striped kite (scenes_vgg)</title>" in page
    explorer.close()


def test_the_brush_waits_for_its_scores(tmp_path):
    model = wrap(settle(SharedInPlace()))
    explorer = xw.PerturbationBrush(model, images(1))
    explorer._scorer.wait(60)
    explorer.brush.mask = np.ones(explorer.image.shape[2:], dtype=np.uint8) * 255
    header, _ = unpacked(xw.export(explorer, tmp_path / "page.html").path)
    scored = header["models"][explorer.scores.model_id]["state"]["values"]
    assert scored is not None
    assert header["frozen"] == [explorer.brush.model_id]
    assert explorer.brush.model_id not in header["disabled"]
    assert explorer.other.model_id not in header["models"]
    explorer.pair_check.value = True
    header, _ = unpacked(xw.export(explorer, tmp_path / "page.html").path)
    assert header["frozen"] == sorted([explorer.brush.model_id, explorer.other.model_id])
    assert header["models"][explorer.other_scores.model_id]["state"]["values"] is not None
    explorer.close()


def board(**options):
    model = wrap(settle(SharedInPlace()))
    settings = {"attribution": {"methods": ["gradient"]}, "deletion": {"methods": ["gradient"], "steps": 2}}
    made = xw.dashboard(
        model, list(images(3)), explorers=["attribution", "deletion", "brush"], options=settings, **options
    )
    assert made.wait(60)
    return made


def test_tabs_that_were_not_opened_are_left_out_with_a_sentence(tmp_path):
    made = board()
    made.show("brush")
    assert made.wait(60)
    path = xw.export(made, tmp_path / "page.html").path
    state = unpacked(path)[0]["models"][made.tabs.model_id]["state"]
    assert state["titles"] == ["Attribution", "Brush"]
    assert (len(state["children"]), state["selected_index"]) == (2, 1)
    assert "Left out because they were not computed: Deletion." in path.read_text(encoding="utf-8")
    made.close()


def test_all_tabs_are_computed_if_asked_for(tmp_path):
    made = board()
    path = xw.export(made, tmp_path / "page.html", tabs="all").path
    header = unpacked(path)[0]
    assert header["models"][made.tabs.model_id]["state"]["titles"] == ["Attribution", "Deletion", "Brush"]
    assert made.tabs.selected_index == 0
    assert made.explorers["deletion"].run_bar.status == "done"
    assert "Left out" not in path.read_text(encoding="utf-8")
    made.close()


def test_each_image_has_its_results_if_all_are_asked_for(tmp_path):
    made = board(names=["one", "two", "three"])
    made.show("deletion")
    made.frame = 1
    assert made.wait(60)
    path = xw.export(made, tmp_path / "page.html", images="all").path
    header, blobs = unpacked(path)
    assert made.frame == 1
    assert header["picker"] == made.image_picker.model_id
    assert made.image_picker.model_id not in header["disabled"]
    assert [words.split(" · ")[1] for words in header["captions"]] == ["one", "two", "three"]
    heatmap = made.explorers["deletion"].heatmap.model_id
    found = {
        (number, *path): blobs[blob]
        for number, model, path, blob in header["variant_positions"]
        if model == heatmap
    }
    shown = [found[number, "image", "data"] for number in range(3)]
    assert len(set(shown)) == 3
    assert shown[1] == made.explorers["deletion"].heatmap.image.tobytes()
    made.close()


def test_all_images_need_several(heatmap, tmp_path):
    with pytest.raises(ValueError, match='expected images="all" for a dashboard') as error:
        xw.export(heatmap, tmp_path / "page.html", images="all")
    one_sentence(error)
    with pytest.raises(ValueError, match="tabs"):
        xw.export(heatmap, tmp_path / "page.html", tabs="every")


def test_a_large_page_is_a_warning(heatmap, tmp_path, monkeypatch):
    monkeypatch.setattr("xai_widgets.exporting.LARGE", 1000)
    with pytest.warns(UserWarning, match="expected a page of at most"):
        xw.export(heatmap, tmp_path / "page.html")


def test_a_running_computation_is_reported(tmp_path):
    explorer = xw.DeletionExplorer(
        wrap(settle(SharedInPlace())), images(1), ["gradient"], steps=2, start=False
    )
    explorer.run_bar.begin()
    with pytest.warns(UserWarning, match="got 1 running") as caught:
        xw.export(explorer, tmp_path / "page.html")
    assert caught[0].filename == __file__


def test_the_same_widget_makes_the_same_page(heatmap, tmp_path):
    pages = [xw.export(heatmap, tmp_path / name).path.read_bytes() for name in ("a.html", "b.html")]
    assert pages[0] == pages[1]


def test_views_linked_by_ipywidgets_keep_their_link(heatmap, tmp_path):
    other = HeatmapView(image=heatmap.image)
    joined = widgets.jslink((heatmap, "opacity"), (other, "opacity"))
    header, _ = unpacked(xw.export(widgets.HBox([heatmap, other]), tmp_path / "page.html").path)
    assert header["models"][joined.model_id]["model_name"] == "LinkModel"


def test_what_is_no_widget_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"widget to be a view.*, got list") as error:
        xw.export([], tmp_path / "page.html")
    one_sentence(error)


@pytest.mark.parametrize("path", ["", "missing/page.html"])
def test_a_path_that_is_no_file_is_refused(path, heatmap, tmp_path):
    with pytest.raises(ValueError, match="a file in an existing folder") as error:
        xw.export(heatmap, tmp_path / path)
    one_sentence(error)


def test_a_widget_of_another_library_is_named(heatmap, tmp_path):
    class Foreign(widgets.DOMWidget):
        _model_name = Unicode("GlobeModel").tag(sync=True)
        _model_module = Unicode("globes").tag(sync=True)

    with pytest.raises(
        ValueError, match="widgets of ipywidgets and anywidget, got GlobeModel of globes"
    ) as error:
        xw.export(widgets.HBox([heatmap, Foreign()]), tmp_path / "page.html")
    one_sentence(error)
    assert not (tmp_path / "page.html").exists()


def test_tabs_of_ipywidgets_7_keep_their_titles():
    state = {"children": ["a", "b", "c"], "_titles": {"0": "first", "2": "third"}}
    assert titled(state)["titles"] == ["first", "", "third"]
    newer = {"children": ["a"], "titles": ("first",)}
    assert titled(dict(newer)) == newer


def test_nan_and_infinite_numbers_become_none(tmp_path):
    picker = ClassPicker(labels=["a", "b", "c"], probabilities=[math.nan, 0.5, math.inf])
    slider = widgets.FloatSlider()
    box = widgets.HBox([picker, slider])
    header, _ = unpacked(xw.export(box, tmp_path / "page.html").path)
    assert header["models"][picker.model_id]["state"]["probabilities"] == [None, 0.5, None]


def test_the_page_that_was_there_survives_a_failure(heatmap, tmp_path, monkeypatch):
    path = tmp_path / "precious.html"
    path.write_text("an hour of work")

    def full(self, *args, **kwargs):
        self.write_bytes(b"half a page")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*precious.html'"):
        xw.export(heatmap, path)
    monkeypatch.undo()
    assert path.read_text() == "an hour of work"
    assert [each.name for each in tmp_path.iterdir()] == ["precious.html"]


def test_a_title_that_is_no_utf_8_is_written_all_the_same(heatmap, tmp_path):
    path = tmp_path / "page.html"
    xw.export(heatmap, path, title="photo \udcff.png")
    assert "<title>photo ?.png</title>" in path.read_text(encoding="utf-8")


def test_a_name_as_long_as_names_can_be(heatmap, tmp_path):
    longest = os.pathconf(tmp_path, "PC_NAME_MAX")
    path = tmp_path / ("a" * (longest - 5) + ".html")
    assert xw.export(heatmap, path).path == path
    with pytest.raises(ValueError, match="a valid file name") as error:
        xw.export(heatmap, tmp_path / ("a" * longest + ".html"))
    one_sentence(error)
