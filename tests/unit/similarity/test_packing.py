"""Compressed vectors for the browser: their error, and its bound."""

import re

import numpy as np
import pytest
import torch
from closeness import near, rounding
from hypothesis import given
from hypothesis import strategies as st
from networks import one_sentence

from xai_widgets.similarity import KINDS, ActivationGrid, kernel_width, pack, similarity


def grids(count=2, shape=(3, 4), channels=8, seed=0, layer="conv", network="net", rank=None, relu=True):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, *shape, rank or channels, generator=generator)
    if rank:
        z = z @ torch.randn(rank, channels, generator=generator)
    elif relu:
        z = z.relu()
    z[0, 0, 0] = 0
    return [ActivationGrid(network, layer, n, z[n]) for n in range(count)]


def exact(members, image, position, kind):
    sigma = kernel_width(members)
    return torch.stack(
        [similarity(members[image], position, grid, kind, sigma=sigma) for grid in members]
    ).numpy()


@given(
    st.integers(0, 99),
    st.integers(1, 40),
    st.sampled_from(["int8", "float16"]),
    st.one_of(st.none(), st.integers(1, 40)),
    st.booleans(),
)
def test_no_cosine_is_off_by_more_than_the_bound(seed, channels, dtype, rank, relu):
    members = grids(channels=channels, seed=seed, relu=relu)
    (made,) = pack(members, dtype=dtype, rank=rank)
    worst = max(
        np.abs(exact(members, n, (i, j), "cosine") - made.similarity(n, (i, j))).max()
        for n in range(2)
        for i in range(3)
        for j in range(4)
    )
    assert worst <= made.bound + rounding(1)
    # Few enough vectors: the measured error is of all pairs.
    assert made.error == near(worst, scale=1)
    assert made.codes.shape == (2, 3, 4, min(channels, rank or channels))
    assert made.codes.dtype == dtype


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["int8", "float16"])
def test_every_kind_follows_from_codes_and_lengths(kind, dtype):
    members = grids(count=3, channels=64)
    (made,) = pack(members, dtype=dtype)
    expected = exact(members, 1, (2, 3), kind)
    scale = max(1, np.abs(expected).max())
    np.testing.assert_allclose(made.similarity(1, (2, 3), kind), expected, atol=made.bound * scale)
    assert made.bound < (0.05 if dtype == "int8" else 0.002)


def test_a_position_equals_itself_and_a_zero_vector_nothing():
    (made,) = pack(grids(channels=20))
    assert made.similarity(1, (1, 1))[1, 1, 1] == near(1)
    assert np.array_equal(made.similarity(0, (0, 0)), np.zeros((2, 3, 4)))
    assert made.scales[0, 0, 0] == made.norms[0, 0, 0] == 0


def test_a_projection_on_all_that_the_vectors_span_is_exact():
    members = grids(count=3, shape=(5, 5), channels=60, rank=6)
    (made,) = pack(members, dtype="float16", rank=6)
    assert (made.codes.shape[3], made.channels) == (6, 60)
    assert made.error < 1e-3
    (less,) = pack(members, dtype="float16", rank=3)
    assert less.error > 0.05


def test_layers_and_networks_are_kept_apart():
    made = pack(
        [*grids(layer="a"), *grids(layer="b", shape=(2, 2), channels=5), *grids(layer="a", network="other")]
    )
    assert [(one.network, one.layer, one.codes.shape) for one in made] == [
        ("net", "a", (2, 3, 4, 8)),
        ("net", "b", (2, 2, 2, 5)),
        ("other", "a", (2, 3, 4, 8)),
    ]
    assert made[1].nbytes == 2 * 2 * 2 * (5 + 4 + 4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pack(grids(), dtype="int4"), "did you mean 'int8'"),
        (lambda: pack(grids(), rank=0), "expected rank to be an integer of at least 1, got 0"),
        (lambda: pack([]), "expected grids to be a sequence of activation grids, got []"),
        (
            lambda: pack([*grids(), *grids(shape=(2, 2))]),
            "expected grids of one shape, of images of one size, got (2, 2, 8) and (3, 4, 8) in layer 'conv' of net",
        ),
        (
            lambda: pack([*grids(), *grids(count=1, layer="b")]),
            "expected the same images for all layers, got [0, 1] for net conv and [0] for net b",
        ),
    ],
)
def test_refusals(call, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        call()
    one_sentence(error)
