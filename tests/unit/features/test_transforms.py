"""Random transforms follow their descriptions, for images of any size, and follow their generator."""

import math

import pytest
import torch
from closeness import assert_close

from xai_widgets.features.transforms import (
    ROBUST,
    STEADY,
    Color,
    Compose,
    Crop,
    Jitter,
    Noise,
    Rotation,
    Scale,
    affine,
)

ALL = [
    Jitter(0.2),
    Scale(0.5, 2.0),
    Rotation(30),
    Color(),
    Noise(),
    Crop(0.5, 0.9),
    Compose(ROBUST),
    Compose(STEADY),
]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def smooth(height=24, width=36):
    """Return an image without frequencies that an interpolation would lose."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([torch.sin(rows / 9) + 1, torch.cos(columns / 7) + 1, (rows + columns) / 60])[None] / 2


@pytest.mark.parametrize("transform", ALL, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("size", [(8, 8), (24, 36), (7, 5), (1, 1)])
def test_a_seed_draws_one_transform_for_all_images(transform, size):
    x = torch.rand(1, 3, *size).expand(2, -1, -1, -1).clone().requires_grad_()
    first, again = transform(x, generator(3)), transform(x, generator(3))
    assert torch.equal(first, again)
    assert torch.equal(first[0], first[1])
    assert first.isfinite().all()
    assert torch.autograd.grad(first.sum(), x)[0].isfinite().all()
    parts = transform.transforms if isinstance(transform, Compose) else [transform]
    if not any(isinstance(part, Crop) for part in parts):
        assert first.shape == x.shape


@pytest.mark.parametrize("transform", ALL, ids=lambda each: type(each).__name__)
def test_another_seed_draws_another_transform(transform):
    x = torch.rand(1, 3, 24, 36)
    made = [transform(x, generator(seed)) for seed in range(4)]
    assert any(each.shape != made[0].shape or not torch.equal(each, made[0]) for each in made[1:])


def test_jitter_shifts_by_whole_pixels():
    x = torch.rand(1, 1, 40, 40)
    shifts = set()
    for seed in range(30):
        y = Jitter(0.1)(x, generator(seed))
        found = [
            (down, right)
            for down in range(-4, 5)
            for right in range(-4, 5)
            if torch.equal(y[..., 4:-4, 4:-4], x[..., 4 + down : 36 + down, 4 + right : 36 + right])
        ]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) > 20
    assert min(min(shifts)) < 0 < max(max(shifts))


def test_scale_enlarges_around_the_middle():
    x = smooth()
    y = Scale(2.0, 2.0)(x, generator())
    # Pixels of the enlarged image lie at quarters between those of the middle half.
    expected = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear")[..., 12:36, 18:54]
    assert_close(y, expected, steps=2e3)


def test_a_quarter_turn_of_a_square_is_exact():
    x = torch.rand(1, 2, 16, 16)
    angle = math.pi / 2
    matrix = ((math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle)))
    turned = affine(x, matrix)
    assert_close(turned, x.rot90(1, (2, 3)), steps=2e3)


def test_a_rotation_keeps_lengths_in_an_image_that_is_not_square():
    disc = (torch.hypot(torch.arange(33)[:, None] - 16.0, torch.arange(65) - 32.0) < 10).float()[None, None]
    y = Rotation(45)(disc, generator(1))
    assert (y - disc).abs().mean() < 0.02


def test_color_changes_each_channel_by_a_line():
    x = torch.rand(1, 3, 6, 6)
    y = Color(0.3, 0.2)(x, generator(5))
    for before, after in zip(x[0], y[0], strict=True):
        slope = (after.max() - after.min()) / (before.max() - before.min())
        assert 0.8 <= slope <= 1.2
        assert_close(after - slope * before, (after - slope * before).mean().expand(6, 6), scale=1.0)
        assert ((after - slope * (before - 0.5)) - 0.5).abs().max() <= 0.3 + 1e-5


def test_noise_has_its_deviation():
    y = Noise(0.1)(torch.zeros(1, 3, 100, 100), generator())
    assert abs(y.std().item() - 0.1) < 0.005


def test_a_crop_is_a_part_of_the_image():
    x = torch.arange(24 * 36.0).view(1, 1, 24, 36)
    y = Crop(0.5, 0.5)(x, generator(2))
    assert y.shape == (1, 1, 12, 18)
    top, left = divmod(int(y[0, 0, 0, 0]), 36)
    assert torch.equal(y, x[..., top : top + 12, left : left + 18])


def test_composed_transforms_apply_in_order():
    def double(x, _generator):
        return 2 * x

    def add(x, _generator):
        return x + 1

    assert Compose((double, add))(torch.ones(1), generator()) == 3
    assert Compose(())(torch.ones(1), generator()) == 1


@pytest.mark.parametrize(
    "make", [lambda: Scale(0), lambda: Scale(2, 1), lambda: Crop(0.5, 2), lambda: Jitter(-1)]
)
def test_values_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="expected"):
        make()
