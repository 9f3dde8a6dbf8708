"""The index of a corpus: what it finds, against a search over all positions."""

import re

import pytest
import torch
from closeness import assert_close, near
from examples import fewer_examples
from hypothesis import given
from hypothesis import strategies as st
from networks import Functional, images, one_sentence, settle, wrap

from xai_widgets.similarity import activation_grids, similarity, similarity_index
from xai_widgets.similarity import index as module


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 12), st.integers(0, 20))
@fewer_examples(2)
def test_the_best_position_of_the_best_images_is_found(model, count, batch_size, k, seed):
    x = images(count, seed=seed)
    run = similarity_index(model, list(x), "conv2", batch_size=batch_size)
    index = run.result(progress=False)
    assert run.done == run.total == -(-count // batch_size)
    grids = activation_grids(model, x, "conv2").result(progress=False)
    found = index.search(grids[0].raw[1, 2], k=k)
    overlays = torch.stack([similarity(grids[0], (1, 2), grid) for grid in grids])
    peaks = overlays.flatten(1).max(1).values
    assert len(found.values) == min(k, count)
    assert_close(found.values, peaks.sort(descending=True).values[:k])
    for value, image, position in zip(found.values, found.images, found.positions, strict=True):
        assert_close(overlays[(image, *position.tolist())], value)
    assert found.values[0] == near(1)


def test_chunks_change_nothing(model, monkeypatch):
    index = similarity_index(model, images(7), "conv1").result(progress=False)
    vector = index.vectors[3, 2, 2]
    whole = index.search(vector, k=7)
    monkeypatch.setattr(module, "CHUNK", 1)
    parts = index.search(vector, k=7)
    assert_close(parts.values, whole.values)
    assert torch.equal(parts.images, whole.images)
    assert torch.equal(parts.positions, whole.positions)


def test_patches_lie_at_the_positions(model):
    x = images(4)
    index = similarity_index(model, x, "conv2", side=4).result(progress=False)
    found = index.search(index.vectors[2, 0, 3], k=2)
    assert found.patches.shape == (2, 3, 4, 4)
    # The first position is the one asked for: the top right corner of image 2.
    assert found.images[0] == 2
    assert torch.equal(found.patches[0], x[2, :, 0:4, 4:8])


def test_size_and_time_are_recorded_and_snapshots_are_usable(model):
    run = similarity_index(model, images(6), "conv2", batch_size=2)
    sizes = []
    for snapshot in run:
        sizes.append((len(snapshot), snapshot.nbytes))
        assert len(snapshot.search(torch.ones(8)).values) == len(snapshot)
    assert sizes == [(n, n * 4 * 4 * 8 * 4) for n in (2, 4, 6)]
    assert run.latest.seconds > 0


def test_a_zero_vector_is_like_nothing(model):
    index = similarity_index(model, images(3), "conv2").result(progress=False)
    assert index.search(torch.zeros(8)).values.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: similarity_index(m, images(1), "conv3"), "did you mean 'conv"),
        (lambda m: similarity_index(m, []), "at least one image"),
        (lambda m: similarity_index(m, images(1), batch_size=0), "at least 1"),
        (
            lambda m: similarity_index(m, images(1), "conv2", side=9),
            "expected side to be an integer from 1 to 8, got 9",
        ),
        (lambda m: _index(m).search(torch.ones(3)), "expected vector of shape (8,)"),
        (lambda m: _index(m).search(torch.full((8,), torch.nan)), "expected finite vector, got NaN"),
        (lambda m: _index(m).search(torch.ones(8), k=0), "expected k to be an integer of at least 1, got 0"),
    ],
)
def test_refusals(model, call, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        call(model)
    one_sentence(error)


def _index(model):
    return similarity_index(model, images(1), "conv2").result(progress=False)
