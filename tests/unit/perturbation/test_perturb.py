"""The perturbation operator against its sums, written out."""

import math
import re

import pytest
import torch
from closeness import assert_close, rounding
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import images, one_sentence

from xai_widgets.ops.blur import gaussian_blur, gaussian_matrix
from xai_widgets.ops.perturb import SIGMA, perturb, pyramid


def blurred(x, sigma):
    """sum_v g(u - v) x(v) / sum_v g(u - v) for one image (H, W), place by place."""
    height, width = x.shape
    made = torch.empty_like(x)
    for row in range(height):
        for column in range(width):
            top = bottom = 0.0
            for i in range(height):
                for j in range(width):
                    weight = math.exp(-((row - i) ** 2 + (column - j) ** 2) / (2 * sigma**2))
                    top += weight * x[i, j].item()
                    bottom += weight
            made[row, column] = top / bottom
    return made


@settings(max_examples=15)
@given(st.floats(0.3, 20), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_the_blur_is_the_normalized_sum(sigma, height, width, seed):
    x = torch.rand(height, width, generator=torch.Generator().manual_seed(seed)).double()
    assert_close(gaussian_blur(x[None, None], sigma)[0, 0], blurred(x, sigma))


@given(st.floats(1e-3, 1e4))
def test_the_blur_keeps_what_is_constant_and_never_leaves_the_range(sigma):
    assert_close(gaussian_blur(torch.full((1, 3, 7, 5), 0.3), sigma), torch.full((1, 3, 7, 5), 0.3))
    x = images(1)
    made = gaussian_blur(x, sigma)
    assert made.min() >= x.min() - rounding(x)
    assert made.max() <= x.max() + rounding(x)


def test_no_blur_gives_the_images_and_the_strongest_their_mean():
    x = images(2)
    assert gaussian_blur(x, 0) is x
    assert_close(gaussian_blur(x, 0.01), x)
    assert_close(gaussian_blur(x, 1e5), x.mean((2, 3), keepdim=True).expand_as(x))
    with pytest.raises(ValueError, match="expected sigma to be a number of at least 0, got -1") as error:
        gaussian_blur(x, -1)
    one_sentence(error)


def test_a_coarse_grid_reaches_the_pixels_by_weights_around_the_middles_of_its_cells():
    made = gaussian_matrix(6, 3, 1.5, torch.empty(0, dtype=torch.float64))
    for pixel in range(6):
        weights = [math.exp(-((pixel + 0.5 - middle) ** 2) / (2 * 1.5**2)) for middle in (1, 3, 5)]
        expected = torch.tensor([weight / sum(weights) for weight in weights], dtype=torch.float64)
        assert_close(made[pixel], expected)


def test_the_pyramid_falls_from_the_strongest_blur_to_the_images():
    x = images(2)
    made = pyramid(x, levels=5, sigma=4.0)
    assert made.shape == (2, 5, *x.shape[1:])
    for level in range(5):
        assert_close(made[:, level], gaussian_blur(x, 4.0 * (1 - level / 4)))
    assert torch.equal(made[:, -1], x)


def test_the_strongest_blur_is_a_share_of_the_short_side():
    x = torch.rand(1, 3, 10, 16, generator=torch.Generator().manual_seed(0))
    assert math.isclose(SIGMA * 224, 20)
    assert_close(pyramid(x)[:, 0], gaussian_blur(x, 10 * 20 / 224))


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.integers(2, 9))
def test_a_mask_reads_the_pyramid_linearly_between_its_levels(values, levels):
    x = images(1, size=2)
    stack = pyramid(x, levels=levels, sigma=3.0)
    masks = torch.tensor(values).view(1, 1, 2, 2)
    made = perturb(stack, masks)
    for row in range(2):
        for column in range(2):
            at = masks[0, 0, row, column].item() * (levels - 1)
            low = min(int(at), levels - 2)
            first, second = stack[0, low, :, row, column], stack[0, low + 1, :, row, column]
            assert_close(made[0, 0, :, row, column], first + (at - low) * (second - first))


@pytest.mark.parametrize("perturbation", ["blur", "fade"])
def test_the_ends_are_the_perturbed_image_and_the_image(perturbation):
    x = images(2)
    stack = pyramid(x, perturbation)
    masks = torch.stack([torch.zeros(2, 8, 8), torch.ones(2, 8, 8)], 1)
    made = perturb(stack, masks)
    assert_close(made[:, 1], x)
    assert_close(made[:, 0], stack[:, 0])


@given(st.integers(0, 99))
def test_fading_is_a_product(seed):
    masks = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    x = images(2)
    assert_close(perturb(pyramid(x, "fade"), masks), masks[:, :, None] * x[:, None])


@pytest.mark.parametrize("perturbation", ["blur", "fade"])
def test_the_gradient_is_that_of_the_interpolation(perturbation):
    stack = pyramid(images(2, size=4).double(), perturbation, levels=4)
    # Away from the kinks at thirds, where there is no one gradient.
    generator = torch.Generator().manual_seed(0)
    masks = torch.randint(0, 3, (2, 2, 4, 4), generator=generator) / 3 + 1 / 6
    masks = (masks + 0.1 * torch.rand(masks.shape, generator=generator)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda m: perturb(stack, m), masks)


def test_a_mask_of_ones_has_the_gradient_of_the_last_interval():
    stack = pyramid(images(1), levels=3)
    masks = torch.ones(1, 1, 8, 8, requires_grad=True)
    (made,) = torch.autograd.grad(perturb(stack, masks).sum(), masks)
    assert_close(made[0, 0], 2 * (stack[0, 2] - stack[0, 1]).sum(0))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"perturbation": "blurr"}, "blur"),
        ({"levels": 1}, "at least 2"),
        ({"sigma": -2.0}, "expected sigma to be a number of at least 0, got -2.0"),
    ],
)
def test_what_no_pyramid_can_be_made_of_is_refused(options, said):
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        pyramid(images(1), **options)
    one_sentence(error)
