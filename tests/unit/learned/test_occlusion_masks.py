"""Masks of Hide-and-Seek, Cutout and saliency patches, from their definitions."""

import pytest
import torch
from closeness import assert_close
from hypothesis import given
from hypothesis import strategies as st
from networks import Functional, images, one_sentence, settle, wrap
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.learned import (
    best_windows,
    cutout_masks,
    hide_and_seek_masks,
    occlude,
    saliency_patch_masks,
)
from xai_widgets.methods import METHODS


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_cells_are_kept_with_their_probability_and_are_whole():
    masks = hide_and_seek_masks(2000, (8, 12), keep_patch=0.7, generator=seeded())
    assert masks.shape == (2000, 1, 8, 12)
    cells = masks.view(2000, 4, 2, 4, 3)
    assert torch.equal(cells.all(4).all(2), cells.any(4).any(2))
    # The standard error is sqrt(.21 / 2000) = .01 in each cell.
    assert (cells.float().mean((0, 2, 4)) - 0.7).abs().max() < 0.05
    # Cells are independent: the probability of two neighbors is the product.
    assert abs((cells[:, 0, 0, 0, 0] & cells[:, 0, 0, 1, 0]).float().mean() - 0.49) < 0.05


@given(st.integers(1, 6), st.integers(6, 20), st.integers(6, 20))
def test_cells_of_uneven_sides_differ_by_one_pixel(grid, height, width):
    masks = hide_and_seek_masks(1, (height, width), grid=grid, keep_patch=0.5)
    rows = torch.arange(height) * grid // height
    counts = rows.bincount(minlength=grid)
    assert counts.max() - counts.min() <= 1
    for row in range(height - 1):
        if rows[row] == rows[row + 1]:
            assert torch.equal(masks[0, 0, row], masks[0, 0, row + 1])


def test_whole_images_are_kept():
    masks = hide_and_seek_masks(2000, (8, 8), keep_patch=0.0, keep_image=0.3, generator=seeded())
    whole = masks.flatten(1).all(1)
    assert torch.equal(whole, masks.flatten(1).any(1))
    assert abs(whole.float().mean() - 0.3) < 0.05
    assert hide_and_seek_masks(5, (8, 8), keep_image=1.0).all()


def test_cutout_squares_leave_the_image():
    masks = cutout_masks(3000, (10, 10), side=4, generator=seeded())
    hidden = (~masks).flatten(1).sum(1)
    assert hidden.max() == 16
    # A square around a corner keeps two rows and columns of it inside.
    assert hidden.min() == 4
    # The mean of the visible extent, over the positions of the center: 4 inside, fewer at the borders.
    extent = torch.tensor([min(10, c + 2) - max(0, c - 2) for c in range(10)]).float().mean()
    assert abs(hidden.float().mean() - extent**2) < 0.3
    for mask in masks[:20, 0]:
        rows, columns = (~mask).any(1), (~mask).any(0)
        assert torch.equal(~mask, rows[:, None] & columns)


def test_more_patches_hide_more():
    few, many = (cutout_masks(500, (20, 20), patches=n, side=5, generator=seeded()) for n in (1, 6))
    assert (~many).float().mean() > 3 * (~few).float().mean()
    assert (~many).flatten(1).sum(1).max() <= 6 * 25


@given(st.integers(0, 30), st.integers(1, 6), st.integers(1, 3))
def test_the_best_window_is_that_of_a_plain_search(seed, side, stride):
    maps = torch.rand(2, 9, 7, generator=seeded(seed))
    found = best_windows(maps, side=side, stride=stride)
    for each, first in zip(maps, found.tolist(), strict=True):
        sums = {
            (row, column): each[row : row + side, column : column + side].double().sum().item()
            for row in range(0, 9 - side + 1, stride)
            for column in range(0, 7 - side + 1, stride)
        }
        assert sums[tuple(first)] == pytest.approx(max(sums.values()), rel=1e-5)


def test_the_patch_is_on_the_most_salient_window():
    model, x = wrap(settle(Functional())), images(3)
    target = torch.tensor([0, 1, 2])
    masks = saliency_patch_masks(model, x, target, layer="conv1", side=3, stride=1, jitter=0)
    maps = METHODS["norm_grad"].saliency(model, x, target, layer="conv1")
    for mask, first in zip(masks, best_windows(maps, side=3).tolist(), strict=True):
        expected = torch.ones(8, 8, dtype=torch.bool)
        expected[first[0] : first[0] + 3, first[1] : first[1] + 3] = False
        assert torch.equal(mask[0], expected)


def test_jitter_moves_the_patch_within_the_image():
    class Corner(nn.Module):
        """The score is the brightness of a corner."""

        def __init__(self):
            super().__init__()
            self.scale = nn.Conv2d(3, 3, 1, groups=3, bias=False)

        def forward(self, x):
            return nn.functional.pad(self.scale(x)[..., :2, :2].sum((2, 3)), (0, 1))

    model = ImageModel(Corner(), size=12)
    masks = saliency_patch_masks(
        model, torch.rand(200, 3, 12, 12), 0, layer="scale", side=4, stride=1, jitter=3, generator=seeded()
    )
    assert ((~masks).flatten(1).sum(1) == 16).all()
    rows = (~masks[:, 0]).any(2).float().argmax(1)
    # The windows at rows 0 to 3 occur, and 0 more often, since the others are clamped to it.
    assert set(rows.tolist()) == {0, 1, 2, 3}
    assert (rows == 0).float().mean() > 0.4


def test_the_seed_decides():
    for draw in (hide_and_seek_masks, cutout_masks):
        a, b, c = (draw(4, (32, 32), generator=seeded(seed)) for seed in (1, 1, 2))
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_the_fill_is_the_mean_color():
    x = torch.rand(2, 3, 4, 4)
    masks = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    masks[0, :, :2] = True
    filled = occlude(x, masks, fill=(0.1, 0.2, 0.3))
    assert torch.equal(filled[0, :, :2], x[0, :, :2])
    assert_close(filled[1], torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1).expand(3, 4, 4))
    assert (occlude(x, masks)[1] == 0).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: hide_and_seek_masks(1, (4, 4), grid=5),
        lambda: hide_and_seek_masks(1, (4, 4), keep_patch=1.5),
        lambda: cutout_masks(1, (4, 4), side=0),
        lambda: best_windows(torch.rand(1, 4, 4), side=5),
        lambda: occlude(torch.rand(1, 3, 4, 4), torch.ones(1, 1, 4, 5)),
        lambda: occlude(torch.rand(1, 3, 4, 4), torch.ones(1, 1, 4, 4), fill=(0.1, 0.2)),
    ],
)
def test_errors_are_one_sentence(call):
    with pytest.raises(ValueError, match="expected") as caught:
        call()
    one_sentence(caught)
