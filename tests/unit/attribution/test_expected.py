"""Expected gradients and gradient SHAP, against the means that define them."""

import warnings

import numpy as np
import pytest
import torch
from closeness import assert_close
from hypothesis import given
from hypothesis import strategies as st
from networks import CLASSES, Linear, SharedInPlace, images, settle, wrap

from xai_widgets import attribution
from xai_widgets.attribution.expected import GRAYS, INTERVALS, TOLERANCE, draws, stratified
from xai_widgets.methods import METHODS


def test_from_one_reference_a_linear_network_has_no_error():
    model, x = wrap(settle(Linear())), images(2)
    reference = images(1, seed=5)
    made = attribution.expected_gradients(model, x, [0, 3], references=reference, samples=3)
    assert_close(made, (x - reference) * attribution.gradient(model, x, [0, 3]))


def test_many_draws_from_one_reference_are_integrated_gradients():
    model, x = wrap(settle(SharedInPlace())), images(1)
    reference = images(1, seed=5)
    exact = attribution.integrated_gradients(
        model, x, 1, baseline=reference, steps=300, quadrature="midpoint"
    )
    few, many = (
        attribution.expected_gradients(model, x, 1, references=reference, samples=samples, batch_size=256)
        for samples in (8, 2048)
    )
    assert (many - exact).norm() < 0.1 * exact.norm()
    assert (many - exact).norm() < (few - exact).norm()


def test_the_sum_is_the_score_less_that_of_the_references():
    model, x = wrap(settle(SharedInPlace())), images(2)
    made = attribution.expected_gradients(model, x, 1, samples=2048, batch_size=256)
    grays = torch.tensor(GRAYS).view(-1, 1, 1, 1).expand(-1, *x.shape[1:])
    change = (model.scores(x) - model.scores(grays).mean(0))[:, 1]
    drawn = (model.scores(x)[:, None] - model.scores(grays)[None])[..., 1].abs().max()
    assert ((made.sum((1, 2, 3)) - change).abs() < 0.1 * drawn).all()


def test_references_may_be_images_of_any_kind():
    model, x = wrap(settle(SharedInPlace())), images(1)
    pixels = (images(2, seed=5) * 255).round().to(torch.uint8)
    arrays = [image.permute(1, 2, 0).numpy() for image in pixels]
    assert arrays[0].dtype == np.uint8
    made = attribution.expected_gradients(model, x, 1, references=arrays, samples=5)
    same = attribution.expected_gradients(model, x, 1, references=pixels.float() / 255, samples=5)
    assert_close(made, same)


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_draws_do_not_hang_on_the_batch_size_but_on_the_seed(batch_size):
    model, x = wrap(settle(SharedInPlace())), images(2)
    made = attribution.gradient_shap(model, x, 1, samples=7, batch_size=batch_size)
    assert_close(made, attribution.gradient_shap(model, x, 1, samples=7))
    assert not torch.equal(made, attribution.gradient_shap(model, x, 1, samples=7, seed=1))


def test_without_noise_gradient_shap_is_expected_gradients():
    model, x = wrap(settle(SharedInPlace())), images(2)
    made = attribution.gradient_shap(model, x, 1, samples=7, sigma=0)
    assert torch.equal(made, attribution.expected_gradients(model, x, 1, samples=7))


# -- the draws --------------------------------------------------------------------------------------------


@given(count=st.integers(1, 9), samples=st.integers(1, 40), seed=st.integers(0, 99))
def test_draws_are_spread_evenly(count, samples, seed):
    which, alphas = draws(count, samples, torch.Generator().manual_seed(seed))
    times = np.bincount(which, minlength=count)
    assert len(which) == len(alphas) == samples == times.sum()
    assert times.max() - times.min() <= 1
    # One in each part of the way; of each reference one in each part that is as many times as long.
    assert [int(alpha * samples) for alpha in alphas] == list(range(samples))
    for reference in range(count):
        own = [
            int(alpha * samples) // count for alpha, k in zip(alphas, which, strict=True) if k == reference
        ]
        assert own == sorted(set(own))
        assert len(own) >= samples // count


def test_references_and_path_positions_are_uniform():
    generator = torch.Generator().manual_seed(0)
    made = [draws(3, 5, generator) for _ in range(4000)]
    pairs = [pair for which, alphas in made for pair in zip(which, alphas, strict=True)]
    for reference in range(3):
        own = np.array([alpha for which, alpha in pairs if which == reference])
        assert abs(len(own) / len(pairs) - 1 / 3) < 0.01
        shares, _ = np.histogram(own, bins=5, range=(0, 1))
        assert np.abs(shares / len(own) - 0.2).max() < 0.02


@given(count=st.integers(1, 9), samples=st.integers(1, 40), seed=st.integers(0, 99))
def test_without_a_density_every_sample_is_where_it_was_drawn_and_has_the_same_weight(count, samples, seed):
    _, positions = draws(count, samples, torch.Generator().manual_seed(seed))
    for group in {1, min(count, samples)}:
        alphas, weights = stratified(positions, None, group)
        np.testing.assert_allclose(alphas, positions, rtol=0, atol=1e-12)
        np.testing.assert_allclose(weights, 1 / samples, rtol=1e-12)


@pytest.mark.parametrize(("samples", "group"), [(40, 1), (40, 5), (42, 5)])
def test_weighted_means_are_unbiased_for_any_density(samples, group):
    density = torch.tensor([0.3, 0.02, 0.2, *[0.48 / (INTERVALS - 3)] * (INTERVALS - 3)], dtype=torch.float64)
    generator, estimates = torch.Generator().manual_seed(0), []
    for _ in range(400):
        which, positions = draws(5, samples, generator)
        alphas, weights = stratified(positions, density, group)
        assert sum(weights) == pytest.approx(1)
        assert all(0 <= alpha <= 1 for alpha in alphas)
        # A steep part near 0, and another function for each reference.
        estimates.append(
            sum(w * (1 + k) * np.exp(-20 * a) for k, a, w in zip(which, alphas, weights, strict=True))
        )
        if group == 5 and samples == 40:
            shares = np.bincount(which, weights=weights)
            np.testing.assert_allclose(shares, 1 / 5, rtol=1e-12)
    mean, error = np.mean(estimates), np.std(estimates) / 20
    assert abs(mean - 3 * (1 - np.exp(-20)) / 20) < 5 * error


class Steep(torch.nn.Module):
    """tanh(30 mean(x)), whose score is saturated on most of the path from black."""

    def forward(self, x):
        return (30 * x.mean((1, 2, 3), keepdim=True)).tanh().flatten(1).expand(-1, CLASSES)


def test_more_samples_lie_where_the_score_changes():
    model, x = wrap(Steep(), mean=[0.0] * 3, std=[1.0] * 3), images(1)
    black = torch.zeros_like(x)
    gaps = {}
    for sampling in ("importance", "uniform"):
        made = [
            attribution.expected_gradients(
                model, x, 1, references=black, samples=20, sampling=sampling, seed=seed
            )
            for seed in range(20)
        ]
        gaps[sampling] = torch.cat([each.gap for each in made]).square().mean().sqrt()
    assert gaps["importance"] < 0.3 * gaps["uniform"]


# -- the gap ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["expected_gradients", "gradient_shap"])
def test_a_gap_gives_a_warning_with_both_numbers(method):
    model, x = wrap(settle(SharedInPlace())), images(2)
    reference = images(1, seed=5)
    with pytest.warns(UserWarning, match="is incomplete") as caught:
        made = METHODS[method](model, x, 1, references=reference, samples=1)
    change = (model.scores(x) - model.scores(reference))[:, 1]
    gap = made.sum((1, 2, 3)) - change
    worst = int((gap.abs() - TOLERANCE * change.abs()).argmax())
    words = str(caught[0].message)
    assert f"(sum {made[worst].sum().item():.3g}, expected {change[worst].item():.3g})" in words
    assert "increase samples=1" in words
    assert caught[0].filename == __file__


def test_a_complete_attribution_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attribution.expected_gradients(wrap(settle(Linear())), images(2), 1, samples=10)
        attribution.expected_gradients(wrap(settle(SharedInPlace())), images(2), 1, samples=1000)


def test_the_gap_is_to_the_references_that_were_drawn():
    # One of many: their mean score has no part in it.
    model, x = wrap(settle(Linear())), images(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attribution.expected_gradients(model, x, 1, references=images(7, seed=5), samples=1)


def test_the_attribution_carries_its_gap():
    model, x = wrap(settle(SharedInPlace())), images(2)
    references = images(3, seed=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Twice as many samples as references: each reference is drawn twice.
        made = attribution.expected_gradients(
            model, x, [1, 2], references=references, samples=6, sampling="uniform"
        )
    change = model.scores(x) - model.scores(references).mean(0)
    target_value = torch.stack([change[0, 1], change[1, 2]])
    assert_close(made.gap, made.sum((1, 2, 3)) - target_value)
