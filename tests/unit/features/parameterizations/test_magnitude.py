"""MACO keeps the magnitudes of photographs exactly."""

import numpy as np
import pytest
import torch
from closeness import assert_close

from xai_widgets.data import photograph
from xai_widgets.features.parameterizations import MagnitudeConstrained, from_colors
from xai_widgets.features.parameterizations.magnitude import mean_magnitude, natural_magnitude, odd


@pytest.mark.parametrize("size", [(8, 8), (9, 8), (8, 9), (7, 11)])
def test_magnitudes_stay_whatever_the_phases_are(size):
    parameterization = MagnitudeConstrained("independent", images=torch.rand(5, 2, 20, 30))
    magnitude = parameterization.magnitude(2, size)
    drawing = parameterization.start(
        (3, 2, *size), generator=torch.Generator().manual_seed(0), device=torch.device("cpu")
    )
    phases = 10 * torch.randn(3, 2, size[0], size[1] // 2 + 1)
    for variables in (drawing.variables, [phases]):
        y = drawing.draw(variables).double().logit()
        made = torch.fft.rfft2(y, norm="ortho").abs()
        assert_close(
            made, magnitude.double().expand_as(made), scale=magnitude.max(), dtype=torch.float32, steps=2e3
        )
        assert_close(y.mean((2, 3)), torch.zeros(3, 2).double(), scale=1.0, dtype=torch.float32)


def test_odd_phases_are_those_of_real_values():
    for width in (6, 7):
        phases = torch.fft.rfft2(torch.randn(1, 1, 8, width, dtype=torch.float64)).angle()
        at = [0, -1] if width % 2 == 0 else [0]
        made = odd(phases, width)
        # Coefficients that are their own conjugates are real, of either sign; the phase 0 is kept.
        own = (made - phases).abs() > 1e-9
        assert own.sum() <= 2 * len(at)
        assert (phases[own].abs() > 3.14).all()


def test_the_mean_magnitude_of_noise_is_flat_and_that_of_photographs_falls():
    generator = torch.Generator().manual_seed(0)
    noise = mean_magnitude(torch.rand(64, 3, 32, 32, generator=generator), "independent")
    natural = natural_magnitude((64, 64), "decorrelated")
    assert noise[:, 0, 0].tolist() == [0, 0, 0]
    assert noise[:, 2:-2, 2:-2].std() < 0.2 * noise[:, 2:-2, 2:-2].mean()
    assert natural[0, 4, 4] > 3 * natural[0, 16, 16] > 3 * natural[0, 32, 32]


@pytest.mark.parametrize("size", [(16, 16), (9, 15)])
def test_images_have_the_contrast_of_photographs(size):
    x = torch.from_numpy(np.array(photograph("coffee"))).movedim(-1, 0)[None].float() / 255
    small = torch.nn.functional.interpolate(x, size, mode="bilinear", antialias=True)
    parameterization = MagnitudeConstrained("independent", images=small)
    drawing = parameterization.start(
        (1, 3, *size), generator=torch.Generator().manual_seed(0), device=torch.device("cpu")
    )
    made = drawing.draw(drawing.variables).logit().var((2, 3), unbiased=False)
    expected = from_colors(0.1 + 0.8 * small, "independent").var((2, 3), unbiased=False)
    assert_close(made, expected, steps=1e4)


def test_networks_of_other_channels_need_images():
    with pytest.raises(ValueError, match=r"images= with 4 channels"):
        MagnitudeConstrained().magnitude(4, (8, 8))
    with pytest.raises(ValueError, match=r"images of shape \(M, 3, h, w\)"):
        MagnitudeConstrained(images=torch.rand(2, 4, 8, 8)).magnitude(3, (8, 8))
