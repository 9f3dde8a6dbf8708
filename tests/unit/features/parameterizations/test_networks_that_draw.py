"""CPPN and deep image prior, by their formulas."""

import math

import torch
from closeness import assert_close

from xai_widgets.features.parameterizations import CPPN, DeepPrior
from xai_widgets.features.parameterizations.cppn import positions
from xai_widgets.features.parameterizations.deep_prior import each_convolved

CPU = torch.device("cpu")


def test_positions_have_variance_one_and_go_right_and_down():
    p = positions(50, 80)
    assert_close(p.var(0, unbiased=False), torch.ones(2), steps=2e4)
    assert p[0].tolist() < [0, 0]
    assert p[1, 0] > p[0, 0]
    assert p[80, 1] > p[0, 1]


def test_a_cppn_maps_each_position_by_its_network():
    drawing = CPPN(4, 2, "independent").start((2, 3, 3, 5), generator=torch.Generator(), device=CPU)
    weights = [torch.randn(each.shape) for each in drawing.variables]
    images = drawing.draw(weights)
    h = positions(3, 5)[7]  # row 1, column 2
    for weight in weights[:-1]:
        u = torch.atan(weight[1].T @ h)
        h = torch.cat([u / 0.67, u**2 / 0.6])
    assert_close(images[1, :, 1, 2], (weights[-1][1].T @ h).sigmoid())


def test_a_cppn_starts_gray():
    drawing = CPPN().start((1, 3, 8, 8), generator=torch.Generator(), device=CPU)
    assert (drawing.draw(drawing.variables) == 0.5).all()


def test_each_image_has_weights_of_its_own():
    x, weights = torch.randn(3, 4, 6, 7), torch.randn(3, 5, 4, 3, 3)
    expected = [torch.nn.functional.conv2d(a[None], b, padding=1)[0] for a, b in zip(x, weights, strict=True)]
    assert_close(each_convolved(x, weights), torch.stack(expected), scale=10.0)


def test_a_deep_prior_is_smoother_than_pixels():
    drawing = DeepPrior(16, 4).start((1, 3, 64, 64), generator=torch.Generator().manual_seed(0), device=CPU)
    x = drawing.draw(drawing.variables)
    neighbors = x.diff(dim=3).square().mean() / (2 * x.var())
    assert neighbors < 0.2
    assert math.isfinite(neighbors)
