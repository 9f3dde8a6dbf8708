"""Sanity by weight randomization: which layers change when, and that the caller's network does not."""

import re

import pytest
import torch
from closeness import assert_close
from networks import Concat, Dropping, Functional, SharedInPlace, images, settle, wrap
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS
from xai_widgets.metrics import pearson, spearman, ssim, weight_randomization


def weights_seen(seen):
    """An explainer that notes the weights it is shown."""

    def explain(model, x, target):
        seen.append({name: value.clone() for name, value in model.module.state_dict().items()})
        return METHODS["gradient"](model, x, target)

    return explain


def layer_of(key):
    return key.rpartition(".")[0]


@pytest.mark.parametrize("mode", ["cascading", "independent"])
def test_layers_lose_their_weights_in_order(mode):
    network = settle(SharedInPlace())
    model, seen = wrap(network), []
    run = weight_randomization(model, images(2), 1, explain=weights_seen(seen), mode=mode)
    result = run.result(progress=False)
    layers = [
        "fc",
        "block2.conv2",
        "block2.bn1",
        "block2.conv1",
        "block1.conv2",
        "block1.bn1",
        "block1.conv1",
        "conv1",
    ]
    assert list(result.layers) == layers
    assert run.total == run.done == result.done == len(layers)
    trained = network.state_dict()
    for at, state in enumerate(seen):
        changed = {layer_of(key) for key in trained if not torch.equal(trained[key], state[key])}
        assert changed == set(layers[:at] if mode == "cascading" else layers[at - 1 : at] if at else [])


def test_weights_are_those_before_training_and_the_same_in_both_modes():
    model, first, second = wrap(settle(SharedInPlace())), [], []
    weight_randomization(model, images(1), 1, explain=weights_seen(first)).result(progress=False)
    run = weight_randomization(model, images(1), 1, explain=weights_seen(second), mode="independent")
    layers = run.result(progress=False).layers
    for at, layer in enumerate(layers, start=1):
        for key, value in second[at].items():
            if layer_of(key) == layer:
                assert torch.equal(value, first[at][key])
    final = first[-1]
    assert final["conv1.bias"].tolist() == [0] * 6
    for part, value in {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}.items():
        assert final[f"block1.bn1.{part}"].tolist() == [value] * 6


def test_the_spread_of_the_weights_keeps_that_of_the_activations():
    wide = wrap(nn.Sequential(nn.Conv2d(3, 400, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400 * 36, 4)))
    seen = []
    weight_randomization(wide, images(1), 1, explain=weights_seen(seen)).result(progress=False)
    assert seen[-1]["0.weight"].var().item() == pytest.approx(2 / 27, rel=0.05)
    assert seen[-1]["3.weight"].var().item() == pytest.approx(2 / (400 * 36), rel=0.05)


def test_agreement_is_measured_against_the_map_of_the_trained_network():
    model, x = wrap(settle(Functional())), images(2)
    result = weight_randomization(model, x, [0, 2], explain="gradient_x_input").result(progress=False)
    first = METHODS["gradient_x_input"].saliency(model, x, [0, 2])
    assert torch.equal(result.maps[0], first)
    assert result.maps.shape == (4, 2, 8, 8)
    for at, now in enumerate(result.maps[1:]):
        assert torch.equal(result.spearman[:, at], spearman(first, now))
        assert torch.equal(result.spearman_abs[:, at], spearman(first.abs(), now.abs()))
        assert torch.equal(result.pearson[:, at], pearson(first, now))
        assert torch.equal(result.ssim[:, at], ssim(first, now))
    probs = model.probs(x)
    assert_close(result.scores[:, 0], probs[torch.arange(2), torch.tensor([0, 2])])
    assert (result.scores[:, 1:] != result.scores[:, :1]).any()


def test_a_method_that_does_not_look_at_the_network_agrees_with_itself():
    def edges(model, x, target):
        return x.diff(dim=3).abs().sum(1)

    result = weight_randomization(wrap(settle(Concat())), images(2), explain=edges).result(progress=False)
    for measure in (result.spearman, result.spearman_abs, result.pearson, result.ssim):
        assert_close(measure, torch.ones(2, len(result.layers)))


def test_snapshots_grow_layer_by_layer():
    snapshots = list(weight_randomization(wrap(settle(Functional())), images(2), 1))
    for at, snapshot in enumerate(snapshots, start=1):
        assert snapshot.done == at
        assert len(snapshot.maps) == 1 + at
        assert torch.isnan(snapshot.ssim).tolist() == [[k >= at for k in range(3)]] * 2
        assert torch.isnan(snapshot.scores).tolist() == [[k > at for k in range(4)]] * 2


def test_layers_of_ones_own_and_blocks_with_all_they_hold():
    network = settle(SharedInPlace())
    model, seen = wrap(network), []
    run = weight_randomization(model, images(1), 1, explain=weights_seen(seen), layers=["block1"])
    assert run.result(progress=False).layers == ("block1",)
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, seen[1][key])}
    assert {layer_of(key) for key in changed} == {"block1.conv1", "block1.bn1", "block1.conv2"}


def test_maps_of_a_layer_are_brought_to_the_image_and_anything_with_saliency_is_taken():
    model, x = wrap(settle(Functional())), images(2)
    by_name = weight_randomization(model, x, 1, explain="grad_cam", layer="conv2").result(progress=False)
    by_method = weight_randomization(model, x, 1, explain=METHODS["grad_cam"], layer="conv2")
    assert by_name.maps.shape[2:] == (8, 8)
    assert torch.equal(by_name.maps, by_method.result(progress=False).maps)


def test_the_seed_decides_and_nothing_of_the_callers_changes():
    network = settle(Dropping()).train()
    network.requires_grad_(False)
    model, x = wrap(network), images(2)

    def seen():
        return {name: value.tolist() for name, value in network.state_dict().items()} | {
            "version": [value._version for value in network.state_dict().values()],
            "gradients": [p.requires_grad for p in network.parameters()],
            "training": [part.training for part in network.modules()],
            "random": torch.get_rng_state().tolist(),
        }

    model.layers()
    before = seen()
    for mode in ("cascading", "independent"):
        first, same, other = (
            weight_randomization(model, x, 1, mode=mode, seed=seed).result(progress=False).maps
            for seed in (0, 0, 1)
        )
        assert torch.equal(first, same)
        assert not torch.equal(first, other)
        assert seen() == before
    with torch.inference_mode():
        inside = weight_randomization(model, x, 1, mode="independent").result(progress=False).maps
    assert torch.equal(
        inside, weight_randomization(model, x, 1, mode="independent").result(progress=False).maps
    )
    run = weight_randomization(model, x, 1)
    next(iter(run))
    assert seen() == before
    assert run.latest.done == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "cascade"}, "unknown mode 'cascade'; did you mean 'cascading'"),
        ({"layers": ["conv3"]}, "unknown layer 'conv3'; did you mean 'conv"),
        ({"explain": "gradeint"}, "unknown method 'gradeint'; did you mean 'gradient'"),
    ],
)
def test_bad_input_is_named_in_one_sentence(options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        weight_randomization(wrap(settle(Functional())), images(1), **options)


def test_layers_without_weights_are_refused():
    with pytest.raises(ValueError, match="expected a layer with weights, got 'relu'; for example 'fc'"):
        weight_randomization(wrap(settle(SharedInPlace())), images(1), layers=["relu"])
    empty = nn.Sequential(nn.AvgPool2d(2), nn.Flatten())
    with pytest.raises(ValueError, match="expected a network with weights"):
        weight_randomization(wrap(empty, labels=None), images(1))


class Shifted(nn.Module):
    """A convolution and a head, with a second input that is added to the scores."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)

    def forward(self, x, shift):
        return self.head(self.convolution(x).relu().mean((2, 3))) + shift


def test_a_network_with_a_second_input_loses_the_weights_of_its_layers():
    model = ImageModel(settle(Shifted()), inputs={"shift": torch.ones(5)}, size=8)
    result = weight_randomization(model, images(1), 1).result(progress=False)
    assert result.layers == ("head", "convolution")
    assert (result.scores[:, 1:] != result.scores[:, :1]).all()
