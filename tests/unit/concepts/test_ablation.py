"""Scores without channels or directions of a layer, against ordinary hooks and by hand."""

import threading

import pytest
import torch
from closeness import assert_close
from networks import Concat, Functional, SharedInPlace, images, settle, wrap
from snapshot import everything
from torch import nn

from xai_widgets.concepts import ablate
from xai_widgets.core.model import ImageModel

NETWORKS = [
    (Functional, "conv2"),
    (SharedInPlace, "block1"),
    (SharedInPlace, "block1.conv2"),
    (Concat, "right"),
    (Functional, "fc"),
]


def by_hook(model, x, layer, change):
    """Scores where the output of a layer is changed by an ordinary hook."""
    handle = model.module.get_submodule(layer).register_forward_hook(lambda *call: change(call[-1].clone()))
    try:
        with torch.no_grad():
            return model(x)
    finally:
        handle.remove()


def zeroed(channels):
    def change(output):
        output[:, channels] = 0
        return output

    return change


@pytest.mark.parametrize(("network", "layer"), NETWORKS)
def test_channels_are_set_to_zero(network, layer):
    model, x = wrap(settle(network())), images(3)
    sets = [[], [0], [2, 1], [0, 1, 2]]
    scores = ablate(model, x, sets, layer=layer, batch_size=5)
    for index, channels in enumerate(sets):
        assert_close(scores[:, index], by_hook(model, x, layer, zeroed(channels)))


def test_the_network_is_not_changed():
    network = settle(SharedInPlace()).train()
    model = wrap(network)
    before = everything(network)
    ablate(model, images(2), [[0], [1]], layer="block1.conv2", fill="mean")
    assert everything(network) == before


def test_the_mean_fill_is_that_of_the_images():
    model, x = wrap(settle(Functional())), images(4)
    mean = model.activations(x, "conv2")["conv2"].mean((0, 2, 3))

    def change(output):
        output[:, 3] = mean[3]
        return output

    expected = by_hook(model, x, "conv2", change)
    assert_close(ablate(model, x, [[3]], layer="conv2", fill="mean")[:, 0], expected)
    assert_close(ablate(model, x, [[3]], layer="conv2", fill=mean)[:, 0], expected)


def test_directions_of_channels_are_channels():
    model, x = wrap(settle(Functional())), images(2)
    sets = [[], [1], [4, 6]]
    unit = ablate(model, x, sets, layer="conv2", directions=3 * torch.eye(8), fill="mean")
    assert_close(unit, ablate(model, x, sets, layer="conv2", fill="mean"))


@pytest.mark.parametrize("network", [Functional, Concat])
def test_the_span_of_directions_is_removed(network):
    model, x = wrap(settle(network())), images(2)
    layer = "conv2" if network is Functional else "right"
    width = model.layer(layer).shape[0]
    directions = torch.randn(3, width, generator=torch.Generator().manual_seed(0))
    scores = ablate(model, x, [[0, 2]], layer=layer, directions=directions)
    basis, _ = torch.linalg.qr(directions[[0, 2]].T.double())
    projector = torch.eye(width).double() - basis @ basis.T

    def change(output):
        return torch.einsum("nkhw,kj->njhw", output.double(), projector).float()

    assert_close(scores[:, 0], by_hook(model, x, layer, change))


def test_a_linear_network_loses_its_term():
    linear = nn.Linear(6, 3)
    model = ImageModel(nn.Sequential(nn.Flatten(), nn.Linear(48, 6), linear), size=4)
    x = torch.rand(2, 3, 4, 4)
    hidden = model.activations(x, "1")["1"]
    before, after = ablate(model, x, [[], [2]], layer="1").unbind(1)
    assert_close(before - after, hidden[:, 2, None] * linear.weight[:, 2])


def test_another_thread_sees_no_ablation():
    network = settle(Functional())
    model, x = wrap(network), images(2)
    expected = model.scores(x)
    seen = []

    def watch(_module, _inputs, output):
        thread = threading.Thread(target=lambda: seen.append(model.scores(x)))
        if threading.current_thread() is threading.main_thread():
            thread.start()
            thread.join()
        return output

    handle = network.fc.register_forward_hook(watch)
    try:
        ablate(model, x, [[0, 1, 2, 3]], layer="conv1")
    finally:
        handle.remove()
    assert seen
    assert all(torch.equal(scores, expected) for scores in seen)


@pytest.mark.parametrize(
    ("sets", "options", "message"),
    [
        ([[8]], {}, "from 0 to 7"),
        ([3], {}, "sequence of integers"),
        ([], {}, "sets of indices"),
        ([[0]], {"fill": "means"}, "'mean'"),
        ([[0]], {"fill": 3}, "'zero', 'mean'"),
        ([[0]], {"fill": torch.zeros(3)}, "shape"),
        ([[1]], {"directions": torch.zeros(1, 8)}, "from 0 to 0"),
        ([[0]], {"layer": "conv3"}, "conv2"),
    ],
)
def test_wrong_arguments_are_refused(sets, options, message):
    model = wrap(settle(Functional()))
    with pytest.raises((TypeError, ValueError), match=message):
        ablate(model, images(1), sets, **({"layer": "conv2"} | options))
