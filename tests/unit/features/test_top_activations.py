"""Where channels are largest, against a plain search, and the patches around it."""

import pytest
import torch
from closeness import assert_close
from hypothesis import given
from hypothesis import strategies as st
from networks import Functional, Tokens, images, one_sentence, settle, wrap
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.features import effective_receptive_field, top_activations


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def some(count, seed=0):
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 7), st.integers(1, 5), st.integers(1, 7), st.integers(0, 50))
def test_the_largest_activations_are_those_of_a_plain_search(count, k, batch_size, seed):
    model = wrap(settle(Functional()))
    x = some(count, seed)
    run = top_activations(model, x, layer="conv2", k=k, batch_size=batch_size)
    made = run.result(progress=False)
    assert run.done == run.total == -(-count // batch_size)
    activation = model.activations(x, "conv2")["conv2"]
    assert made.grid == (4, 4)
    for channel in range(8):
        ranked = sorted(range(count), key=lambda n: -activation[n, channel].max().item())[:k]
        there = made.images[channel] >= 0
        assert there.sum() == min(k, count)
        assert_close(made.values[channel, there], activation[ranked, channel].amax((1, 2)))
        for value, image, (row, column) in zip(
            made.values[channel, there],
            made.images[channel, there],
            made.positions[channel, there],
            strict=True,
        ):
            assert_close(activation[image, channel, row, column], value)
        assert made.values[channel, ~there].isnan().all()


class Finder(nn.Module):
    """Two channels that are the red and the blue of each 4-pixel cell; scores that nobody asks for."""

    def __init__(self):
        super().__init__()
        self.cells = nn.AvgPool2d(4)
        self.keep = nn.Identity()

    def forward(self, x):
        return self.keep(self.cells(x))[:, [0, 2]].mean((2, 3))


def test_patches_lie_around_the_positions_and_inside_the_image():
    model = ImageModel(Finder(), size=(16, 24))
    x = torch.zeros(3, 3, 16, 24)
    x[1, 0, 8:12, 20:24] = 0.8
    x[2, 2, 0:4, 0:4] = 1
    made = top_activations(model, list(x), layer="keep", k=1).result(progress=False)
    assert made.side == 4
    assert made.images[[0, 2], 0].tolist() == [1, 2]
    assert made.positions[[0, 2], 0].tolist() == [[2, 5], [0, 0]]
    patches = made.patches([2, 0])
    assert patches.shape == (2, 1, 3, 4, 4)
    assert torch.equal(patches[0, 0], x[2, :, 0:4, 0:4])
    assert torch.equal(patches[1, 0], x[1, :, 8:12, 20:24])


def test_fewer_images_than_k_leave_empty_patches(model):
    made = top_activations(model, some(2), layer="conv1", k=3).result(progress=False)
    patches = made.patches([0, 5])
    assert patches.shape[:3] == (2, 3, 3)
    assert patches[:, 2].isnan().all()
    assert not patches[:, :2].isnan().any()


@pytest.mark.parametrize(("kernel", "side"), [(1, 1), (3, 3), (5, 5)])
def test_the_receptive_field_of_one_convolution_is_its_kernel(kernel, side):
    convolution = nn.Conv2d(3, 2, kernel, padding=kernel // 2)
    nn.init.ones_(convolution.weight)
    network = nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = ImageModel(network.eval(), size=17)
    assert effective_receptive_field(model, "0", torch.rand(1, 3, 17, 17), share=1.0) == side


def test_the_receptive_field_is_smaller_for_a_smaller_share_and_never_leaves_the_image(model):
    x = some(3)
    sides = [effective_receptive_field(model, "conv2", x, share=share) for share in (0.2, 0.6, 1.0)]
    assert sides == sorted(sides)
    assert sides[0] >= 2
    assert sides[-1] <= 8


def test_what_cannot_be_is_refused_in_a_sentence(model):
    for options, message in [
        ({"layer": "conv3"}, "conv2"),
        (
            {"layer": "fc"},
            r"got 'fc' with an output of shape \(4,\); try 'conv2'",
        ),
        ({"layer": "conv1", "k": 0}, "expected k to be an integer from 1 to 100000, got 0"),
        ({"layer": "conv1", "batch_size": 0}, "expected batch_size to be an integer of at least 1"),
        ({"layer": "conv1", "side": 9}, "expected side to be an integer from 1 to 8, got 9"),
    ]:
        with pytest.raises(ValueError, match=message) as error:
            top_activations(model, some(2), **options)
        one_sentence(error)
    with pytest.raises(ValueError, match="expected at least one image"):
        top_activations(model, [], layer="conv1")
    with pytest.raises(
        ValueError, match="expected share to be a number above 0 and at most 1, got 0"
    ) as error:
        effective_receptive_field(model, "conv1", some(1), share=0)
    one_sentence(error)


def test_patches_along_directions_are_those_of_their_products(model):
    x = some(5)
    directions = torch.randn(2, 8, generator=torch.Generator().manual_seed(3))
    made = top_activations(model, x, layer="conv2", directions=directions, k=3).result(progress=False)
    products = torch.einsum("nkhw,mk->nmhw", model.activations(x, "conv2")["conv2"], directions)
    best = products.flatten(2).amax(2).T.sort(1, descending=True)
    assert_close(made.values, best.values[:, :3])
    assert torch.equal(made.images, best.indices[:, :3])
    for direction, image, (row, column) in zip(
        (0, 1), made.images[:, 0], made.positions[:, 0].tolist(), strict=True
    ):
        assert products[image, direction, row, column] == made.values[direction, 0]
    single = top_activations(model, x, layer="conv2", directions=directions[1], k=3).result(progress=False)
    assert torch.equal(single.images, made.images[1:])
    with pytest.raises(ValueError, match="expected directions"):
        top_activations(model, x, layer="conv2", directions=directions[:, :7])


def test_directions_have_the_channels_of_tokens():
    tokens, x = wrap(settle(Tokens())), images(3)
    layer = tokens.default_layer()
    activation = tokens.spatial(layer, tokens.activations(x, layer)[layer])
    directions = torch.eye(activation.shape[1])[:2]
    made = top_activations(tokens, x, layer=layer, directions=directions, k=1, side=4).result(progress=False)
    assert_close(made.values[:, 0], activation[:, :2].flatten(2).amax(2).amax(0))
