"""Scaling of maps to a common range."""

import torch
from closeness import assert_close

from xai_widgets.ops.normalize import unit_range


def test_each_map_is_scaled_to_its_range_and_a_constant_one_becomes_zero():
    maps = torch.tensor([[[1.0, 3.0], [2.0, 5.0]], [[-2.0, -2.0], [-2.0, -2.0]]])
    assert_close(unit_range(maps), torch.tensor([[[0.0, 0.5], [0.25, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]))
