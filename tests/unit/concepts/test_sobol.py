"""Total Sobol indices, against exact integrals of small polynomials."""

import numpy as np
import pytest
import torch
from closeness import assert_close

from xai_widgets.concepts import sobol_masks, total_indices

#: Design of the estimates. Errors of a scrambled Sobol sequence fall nearly as 1 / N, so that 0.01 is generous.
DESIGN, ERROR = 2048, 0.01


def exact(function, arguments):
    """Total indices by Gauss-Legendre quadrature, which is exact for polynomials of this degree."""
    nodes, weights = np.polynomial.legendre.leggauss(6)
    nodes, weights = (nodes + 1) / 2, weights / 2
    points = np.stack(np.meshgrid(*[nodes] * arguments, indexing="ij"), -1)
    values = function(torch.from_numpy(points)).numpy()

    def mean(array, axis):
        return np.tensordot(array, weights, axes=([axis], [0]))

    def expectation(array):
        while array.ndim:
            array = mean(array, 0)
        return float(array)

    variance = expectation(values**2) - expectation(values) ** 2
    inside = [mean(values**2, axis) - mean(values, axis) ** 2 for axis in range(arguments)]
    return [expectation(each) / variance for each in inside]


def linear(m):
    return 3 * m[..., 0] - 2 * m[..., 1] + m[..., 2] + 7


def product(m):
    return m[..., 0] * m[..., 1]


def mixed(m):
    return 2 * m[..., 0] + m[..., 1] * m[..., 2] - 0.5 * m[..., 0] ** 2 * m[..., 3] + m[..., 3] ** 3


@pytest.mark.parametrize(("function", "arguments"), [(linear, 3), (product, 2), (mixed, 4)])
def test_the_estimate_is_the_integral(function, arguments):
    values = function(sobol_masks(arguments, DESIGN).double())
    assert total_indices(values, arguments).tolist() == pytest.approx(exact(function, arguments), abs=ERROR)


def test_the_integrals_are_those_worked_out_by_hand():
    """A linear function has c_i^2 / sum c^2; for m_1 m_2 it is (1/3)(1/12) / (1/9 - 1/16) = 4/7."""
    assert exact(linear, 3) == pytest.approx([9 / 14, 4 / 14, 1 / 14])
    assert exact(product, 2) == pytest.approx([4 / 7, 4 / 7])


def test_an_argument_without_effect_has_index_0():
    masks = sobol_masks(2, 8)
    assert total_indices(masks[:, 0], 2)[1] == 0


def test_a_constant_function_has_indices_0():
    assert torch.equal(total_indices(torch.full((40,), 3.7), 3), torch.zeros(3, dtype=torch.float64))


def test_functions_are_stacked_in_front():
    masks = sobol_masks(3, 16)
    values = torch.stack([linear(masks), masks.prod(1)])
    both = total_indices(values, 3)
    assert_close(both[0], total_indices(values[0], 3))
    assert_close(both[1], total_indices(values[1], 3))


def test_only_one_argument_differs_from_the_first_sample():
    masks = sobol_masks(3, 4, seed=2)
    first, second, mixed = masks.split([4, 4, 12])
    for argument, points in enumerate(mixed.split(4)):
        changed = (points != first).any(0)
        assert changed.nonzero().flatten().tolist() == [argument]
        assert torch.equal(points[:, argument], second[:, argument])


def test_values_of_another_design_are_refused():
    with pytest.raises(ValueError, match=r"expected N \(3 \+ 2\) values"):
        total_indices(torch.zeros(12), 3)
