"""LIME and kernel SHAP against their formulas: Shapley values by definition, a ridge by normal equations."""

import itertools
import math
import re
from functools import cache

import numpy as np
import pytest
import torch
from closeness import assert_close, near
from hypothesis import given
from hypothesis import strategies as st
from networks import GRID, SIZE, Functional, Linear, images, settle, wrap

from xai_widgets.errors import ExplanationWarning
from xai_widgets.methods import METHODS
from xai_widgets.perturbation.segments import segment_means, superpixels
from xai_widgets.perturbation.surrogate import all_coalitions, kernel_shap, lime

#: Six segments of unequal size, in an image of 8 x 8.
SIX = (torch.arange(SIZE)[:, None] // 4 * 3 + torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])).long()


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def value(model, image, fill, segments, target, output="probability"):
    """Return a function of coalitions: the output for the image that shows the segments of a coalition."""

    @cache
    def play(coalition):
        shown = torch.isin(segments, torch.tensor(sorted(coalition), dtype=torch.long))
        scores = model.scores(torch.where(shown, image, fill)[None])
        return (scores.softmax(1) if output == "probability" else scores)[0, target].item()

    return play


def shapley(play, players):
    """Shapley values by definition: the mean contribution of a player to those before it, over all orders."""
    count = len(players)
    values = []
    for player in players:
        others = [other for other in players if other != player]
        total = 0.0
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for coalition in itertools.combinations(others, size):
                total += weight * (play(frozenset({*coalition, player})) - play(frozenset(coalition)))
        values.append(total)
    return values


@pytest.mark.parametrize("output", ["probability", "score"])
@pytest.mark.parametrize("fill", ["segments", "gray", 0.0])
def test_kernel_shap_of_all_coalitions_are_the_shapley_values(model, fill, output):
    x = images(2)
    run = kernel_shap(model, x, [1, 2], segments=SIX, samples=64, fill=fill, output=output, batch_size=7)
    made = run.result(progress=False)
    assert made.coalitions.tolist() == [64, 64]
    means = segment_means(x, SIX.expand(2, SIZE, SIZE))
    for n, target in enumerate([1, 2]):
        hidden = means[n] if fill == "segments" else torch.full_like(x[n], 0.5 if fill == "gray" else fill)
        expected = shapley(value(model, x[n], hidden, SIX, target, output), range(6))
        # Values are differences of answers.
        size = max(1, model.scores(x).abs().max().item())
        assert made.values[n].tolist() == near(expected, scale=size)
        assert torch.equal(made.saliency()[n], made.values[n][SIX])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_segments_have_shapley_values_too(model, count):
    x, own = images(1), torch.arange(SIZE * SIZE).view(SIZE, SIZE) * count // (SIZE * SIZE)
    made = kernel_shap(model, x, 0, segments=own, fill=0.0).result(progress=False)
    expected = shapley(value(model, x[0], torch.zeros_like(x[0]), own, 0), range(count))
    assert made.values[0].tolist() == near(expected, scale=1)


@given(st.integers(0, 2**31), st.sampled_from([2, 3, 10, 40, 200]), st.integers(1, 33))
def test_values_always_add_up_to_the_change(seed, samples, batch_size):
    model, x = wrap(settle(Functional())), images(1, seed=seed % 97)
    run = kernel_shap(model, x, 1, segments=GRID, samples=samples, fill=0.0, seed=seed, batch_size=batch_size)
    change = (model.probs(x) - model.probs(x * 0))[0, 1].item()
    for shot in run:
        assert shot.values.sum().item() == near(change, scale=1)
        assert shot.intercepts.item() == near(model.probs(x * 0)[0, 1].item())
    assert shot.coalitions.item() <= samples


@pytest.mark.parametrize("explain", [kernel_shap, lime])
def test_of_a_linear_network_the_values_are_those_of_the_segments(explain):
    """f(z) is linear in z: both surrogates are exact, and enough samples to be determined are enough."""
    model, x = wrap(settle(Linear())), images(2)
    options = {"ridge": 0.0} if explain is lime else {}
    run = explain(model, x, 3, segments=GRID, samples=80, output="score", fill="segments", **options)
    made = run.result(progress=False)
    hidden = segment_means(x, GRID.expand(2, SIZE, SIZE))
    for s in range(16):
        change = model.scores(torch.where(GRID.eq(s), x, hidden)) - model.scores(hidden)
        assert_close(made.values[:, s], change[:, 3], scale=model.scores(x).abs().max())
    assert_close(made.intercepts, model.scores(hidden)[:, 3], scale=model.scores(x).abs().max())
    assert_close(made.fits, torch.ones(2))


def test_sampled_values_come_to_those_of_all_coalitions(model):
    x, own = images(1), torch.arange(SIZE * SIZE).view(SIZE, SIZE) // 7
    exact = kernel_shap(model, x, 1, segments=own, samples=2**10, batch_size=512).result(progress=False)
    assert exact.coalitions.item() == 1024
    errors = []
    for samples in (60, 1000):
        runs = [
            kernel_shap(model, x, 1, segments=own, samples=samples, seed=s, batch_size=512) for s in range(8)
        ]
        made = torch.stack([run.result(progress=False).values for run in runs])
        errors.append((made - exact.values).square().mean().sqrt() / exact.values.abs().max())
    assert errors[1] < errors[0] / 2
    assert errors[1] < 0.05


def test_coalitions_come_by_weight_and_with_the_kernel_of_the_paper():
    shown, weights = all_coalitions(5)
    assert len(shown.unique(dim=0)) == 30
    sizes = shown.sum(1).long()
    assert weights.diff().max() <= 0
    for size, weight in zip(sizes.tolist(), weights.tolist(), strict=True):
        assert weight == near(4 / (math.comb(5, size) * size * (5 - size)))
    assert sorted(sizes.tolist()[:10]) == [1] * 5 + [4] * 5


def lime_by_normal_equations(shown, answers, width, ridge):
    """Distances by the cosine, weights by the kernel, and the ridge with a free intercept, in numpy."""
    whole = np.ones(shown.shape[1])
    norms = np.linalg.norm(shown, axis=1) * np.linalg.norm(whole)
    cosine = np.divide(shown @ whole, norms, out=np.zeros(len(shown)), where=norms > 0)
    weights = np.sqrt(np.exp(-((1 - cosine) ** 2) / width**2))
    design = np.column_stack([shown, np.ones(len(shown))])
    penalty = ridge * np.diag([*whole, 0.0])
    solved = np.linalg.solve(design.T @ (weights[:, None] * design) + penalty, design.T @ (weights * answers))
    return solved[:-1], solved[-1]


@pytest.mark.parametrize(("width", "ridge"), [(0.25, 1.0), (0.1, 0.01), (2.0, 10.0)])
def test_lime_is_the_weighted_ridge_of_its_coalitions(model, width, ridge):
    x, samples = images(1), 60
    run = lime(model, x, 2, segments=SIX, samples=samples, width=width, ridge=ridge, seed=5, fill="gray")
    made = run.result(progress=False)
    generator = torch.Generator().manual_seed(5)
    shown = torch.rand(samples, 6, generator=generator) < 0.5
    shown[0] = True
    play = value(model, x[0], torch.full_like(x[0], 0.5), SIX, 2)
    answers = np.array([play(frozenset(row.nonzero().flatten().tolist())) for row in shown])
    values, intercept = lime_by_normal_equations(shown.double().numpy(), answers, width, ridge)
    assert made.values[0].tolist() == near(values.tolist(), scale=1)
    assert made.intercepts.item() == near(intercept, scale=1)
    assert made.fits.item() <= 1


def test_images_with_different_numbers_of_segments_go_together(model):
    x = images(2)
    own = torch.stack([SIX, torch.zeros_like(SIX)])
    for explain in (lime, kernel_shap):
        both = explain(model, x, 0, segments=own, samples=64).result(progress=False)
        assert both.values.shape == (2, 6)
        assert both.values[1, 1:].abs().max() == 0
        alone = explain(model, x[:1], 0, segments=SIX, samples=64).result(progress=False)
        assert_close(both.values[0], alone.values[0], scale=1)


def test_superpixels_are_made_where_none_are_given(model):
    x = (SIX % 3 / 2).expand(1, 3, SIZE, SIZE)
    made = lime(model, x, segments=6, samples=20).result(progress=False)
    assert made.saliency().shape == (1, SIZE, SIZE)
    assert torch.equal(made.segments, superpixels(x, 6))
    assert 2 <= made.values.shape[1] <= 9


@pytest.mark.parametrize("explain", [lime, kernel_shap])
def test_each_snapshot_is_a_valid_part_and_is_not_changed_later(model, explain):
    run = explain(model, images(2), 0, segments=GRID, samples=40, batch_size=16)
    shots, copies = [], []
    for shot in run:
        shots.append(shot)
        copies.append(shot.saliency())
        assert torch.isfinite(shot.saliency()).all()
    assert [shot.coalitions.tolist() for shot in shots] == [
        [16, 0],
        [32, 0],
        [40, 0],
        [40, 16],
        [40, 32],
        [40, 40],
    ]
    assert all(torch.equal(shot.saliency(), copy) for shot, copy in zip(shots, copies, strict=True))
    assert run.done == run.total


@pytest.mark.parametrize("explain", [lime, kernel_shap])
def test_the_seed_decides(model, explain):
    made = [
        explain(model, images(1), 0, segments=GRID, samples=40, seed=seed).result(progress=False).values
        for seed in (1, 1, 2)
    ]
    assert torch.equal(made[0], made[1])
    assert not torch.allclose(made[0], made[2], atol=1e-4)


@pytest.mark.parametrize(
    ("explain", "options", "words"),
    [
        (lime, {"samples": 1}, "expected samples to be an integer from 2 to 1000000"),
        (lime, {"width": 0.0}, "expected width to be a number above 0, got 0.0"),
        (lime, {"ridge": -1.0}, "expected ridge to be a number of at least 0, got -1.0"),
        (lime, {"batch_size": 0}, "expected batch_size to be an integer of at least 1, got 0"),
        (lime, {"fill": "segment"}, "unknown fill 'segment'"),
        (kernel_shap, {"samples": 1}, "expected samples to be an integer from 2 to 1000000"),
        (kernel_shap, {"output": "logit"}, "unknown output 'logit'"),
        (
            kernel_shap,
            {"segments": torch.zeros(3, 3).long()},
            "expected segments of shape (8, 8), got (3, 3)",
        ),
    ],
)
def test_bad_options_are_refused(model, explain, options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        explain(model, images(1), 0, **{"segments": SIX, **options})


@pytest.mark.parametrize("explain", [lime, kernel_shap])
def test_a_network_with_equal_outputs_for_all_coalitions_has_weights_of_0(explain):
    """A network that is sure of a class, whose probabilities differ in their last digit alone."""
    network = settle(Functional())
    with torch.no_grad():
        network.fc.weight.mul_(0.03)
        network.fc.bias.copy_(torch.tensor([0.0, 15.0, 0.0, 0.0]))
    model, segments = wrap(network), torch.arange(64).view(8, 8) // 8
    made = explain(model, images(2), 1, segments=segments, samples=24).result(progress=False)
    assert (made.values == 0).all()
    probability = model.probs(images(2))[:, 1]
    assert_close(made.intercepts, probability)
    with pytest.warns(ExplanationWarning, match="is 0 everywhere"):
        METHODS[explain.__name__](model, images(2), 1, segments=segments, samples=24)
