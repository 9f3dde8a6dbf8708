"""`load`: names, weights from the package, from local files, from a cache, and every way it goes wrong."""

import hashlib
import io
import json
import sys
from email.message import Message

import pytest
import torch
from closeness import assert_close
from PIL import Image
from safetensors.torch import save_file

import xai_widgets
from xai_widgets.core.images import to_images
from xai_widgets.data import scenes
from xai_widgets.zoo import available, files, load, networks
from xai_widgets.zoo import torchvision as tv

torchvision = pytest.importorskip("torchvision")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty folder in place of torch's cache of downloads, and no network."""
    from urllib.error import URLError

    def refuse(*_, **__):
        raise URLError("no network in tests")

    monkeypatch.setattr("torch.hub.urlopen", refuse)
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "hub"))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    yield tmp_path / "hub" / "checkpoints"
    torch.hub.set_dir(before)


def _random(name, **options):
    torch.manual_seed(1)
    return torchvision.models.get_model(name, weights=None, **options)


def test_available_lists_bundled_and_torchvision_names():
    names = available()
    assert names[:3] == ["scenes_vgg", "scenes_resnet", "scenes_sr"]
    assert names[3:5] == ["scenes_vgg_permuted", "scenes_resnet_permuted"]
    assert {"resnet18", "googlenet", "vit_b_16", "inception_v3"} <= set(names)
    # No detection, segmentation, video or quantized network.
    assert not any(word in name for name in names for word in ("rcnn", "deeplab", "quantized", "raft", "r3d"))


def test_every_available_name_has_weights_with_all_that_the_model_needs():
    for name in tv.names():
        recommended = torchvision.models.get_model_weights(name).DEFAULT
        facts = tv._facts(recommended, recommended.meta["categories"])
        assert len(facts["labels"]) == 1000
        assert len(facts["mean"]) == len(facts["std"]) == 3
        assert 200 <= facts["size"] <= 600


@pytest.mark.parametrize("name", sorted(networks.BUILDERS))
def test_random_bundled_network(name):
    model = load(name, weights=None, device="cpu")
    expected = networks.build(name)
    x = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        assert_close(model.scores(x), expected((x - 0.5) / 0.25))


@pytest.mark.parametrize(("name", "base"), networks.PERMUTED.items())
def test_a_network_trained_on_permuted_labels_knows_no_class(name, base):
    model = load(name, device="cpu")
    report = json.loads(files.weights_path(name).with_suffix(".json").read_text())
    assert report["accuracy"]["training"] > 0.95
    shown = scenes.generate(120, split="test", size=networks.SIZE)
    with torch.inference_mode():
        found = model(model.images([one.image for one in shown])).argmax(1)
    assert (found == torch.tensor([one.label for one in shown])).float().mean() < 0.25
    assert [layer.name for layer in model.layers()] == [
        layer.name for layer in load(base, device="cpu").layers()
    ]


def test_a_path_to_the_bundled_file_is_the_default():
    x = torch.rand(2, 3, 96, 96)
    a = load("scenes_resnet", device="cpu")
    b = load("scenes_resnet", weights=files.weights_path("scenes_resnet"), device="cpu")
    with torch.inference_mode():
        assert torch.equal(a.scores(x), b.scores(x))


def test_default_weights_come_from_torchs_cache(hub):
    network = _random("resnet18")
    torch.save(network.state_dict(), hub / "resnet18-f37072fd.pth")
    model = xai_widgets.load("resnet18", device="cpu")
    assert model.labels[281] == "tabby"
    x = torch.rand(1, 3, 224, 224)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        assert_close(model.scores(x), network.eval()((x - mean) / std))


def test_weights_may_be_named_as_torchvision_does(hub):
    torch.save(_random("resnet18").state_dict(), hub / "resnet18-f37072fd.pth")
    choices = torchvision.models.ResNet18_Weights
    x = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        a, b = (
            load("resnet18", weights=w, device="cpu").scores(x)
            for w in ("IMAGENET1K_V1", choices.IMAGENET1K_V1)
        )
    assert torch.equal(a, b)
    with pytest.raises(ValueError, match="another network"):
        load("resnet34", weights=choices.IMAGENET1K_V1)


def test_no_network_names_the_alternatives(hub):
    with pytest.raises(RuntimeError) as caught:
        load("resnet18")
    message = str(caught.value)
    for words in ("scenes_resnet", "weights=None", "resnet18-f37072fd.pth", "URLError"):
        assert words in message
    assert "\n" not in message


def test_download_with_the_wrong_hash_is_refused(hub, monkeypatch):
    content = b"not what was promised"

    class Answer(io.BytesIO):
        def info(self):
            return Message()

    monkeypatch.setattr("torch.hub.urlopen", lambda *_, **__: Answer(content))
    assert not hashlib.sha256(content).hexdigest().startswith("f37072fd")
    with pytest.raises(RuntimeError, match=r"hash.*weights=None"):
        load("resnet18")
    assert not list(hub.iterdir())


def test_a_cut_off_file_in_the_cache_is_named(hub):
    whole = hub / "resnet18-f37072fd.pth"
    torch.save(_random("resnet18").state_dict(), whole)
    whole.write_bytes(whole.read_bytes()[:100_000])
    with pytest.raises(RuntimeError, match=r"delete the damaged file .*resnet18-f37072fd.pth"):
        load("resnet18")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_local_file(tmp_path, suffix):
    network = _random("squeezenet1_1")
    path = tmp_path / f"net{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(network.state_dict(), path)
    model = load("squeezenet1_1", weights=str(path), device="cpu")
    assert len(model.labels) == 1000
    assert model.labels[281] == "tabby"
    for key, value in model.module.state_dict().items():
        assert torch.equal(value, network.state_dict()[key])


def test_local_file_of_other_classes_saved_in_parallel_training(tmp_path):
    network = _random("resnet18", num_classes=7)
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "mine.pt")
    model = load("resnet18", weights=tmp_path / "mine.pt", device="cpu")
    assert model.labels == [f"class {i}" for i in range(7)]


@pytest.mark.parametrize(("name", "side"), [("googlenet", 224), ("inception_v3", 299)])
def test_networks_with_auxiliary_heads_return_plain_scores(tmp_path, name, side):
    network = _random(name, aux_logits=True, transform_input=True, init_weights=False)
    torch.save(network.state_dict(), tmp_path / "net.pth")
    model = load(name, weights=tmp_path / "net.pth", device="cpu")
    x = torch.rand(1, 3, side, side)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        scores = model.scores(x)
        assert_close(scores, network.eval()((x - mean) / std))
    assert not any(layer.startswith(("aux", "Aux")) for layer, _ in model.module.named_modules())
    slim = {k: v for k, v in network.state_dict().items() if not k.startswith(("aux", "Aux"))}
    torch.save(slim, tmp_path / "slim.pth")
    again = load(name, weights=tmp_path / "slim.pth", device="cpu")
    with torch.inference_mode():
        assert torch.equal(again.scores(x), scores)


def test_old_names_in_densenet_files(tmp_path):
    network = _random("densenet121")
    old = {
        key.replace("norm1.", "norm.1.")
        .replace("norm2.", "norm.2.")
        .replace("conv1.", "conv.1.")
        .replace("conv2.", "conv.2.")
        if "denselayer" in key
        else key: value
        for key, value in network.state_dict().items()
    }
    assert set(old) != set(network.state_dict())
    torch.save(old, tmp_path / "net.pth")
    model = load("densenet121", weights=tmp_path / "net.pth", device="cpu")
    for key, value in model.module.state_dict().items():
        assert torch.equal(value, network.state_dict()[key])


@pytest.mark.parametrize("name", ["googlenet", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_random_torchvision_network(name):
    model = load(name, weights=None, device="cpu")
    with torch.inference_mode():
        assert model.scores(torch.rand(1, 3, 224, 224)).shape == (1, 1000)
    assert model.labels[0] == "class 0"
    assert not any(m.training for m in model.module.modules())


def test_unknown_names():
    with pytest.raises(ValueError, match="'resnet18'"):
        load("resnet_18")
    with pytest.raises(ValueError, match="'scenes_vgg'"):
        load("scene_vgg")
    with pytest.raises(ValueError, match="IMAGENET1K_V1"):
        load("resnet18", weights="IMAGENET1K_V9")
    with pytest.raises(ValueError, match=r"expected the path of a \.pth or \.safetensors file"):
        load("resnet18", weights="nowhere/net.pth")
    with pytest.raises(ValueError, match=r"expected the path of a \.pth or \.safetensors file"):
        load("scenes_vgg", weights="nowhere.pth")


def test_files_that_do_not_fit(tmp_path):
    torch.save(_random("resnet34").state_dict(), tmp_path / "net.pth")
    with pytest.raises(
        ValueError, match=r"weights of resnet18, got .* with the unknown 'layer1.2.conv1.weight'.*more"
    ):
        load("resnet18", weights=tmp_path / "net.pth")
    state = _random("resnet18").state_dict()
    del state["layer1.0.conv1.weight"]
    state["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(
        ValueError, match=r"without 'layer1.0.conv1.weight'.*\(64, 1, 7, 7\) instead of \(64, 3, 7, 7\)"
    ):
        load("resnet18", weights=tmp_path / "net.pth")
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(ValueError, match="expected the weights of scenes_vgg"):
        load("scenes_vgg", weights=tmp_path / "net.pth")


class _Evil:
    def __reduce__(self):
        return print, ("run from a file",)


@pytest.mark.parametrize("what", ["text", "pickle", "list", "safetensors"])
def test_files_without_a_state_dict(tmp_path, capsys, what):
    path = tmp_path / ("net.safetensors" if what == "safetensors" else "net.pth")
    if what in ("text", "safetensors"):
        path.write_text("no weights here")
    else:
        torch.save(_Evil() if what == "pickle" else [torch.zeros(3)], path)
    with pytest.raises(ValueError, match="net") as caught:
        load("scenes_resnet", weights=path)
    assert "\n" not in str(caught.value)
    assert "run from a file" not in capsys.readouterr().out


def test_missing_torchvision_names_the_extra(monkeypatch):
    tv.names.cache_clear()
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    try:
        assert available()[:3] == ["scenes_vgg", "scenes_resnet", "scenes_sr"]
        assert "resnet18" not in available()
        with pytest.raises(ImportError, match=r"xai-widgets\[vision\]"):
            load("resnet18")
        assert load("scenes_vgg", weights=None, device="cpu").labels[0] == "ringed planet"
    finally:
        tv.names.cache_clear()


def test_missing_bundled_weights_name_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "WEIGHTS", tmp_path)
    with pytest.raises(RuntimeError, match=r"python -m xai_widgets.zoo.train scenes_vgg"):
        load("scenes_vgg")


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_b1", "vit_b_16", "inception_v3"])
@pytest.mark.parametrize("shape", [(480, 640), (301, 517), (700, 300), (120, 90)])
def test_images_are_those_of_the_published_preset(name, shape):
    """Two ways of resizing with antialiasing differ by rounding: PIL has no fractions between its two steps."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 12, 16, generator=generator)
    photo = torch.nn.functional.interpolate(coarse, shape, mode="bicubic").clamp(0, 1)[0]
    image = Image.fromarray((photo.permute(1, 2, 0) * 255).round().byte().numpy())
    weights = torchvision.models.get_model_weights(name).DEFAULT
    facts = tv._facts(weights, weights.meta["categories"])
    made = to_images(
        image, size=(facts["size"],) * 2, resize=facts["resize"], interpolation=facts["interpolation"]
    )
    preset = weights.transforms()
    expected = preset(image) * torch.tensor(preset.std).view(3, 1, 1) + torch.tensor(preset.mean).view(
        3, 1, 1
    )
    assert made.shape[1:] == expected.shape
    difference = (made[0] - expected).abs()
    assert difference.max() <= 2.5 / 255
    assert difference.mean() <= 0.5 / 255
