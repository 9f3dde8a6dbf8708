"""The five distances of super-resolution, and whether an attribution keeps the class."""

import numpy as np
import pytest
import torch
from closeness import assert_close, near
from examples import fewer_examples
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from xai_widgets import ImageModel
from xai_widgets.inverse import evaluation


def images(seed, n=3, height=20, width=24):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(3, n, 1, height, width, generator=generator).unbind()


def blur(x):
    return nn.functional.avg_pool2d(x, 3, 1, 1) - x


# -- distances ------------------------------------------------------------------------------------------------


@given(st.integers(0, 99), st.integers(0, 4))
@fewer_examples(2)
def test_distances_are_those_of_scikit_image(seed, border):
    metrics = pytest.importorskip("skimage.metrics")
    x, x_hat, truth = images(seed)
    made = evaluation.reconstruction(blur, x, x_hat, truth, border=border, batch_size=2)
    a, b = x + blur(x), x + blur(x_hat)
    pairs = [(x, x_hat), (blur(x), blur(x_hat)), (a, b), (a, truth), (b, truth)]
    inner = (slice(border, 20 - border), slice(border, 24 - border))
    for column, (one, other) in enumerate(pairs):
        for n in range(3):
            p, q = (part[n, 0][inner].double().numpy() for part in (one, other))
            mse = metrics.mean_squared_error(p, q)
            assert made.mse[n, column] == near(mse)
            assert made.psnr[n, column] == near(metrics.peak_signal_noise_ratio(p, q, data_range=1))
            ssim = metrics.structural_similarity(
                p, q, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
            )
            assert made.ssim[n, column] == near(ssim)


def test_b_and_c_differ_in_similarity_only():
    made = evaluation.reconstruction(blur, *images(1))
    assert_close(made.mse[:, 1], made.mse[:, 2])
    assert not torch.allclose(made.ssim[:, 1], made.ssim[:, 2])


def test_the_image_itself_is_its_best_inverse():
    x, _, truth = images(2)
    made = evaluation.reconstruction(blur, x, x, truth)
    assert (made.mse[:, :3] == 0).all()
    assert torch.isinf(made.psnr[:, :3]).all()
    assert_close(made.ssim[:, :3], torch.ones(3, 3))
    assert_close(made.mse[:, 3], made.mse[:, 4])


def test_the_table_is_the_mean_over_the_images():
    made = evaluation.reconstruction(blur, *images(3))
    table = made.table()
    assert list(table) == ["A", "B", "C", "D", "E"]
    for column, row in enumerate(table.values()):
        for name in ("mse", "psnr", "ssim"):
            assert row[name] == near(getattr(made, name)[:, column].mean().item())


def test_a_module_is_run_in_eval_mode_and_left_as_it_was():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(), nn.Conv2d(4, 1, 1)
    )
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.inference_mode():
        first = evaluation.reconstruction(network, *images(4))
    second = evaluation.reconstruction(network, *images(4), batch_size=1)
    assert_close(first.psnr, second.psnr)
    assert not second.residual.requires_grad
    assert not first.psnr.is_inference()
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_distances_refuse_other_shapes():
    x, x_hat, truth = images(5)
    with pytest.raises(ValueError, match=r"got x_hat of shape \(3, 1, 20, 23\)"):
        evaluation.reconstruction(blur, x, x_hat[..., :23], truth)
    with pytest.raises(ValueError, match="got truth of shape"):
        evaluation.reconstruction(blur, x, x_hat, truth[:2])
    with pytest.raises(ValueError, match=r"got x of shape \(3, 3, 20, 24\)"):
        evaluation.reconstruction(blur, x.expand(-1, 3, -1, -1), x_hat, truth)
    with pytest.raises(ValueError, match="expected phi to return the shape of x"):
        evaluation.reconstruction(lambda part: part[..., :5], x, x_hat, truth)
    with pytest.raises(ValueError, match=r"expected a border .* got 10"):
        evaluation.reconstruction(blur, x, x_hat, truth, border=10)
    with pytest.raises(ValueError, match="batch_size to be an integer of at least 1, got 0"):
        evaluation.reconstruction(blur, x, x_hat, truth, batch_size=0)


# -- re-identification ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    """Seven classes, each a part of the image: the class is the brightest seventh of the columns."""

    class Brightest(nn.Module):
        def forward(self, x):
            return 10 * x.mean((1, 2)).unflatten(1, (7, 2)).mean(2)

    return ImageModel(Brightest(), size=14, device="cpu")


def scenes(n=4, seed=0):
    return torch.rand(n, 3, 14, 14, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 200))
def test_scaled_maps_run_from_0_to_1_whatever_their_scale_and_sign(seed):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(3, 4, 5, generator=generator)
    made = evaluation.scale_alpha(maps)
    assert_close(made.amin((1, 2)), torch.zeros(3))
    assert_close(made.amax((1, 2)), torch.ones(3))
    factor = torch.rand(3, 1, 1, generator=generator) + 0.1
    assert_close(evaluation.scale_alpha(-factor * maps), made)
    np.testing.assert_array_equal(made.flatten(1).argsort(1), maps.abs().flatten(1).argsort(1))


@given(st.integers(0, 200), st.integers(1, 4))
def test_where_nothing_is_attributed_nothing_is_left(seed, channels):
    generator = torch.Generator().manual_seed(seed)
    attribution = torch.randn(3, channels, 4, 5, generator=generator)
    none = torch.rand(3, 4, 5, generator=generator) < 0.5
    none[:, 0, 0], none[:, 0, 1] = True, False
    attribution = attribution * ~none[:, None]
    made = evaluation.scale_alpha(attribution)
    assert (made[none] == 0).all()
    # Section 3.3.2: the absolute value of the sum, not the sum of absolute values.
    summed = attribution.sum(1).abs()
    assert_close(made, summed / summed.amax((1, 2), keepdim=True))


def test_constant_maps_keep_all_or_nothing():
    maps = torch.tensor([2.0, 0.0, -1.0]).view(3, 1, 1).expand(3, 4, 4)
    assert evaluation.scale_alpha(maps).mean((1, 2)).tolist() == [1, 0, 1]


def test_weighted_images_go_from_the_empty_color_to_the_image():
    x, color = scenes(2), torch.tensor([0.2, 0.5, 0.9])
    whole = color[:, None, None].expand(2, 3, 14, 14)
    assert_close(evaluation.weighted(x, torch.zeros(2, 14, 14), color), whole)
    assert_close(evaluation.weighted(x, torch.ones(2, 14, 14), color), x)
    alpha = torch.rand(2, 14, 14, generator=torch.Generator().manual_seed(3))
    made = evaluation.weighted(x, alpha, color)
    assert_close((made - whole), alpha[:, None] * (x - whole))
    assert_close(evaluation.weighted(x, 0.25, color), 0.75 * whole + 0.25 * x)


def test_an_attribution_that_keeps_everything_keeps_the_class(model):
    x = scenes()
    made = evaluation.reidentification(model, x, torch.ones(4, 14, 14))
    assert made.top1.all()
    assert made.top5.all()
    assert made.point() == (1, 1, 1)
    assert_close(made.target, model.scores(x).argmax(1))
    assert_close(made.probability, model.probs(x).amax(1))


def test_what_is_kept_decides_the_class_and_its_rank(model):
    x = torch.ones(1, 3, 14, 14) * torch.arange(7, 0, -1).repeat_interleave(2) / 7
    # Columns with an alpha of 1 are bright, those of the class itself among them, or below so many others.
    for above in range(7):
        alpha = torch.zeros(1, 14, 14)
        alpha[..., 2 : 2 + 2 * above] = 1
        made = evaluation.reidentification(model, x, alpha, 0)
        assert made.top1.item() == (above == 0)
        assert made.top5.item() == (above < 5)
        assert made.mean_alpha.item() == near(above / 7)


def test_the_formula_batch_by_batch(model):
    x = scenes(7)
    attribution = torch.randn(7, 14, 14, generator=torch.Generator().manual_seed(1))
    made = evaluation.reidentification(model, x, attribution, [0, 1, 2, 3, 4, 5, 6], batch_size=2)
    expected = model.probs(made.alpha[:, None] * x)
    assert_close(made.x, made.alpha[:, None] * x)
    assert_close(made.probability, expected.diag())
    assert torch.equal(made.top1, expected.argmax(1) == torch.arange(7))
    best = expected.topk(5).indices
    assert torch.equal(made.top5, (best == torch.arange(7)[:, None]).any(1))
    assert_close(made.alpha, evaluation.scale_alpha(attribution))
    assert_close(made.mean_alpha, made.alpha.mean((1, 2)))


def test_a_coarse_attribution_is_brought_to_the_images_by_the_nearest_neighbor(model):
    coarse = torch.rand(4, 7, 2, generator=torch.Generator().manual_seed(2))
    made = evaluation.reidentification(model, scenes(), coarse)
    assert_close(made.alpha, evaluation.scale_alpha(coarse).repeat_interleave(2, 1).repeat_interleave(7, 2))


@pytest.fixture(scope="module")
def normalized():
    """A network of three classes, the means of the channels, with normalized inputs."""
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return ImageModel(module, size=14, mean=(0.2, 0.5, 0.9), std=(0.5, 0.5, 0.5), device="cpu")


def test_what_is_not_left_has_the_mean_color_or_is_black(normalized):
    x, alpha = scenes(), torch.randn(4, 3, 14, 14, generator=torch.Generator().manual_seed(4))
    share = evaluation.scale_alpha(alpha)[:, None]
    mean = normalized.mean.view(1, 3, 1, 1)
    for empty, expected in ((None, mean + share * (x - mean)), ("black", share * x)):
        made = evaluation.reidentification(normalized, x, alpha, 0, empty=empty)
        assert_close(made.x, expected)
        assert_close(made.probability, normalized.probs(expected)[:, 0])
    # All scores of the mean color are equal: the first class ranks first.
    nothing = evaluation.reidentification(normalized, x, torch.zeros(4, 14, 14), [0, 1, 2, 0])
    assert nothing.top1.tolist() == [True, False, False, True]
    with pytest.raises(ValueError, match="empty"):
        evaluation.reidentification(normalized, x, alpha, 0, empty="white")


def test_uniform_fading_is_reidentification_by_a_constant(model, normalized):
    x, alphas = scenes(5), (0, 0.1, 0.4, 0.75, 1)
    for network in (model, normalized):
        made = evaluation.uniform(network, x, [0, 1, 2, 1, 0], alphas, batch_size=2)
        assert made.alpha.tolist() == pytest.approx(alphas)
        for column, alpha in enumerate(alphas):
            faded = evaluation.weighted(x, torch.full((5, 14, 14), alpha), network.mean.flatten())
            probs = torch.from_numpy(network.probs(faded).numpy())
            assert_close(made.probability[:, column], probs.gather(1, made.target[:, None])[:, 0])
            best = probs.sort(dim=1, descending=True, stable=True).indices
            assert torch.equal(made.top1[:, column], best[:, 0] == made.target)
            assert torch.equal(made.top5[:, column], (best[:, :5] == made.target[:, None]).any(1))
    assert evaluation.uniform(model, x).top1[:, -1].all()
    with pytest.raises(ValueError, match="each of alphas"):
        evaluation.uniform(model, x, 0, (0.5, 1.2))


def test_of_three_classes_all_are_among_the_five_best():
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = ImageModel(module, size=14, device="cpu")
    made = evaluation.reidentification(model, scenes(3), torch.rand(3, 14, 14), [0, 1, 2])
    assert made.top5.all()


def test_reidentification_refuses_other_shapes(model):
    x = scenes()
    with pytest.raises(TypeError, match="Linear"):
        evaluation.reidentification(nn.Linear(2, 2), x, torch.ones(4, 14, 14))
    with pytest.raises(ValueError, match=r"expected alpha of shape \(4, h, w\), got \(3, 14, 14\)"):
        evaluation.reidentification(model, x, torch.ones(3, 14, 14))
    with pytest.raises(ValueError, match="finite"):
        evaluation.reidentification(model, x, torch.full((4, 14, 14), torch.nan))
    with pytest.raises(ValueError, match="batch_size"):
        evaluation.reidentification(model, x, torch.ones(4, 14, 14), batch_size=0)
