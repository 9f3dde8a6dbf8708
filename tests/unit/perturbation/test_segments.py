"""Segments: labels of any kind, their means and maps, and overlapping regions."""

import re
import sys

import numpy as np
import pytest
import torch
from closeness import assert_close
from hypothesis import given
from hypothesis import strategies as st
from networks import images

from xai_widgets.core.images import to_images
from xai_widgets.data import scenes
from xai_widgets.perturbation.segments import (
    as_segments,
    oversegmentations,
    paint,
    segment_counts,
    segment_means,
    superpixels,
)


@pytest.fixture(scope="module")
def x():
    return to_images([scenes.scene(i, size=48).image for i in range(2)])


def labels_of(segments):
    return [sorted(each.unique().tolist()) for each in segments]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count_asked", [1, 10, 40])
def test_superpixels_are_numbered_without_a_gap_and_are_about_as_many_as_asked_for(x, count_asked, channels):
    segments = superpixels(x[:, :channels], count_asked)
    assert segments.shape == (2, 48, 48)
    assert labels_of(segments) == [list(range(count)) for count in segment_counts(segments)]
    assert all(count_asked / 2 <= count <= 1.5 * count_asked for count in segment_counts(segments))


def test_superpixels_keep_to_edges():
    x = torch.zeros(1, 3, 32, 32)
    x[:, :, :, 13:] = 1.0
    segments = superpixels(x, 8)
    means = segment_means(x, segments)
    assert_close(means, x)


def test_a_number_or_nothing_makes_superpixels(x):
    assert torch.equal(as_segments(None, x), superpixels(x, 50))
    assert torch.equal(as_segments(12, x), superpixels(x, 12))


@given(st.integers(0, 2**31), st.sampled_from([torch.int16, torch.int64, torch.uint8]))
def test_own_labels_are_renumbered_in_their_order(seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    own = torch.randint(0, 9, (2, 4, 5), generator=generator).mul(7).to(dtype)
    made = as_segments(own, torch.zeros(2, 3, 4, 5))
    assert made.dtype == torch.int64
    for n in range(2):
        assert made[n].unique().tolist() == list(range(segment_counts(made)[n]))
        a, b = own[n].flatten().long(), made[n].flatten()
        assert torch.equal((a[:, None] < a), (b[:, None] < b))


def test_one_map_serves_all_images():
    own = np.arange(20).reshape(4, 5) // 7
    made = as_segments(own, torch.zeros(3, 3, 4, 5))
    assert torch.equal(made, torch.as_tensor(own).expand(3, 4, 5))


@given(st.integers(0, 2**31))
def test_means_and_paint_are_those_of_the_segments(seed):
    x = images(2, seed=seed % 1000)
    own = torch.randint(0, 5, (2, 8, 8), generator=torch.Generator().manual_seed(seed))
    segments = as_segments(own, x)
    values = torch.randn(2, max(segment_counts(segments)), generator=torch.Generator().manual_seed(seed))
    means, painted = segment_means(x, segments), paint(values, segments)
    for n in range(2):
        for s in range(segment_counts(segments)[n]):
            inside = segments[n] == s
            mean = x[n][:, inside].mean(1, keepdim=True)
            assert_close(means[n][:, inside], mean.expand(-1, int(inside.sum())), scale=1)
            assert (painted[n][inside] == values[n, s]).all()


def test_oversegmentations_cover_the_image_in_several_sizes(x):
    for image in (x[0], x[1], x[0, :1]):
        regions = oversegmentations(image)
        assert regions.dtype == torch.bool
        assert regions.shape[1:] == (48, 48)
        assert regions.any(0).all()
        area = regions.flatten(1).sum(1)
        assert area.max() > 5 * area.min()


@pytest.mark.parametrize(
    ("segments", "error", "words"),
    [
        (
            torch.zeros(2, 4, 4).long(),
            ValueError,
            "expected segments of shape (N, 8, 8), got (2, 4, 4)",
        ),
        (
            torch.zeros(3, 8, 8).long(),
            ValueError,
            "expected segments of shape (N, H, W), (2, 8, 8), got (3, 8, 8)",
        ),
        (
            torch.zeros(8, 8),
            TypeError,
            "expected segments as integers (N, H, W), one label for each pixel, got torch.float32",
        ),
        ("slic", TypeError, "expected segments as numbers of shape (N, 8, 8), got 'slic'"),
        (0, ValueError, "expected segments to be an integer from 1 to 64, got 0"),
    ],
)
def test_bad_segments_are_refused(segments, error, words):
    with pytest.raises(error, match=re.escape(words)):
        as_segments(segments, images(2))


def test_without_scikit_image_the_error_names_the_package_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    x = images(1)
    with pytest.raises(ImportError, match=re.escape("pip install 'xai-widgets[images]'")):
        as_segments(None, x)
    # Own labels need none.
    assert as_segments(torch.arange(64).view(8, 8), x).shape == (1, 8, 8)
