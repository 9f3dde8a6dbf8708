"""Tolerances of the tests: loose enough for another order of additions, too tight for another formula."""

import numpy as np
import pytest
import torch
from closeness import assert_close, near, rounding

EPS = torch.finfo(torch.float32).eps


def test_the_bound_follows_from_dtype_size_and_steps():
    assert rounding(torch.tensor([1.0, -4.0])) == 256 * EPS * 4
    assert rounding(torch.ones(2), 8 * torch.ones(1), steps=2) == 16 * EPS
    assert rounding(torch.ones(2).double(), torch.ones(2)) == 256 * EPS
    assert rounding(torch.ones(2).double()) < 1e-13
    assert rounding(np.ones(2, np.float32)) == rounding([1, 1.0]) == rounding(1) == 256 * EPS
    assert rounding([1.0, float("inf"), float("nan")]) == 256 * EPS


def test_terms_added_in_another_order_are_close_to_the_size_of_the_terms():
    generator = torch.Generator().manual_seed(0)
    terms = torch.randn(200, generator=generator) * 1e5
    terms = torch.cat([terms, -terms, torch.tensor([1.0])])[torch.randperm(401, generator=generator)]
    total, exact = terms.sum(), torch.tensor(1.0)
    with pytest.raises(AssertionError):
        assert_close(total, exact)
    assert_close(total, exact, scale=terms)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_wrong_factor_sign_or_place_is_not_close(dtype):
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert_close(x, x * (1 + torch.finfo(dtype).eps))
    for wrong in (x * 1.001, -x, x.flip(-1), x + 1e-3, torch.where(x == x.max(), 0, x)):
        with pytest.raises(AssertionError):
            assert_close(wrong, x)
        with pytest.raises(AssertionError):
            assert wrong.numpy() == near(x, dtype=dtype)
        assert wrong.flatten().tolist() != near(x.flatten().tolist())


def test_shapes_dtypes_and_nothing_at_all_count():
    x = torch.ones(2)
    for other in (x.double(), torch.ones(1, 2), torch.ones(3), torch.tensor(1.0)):
        with pytest.raises(AssertionError):
            assert_close(other, x)
    assert_close(x, x.double(), dtype=torch.float32)
    with pytest.raises(AssertionError):
        assert_close(torch.full((2,), 1e-30), torch.zeros(2))
    assert_close(torch.full((2,), 1e-6), torch.zeros(2), scale=1)
    with pytest.raises(AssertionError):
        assert_close(torch.tensor([1.0, float("nan")]), x)
    assert_close(torch.tensor([1, 2]), torch.tensor([1, 2]))
