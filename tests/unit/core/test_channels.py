"""Images with any number of channels: how they are read, found from the network, and displayed."""

import numpy as np
import pytest
import torch
from closeness import assert_close
from networks import SIZE, Functional, settle, wrap
from PIL import Image
from torch import nn

from xai_widgets.core.images import LARGE, to_images, to_uint8
from xai_widgets.core.model import ImageModel

COUNTS = [1, 2, 4, 5, 13]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "bool"])
def test_arrays_and_tensors_hold_the_channels_of_the_network(count, dtype):
    pixels = np.random.default_rng(0).random((20, 30, count))
    scale = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    array = (pixels * scale).round().astype(dtype)
    expected = torch.from_numpy(array.astype(np.float32) / scale).permute(2, 0, 1)[None]
    assert_close(to_images(array, channels=count), expected)
    assert_close(to_images(torch.from_numpy(array).permute(2, 0, 1), channels=count), expected)
    assert to_images([array, array], channels=count, size=(8, 9)).shape == (2, count, 8, 9)


def test_another_number_of_channels_is_refused():
    for given in (np.zeros((6, 9, 3)), np.zeros((6, 9)), torch.zeros(3, 6, 9), Image.new("RGB", (9, 6))):
        with pytest.raises(ValueError, match=r"expected an image (array|tensor) of shape .*5.*, got \("):
            to_images(given, channels=5)
    with pytest.raises(ValueError, match="channels come last in arrays"):
        to_images(np.zeros((5, 6, 9)), channels=5)
    with pytest.raises(ValueError, match="channels come first in tensors"):
        to_images(torch.zeros(6, 9, 5), channels=5)


def test_the_fourth_channel_is_transparency_only_where_three_are_expected():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 4), dtype=np.uint8)
    expected = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    for given in (pixels, Image.fromarray(pixels)):
        assert_close(to_images(given, channels=4), expected)
        assert to_images(given, channels=3).shape == (1, 3, 6, 9)


@pytest.mark.parametrize("count", COUNTS)
def test_channels_are_those_of_the_first_convolution(count):
    network = settle(Functional(channels=count))
    model = ImageModel(network, size=SIZE)
    assert model.channels == count
    x = torch.rand(2, count, SIZE, SIZE)
    assert_close(model.scores(x), network(x))


def test_three_channels_are_kept_where_the_network_accepts_them():
    class Gray(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = Functional(channels=1)

        def forward(self, x):
            return self.body(x.mean(1, keepdim=True))

    assert ImageModel(settle(Gray()), size=SIZE).channels == 3


def test_a_first_convolution_that_does_not_see_the_image_is_not_taken():
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.late, self.head = nn.Conv2d(6, 8, 3), nn.Linear(8, 4)

        def forward(self, x):
            return self.head(self.late(x.repeat(1, 3, 1, 1)).mean((2, 3)))

    model = ImageModel(settle(Late()), channels=2, size=SIZE)
    assert model.channels == 2
    with pytest.raises(ValueError, match=r"\(1, 3, 8, 8\).*channels="):
        ImageModel(settle(Late()), size=SIZE)


def test_one_number_stands_for_all_channels():
    network = settle(Functional(channels=5))
    model = ImageModel(network, channels=5, mean=[0.5], std=[0.25], size=SIZE)
    x = torch.rand(1, 5, SIZE, SIZE)
    assert_close(model.scores(x), network((x - 0.5) / 0.25))
    with pytest.raises(ValueError, match="expected one number per channel, 5, in mean and std, got 3"):
        ImageModel(network, channels=5, mean=[0.5] * 3, size=SIZE)
    for channels in (0, 2.5, "5"):
        with pytest.raises((ValueError, TypeError), match="channels"):
            ImageModel(network, channels=channels, size=SIZE)


def test_display_of_channels():
    x = torch.rand(2, 5, SIZE, SIZE)
    network = settle(Functional(channels=5))
    assert (to_uint8(x) == to_uint8(x[:, :3])).all()
    assert (ImageModel(network, size=SIZE).to_rgb(x) == to_uint8(x[:, :3])).all()
    chosen = ImageModel(network, size=SIZE, display=(4, 0, 2))
    assert (chosen.to_rgb(x) == to_uint8(x[:, [4, 0, 2]])).all()
    assert (chosen.to_rgb(x[0]) == chosen.to_rgb(x)[0]).all()
    mixed = ImageModel(network, size=SIZE, display=lambda images: images[:, :3] * images[:, 3:4])
    assert (mixed.to_rgb(x[0]) == to_uint8(x[:, :3] * x[:, 3:4])[0]).all()
    assert (mixed.to_rgb(x[None])[0] == mixed.to_rgb(x)).all()
    assert (to_uint8(x[:, :2]) == to_uint8(x[:, :2].mean(1, keepdim=True))).all()


@pytest.mark.parametrize("display", [(0, 1), (0, 1, 5), "red", lambda x: x, lambda x: None])
def test_a_display_that_does_not_fit_is_refused(display):
    with pytest.raises(ValueError, match="expected display"):
        ImageModel(settle(Functional(channels=5)), size=SIZE, display=display)


def test_the_preprocessing_is_described():
    network = settle(Functional())
    assert (
        wrap(network).preprocessing == "resized until it covers 8 x 8, the center 8 x 8 is cropped (bilinear)"
    )
    assert wrap(network, resize=10, interpolation="bicubic").preprocessing == (
        "short side resized to 10, the center 8 x 8 is cropped (bicubic)"
    )
    assert wrap(network, resize=(8, 8), interpolation="nearest").preprocessing == (
        "resized to 8 x 8 with another aspect ratio (nearest)"
    )


def test_an_image_is_resized_to_a_height_and_width():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8))
    made = to_images(image, size=(8, 8), resize=(8, 10))
    whole = torch.nn.functional.interpolate(to_images(image), (8, 10), mode="bilinear", antialias=True)
    assert_close(made, whole[..., 1:9])
    near = to_images(image, size=(8, 8), resize=(8, 8), interpolation="nearest")
    expected = np.asarray(image.resize((8, 8), Image.Resampling.NEAREST))
    assert (to_uint8(near)[0] == expected).all()
    with pytest.raises(ValueError, match=r"expected resize of at least the size, \(8, 8\)"):
        to_images(image, size=(8, 8), resize=(8, 7))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_a_large_image_is_resized_in_8_bits(interpolation):
    side = int(LARGE**0.5) + 1
    coarse = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    whole = torch.nn.functional.interpolate(coarse, (side, side + 300), mode="bicubic").clamp(0, 1)
    array = (whole[0].permute(1, 2, 0) * 255).round().byte().numpy()
    options = {"size": (50, 60), "resize": 64, "interpolation": interpolation}
    for given, expected in ((array, array / 255), (array[..., 0], array[..., 0] / 255)):
        difference = to_images(given, **options) - to_images(expected, **options)
        # Two steps of rounding.
        assert difference.abs().max() <= 1.5 / 255
    assert to_images(np.dstack([array] * 2), channels=6, **options).shape == (1, 6, 50, 60)
