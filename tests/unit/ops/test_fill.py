"""Fills by name, as noise, and from the rest of an image."""

import re

import pytest
import torch
from closeness import assert_close
from networks import images, one_sentence

from xai_widgets.ops.blur import gaussian_blur
from xai_widgets.ops.fill import fill_image, inpaint, noise_image


def test_fills_are_those_of_their_names():
    x, own = images(2), images(2, seed=9)
    assert torch.equal(fill_image("gray", x), torch.full_like(x, 0.5))
    assert torch.equal(fill_image("mean", x), x.mean((2, 3), keepdim=True).expand_as(x))
    assert_close(fill_image("blur", x), gaussian_blur(x, 10 / 224 * x.shape[2]))
    assert_close(fill_image("blur", x, sigma=3.0), gaussian_blur(x, 3.0))
    assert torch.equal(fill_image(0.25, x), torch.full_like(x, 0.25))
    assert torch.equal(fill_image(own, x), own)


@pytest.mark.parametrize(
    ("fill", "message"),
    [("grey", "did you mean 'gray'"), (2.0, "expected fill to be a number from 0 to 1, got 2.0")],
)
def test_bad_fills_are_refused(fill, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        fill_image(fill, images(1))
    one_sentence(error)


def test_noise_has_the_mean_and_deviation_of_each_channel_of_each_image():
    x = 0.5 + 0.05 * images(2, size=64) * torch.tensor([1.0, 2, 3]).view(3, 1, 1)
    noise = noise_image(x, 3)
    assert torch.equal(noise, noise_image(x, 3))
    assert not torch.equal(noise, noise_image(x, 4))
    # 4096 pixels: the standard error of a mean is a 64th of the deviation, that of a deviation about a 90th of it.
    std = x.std((2, 3))
    assert ((noise.mean((2, 3)) - x.mean((2, 3))).abs() < 5 / 64 * std).all()
    assert ((noise.std((2, 3)) - std).abs() < 5 / 90 * std).all()
    # One draw for all images, up to mean and deviation.
    mean, std = x.mean((2, 3), keepdim=True), x.std((2, 3), keepdim=True, unbiased=False)
    draws = (noise - mean) / std
    torch.testing.assert_close(draws[0], draws[1], atol=1e-3, rtol=0)


def test_inpainting_ignores_the_masked_part():
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(16, 16)
    mask[4:9, 4:9] = 1
    other = x.clone()
    other[..., 4:9, 4:9] = 0
    # The mean of the whole image is replaced wherever a blur of the rest reaches, which is everywhere here.
    assert_close(inpaint(x, mask)[..., 4:9, 4:9], inpaint(other, mask)[..., 4:9, 4:9])
