"""The network for an exported page, and the explorers that have none."""

import re
from dataclasses import replace

import ipywidgets as widgets
import pytest
import torch
from networks import images
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.explorers import DeletionExplorer, PerturbationBrush, SimilarityExplorer
from xai_widgets.explorers.page_network import page_network
from xai_widgets.exporting import export

pytest.importorskip("onnxscript")


def make_model(**options):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    return ImageModel(network, size=16, labels=["a", "b", "c"], **options)


@pytest.fixture
def brush():
    explorer = PerturbationBrush(make_model(resize=20), images(1, size=16))
    yield explorer
    explorer.close()


def test_a_page_has_the_network_and_the_views_are_as_before(brush, tmp_path):
    exported = export(brush, tmp_path / "page.html", network=True)
    assert exported.network.shape == (3, 16, 16)
    assert "and the network (0.0 MB, scores within " in str(exported)
    page = exported.path.read_text(encoding="utf-8")
    assert [name for name in ("engine", "engine-wasm", "network") if f'id="{name}"' in page] == [
        *("engine", "engine-wasm", "network")
    ]
    assert "worker-src blob:" in page
    assert brush.brush._pixels is None
    assert brush.brush._noise is None
    without = export(brush, tmp_path / "without.html")
    assert without.network is None
    assert without.size < exported.size - 4_000_000


def test_the_page_knows_the_preprocessing_and_the_scores_of_torch(brush):
    header = page_network(brush, half=False).header()
    head = header["engine"].pop("head")
    assert (head["shape"], head["dtype"], head["relu"]) == ([3, 4], "float32", False)
    assert header["engine"] == {
        "shape": (3, 16, 16),
        "batches": True,
        "resizing": {"size": (16, 16), "resize": 20, "interpolation": "bilinear", "rounding": "even"},
    }
    assert header["facts"]["activation"] == "softmax"
    assert header["photos"]
    (entry,) = header["brushes"]
    assert entry["brush"] == brush.brush.model_id
    assert entry["picker"] == brush.class_picker.model_id
    assert entry["expected"] == pytest.approx(brush.model.scores(brush.image)[0].tolist(), rel=1e-4)


def test_the_panel_has_the_defaults_of_the_package(brush, tmp_path):
    network = page_network(brush, half=False)
    panel = network.header()["panel"]
    assert panel["side"] == 2
    assert panel["cells"] == 7
    assert panel["steps"] == 224
    assert panel["mean"] == brush.model.mean.flatten().tolist()
    with network.shown():
        found = [panel["heatmap"], panel["curves"], network.header()["similarity"]["view"]]
        assert found == [view.model_id for view in network.panel.views]
    network.close()
    assert all(view.comm is None for view in network.panel.views)


def test_positions_are_compared_in_the_layers_of_the_explorer(brush):
    assert page_network(brush, half=False).panel.similarity.layer_labels == ["1"]
    similar = SimilarityExplorer(brush.model, brush.image, layers="0")
    network = page_network(similar, half=False)
    assert network.panel.similarity.layer_labels == ["0"]
    header = network.header()["similarity"]
    assert header == {"view": network.panel.similarity.model_id, "outputs": [network.file.output("0")]}
    network.close()
    similar.close()


def test_a_network_without_positions_has_no_similarity():
    flat = ImageModel(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), size=4)
    explorer = PerturbationBrush(flat, images(1, size=4))
    assert page_network(explorer, half=False).header()["similarity"] is None
    explorer.close()


def test_a_brush_beside_other_widgets_keeps_its_class_and_image(brush):
    header = page_network(widgets.VBox([brush]), half=False).header()
    assert not header["photos"]
    assert header["brushes"][0]["picker"] == ""


def test_another_explorer_gets_a_brush_of_its_image_and_class(tmp_path):
    explorer = DeletionExplorer(make_model(), images(1, size=16), ["gradient"], steps=2, target="c")
    network = page_network(explorer, half=False)
    (brush,) = network.brushes
    assert torch.equal(brush.image, explorer.image)
    assert brush.target == 2
    assert network.whole.children == (explorer, network.whole.children[1], brush)
    header = network.header()
    assert header["photos"]
    assert not header["shows"]
    network.close()
    assert brush.comm is None
    assert explorer.comm is not None
    page = export(explorer, tmp_path / "page.html", network=True).path.read_text(encoding="utf-8")
    assert "<h1>Deletion explorer: c (" in page
    explorer.close()


def test_what_has_no_image_is_refused():
    with pytest.raises(ValueError, match=r"^expected an explorer of a network and an image, .* got VBox; "):
        page_network(widgets.VBox([]), half=False)


def test_several_networks_are_refused(brush):
    other = PerturbationBrush(make_model(name="other"), images(1, size=16))
    with pytest.raises(ValueError, match=re.escape("expected explorers of one network")):
        page_network(widgets.VBox([brush, other]), half=False)
    other.close()


def test_an_image_of_another_size_is_refused():
    explorer = PerturbationBrush(make_model(), images(1, size=24))
    with pytest.raises(ValueError, match=r"got \(3, 24, 24\)$"):
        page_network(explorer, half=False)
    explorer.close()


def test_the_precision_is_a_choice(brush, tmp_path):
    with pytest.raises(ValueError, match="network"):
        export(brush, tmp_path / "page.html", network="quarter")


def test_layers_that_cannot_be_exported_are_named(brush):
    network = page_network(brush, half=False)
    assert len(network.notes()) == 1
    bare = replace(network, file=replace(network.file, layers=(), head=None))
    assert bare.notes()[1] == (
        "Left out because its layers cannot be exported: the similarity of positions and CAM."
    )
    network.close()
