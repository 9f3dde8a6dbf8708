"""Agreement of maps against scipy and scikit-image."""

import numpy as np
import pytest
import torch
from closeness import assert_close, near
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from skimage.metrics import structural_similarity

from xai_widgets.metrics import pearson, spearman, ssim


def pair(seed, levels=None, size=(13, 17)):
    generator = torch.Generator().manual_seed(seed)
    if levels is None:
        return torch.randn(2, 3, *size, generator=generator)
    return torch.randint(levels, (2, 3, *size), generator=generator).float()


@given(st.integers(0, 999), st.sampled_from([None, 2, 5]))
def test_correlations_are_scipys_ties_included(seed, levels):
    a, b = pair(seed, levels)
    for n in range(3):
        values = a[n].flatten().numpy(), b[n].flatten().numpy()
        assert pearson(a, b)[n].item() == near(stats.pearsonr(*values).statistic, scale=1)
        assert spearman(a, b)[n].item() == near(stats.spearmanr(*values).statistic, scale=1)


@given(st.integers(0, 999))
def test_ranks_know_no_scale(seed):
    # Far enough apart that rounding ties no two of them.
    a, b = pair(seed, levels=100) / 20
    assert_close(spearman(a, b), spearman(a.exp(), 3 * b - 1), scale=1)
    assert_close(spearman(a, a.exp()), torch.ones(3))
    assert_close(spearman(a, -a), -torch.ones(3))
    assert_close(pearson(a, 2 - 3 * a), -torch.ones(3))


def test_a_constant_map_has_no_correlation():
    a, _ = pair(0)
    a[1] = 0.1
    for measure in (pearson, spearman):
        assert torch.isnan(measure(a, torch.randn_like(a))).tolist() == [False, True, False]
        assert torch.isnan(measure(torch.randn_like(a), a)).tolist() == [False, True, False]


def test_a_map_with_a_nan_agrees_with_none():
    a, b = pair(0)
    a[1, 2, 3] = torch.nan
    for measure in (pearson, spearman, ssim):
        assert torch.isnan(measure(a, b)).tolist() == [False, True, False]
        assert torch.isnan(measure(b, a)).tolist() == [False, True, False]


@given(st.integers(0, 999))
def test_ssim_is_that_of_scikit_image(seed):
    a, b = pair(seed, size=(24, 19))
    b = a + 0.5 * b
    for n in range(3):
        units = [(m[n].numpy() - m[n].numpy().min()) / np.ptp(m[n].numpy()) for m in (a, b)]
        expected = structural_similarity(
            *units, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert ssim(a, b)[n].item() == near(expected)


@pytest.mark.parametrize("size", [(3, 9), (1, 1), (8, 8)])
def test_ssim_of_small_and_of_constant_maps_is_defined(size):
    a, b = pair(0, size=size)
    assert torch.isfinite(ssim(a, b)).all()
    assert_close(ssim(a, a), torch.ones(3))
    assert_close(ssim(torch.zeros_like(a), torch.ones_like(a)), torch.ones(3))


@pytest.mark.parametrize("measure", [pearson, spearman, ssim])
def test_other_shapes_are_refused(measure):
    with pytest.raises(ValueError, match=r"expected maps of the same shape \(N, H, W\)"):
        measure(torch.zeros(1, 3, 3), torch.zeros(1, 3, 4))
    with pytest.raises(ValueError, match=r"expected a of shape \(N, H, W\), got \(3, 3\)"):
        measure(torch.zeros(3, 3), torch.zeros(3, 3))


def test_a_window_without_extent_is_refused():
    with pytest.raises(ValueError, match="expected sigma to be a number above 0, got 0"):
        ssim(*pair(0), sigma=0)
