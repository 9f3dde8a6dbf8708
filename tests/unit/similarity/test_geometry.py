"""Rotations and scales: the pixels against numpy's own turns, the positions against the pixels."""

import re

import numpy as np
import pytest
import torch
from closeness import assert_close, near, rounding
from hypothesis import given
from hypothesis import strategies as st
from networks import one_sentence

from xai_widgets.similarity import (
    ActivationGrid,
    flips,
    kernel_width,
    occlusions,
    rotations,
    scalings,
    shifts,
    similarity,
)


def image(height=6, width=6, seed=0):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def test_quarter_turns_are_those_of_numpy():
    x = image()
    made = rotations(x, [0, 90, 180, 270])
    for turns in range(4):
        assert_close(made.images[turns], torch.rot90(x, turns, (1, 2)), msg=str(turns))
    assert made.labels == ("0°", "90°", "180°", "270°")


def test_half_turns_of_an_image_that_is_not_square():
    x = image(4, 7)
    assert_close(rotations(x, [180]).images[0], x.flip(1, 2))


def test_twice_as_large_and_half_as_large():
    x = image(4, 8).repeat_interleave(2, 1).repeat_interleave(2, 2)
    large, small = scalings(x, [2, 0.5]).images
    middle = x[:, 2:6, 4:12].repeat_interleave(2, 1).repeat_interleave(2, 2)
    # Between equal pixels nothing is to be interpolated.
    assert_close(large[:, 1::4, 1::4], middle[:, 1::4, 1::4])
    assert_close(small[:, 2:6, 4:12], x[:, ::2, ::2])
    assert small[:, :2].abs().max() == 0


def test_mirrored_images_are_those_of_flip():
    x = image(5, 8)
    series = flips(x)
    for made, expected in zip(series.images, (x, x.flip(2), x.flip(1), x.flip(1, 2)), strict=True):
        assert_close(made, expected)
    assert series.labels == ("original", "left-right", "up-down", "both")
    assert_close(
        series.follow((0.25, 0.375)),
        torch.tensor([[0.25, 0.375], [0.75, 0.375], [0.25, 0.625], [0.75, 0.625]]).double(),
    )


def test_shifted_images_are_those_of_roll_with_black_behind_them():
    x = image(6, 8)
    series = shifts(x, [25, 0, -50])
    moved, same, back = series.images
    assert_close(moved[:, :, 2:], x[:, :, :-2])
    assert moved[:, :, :2].abs().max() == 0
    assert_close(same, x)
    assert_close(back[:, :, :4], x[:, :, 4:])
    assert series.labels == ("+25 %", "0 %", "−50 %")
    assert series.original == 1
    down = shifts(x, [50], "height")
    assert_close(down.images[0, :, 3:], x[:, :3])
    assert_close(down.follow((0.5, 0.25)), torch.tensor([[0.5, 0.75]]).double())
    assert down.follow((0.5, 0.75)).isnan().all()


def test_a_growing_square_has_the_mean_color():
    x = image(8, 10)
    series = occlusions(x, [0, 50, 200])
    assert_close(series.images[0], x)
    half = x.clone()
    half[:, 2:6, 3:7] = x.mean((1, 2))[:, None, None]
    assert_close(series.images[1], half)
    assert_close(series.images[2], x.mean((1, 2))[:, None, None].expand_as(x))
    assert_close(series.follow((0.25, 0.6)), torch.tensor([[0.25, 0.6]], dtype=torch.float64).expand(3, 2))
    corner = occlusions(x, [50], (0, 1)).images[0]
    changed = (corner != x).any(0)
    assert changed.nonzero().amin(0).tolist() == [6, 0]
    assert changed.nonzero().amax(0).tolist() == [7, 1]


def test_a_square_that_covers_no_pixel_is_refused():
    with pytest.raises(
        ValueError, match=r"sides in percent .* that cover a pixel, or 0, got 0.2; 20 is a fifth"
    ):
        occlusions(torch.rand(3, 32, 32), [0, 0.2, 0.4])


def test_distances_are_relative_to_the_original_and_follow_the_order():
    series = scalings(image(), [2, 1, 0.5])
    z = torch.rand(3, 4, 4, 5, generator=torch.Generator().manual_seed(1))
    grids = [ActivationGrid("net", "conv", n, part) for n, part in enumerate(z)]
    expected = torch.stack([(part - z[1]).norm() / z[1].norm() for part in z])
    assert_close(series.distances(grids), expected)
    sorted_ = series.ascending()
    assert (series.original, sorted_.original) == (1, 1)
    assert_close(sorted_.distances([grids[2], grids[1], grids[0]]), expected.flip(0))


@given(st.floats(-180, 180), st.integers(0, 4), st.integers(0, 8), st.floats(0.6, 1.6))
def test_a_point_follows_its_pixel(angle, row, column, factor):
    """A bright spot is looked for in the transformed image, at its computed position."""
    height, width = 50, 90
    x = torch.zeros(1, height, width)
    x[:, row * 10 + 4 : row * 10 + 7, column * 10 + 4 : column * 10 + 7] = 1
    at = (column * 10 + 5.5) / width, (row * 10 + 5.5) / height
    for series in (rotations(x, [angle]), scalings(x, [factor]), shifts(x, [angle / 6], "height")):
        position = series.follow(at)[0]
        transformed = series.images[0, 0]
        if position.isnan().any():
            continue
        yy, xx = np.mgrid[:height, :width]
        if transformed.sum() < 5:  # cut at the border
            continue
        middle = [float((transformed.numpy() * grid).sum() / transformed.sum()) + 0.5 for grid in (xx, yy)]
        assert abs(middle[0] - position[0] * width) < 1.5
        assert abs(middle[1] - position[1] * height) < 1.5


@given(st.floats(0, 0.999), st.floats(0, 0.999), st.floats(-180, 180), st.floats(-180, 180))
def test_following_from_any_image_of_the_series_is_consistent(x, y, first, second):
    series = rotations(image(5, 9), [first, second])
    there = series.follow((x, y))
    for number in range(2):
        if there[number].isnan().any():
            continue
        again = series.follow(there[number].tolist(), number)
        both = ~(again.isnan() | there.isnan())
        assert_close(again[both], there[both])
        # At the border rounding decides whether a position has left the image.
        for only in (again[again.isnan() != there.isnan()], there[again.isnan() != there.isnan()]):
            borders = only[~only.isnan()].view(-1, 2)
            assert ((borders < rounding(1)) | (borders > 1 - rounding(1))).any(1).all()


def test_what_leaves_the_image_is_a_gap():
    series = scalings(image(), [1, 2, 0.5])
    gone = series.follow((0.1, 0.1)).isnan().all(1)
    assert gone.tolist() == [False, True, False]
    z = torch.rand(3, 4, 4, 5, generator=torch.Generator().manual_seed(1))
    grids = [ActivationGrid("net", "conv", n, part) for n, part in enumerate(z)]
    made = series.profile(grids, 0, (0, 0))
    assert made.isnan().tolist() == [False, True, False]
    # The middle of the cell (0, 0), at 1/8, is at 5/16 in the image that is half as large: cell (1, 1).
    assert made[0] == near(1)
    assert made[2] == near(similarity(grids[0], (0, 0), grids[2])[1, 1].item())
    lengths = series.profile(grids, 0, (0, 0), "euclidean")
    expected = similarity(grids[0], (0, 0), grids[2], "euclidean", sigma=kernel_width(grids))[1, 1].item()
    assert lengths[2] == near(expected)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rotations(image(), []), "expected degrees to be a sequence of numbers"),
        (lambda: rotations(image(), [float("nan")]), "expected each of degrees to be a number, got nan"),
        (
            lambda: scalings(image(), [1, 0]),
            "expected each of factors to be a number from 1e-06 to 1000000.0, got 0",
        ),
        (
            lambda: rotations(torch.rand(2, 3, 4, 4), [1]),
            "expected an image of shape (1, C, H, W), got (2, 3, 4, 4)",
        ),
        (
            lambda: rotations(image(), [0, 1]).profile([], 0, (0, 0)),
            "expected grids to be 2 activation grids, got []",
        ),
    ],
)
def test_refusals(call, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        call()
    one_sentence(error)
