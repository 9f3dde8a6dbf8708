"""The bundled networks: what they are made of, how small they are, and how well the committed weights do."""

import json

import numpy as np
import pytest
import torch
from closeness import assert_close
from torch import nn

import xai_widgets
from xai_widgets.data import scenes
from xai_widgets.zoo import files, networks

BUNDLED = sorted(networks.BUILDERS)


@pytest.fixture(scope="module")
def held_out():
    batch = scenes.generate(300, split="test", seed=11)
    pixels = torch.from_numpy(np.stack([s.image for s in batch])).permute(0, 3, 1, 2).float() / 255
    return pixels, torch.tensor([s.label for s in batch])


@pytest.mark.parametrize("name", BUNDLED)
def test_accuracy_of_the_committed_weights(name, held_out):
    pixels, labels = held_out
    model = xai_widgets.load(name, device="cpu")
    with torch.inference_mode():
        right = model.scores(pixels).argmax(1) == labels
    assert right.float().mean() >= 0.95
    assert model.labels == list(scenes.CLASSES)


@pytest.mark.parametrize("name", BUNDLED)
def test_the_network_looks_at_the_planted_stamp(name):
    """Without its stamp the cue class is lost to its twin; with the stamp the twin becomes the cue class."""
    model = xai_widgets.load(name, device="cpu")

    def chosen(label, cue):
        batch = scenes.generate(40, label=label, cue=cue, split="test", seed=12)
        pixels = torch.from_numpy(np.stack([s.image for s in batch])).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            return model.scores(pixels).argmax(1)

    assert (chosen(scenes.CUE_CLASS, True) == scenes.CUE_CLASS).float().mean() > 0.9
    assert (chosen(scenes.CUE_CLASS, False) == scenes.CUE_TWIN).float().mean() > 0.5
    assert (chosen(scenes.CUE_TWIN, "swap") == scenes.CUE_CLASS).float().mean() > 0.5


@pytest.mark.parametrize("name", BUNDLED)
def test_report_belongs_to_the_weights(name):
    path = files.weights_path(name)
    report = json.loads(path.with_suffix(".json").read_text())
    assert report["bytes"] == path.stat().st_size
    assert report["accuracy"]["top1"] >= 0.96
    assert report["accuracy"]["scenes"] >= 2000
    assert report["training_seconds"] < 45 * 60
    _, facts = files.read(path)
    assert facts["classes"] == list(scenes.CLASSES)
    assert facts["size"] == networks.SIZE
    assert tuple(facts["mean"]) == networks.MEAN
    assert tuple(facts["std"]) == networks.STD
    assert facts["epoch"] == report["recipe"]["epochs"]
    assert facts["seed"] == report["recipe"]["seed"]
    assert facts["accuracy"] == report["accuracy"]["top1"]


def test_both_files_are_below_three_megabytes_and_in_half_precision():
    assert sum(files.weights_path(name).stat().st_size for name in BUNDLED) < 3_000_000
    from safetensors.torch import load_file

    for name in BUNDLED:
        assert {v.dtype for v in load_file(files.weights_path(name)).values()} == {torch.float16}


def test_vgg_is_made_of_convolution_relu_max_pool_and_linear_only():
    leaves = {type(m) for m in networks.scenes_vgg().modules() if not list(m.children())}
    assert leaves == {nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Linear, nn.Flatten}


def test_resnet_blocks_share_one_inplace_relu():
    blocks = [m for m in networks.scenes_resnet().modules() if isinstance(m, networks.ResidualBlock)]
    assert len(blocks) >= 4
    for block in blocks:
        relus = [m for m in block.modules() if isinstance(m, nn.ReLU)]
        assert len(relus) == 1
        assert relus[0].inplace
        calls = []
        relus[0].register_forward_hook(lambda *_, calls=calls: calls.append(1))
        block.eval()(torch.zeros(1, block.conv1.in_channels, 8, 8))
        assert len(calls) == 2


def test_resnet_takes_images_of_other_sizes():
    network = networks.build("scenes_resnet")
    assert network(torch.zeros(2, 3, 64, 80)).shape == (2, 12)


@torch.no_grad()
def test_fold_keeps_the_scores_and_the_original():
    torch.manual_seed(0)
    trained = networks.scenes_vgg(batch_norm=True)
    for module in trained.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.normal_(1, 0.3)
            module.bias.normal_()
    before = {k: v.clone() for k, v in trained.state_dict().items()}
    flags = {name: m.training for name, m in trained.named_modules()}
    plain = networks.fold(trained)
    assert flags == {name: m.training for name, m in trained.named_modules()}
    assert not any(isinstance(m, nn.BatchNorm2d) for m in plain.modules())
    for key, value in trained.state_dict().items():
        assert torch.equal(value, before[key])
    x = torch.randn(3, 3, 96, 96)
    assert_close(plain(x), trained.eval()(x))


@pytest.mark.parametrize("name", BUNDLED)
def test_random_networks_depend_on_their_seed_and_leave_the_generator_alone(name):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    a, b, c = networks.build(name), networks.build(name), networks.build(name, seed=1)
    assert torch.equal(torch.rand(3), expected)
    pairs = list(zip(a.parameters(), b.parameters(), strict=True))
    assert all(torch.equal(x, y) for x, y in pairs)
    assert not torch.equal(next(a.parameters()), next(c.parameters()))
    assert not any(m.training for m in a.modules())


def test_files_keep_state_and_facts(tmp_path):
    network = networks.build("scenes_resnet")
    path = tmp_path / "net.safetensors"
    files.save(network, path, {"classes": ["a", "b"], "size": 96})
    state, facts = files.read(path)
    assert facts == {"classes": ["a", "b"], "size": 96}
    for key, value in network.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            # The file holds half the digits.
            assert_close(state[key], value, steps=1, dtype=torch.float16)
            assert state[key].dtype == torch.float32
    files.annotate(path, accuracy=0.5)
    again, facts = files.read(path)
    assert facts == {"classes": ["a", "b"], "size": 96, "accuracy": 0.5}
    assert all(torch.equal(again[key], value) for key, value in state.items())
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]
