"""Expected gradients and gradient SHAP, by what they are the mean of."""

import numpy as np
import pytest
import torch
from networks import Linear, SharedInPlace, images, settle, wrap

from xai_widgets import attribution
from xai_widgets.attribution.expected import GREYS


def test_from_one_reference_a_linear_network_has_no_error():
    model, x = wrap(settle(Linear())), images(2)
    reference = images(1, seed=5)
    made = attribution.expected_gradients(model, x, [0, 3], references=reference, samples=3)
    torch.testing.assert_close(
        made, (x - reference) * attribution.gradient(model, x, [0, 3]), rtol=1e-4, atol=1e-6
    )


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
    greys = torch.tensor(GREYS).view(-1, 1, 1, 1).expand(-1, *x.shape[1:])
    change = (model.scores(x) - model.scores(greys).mean(0))[:, 1]
    drawn = (model.scores(x)[:, None] - model.scores(greys)[None])[..., 1].abs().max()
    assert ((made.sum((1, 2, 3)) - change).abs() < 0.1 * drawn).all()


def test_references_may_be_images_of_any_kind():
    model, x = wrap(settle(SharedInPlace())), images(1)
    pixels = (images(2, seed=5) * 255).round().to(torch.uint8)
    arrays = [image.permute(1, 2, 0).numpy() for image in pixels]
    assert arrays[0].dtype == np.uint8
    made = attribution.expected_gradients(model, x, 1, references=arrays, samples=5)
    same = attribution.expected_gradients(model, x, 1, references=pixels.float() / 255, samples=5)
    torch.testing.assert_close(made, same)


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_draws_do_not_hang_on_the_batch_size_but_on_the_seed(batch_size):
    model, x = wrap(settle(SharedInPlace())), images(2)
    made = attribution.gradient_shap(model, x, 1, samples=7, batch_size=batch_size)
    torch.testing.assert_close(made, attribution.gradient_shap(model, x, 1, samples=7), rtol=1e-4, atol=1e-6)
    assert not torch.equal(made, attribution.gradient_shap(model, x, 1, samples=7, seed=1))


def test_without_noise_gradient_shap_is_expected_gradients():
    model, x = wrap(settle(SharedInPlace())), images(2)
    made = attribution.gradient_shap(model, x, 1, samples=7, sigma=0)
    assert torch.equal(made, attribution.expected_gradients(model, x, 1, samples=7))
