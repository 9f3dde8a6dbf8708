"""The perturbation operator against its formula."""

import math
import re

import pytest
import torch
from closeness import assert_close
from hypothesis import given
from hypothesis import strategies as st
from networks import images, one_sentence

from xai_widgets.ops.blur import gaussian_blur
from xai_widgets.ops.perturb import SIGMA, perturb, pyramid


def test_the_pyramid_falls_from_the_strongest_blur_to_the_images():
    x = images(2)
    made = pyramid(x, levels=5, sigma=4.0)
    assert made.shape == (2, 5, *x.shape[1:])
    for level in range(5):
        assert_close(made[:, level], gaussian_blur(x, 4.0 * (1 - level / 4)))
    assert torch.equal(made[:, -1], x)


def test_the_strongest_blur_is_a_share_of_the_short_side():
    x = torch.rand(1, 3, 10, 16, generator=torch.Generator().manual_seed(0))
    assert math.isclose(SIGMA * 224, 20)
    assert_close(pyramid(x)[:, 0], gaussian_blur(x, 10 * 20 / 224))


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.integers(2, 9))
def test_a_mask_reads_the_pyramid_linearly_between_its_levels(values, levels):
    x = images(1, size=2)
    stack = pyramid(x, levels=levels, sigma=3.0)
    masks = torch.tensor(values).view(1, 1, 2, 2)
    made = perturb(stack, masks)
    for row in range(2):
        for column in range(2):
            at = masks[0, 0, row, column].item() * (levels - 1)
            low = min(int(at), levels - 2)
            first, second = stack[0, low, :, row, column], stack[0, low + 1, :, row, column]
            assert_close(made[0, 0, :, row, column], first + (at - low) * (second - first))


@pytest.mark.parametrize("perturbation", ["blur", "fade"])
def test_the_ends_are_the_perturbed_image_and_the_image(perturbation):
    x = images(2)
    stack = pyramid(x, perturbation)
    masks = torch.stack([torch.zeros(2, 8, 8), torch.ones(2, 8, 8)], 1)
    made = perturb(stack, masks)
    assert_close(made[:, 1], x)
    assert_close(made[:, 0], stack[:, 0])


@given(st.integers(0, 99))
def test_fading_is_a_product(seed):
    masks = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    x = images(2)
    assert_close(perturb(pyramid(x, "fade"), masks), masks[:, :, None] * x[:, None])


@pytest.mark.parametrize("perturbation", ["blur", "fade"])
def test_the_gradient_is_that_of_the_interpolation(perturbation):
    stack = pyramid(images(2, size=4).double(), perturbation, levels=4)
    # Away from the kinks at thirds, where there is no one gradient.
    generator = torch.Generator().manual_seed(0)
    masks = torch.randint(0, 3, (2, 2, 4, 4), generator=generator) / 3 + 1 / 6
    masks = (masks + 0.1 * torch.rand(masks.shape, generator=generator)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda m: perturb(stack, m), masks)


def test_a_mask_of_ones_has_the_gradient_of_the_last_interval():
    stack = pyramid(images(1), levels=3)
    masks = torch.ones(1, 1, 8, 8, requires_grad=True)
    (made,) = torch.autograd.grad(perturb(stack, masks).sum(), masks)
    assert_close(made[0, 0], 2 * (stack[0, 2] - stack[0, 1]).sum(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"perturbation": "blurr"}, "blur"),
        ({"levels": 1}, "at least 2"),
        ({"sigma": -2.0}, "expected sigma to be a number of at least 0, got -2.0"),
    ],
)
def test_bad_options_of_a_pyramid_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        pyramid(images(1), **options)
    one_sentence(error)
