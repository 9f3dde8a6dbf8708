"""Decorrelated colors are those of photographs."""

import numpy as np
import pytest
import torch
from closeness import assert_close

from xai_widgets.data import photograph
from xai_widgets.features.parameterizations import from_colors, to_colors
from xai_widgets.features.parameterizations.colors import COLOR_ROOT


def test_the_matrix_is_the_root_of_the_covariance_of_colors():
    datasets = pytest.importorskip("sklearn.datasets")
    photographs = [photograph(name) for name in ("astronaut", "cat", "coffee", "rocket")]
    photographs += datasets.load_sample_images().images
    covariance = np.mean([np.cov((each.reshape(-1, 3) / 255).T) for each in photographs], axis=0)
    root = np.asarray(COLOR_ROOT)
    assert np.abs(root @ root.T - covariance).max() < 0.002


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("colors", ["decorrelated", "independent"])
def test_colors_come_back(channels, colors):
    y = torch.randn(2, channels, 4, 4)
    assert_close(from_colors(to_colors(y, colors), colors), y, steps=1e5)
    assert (to_colors(0 * y, colors) == 0.5).all()


def test_the_first_value_is_brightness():
    y = torch.zeros(1, 3, 1, 1)
    y[:, 0] = 2
    assert (to_colors(y, "decorrelated") > 0.8).all()
