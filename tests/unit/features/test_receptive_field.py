"""Theoretical receptive fields, against the arithmetic of kernels, strides and padding."""

import re

import pytest
import torch
from closeness import near
from examples import fewer_examples
from hypothesis import given
from hypothesis import strategies as st
from networks import Functional, one_sentence, settle, wrap
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.features import theoretical_receptive_field

LAYER = st.tuples(st.integers(1, 5), st.integers(1, 2), st.sampled_from(["conv", "max", "average"]))


@given(st.lists(LAYER, min_size=1, max_size=3), st.booleans())
@fewer_examples(2)
def test_it_is_that_of_kernels_strides_and_padding(kinds, dead):
    height, width = 40, 48
    parts, channels = [], 3
    size, jump, start = 1, 1, 0.5
    for kernel, stride, kind in kinds:
        padding = kernel // 2
        if kind == "conv":
            conv = nn.Conv2d(channels, 2, kernel, stride=stride, padding=padding)
            # Weights that are zero, and units that are off, change nothing.
            nn.init.constant_(conv.weight, 0 if dead else 1)
            nn.init.constant_(conv.bias, -1 if dead else 0)
            parts += [conv, nn.ReLU()]
            channels = 2
        else:
            parts.append((nn.MaxPool2d if kind == "max" else nn.AvgPool2d)(kernel, stride, padding))
        size += (kernel - 1) * jump
        start += ((kernel - 1) / 2 - padding) * jump
        jump *= stride
    last = len(parts) - 1
    network = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2))
    model = ImageModel(network, size=(height, width))
    made = theoretical_receptive_field(model, str(last))
    rows, columns = next(layer.shape[1:] for layer in model.layers() if layer.name == str(last))
    assert made.size == (size, size)
    middle = [start + jump * (count // 2) for count in (columns, rows)]
    cell = [(count // 2 + 0.5) / count * extent for count, extent in ((columns, width), (rows, height))]
    assert made.offset == near([a - b for a, b in zip(middle, cell, strict=True)])


def test_a_field_larger_than_the_image_is_measured_on_a_larger_one():
    model = wrap(settle(Functional()))
    assert theoretical_receptive_field(model, "conv1").size == (3, 3)
    # 3 + 1 + 2 * 2; the layers behind it take images of 8 pixels only.
    assert theoretical_receptive_field(model, "conv2").size == (8, 8)
    assert model.images(torch.rand(1, 3, 8, 8)).shape[2:] == (8, 8)

    class Narrow(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("weights", torch.ones(8, 8))
            self.conv = nn.Conv2d(3, 2, 9, padding=4)

        def forward(self, x):
            return self.conv(x * self.weights).mean((2, 3))

    # Modules before it do too: no more is seen than an image holds.
    assert theoretical_receptive_field(ImageModel(Narrow(), size=8), "conv").size == (8, 8)

    class Everywhere(nn.Module):
        def __init__(self):
            super().__init__()
            self.keep = nn.Identity()

        def forward(self, x):
            return self.keep(x + x.mean((2, 3), keepdim=True)).mean((2, 3))

    everywhere = theoretical_receptive_field(ImageModel(Everywhere(), size=(6, 9)), "keep")
    assert everywhere.size == (18, 12)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("conv3", "did you mean 'conv"),
        (
            "fc",
            "got 'fc' with an output of shape (4,)",
        ),
    ],
)
def test_refusals(layer, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        theoretical_receptive_field(wrap(settle(Functional())), layer)
    one_sentence(error)


def test_a_layer_that_no_pixel_reaches():
    class Blind(nn.Module):
        def __init__(self):
            super().__init__()
            self.keep = nn.Identity()
            self.register_buffer("map", torch.ones(1, 3, 2, 2))

        def forward(self, x):
            return x.mean((2, 3)) + self.keep(self.map).mean((2, 3))

    with pytest.raises(ValueError, match="no pixel reaches"):
        theoretical_receptive_field(ImageModel(Blind(), size=4), "keep")
