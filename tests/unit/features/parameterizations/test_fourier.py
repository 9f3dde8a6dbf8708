"""The Fourier parameterization, against sums of waves."""

import math

import torch
from closeness import assert_close

from xai_widgets.features.parameterizations import Fourier
from xai_widgets.features.parameterizations.fourier import frequencies


def test_frequencies_are_in_cycles_per_pixel():
    f = frequencies((4, 6), torch.device("cpu"))
    assert f.shape == (4, 4)
    assert_close(f[0], torch.tensor([0, 1 / 6, 2 / 6, 3 / 6]))
    assert_close(f[3, 1], torch.tensor(math.hypot(1 / 4, 1 / 6)))


def test_a_variable_is_a_wave_whose_amplitude_falls_with_its_frequency():
    size = (8, 8)
    drawing = Fourier("independent", decay=1.0).start(
        (1, 1, *size), generator=torch.Generator(), device=torch.device("cpu")
    )
    for column in (1, 2, 3):
        theta = torch.zeros(1, 1, 8, 5, 2)
        theta[..., 0, column, 0] = 1
        y = drawing.draw([theta]).logit()
        # 2 cos / sqrt(H W), divided by the frequency column / 8, and by 4.
        wave = 2 * torch.cos(2 * math.pi * column * torch.arange(8) / 8) / 8 / (column / 8) / 4
        assert_close(y[0, 0], wave.expand(8, 8), steps=1e4)
