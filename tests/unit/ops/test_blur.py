"""Gaussian blurs against their sums."""

import math

import numpy as np
import pytest
import torch
from closeness import assert_close, near, rounding
from examples import fewer_examples
from hypothesis import given
from hypothesis import strategies as st
from networks import images, one_sentence

from xai_widgets.ops.blur import gaussian_blur, gaussian_matrix, truncated_blur


def blurred(x, sigma):
    """sum_v g(u - v) x(v) / sum_v g(u - v) for one image (H, W), pixel by pixel."""
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


@fewer_examples(2)
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


def test_blur_is_the_truncated_gaussian_and_keeps_a_constant():
    x = torch.zeros(1, 1, 21, 21)
    x[0, 0, 10, 10] = 1
    profile = [math.exp(-(k**2) / 50) for k in range(-5, 6)]
    expected = np.outer(profile, profile) / sum(profile) ** 2
    assert truncated_blur(x)[0, 0, 5:16, 5:16].numpy() == near(expected)
    assert truncated_blur(x).sum().item() == near(1)
    assert truncated_blur(torch.full((1, 3, 8, 9), 0.3)).flatten().tolist() == near([0.3] * 216)
