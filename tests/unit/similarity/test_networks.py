"""Similarity and features on networks of other precision and health, and on layers of any layout."""

import pytest
import torch
from networks import SIZE, Functional, images, one_sentence, settle, wrap
from torch import nn

from xai_widgets.features import effective_receptive_field, theoretical_receptive_field, top_activations
from xai_widgets.similarity import (
    activation_grids,
    pack,
    rotations,
    similarity,
    similarity_index,
)


def everything(model, layer="conv1"):
    """Return the results of each function for a layer."""
    x = images(3)
    grids = activation_grids(model, x, layer).result(progress=False)
    index = similarity_index(model, x, layer, side=2).result(progress=False)
    top = top_activations(model, x, layer=layer, side=2).result(progress=False)
    return {
        "grids": torch.stack([grid.raw for grid in grids]),
        "similarity": similarity(grids[0], (1, 2), grids[1]),
        "packed": torch.from_numpy(pack(grids)[0].similarity(0, (1, 2))),
        "search": index.search(grids[0].raw[1, 2]).values,
        "top": top.values[:, :3],
        "patches": top.patches([0])[:, :3],
        "side": torch.tensor(float(effective_receptive_field(model, layer, x))),
        "field": torch.tensor(theoretical_receptive_field(model, layer).size).float(),
        "turned": rotations(x[0], [0.0, 30.0]).images,
    }


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_networks_of_other_precision_work(dtype):
    expected = everything(wrap(settle(Functional())))
    made = everything(wrap(settle(Functional()).to(dtype)))
    for name, values in made.items():
        assert torch.isfinite(values).all(), name
        assert values.shape == expected[name].shape, name
    bound = 30 * max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps) * expected["grids"].abs().max()
    assert (made["grids"] - expected["grids"]).abs().max() <= bound


def test_inside_autocast_only_the_network_is_rounded():
    expected = everything(wrap(settle(Functional())))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = everything(wrap(settle(Functional())))
    for name, values in made.items():
        assert torch.isfinite(values).all(), name
        assert values.dtype == expected[name].dtype, name
    assert torch.equal(made["turned"], expected["turned"])


def test_in_inference_mode_nothing_changes():
    model = wrap(settle(Functional()))
    expected = everything(model)
    with torch.inference_mode():
        made = everything(model)
    for name, values in made.items():
        assert torch.equal(values, expected[name]), name


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: activation_grids(model, images(2), "conv1").result(progress=False),
        lambda model: similarity_index(model, images(2), "conv1", side=2).result(progress=False),
        lambda model: top_activations(model, images(2), layer="conv1", side=2).result(progress=False),
        lambda model: effective_receptive_field(model, "conv1", images(2)),
    ],
)
def test_outputs_that_are_not_numbers_are_refused_in_one_sentence(ask):
    network = settle(Functional())
    network.conv1.weight.data.fill_(float("nan"))
    with pytest.raises(
        ValueError, match=r"got NaN outputs of 'conv1'.* from the network 'Functional'"
    ) as error:
        ask(wrap(network))
    one_sentence(error)


class ChannelsLast(nn.Module):
    """The same convolution, whose output is permuted to channels last, and back."""

    def __init__(self):
        super().__init__()
        self.network = settle(Functional())
        self.last = nn.Identity()

    def forward(self, x):
        y = self.last(self.network.conv1(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        y = torch.max_pool2d(torch.relu(y), 2)
        return self.network.fc(torch.relu(self.network.conv2(y)).flatten(1))


def test_positions_of_channels_last_are_found():
    model = wrap(ChannelsLast())
    first, last = everything(model, "network.conv1"), everything(model, "last")
    for name, values in first.items():
        assert torch.equal(values, last[name]), name
    assert first["grids"].shape == (3, SIZE, SIZE, 6)
