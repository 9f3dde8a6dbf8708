"""Activation grids and the similarity of positions: against numpy, cell by cell."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
import torch
from closeness import assert_close, near
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from networks import Functional, images, one_sentence, settle, wrap
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.ops.normalize import unit_vectors
from xai_widgets.similarity import (
    KINDS,
    ActivationGrid,
    activation_grids,
    kernel_width,
    same_position,
    similarity,
)


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def plain(z_s, position, z_t, kind, sigma):
    """The formulas, one position after the other."""
    a = z_s[position]
    out = np.zeros(z_t.shape[:2])
    for at in np.ndindex(out.shape):
        b = z_t[at]
        if kind == "euclidean":
            out[at] = math.exp(-sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / (2 * sigma**2))
            continue
        product = sum(x * y for x, y in zip(a, b, strict=True))
        lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
        out[at] = product if kind == "dot" else product / lengths if lengths else 0
    return out


FLOATS = st.one_of(st.just(0.0), st.floats(0.01, 5), st.floats(-5, -0.01))
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 5))


@given(st.data(), SHAPES, SHAPES, st.integers(1, 5), st.sampled_from(KINDS))
def test_similarity_is_its_formula_and_never_nan(data, shape_s, shape_t, channels, kind):
    z_s = data.draw(hnp.arrays(np.float64, (*shape_s, channels), elements=FLOATS))
    z_t = data.draw(hnp.arrays(np.float64, (*shape_t, channels), elements=FLOATS))
    position = tuple(data.draw(st.integers(0, extent - 1)) for extent in shape_s)
    if data.draw(st.booleans()):
        z_t[0, 0] = 0
    sigma = kernel_width([z_s, z_t])
    made = similarity(z_s, position, z_t, kind).numpy()
    assert_close(made, plain(z_s, position, z_t, kind, sigma))
    if kind != "dot":
        assert np.abs(made).max() <= 1


@pytest.mark.parametrize("scale", [1e-30, 1, 1e30])
def test_normalized_vectors_have_length_one_whatever_their_size(scale):
    z = torch.tensor([[3.0, -4.0], [0.0, 0.0], [0.0, 5.0]]) * scale
    assert_close(unit_vectors(z), torch.tensor([[0.6, -0.8], [0, 0], [0, 1]]))


def test_a_zero_vector_is_like_nothing():
    z = torch.zeros(2, 3, 4)
    z[0, 1] = torch.tensor([1.0, 2, 0, 0])
    for kind in ("cosine", "dot"):
        assert similarity(z, (1, 1), z, kind).tolist() == [[0, 0, 0], [0, 0, 0]]
        made = similarity(z, (0, 1), z, kind)
        assert made[0, 1] == near(1 if kind == "cosine" else 5)
        assert made.count_nonzero() == 1


def test_the_width_of_equal_vectors_is_one_and_else_their_spread():
    assert kernel_width([np.ones((2, 2, 3))]) == 1
    z = np.arange(24.0).reshape(2, 4, 3)
    rows = z.reshape(-1, 3)
    assert kernel_width([z[:1], z[1:]]) == near(np.sqrt(rows.var(0).sum()))


@given(st.data(), SHAPES, SHAPES)
def test_the_same_position_is_where_the_middle_of_the_cell_lies(data, source, target):
    position = tuple(data.draw(st.integers(0, extent - 1)) for extent in source)
    made = same_position(position, source, target)
    expected = tuple(
        math.floor((Fraction(i) + Fraction(1, 2)) * n_t / n_s)
        for i, n_s, n_t in zip(position, source, target, strict=True)
    )
    assert made == expected
    assert all(0 <= at < extent for at, extent in zip(made, target, strict=True))
    if source == target:
        assert made == position


def test_same_positions_of_a_published_example():
    # The published demo rounds, and leaves the grid: 6.5 * 14 / 7 = 13 fits, round(6 * 28 / 14 + 1) would not.
    assert [same_position((i, i), (7, 7), (14, 14))[0] for i in range(7)] == [1, 3, 5, 7, 9, 11, 13]
    assert same_position((13, 27), (14, 28), (7, 7)) == (6, 6)


@pytest.mark.parametrize("layers", ["conv2", ["conv1", "conv2"], None])
def test_grids_are_the_activations_channels_last(model, layers):
    x = images(5)
    run = activation_grids(model, list(x), layers, batch_size=2)
    grids = run.result(progress=False)
    assert run.done == run.total == 3
    names = [layers] if isinstance(layers, str) else layers or [model.default_layer()]
    assert [(grid.image, grid.layer) for grid in grids] == [(n, name) for n in range(5) for name in names]
    for grid in grids:
        expected = model.activations(x[grid.image : grid.image + 1], grid.layer)[grid.layer][0]
        assert_close(grid.raw, expected.permute(1, 2, 0))
        assert grid.shape == tuple(expected.shape[1:])
        assert_close(grid.normalized, torch.nn.functional.normalize(grid.raw, dim=2))


def test_grids_of_images_that_are_not_square():
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)

        def forward(self, x):
            return self.conv(x).mean((2, 3))

    grids = activation_grids(ImageModel(Wide(), size=(8, 12)), torch.rand(2, 3, 8, 12), "conv").result(
        progress=False
    )
    assert [grid.shape for grid in grids] == [(4, 6), (4, 6)]


def test_a_stopped_run_keeps_what_it_has(model):
    run = activation_grids(model, images(6), "conv2", batch_size=2)
    next(iter(run))
    run.cancel()
    assert len(run.latest) == 2
    assert list(run) == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, z: activation_grids(m, images(1), "conv3"), "did you mean 'conv"),
        (
            lambda m, z: activation_grids(m, images(1), "fc").result(progress=False),
            "got 'fc' with an output of shape (4,)",
        ),
        (lambda m, z: activation_grids(m, []), "at least one image"),
        (lambda m, z: activation_grids(m, images(1), batch_size=0), "at least 1"),
        (
            lambda m, z: similarity(z, (2, 0), z),
            "expected a row from 0 to 1 and a column from 0 to 2, got (2, 0)",
        ),
        (
            lambda m, z: similarity(z, (0, -1), z),
            "expected a row from 0 to 1 and a column from 0 to 2, got (0, -1)",
        ),
        (lambda m, z: similarity(z, (0, 0), z, "cosin"), "did you mean 'cosine'"),
        (lambda m, z: similarity(z, (0, 0), z[:, :, :2]), "4 and 2 channels"),
        (lambda m, z: similarity(z, (0, 0), z[0]), "expected a grid of shape (h, w, C), got (3, 4)"),
        (
            lambda m, z: similarity(z, (0, 0), z, "euclidean", sigma=0),
            "expected sigma to be a number above 0, got 0",
        ),
        (
            lambda m, z: similarity(ActivationGrid("a", "l", 0, z), (0, 0), ActivationGrid("b", "l", 0, z)),
            "expected vectors of one layer of one network, got a l and b l",
        ),
    ],
)
def test_refusals(model, call, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        call(model, torch.rand(2, 3, 4))
    one_sentence(error)
