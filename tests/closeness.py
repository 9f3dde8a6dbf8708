"""Tolerances that follow from the dtype, the size of the numbers and how many roundings they went through.

One rounding changes a number by at most half a unit in its last digit, ``eps(dtype) / 2`` times its size. A sum or
difference is rounded at the size of its *terms*: where large terms cancel, the result is small and the error is not.
Another processor adds the same terms in another order, so two right results may differ by::

    steps * eps(dtype) * scale

``scale`` is the largest of the terms. Without it, it is the largest expected number: entries of one map, batch or list
of scores come from terms of one size. Name it where terms cancel, for instance the sum of absolute contributions
when their sum is compared. ``steps`` counts roundings in a row: 256 for sums of some hundred terms in a few layers.

For float32 the default is 3e-5 of the largest number, so a wrong factor, sign, index or neglected term is
seen. Where a formula amplifies errors (a ratio of differences, a rank, many iterations), do not raise ``steps``: run
the comparison in float64 (``networks.at_least_float32``), where even a generous bound is a billionth.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

STEPS = 256


def _tensor(value: Any) -> Tensor:
    """Return ``value`` as a tensor outside the autograd graph, in float64 where it has a fraction."""
    made = value.detach() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    return made.double() if made.is_floating_point() or made.dtype == torch.bool else made


def _precision(*values: Any) -> torch.dtype:
    """Return the lowest floating dtype among tensors and arrays, float32 where there is none."""
    kinds = [
        torch.as_tensor(value).dtype
        for value in values
        if isinstance(value, Tensor | np.ndarray | np.generic)
    ]
    return max((kind for kind in kinds if kind.is_floating_point), key=lambda kind: torch.finfo(kind).eps,
               default=torch.float32)  # fmt: skip


def rounding(*terms: Any, steps: float = STEPS, dtype: torch.dtype | None = None) -> float:
    """Return the largest rounding error of a result computed from ``terms``, the largest of which counts.

    ``dtype`` is the precision of the computation, by default the lowest among the terms.
    """
    sizes = [each.abs()[each.isfinite()] for each in map(_tensor, terms)]
    largest = max((size.max().item() for size in sizes if size.numel()), default=0.0)
    return steps * torch.finfo(dtype or _precision(*terms)).eps * largest


def assert_close(
    actual: Any,
    expected: Any,
    *,
    scale: Any = None,
    steps: float = STEPS,
    dtype: torch.dtype | None = None,
    msg: str | None = None,
) -> None:
    """Assert that two arrays of one shape and dtype differ by no more than rounding.

    One expected number stands for an array of it. With ``dtype`` given, the dtypes may differ: a float32 result and
    its reference in float64.
    """
    if dtype is None and isinstance(actual, Tensor) and isinstance(expected, Tensor):
        assert actual.dtype == expected.dtype, f"dtypes differ: {actual.dtype} and {expected.dtype}"
    bound = rounding(
        expected if scale is None else scale, steps=steps, dtype=dtype or _precision(actual, expected)
    )
    made, target_value = _tensor(actual), _tensor(expected)
    target_value = target_value.to(made).expand_as(made) if target_value.ndim == 0 else target_value
    torch.testing.assert_close(made, target_value, rtol=0, atol=bound, msg=msg)


def near(
    expected: Any, *, scale: Any = None, steps: float = STEPS, dtype: torch.dtype = torch.float32
) -> Any:
    """Return what equals all numbers, lists or arrays that differ from ``expected`` by no more than rounding."""
    # A GPU check runs where pytest is not installed.
    import pytest

    return pytest.approx(
        _tensor(expected).numpy() if isinstance(expected, Tensor) else expected,
        rel=0,
        abs=rounding(expected if scale is None else scale, steps=steps, dtype=dtype),
        nan_ok=True,
    )
