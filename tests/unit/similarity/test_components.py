"""Components: that they are a factorization, the best one known, and where they are strongest."""

import re

import numpy as np
import pytest
import torch
from closeness import assert_close, near, rounding
from networks import Functional, images, one_sentence, settle, wrap
from sklearn import decomposition

from xai_widgets.similarity import ActivationGrid, activation_grids, factorize
from xai_widgets.similarity.components import non_negative_weights


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


def signed(images=2, shape=(4, 5), channels=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scales = torch.linspace(3, 0.2, channels)
    return torch.randn(images, *shape, channels, generator=generator) * scales + torch.linspace(
        -1, 1, channels
    )


def test_negative_activations_have_the_components_of_scikit_learn():
    x = signed()
    made = factorize(grids(x), 3).result(progress=False)
    assert made.kind == "pca"
    flat = x.flatten(0, 2).double().numpy()
    expected = decomposition.PCA(3, svd_solver="full").fit(flat)
    weights = expected.transform(flat)
    signs = np.sign(weights[np.abs(weights).argmax(0), range(3)])
    assert_close(made.weights.reshape(-1, 3), weights * signs)
    assert_close(made.directions, expected.components_ * signs[:, None])
    assert_close(made.mean, expected.mean_)
    assert_close(made.explained, expected.explained_variance_ratio_, dtype=torch.float32)
    residual = flat - made.mean - made.weights.reshape(-1, 3) @ made.directions
    assert made.error == near(np.linalg.norm(residual) / np.linalg.norm(flat - made.mean), scale=1)
    shares = ", ".join(f"{share:.0%}" for share in expected.explained_variance_ratio_)
    assert made.summary == f"PCA, {expected.explained_variance_ratio_.sum():.0%} of the variance: {shares}"


def test_a_signed_component_has_a_positive_and_a_negative_part():
    made = factorize(grids(signed()), 2).result(progress=False)
    assert made.part_names == ["1+", "1\N{MINUS SIGN}", "2+", "2\N{MINUS SIGN}"]
    assert made.parts.min() == 0
    assert_close(made.parts[..., 0] - made.parts[..., 1], made.weights[..., 0])
    assert_close(made.shades.max((0, 1, 2))[[0, 2]], 1)
    assert made.shades.max() <= 1
    top = made.top(wrap(settle(Functional())), images(2), k=1, side=2)
    assert top.values.shape == (4, 1)
    assert top.values[3, 0] == near(-made.weights[..., 1].min())


def test_three_components_are_colors():
    x = signed(seed=1)
    made = factorize(grids(x), 3, kind="pca").result(progress=False)
    colors = made.colors()
    assert colors.shape == (2, 4, 5, 3)
    assert (colors.min(), colors.max()) == (0, 1)
    order = made.weights[..., 1].flatten().argsort()
    assert (np.diff(colors[..., 1].flatten()[order]) >= 0).all(), "more of a component is more of its color"
    with pytest.raises(ValueError, match="expected three components of PCA, got 2 of PCA") as error:
        factorize(grids(x), 2).result(progress=False).colors()
    one_sentence(error)
    with pytest.raises(ValueError, match="expected components of PCA, got those of k-means") as error:
        _ = factorize(grids(x), 2, kind="kmeans").result(progress=False).explained
    one_sentence(error)


def test_k_means_gives_each_position_the_component_of_its_group():
    directions = torch.nn.functional.normalize(signed(1, (1, 3), 7, seed=4)[0, 0], dim=1)
    generator = torch.Generator().manual_seed(5)
    groups = torch.randint(0, 3, (2, 4, 5), generator=generator)
    lengths = torch.rand(2, 4, 5, 1, generator=generator) + 0.5
    made = factorize(grids(directions[groups] * lengths), 3, kind="kmeans").result(progress=False)
    assert made.kind == "kmeans"
    assert made.error == near(0, scale=1)
    assert ((made.weights > 0).sum(-1) == 1).all()
    found = torch.from_numpy(made.directions) @ directions.T
    assert_close(found.max(1).values, torch.ones(3))
    assert torch.equal(found.argmax(1)[torch.from_numpy(made.weights).argmax(-1)], groups)
    assert_close(made.weights.sum(-1), lengths[..., 0])
    assert made.summary == f"k-means, error {made.error:.1%}"
    assert (made.part_names, made.mean) == (["1", "2", "3"], None)


def test_fewer_different_vectors_than_groups_leave_empty_ones():
    made = factorize(grids(-torch.ones(1, 2, 2, 3)), 2, kind="kmeans").result(progress=False)
    assert made.error == near(0, scale=1)
    assert not made.weights[..., 1].any()
    flat = factorize(grids(-torch.ones(1, 2, 2, 3)), 2).result(progress=False)
    assert (flat.kind, flat.error) == ("pca", 0)
    assert not flat.weights.any()
    assert flat.explained.tolist() == [0, 0]


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="did you mean 'pca'") as error:
        factorize(grids(signed()), 2, kind="pcaa")
    one_sentence(error)


def test_coefficients_with_fixed_directions_are_non_negative_least_squares():
    nnls = pytest.importorskip("scipy.optimize").nnls
    generator = torch.Generator().manual_seed(3)
    directions = torch.rand(5, 8, generator=generator, dtype=torch.float64)
    x = torch.rand(30, 8, generator=generator, dtype=torch.float64)
    weights = non_negative_weights(x, directions)
    expected = np.stack([nnls(directions.T.numpy(), row.numpy())[0] for row in x])
    # The sweeps end at a change of 1e-7 of the largest weight; errors are larger where directions are alike.
    assert weights.numpy() == pytest.approx(expected, abs=1e-4 * expected.max())


@pytest.mark.parametrize("kind", ["nmf", "pca", "kmeans"])
def test_components_of_many_images_are_weighted_on_others(kind):
    generator = torch.Generator().manual_seed(5)
    z = torch.rand(6, 3, 4, 7, generator=generator)
    z = z - 0.5 if kind == "pca" else z
    members = grids(z)
    fitted = factorize(members[:4], 3, kind=kind).result(progress=False)
    shown = fitted.on(members[4:])
    assert shown.images == (4, 5)
    assert np.array_equal(shown.directions, fitted.directions)
    x = z[4:].movedim(-1, 1)
    assert_close(torch.from_numpy(shown.weights).movedim(-1, 1), fitted.coefficients(x))
    mean = 0 if fitted.mean is None else torch.from_numpy(fitted.mean).double()
    whole = z[4:].double() - mean
    rest = whole - torch.from_numpy(shown.weights).double() @ torch.from_numpy(fitted.directions).double()
    assert shown.error == near(float(rest.norm() / whole.norm()), dtype=torch.float32, steps=100)
    # On the images of the fit they are those of the fit.
    if kind != "nmf":
        again = fitted.on(members[:4])
        assert_close(again.weights, fitted.weights, steps=100)
    other = ActivationGrid("net", "other", 0, z[0])
    with pytest.raises(
        ValueError, match="expected activations of 'conv' with 7 channels, got those of 'other'"
    ):
        fitted.on([other])
