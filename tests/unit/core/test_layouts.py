"""Layers whose positions are not (C, h, w), and layers that are unsuitable defaults."""

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from networks import CLASSES, Tokens, images, one_sentence, settle, wrap
from torch import nn

from xai_widgets.core.grids import Grid, find_grid
from xai_widgets.methods import METHODS

CAMS = ["grad_cam", "grad_cam_plus_plus", "fem", "norm_grad", "selective_norm_grad", "linear_approximation"]


class ChannelsLast(nn.Module):
    """A convolution whose output has its channels last, and the same network with them first."""

    def __init__(self, last):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1, stride=2)
        self.norm = nn.LayerNorm(5)
        self.move = nn.Identity()
        self.fc = nn.Linear(5, CLASSES)
        self.last = last

    def forward(self, x):
        x = self.norm(self.conv(x).permute(0, 2, 3, 1))
        x = self.move(x) if self.last else self.move(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.fc(F.relu(x).mean((1, 2)))


class Tables(nn.Module):
    """A table that does not depend on the image, a decoder, and an attention map beside the features."""

    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.randn(1, 4, 8, 8))

        def forward(self):
            return self.bias * 2

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 6, 3, padding=1)
        self.gate = nn.Conv2d(6, 1, 3, padding=1)
        self.table = self.Table()
        self.fc = nn.Linear(6, CLASSES)
        self.decoder = nn.Conv2d(6, 3, 3, padding=1)

    def forward(self, x):
        f = F.relu(self.features(x))
        pooled = (f * self.gate(f).sigmoid()).mean((2, 3)) + self.table().mean()
        return {"logits": self.fc(pooled), "reconstruction": self.decoder(f)}


@pytest.mark.parametrize("name", CAMS)
def test_channels_that_come_last_are_moved(name):
    last, first = settle(ChannelsLast(True)), settle(ChannelsLast(False))
    grid = wrap(last).layer("move").grid
    assert grid == Grid("channels_last", 4, 4)
    made, expected = (METHODS[name](wrap(each), images(2), 1, layer="move") for each in (last, first))
    assert_close(made, expected)
    assert wrap(last).default_layer() == "move"


@pytest.mark.parametrize("prefix", [1, 2, 5])
def test_tokens_are_laid_out_on_the_grid_of_the_patches(prefix):
    network = settle(Tokens(prefix))
    model, x = wrap(network), images(2)
    assert model.layer("blocks.1").grid == Grid("tokens", 4, 4, prefix)
    assert model.default_layer() == "blocks.1", "behind it only the class token plays a part"
    activation = model.activations(x, "blocks.1")["blocks.1"]
    spatial = model.spatial("blocks.1", activation)
    assert spatial.shape == (2, 8, 4, 4)
    assert torch.equal(spatial[1, :, 2, 3], activation[1, prefix + 2 * 4 + 3])
    kept = activation.clone().requires_grad_()
    score = network.fc(network.blocks[2](kept)[:, 0])[:, 1].sum()
    (gradient,) = torch.autograd.grad(score, kept)
    weights = gradient[:, prefix:].mean(1, keepdim=True)
    expected = (weights * activation[:, prefix:]).sum(2).relu().view(2, 1, 4, 4)
    assert_close(METHODS["grad_cam"](model, x, 1), expected)


def test_what_attention_pays_is_no_grid():
    model = wrap(settle(Tokens()))
    assert model.layer("blocks.0.attention.scores").shape == (2, 18, 18)
    assert model.layer("blocks.0.attention.scores").grid is None
    with pytest.raises(
        ValueError, match=r"with spatial positions, .* shape \(2, 18, 18\); try 'blocks"
    ) as error:
        METHODS["grad_cam"](model, images(1), 0, layer="blocks.0.attention.scores")
    one_sentence(error)


def test_the_default_layer_is_on_the_way_changes_with_the_image_and_carries_the_features():
    model = wrap(settle(Tables()), output="logits")
    assert model.default_layer() == "features"
    used = {layer.name: layer.used for layer in model.layers()}
    assert used == {"features": True, "gate": True, "table": False, "fc": True, "decoder": False}
    for layer in ("decoder", "table"):
        with pytest.raises(ValueError, match=r"that the scores depend on, .* try 'features'") as error:
            METHODS["grad_cam"](model, images(1), 0, layer=layer)
        one_sentence(error)


@pytest.mark.parametrize(
    ("shape", "kind", "image", "grid"),
    [
        ((6, 7, 7), "Block", (224, 224), Grid("channels_first", 7, 7)),
        ((7, 7, 768), "LayerNorm", (224, 224), Grid("channels_last", 7, 7)),
        ((64, 5, 7), "Block", (160, 224), Grid("channels_first", 5, 7)),
        ((512, 1, 25), "Conv2d", (32, 100), Grid("channels_first", 1, 25)),
        ((3, 197, 64), "Identity", (224, 224), None),
        ((197, 768), "Block", (224, 224), Grid("tokens", 14, 14, 1)),
        ((201, 384), "Block", (224, 224), Grid("tokens", 14, 14, 5)),
        ((35, 16), "Block", (40, 56), Grid("tokens", 5, 7, 0)),
        ((10,), "Linear", (224, 224), None),
        ((1, 1, 1000), "Linear", (224, 224), Grid("channels_last", 1, 1)),
    ],
)
def test_grids_are_found_by_their_proportions(shape, kind, image, grid):
    assert find_grid(torch.zeros(1, *shape), kind, image) == grid


def test_merged_patches_have_half_the_grid():
    known = [Grid("tokens", 8, 8, 0)]
    assert find_grid(torch.zeros(1, 16, 32), "Block", (32, 32), known) == Grid("tokens", 4, 4)
    assert find_grid(torch.zeros(1, 20, 32), "Block", (32, 32), known) is None
    assert find_grid(torch.zeros(4, 16, 32), "Block", (32, 32), known) is None, "windows are not images"
