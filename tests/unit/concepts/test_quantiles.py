"""Quantiles of a stream against numpy's quantile of all values at once."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xai_widgets.concepts.quantiles import SampledValues, TopValues, kept_values

CPU = torch.device("cpu")


def stream(values, share, batch):
    channels, total = values.shape
    top = TopValues(channels, kept_values(total, share), batch, CPU)
    for begin in range(0, total, batch):
        top.add(values[:, begin : begin + batch], begin)
    return top


@given(
    total=st.integers(1, 300),
    batch=st.integers(1, 97),
    share=st.sampled_from([0.005, 0.02, 0.25, 0.5, 0.99]),
    kind=st.sampled_from(["normal", "relu", "ties", "descending"]),
)
def test_thresholds_and_indices_are_exact(total, batch, share, kind):
    values = torch.randn(3, total, generator=torch.Generator().manual_seed(total))
    values = {
        "normal": values,
        "relu": values.relu(),
        "ties": values.round(),
        "descending": values.sort(descending=True).values,
    }[kind]
    top = stream(values, share, batch)
    expected = np.quantile(values.double().numpy(), 1 - share, axis=1, method="inverted_cdf")
    # Rounding of 1 - share may put numpy one value off: compare with the definition.
    keep = min(total, math.floor(share * total + 1e-9) + 1)
    by_hand = values.sort(1, descending=True).values[:, keep - 1]
    assert torch.equal(top.thresholds(), by_hand)
    assert (np.abs(expected - by_hand.numpy()) < 1e-12).any() or keep < total
    channels, indices = top.above()
    found = torch.zeros_like(values, dtype=torch.bool)
    found[channels, indices] = True
    assert torch.equal(found, values > by_hand[:, None])
    assert (found.float().mean(1) <= share).all()
    assert (indices.diff() >= 0).all()


def test_equal_numpy_where_the_product_is_exact():
    values = torch.randn(5, 1024, generator=torch.Generator().manual_seed(1))
    expected = np.quantile(values.numpy(), 1 - 0.25, axis=1, method="inverted_cdf")
    assert np.array_equal(stream(values, 0.25, 100).thresholds().numpy(), expected)


def test_a_sample_is_within_its_standard_error():
    total, share, size = 200_000, 0.02, 20_000
    values = torch.randn(4, total, generator=torch.Generator().manual_seed(2))
    sampled = SampledValues(4, total, size, CPU)
    for begin in range(0, total, 7001):
        sampled.add(values[:, begin : begin + 7001], begin)
    above = (values > sampled.thresholds(share)[:, None]).float().mean(1)
    assert above.numpy() == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / size))
