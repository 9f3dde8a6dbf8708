"""Components: that they are a factorization, the best one known, and where they are strongest."""

import re

import numpy as np
import pytest
import torch
from closeness import assert_close, near, rounding
from networks import Functional, images, one_sentence, settle, wrap

from xai_widgets.similarity import ActivationGrid, activation_grids, factorize


def grids(x, layer="conv"):
    return [ActivationGrid("net", layer, n, part) for n, part in enumerate(x)]


def made_of(count, shape=(4, 5), channels=12, images=3, seed=0):
    """Activations that are exactly so many groups, of channels of their own."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.zeros(count, channels)
    for part, where in enumerate(torch.arange(channels).chunk(count)):
        directions[part, where] = torch.rand(len(where), generator=generator) + 0.1
    weights = torch.rand(images, *shape, count, generator=generator) ** 4
    return grids(weights @ directions), weights * directions.norm(dim=1), directions


@pytest.mark.parametrize("count", [1, 2, 4])
def test_groups_that_are_there_are_found(count):
    given, weights, directions = made_of(count)
    made = factorize(given, count).result(progress=False)
    assert made.error < 0.02
    order = np.argsort(-weights.sum((0, 1, 2)).numpy())
    np.testing.assert_allclose(made.weights, weights.numpy()[..., order], atol=0.05 * weights.max())
    unit = torch.nn.functional.normalize(directions, dim=1).numpy()[order]
    np.testing.assert_allclose(made.directions, unit, atol=0.05)


def test_the_error_is_that_of_the_product_and_only_falls():
    x = torch.rand(2, 3, 4, 9, generator=torch.Generator().manual_seed(3))
    run = factorize(grids(x), 3)
    errors = [snapshot.error for snapshot in run]
    assert errors == sorted(errors, reverse=True)
    made = run.latest
    product = torch.from_numpy(made.weights @ made.directions)
    assert made.error == near(((x - product).norm() / x.norm()).item(), scale=1)
    assert made.weights.shape == (2, 3, 4, 3)
    assert made.weights.min() >= 0
    assert made.directions.min() >= 0
    assert_close(np.linalg.norm(made.directions, axis=1), 1)
    # The best approximation without signs can be no closer than the best one of this rank.
    singular = np.linalg.svd(x.reshape(-1, 9).numpy(), compute_uv=False)
    assert made.error >= np.sqrt((singular[3:] ** 2).sum() / (singular**2).sum()) - rounding(1)


def test_the_seed_decides_and_global_numbers_stay():
    x = grids(torch.rand(2, 3, 3, 6, generator=torch.Generator().manual_seed(1)))
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - it is the global one that must stay
    first, again = (factorize(x, 2, seed=5).result(progress=False) for _ in range(2))
    assert np.array_equal(first.weights, again.weights)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_activations_that_are_all_zero_have_empty_components():
    made = factorize(grids(torch.zeros(1, 2, 2, 3)), 2).result(progress=False)
    assert made.error == 0
    assert not made.weights.any()


def test_top_patches_lie_where_a_component_is_strongest():
    model = wrap(settle(Functional()))
    x = images(3)
    given = [
        ActivationGrid(grid.network, grid.layer, grid.image, grid.raw.relu())
        for grid in activation_grids(model, x, "conv2").result(progress=False)
    ]
    made = factorize(given, 2).result(progress=False)
    top = made.top(model, x, k=4, side=4)
    for part in range(2):
        peaks = made.weights[..., part].max((1, 2))
        order = np.argsort(-peaks, kind="stable")
        assert top.images[part].tolist() == [*order, -1]
        assert_close(top.values[part, :3], peaks[order])
        for image, position in zip(top.images[part, :3], top.positions[part, :3], strict=True):
            assert made.weights[(image, *position.tolist(), part)] == peaks[image]
    patches = top.patches(range(2))
    assert patches.shape == (2, 4, 3, 4, 4)
    assert torch.equal(patches[0, 0], top.crop(x[top.images[0, 0]], top.positions[0, 0].tolist()))
    assert patches[:, 3].isnan().all()
    assert made.top(model, x, k=1).images.tolist() == top.images[:, :1].tolist()


@pytest.mark.parametrize(
    ("x", "count", "words"),
    [
        (
            torch.rand(1, 2, 2, 3) - 0.5,
            2,
            "expected activations of at least 0, such as those behind a ReLU",
        ),
        (torch.rand(1, 2, 2, 3), 0, "expected count to be an integer from 1 to 3"),
        (torch.rand(1, 2, 2, 3), 4, "expected count to be an integer from 1 to 3"),
        (torch.rand(2, 8, 8, 30), 13, "expected count to be an integer from 1 to 12, got 13"),
    ],
)
def test_refusals(x, count, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        factorize(grids(x), count, kind="nmf")
    one_sentence(error)


def test_one_layer_at_a_time():
    x = torch.rand(1, 2, 2, 3)
    with pytest.raises(
        ValueError, match="expected grids of one layer of one network, got 2 layers, net conv, net other"
    ) as error:
        factorize([*grids(x), *grids(x, "other")], 1)
    one_sentence(error)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.decomposition", None)
    with pytest.raises(ImportError, match=r"pip install 'xai-widgets\[components\]'"):
        factorize(grids(torch.rand(1, 2, 2, 3)), 1)
