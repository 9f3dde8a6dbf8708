"""Regularizers of images, by hand."""

import pytest
import torch
from closeness import assert_close, near

from xai_widgets.features.regularizers import L2, AlphaNorm, TotalVariation


def image(*rows):
    return torch.tensor(rows)[None, None]


def test_the_alpha_norm_is_the_mean_power_of_the_distance_from_gray():
    x = image([0.5, 1.0], [0.0, 0.75])
    assert AlphaNorm(2.0, alpha=4)(x).item() == near(2 * (2 * 0.5**4 + 0.25**4) / 4)


def test_total_variation_joins_both_directions():
    # Differences (down, right): (.2, .4), (0, -), (-, .6); the last pixel has none.
    x = image([0.1, 0.5], [0.3, 0.9])
    squares = [0.2**2 + 0.4**2, 0.4**2, 0.6**2, 0]
    for beta in (1.0, 2.0, 3.0):
        assert TotalVariation(5.0, beta)(x).item() == near(
            5 * sum(s ** (beta / 2) for s in squares) / 4, steps=5e3
        )


def test_l2_is_the_mean_square():
    assert L2(3.0)(image([0.0, 0.5], [1.0, 0.6])).item() == near(3 * (0.25 + 0.25 + 0.01) / 4)


@pytest.mark.parametrize(
    "regularizer", [AlphaNorm(1.0), TotalVariation(1.0), TotalVariation(1.0, 1.0), L2(1.0)]
)
def test_there_is_one_penalty_per_image_and_no_infinite_gradient(regularizer):
    x = torch.rand(3, 3, 5, 7)
    x[0] = 0.5
    x.requires_grad_()
    penalties = regularizer(x)
    (gradient,) = torch.autograd.grad(penalties.sum(), x)
    assert penalties.shape == (3,)
    assert penalties[0] < penalties[1:].min()
    assert gradient.isfinite().all()
    assert_close(regularizer(x[1:2]), penalties[1:2].detach())


@pytest.mark.parametrize("make", [lambda: L2(-1), lambda: TotalVariation(1, 0), lambda: AlphaNorm(1, 0.5)])
def test_values_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="expected"):
        make()
