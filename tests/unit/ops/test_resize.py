"""Resizing of maps and patches against torch."""

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from networks import one_sentence

from xai_widgets.ops.resize import resize_map, shrink


def maps(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.int64])
def test_maps_are_interpolated_bilinearly(dtype):
    coarse = (9 * maps(2, 3, 4)).to(dtype)
    made = resize_map(coarse, (8, 6))
    wide = coarse if dtype in (torch.float32, torch.float64) else coarse.float()
    expected = F.interpolate(wide[:, None], (8, 6), mode="bilinear", align_corners=False)[:, 0]
    assert torch.equal(made, expected)


def test_maps_of_the_size_are_returned_unchanged():
    coarse = maps(2, 3, 4)
    assert resize_map(coarse, (3, 4)) is coarse


def test_maps_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"expected saliency of shape \(N, h, w\), got \(3, 4\)") as error:
        resize_map(maps(3, 4), (8, 6))
    one_sentence(error)


def test_patches_shrink_to_area_means_and_small_ones_stay():
    patches = maps(2, 5, 3, 8, 8)
    made = shrink(patches, 4)
    assert made.shape == (2, 5, 3, 4, 4)
    assert_close(made[1, 4, 2, 3, 0], patches[1, 4, 2, 6:8, 0:2].mean())
    assert shrink(patches, 8) is patches
