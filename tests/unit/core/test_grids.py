"""Layouts of positions: to (C, h, w) and back, the tokens beside them, and layouts given by the user."""

import pytest
import torch
from networks import CLASSES, SIZE, Tokens, images, one_sentence, settle, wrap
from torch import nn

import xai_widgets as xw
from xai_widgets.core.grids import Grid, name_prefix

GRIDS = [
    (Grid("channels_first", 3, 4), (5, 3, 4)),
    (Grid("channels_last", 3, 4), (3, 4, 5)),
    (Grid("tokens", 3, 4), (12, 5)),
    (Grid("tokens", 3, 4, prefix=2), (14, 5)),
]


@pytest.mark.parametrize(("grid", "shape"), GRIDS)
def test_positions_go_to_spatial_and_back(grid, shape):
    assert grid.fits(shape)
    assert not grid.fits((*shape, 1))
    output = torch.rand(2, *shape)
    spatial = grid.spatial(output)
    assert spatial.shape == (2, 5, 3, 4)
    assert torch.equal(grid.with_spatial(output, spatial), output)
    doubled = grid.with_spatial(output, 2 * spatial)
    assert torch.equal(grid.spatial(doubled), 2 * spatial)
    assert torch.equal(grid.prefix_tokens(doubled), grid.prefix_tokens(output)), "no position, no change"
    assert grid.prefix_tokens(output).shape == (2, grid.prefix, 5)
    assert output.shape[1 + torch.tensor(shape).tolist().index(5)] == output.shape[grid.channel_dimension]


def test_tokens_of_another_size_have_the_aspect_ratio_of_the_grid():
    grid = Grid("tokens", 2, 4, prefix=1)
    assert grid.spatial(torch.rand(1, 19, 5))[0, 0].shape == (3, 6)
    with pytest.raises(
        ValueError, match="expected tokens of an image with the aspect ratio of the grid 2 x 4, got 7"
    ) as error:
        grid.spatial(torch.rand(1, 8, 5))
    one_sentence(error)


@pytest.mark.parametrize(
    ("parameters", "count", "names"),
    [
        (["cls_token", "blocks.0.attn.qkv.weight"], 1, ["class token"]),
        (["embeddings.cls_token", "embeddings.distillation_token"], 2, ["class token", "distillation token"]),
        (["cls_token", "reg_token"], 3, ["class token", "register 1", "register 2"]),
        (["reg_token"], 2, ["register 1", "register 2"]),
        (["vision_model.embeddings.class_embedding"], 1, ["class token"]),
        (["prompt"], 2, ["class token", "register 1"]),
        (["cls_token"], 0, []),
    ],
)
def test_tokens_are_named_after_the_parameters_of_the_network(parameters, count, names):
    assert list(name_prefix(count, parameters)) == names


def test_layers_show_their_tokens():
    model = wrap(settle(Tokens(3)))
    assert repr(model.layer("blocks.1")) == (
        "Layer('blocks.1', TokenBlock, 19x8, 4x4 positions, class token, 2 registers)"
    )
    assert "1 register)" in repr(wrap(settle(Tokens(2))).layer("blocks.1"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("token", 2, 2), "did you mean 'tokens'"),
        (("tokens", 0, 2), "expected height to be an integer of at least 1"),
        (("channels_last", 2, 2, 1), "expected a prefix of 0 for the layout 'channels_last', got 1"),
        (("tokens", 2, 2, 1, ("a", "b")), "expected 1 prefix_names"),
    ],
)
def test_refusals(arguments, words):
    with pytest.raises(ValueError, match=words) as error:
        Grid(*arguments)
    one_sentence(error)


class Columns(nn.Module):
    """Tokens column by column behind a convolution, with a shape that also fits 4 x 4 positions and a class token."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 6, 2, stride=(2, 1), padding=(0, 0))
        self.tokens = nn.Linear(6, 5)
        self.fc = nn.Linear(5, CLASSES)

    def forward(self, x):
        return self.fc(self.tokens(self.features(x).flatten(2).transpose(1, 2)).mean(1))


def test_a_layout_can_be_given_by_name_or_by_a_function():
    network = settle(Columns())
    found = wrap(network).layer("tokens")
    assert found.shape == (28, 5)
    given = Grid("tokens", 2, 14, prefix_names=())
    model = wrap(network, grids={"tokens": given, "features": None})
    assert (model.layer("tokens").grid, model.layer("features").grid) == (given, None)
    assert model.default_layer() == "tokens"
    assert xw.Grid is Grid
    seen = {}

    def grids(name, shape, found):
        seen[name] = (shape, found)
        return given if name == "tokens" else found

    model = wrap(network, grids=grids)
    assert model.layer("tokens").grid == given
    assert seen["features"] == ((6, 4, 7), Grid("channels_first", 4, 7))
    assert model.spatial("tokens", model.activations(images(1), "tokens")["tokens"]).shape == (1, 5, 2, 14)
    named = Grid("tokens", 4, 6, 4, ("a", "b", "c", "d"))
    assert wrap(network, grids={"tokens": named}).layer("tokens").grid.prefix_names == named.prefix_names


@pytest.mark.parametrize(
    ("grids", "words"),
    [
        ({"token": Grid("tokens", 4, 7)}, "did you mean 'tokens'"),
        (
            {"tokens": Grid("tokens", 4, 4)},
            r"expected a Grid that fits the output of 'tokens', \(28, 5\), got",
        ),
        ({"tokens": (4, 7)}, "expected a Grid that fits"),
    ],
)
def test_a_layout_that_does_not_fit_is_refused(grids, words):
    with pytest.raises(ValueError, match=words) as error:
        wrap(settle(Columns()), grids=grids).layers()
    one_sentence(error)


def test_an_output_of_a_layer_is_written_back():
    model, x = wrap(settle(Tokens())), images(2, size=SIZE)
    output = model.activations(x, "blocks.1")["blocks.1"]
    spatial = model.spatial("blocks.1", output)
    same = model.with_spatial("blocks.1", output, spatial)
    assert torch.equal(model.forward_from("blocks.1", same), model.forward_from("blocks.1", output))
    without = model.with_spatial("blocks.1", output, torch.zeros_like(spatial))
    assert torch.equal(without[:, :2], output[:, :2])
    assert not without[:, 2:].any()
    with pytest.raises(ValueError, match="expected a layer with spatial positions") as error:
        model.with_spatial("fc", output, spatial)
    one_sentence(error)


class Headless(Tokens):
    """Returns its class token after a last normalization, like DINO without a head."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.fc = nn.Identity()

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.prefix.expand(len(x), -1, -1), x], 1)
        return self.fc(self.norm(self.blocks(x))[:, 0])


def test_features_are_compared_where_the_network_returns_them():
    model = wrap(settle(Headless()), labels=None)
    assert (model.default_layer(), model.feature_layer()) == ("blocks.1", "norm")
    assert wrap(settle(Tokens())).feature_layer() == "blocks.1"
