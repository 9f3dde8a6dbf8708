"""`from_timm`: pixels, labels and names of timm for networks by name and as they are; random weights, no download."""

import sys

import pytest
import torch
from closeness import assert_close
from PIL import Image
from pixels import assert_same_pixels
from torch import nn

import xai_widgets as xw
from xai_widgets.errors import ExplanationWarning

timm = pytest.importorskip("timm")


def _photo():
    return Image.fromarray(xw.data.photograph("coffee"))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet10t", {}),
        ("test_vit", {}),
        ("vit_tiny_patch16_224", {"depth": 1, "img_size": 96}),
        ("vit_small_patch14_dinov2", {"depth": 1, "img_size": 98}),
        ("vit_base_patch16_siglip_224", {"depth": 1, "embed_dim": 48, "num_heads": 2}),
    ],
)
def test_pixels_are_those_of_timms_transform(name, options):
    model = xw.from_timm(name, pretrained=False, device="cpu", **options)
    config = timm.data.resolve_model_data_config(model.module)
    config["input_size"] = (3, *model.size)
    transform = timm.data.create_transform(**config)
    ours = ((model.images(_photo()) - model.mean) / model.std)[0]
    assert_same_pixels(ours - transform(_photo()), model)
    assert model.size == (options.get("img_size", model.size[0]),) * 2
    assert model.name == name


def test_scores_are_those_of_the_network():
    torch.manual_seed(0)
    network = timm.create_model("resnet10t").eval()
    model = xw.from_timm(network, device="cpu")
    x = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(network.pretrained_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    assert_close(model.scores(x), network((x - mean) / std))
    assert model.module is network
    assert model.name == "resnet10t"


@pytest.mark.parametrize(
    ("classes", "index", "label"),
    [(1000, 285, "Egyptian cat"), (11821, 1, "Eurasian green toad"), (21843, 0, None)],
)
def test_labels_are_those_of_imagenet(classes, index, label):
    model = xw.from_timm("resnet10t", pretrained=False, num_classes=classes, device="cpu")
    assert len(model.labels) == classes
    assert not model.labels[index].startswith("class ")
    if label == "Egyptian cat":
        assert model.labels[index] == label


def test_labels_of_the_user_and_of_other_classes():
    create = {"pretrained": False, "num_classes": 3, "device": "cpu"}
    assert xw.from_timm("resnet10t", **create).labels == ["class 0", "class 1", "class 2"]
    assert xw.from_timm("resnet10t", labels=list("abc"), name="own", **create).labels == list("abc")
    network = timm.create_model(
        "resnet10t", num_classes=3, pretrained_cfg_overlay={"label_names": list("xyz")}
    )
    assert xw.from_timm(network, device="cpu").labels == list("xyz")


def test_a_network_without_a_classifier_has_features():
    model = xw.from_timm("vit_small_patch14_dinov2", pretrained=False, depth=1, img_size=98, device="cpu")
    assert model.labels[:2] == ["feature 0", "feature 1"]
    assert (len(model.labels), model.value_name) == (384, "score")
    assert repr(model) == "ImageModel(vit_small_patch14_dinov2: 3x98x98 -> 384 outputs, cpu)"
    x = torch.rand(1, 3, 98, 98)
    assert torch.equal(model.probs(x), model.scores(x))


def test_the_embeddings_of_clip_are_features():
    small = {"depth": 1, "embed_dim": 48, "num_heads": 2, "pretrained": False, "device": "cpu"}
    model = xw.from_timm("vit_base_patch16_clip_224.openai", **small)
    assert model.labels[0] == "feature 0"
    assert xw.from_timm("vit_base_patch16_clip_224", num_classes=1000, **small).labels[285] == "Egyptian cat"


def test_options_of_the_model_take_precedence():
    model = xw.from_timm(
        "resnet10t", pretrained=False, size=128, mean=[0.5] * 3, std=[0.25] * 3, device="cpu"
    )
    assert model.size == (128, 128)
    assert (model.mean == 0.5).all()
    config = timm.data.resolve_model_data_config(model.module)
    # The crop keeps its share of the image.
    network = timm.create_model("resnet10t")
    other = xw.from_timm(network, size=128, device="cpu")
    assert other.resize == int(128 / config["crop_pct"])


def test_another_number_of_channels_needs_its_normalization():
    with pytest.raises(
        ValueError, match=r"expected mean= and std= for a network with 5 channels.*\[0\] \* 5"
    ):
        xw.from_timm("resnet10t", pretrained=False, in_chans=5)
    options = {"mean": [0.0] * 5, "std": [1.0] * 5, "device": "cpu"}
    model = xw.from_timm("resnet10t", pretrained=False, in_chans=5, **options)
    assert model.channels == 5
    assert model.scores(torch.rand(1, 5, 64, 64)).shape == (1, 1000)


def test_unknown_names():
    with pytest.raises(ValueError, match="unknown network of timm 'resnet_18'; did you mean 'resnet18"):
        xw.from_timm("resnet_18")
    with pytest.raises(
        ValueError, match="expected a name or a network of timm, with a pretrained_cfg, got Linear"
    ):
        xw.from_timm(nn.Linear(3, 4))
    with pytest.raises(TypeError, match="expected 'num_classes' only for the name of a network"):
        xw.from_timm(timm.create_model("test_vit"), num_classes=4)


@pytest.mark.parametrize(
    "error", [FileNotFoundError("not in the cache.\nSecond line"), RuntimeError("no weights")]
)
def test_weights_that_cannot_be_downloaded(monkeypatch, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(
        RuntimeError, match=r"expected to download 'resnet18', got .*pretrained=False"
    ) as caught:
        xw.from_timm("resnet18")
    assert "\n" not in str(caught.value)
    # Without a download, errors are those of timm.
    with pytest.raises(type(error), match=str(error).partition("\n")[0]):
        xw.from_timm("resnet18", pretrained=False)


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match=r"pip install 'xai-widgets\[timm\]'"):
        xw.from_timm("resnet18")


def test_a_network_of_timm_without_its_normalization_is_reported():
    network = timm.create_model("test_vit")
    with pytest.warns(ExplanationWarning, match="xai_widgets.from_timm"):
        xw.ImageModel(network, size=160, device="cpu")
