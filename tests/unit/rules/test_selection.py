"""Selections of values: equal to comparisons, and none of them in the passes of LRP and excitation backprop."""

from collections import Counter

import pytest
import torch
from networks import CLASSES, images, settle, wrap
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from xai_widgets.attribution import excitation_backprop, lrp
from xai_widgets.rules.selection import any_negative, any_nonzero, where_nonzero, where_positive

TINY = torch.finfo(torch.float32).tiny
VALUES = torch.tensor([-2.0, -TINY, -0.0, 0.0, TINY / 2, TINY, 2 * TINY, 3.0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_selected_values_are_those_of_comparisons(dtype):
    condition, chosen = VALUES.to(dtype), torch.arange(1, len(VALUES) + 1).to(dtype)
    assert torch.equal(where_positive(condition, chosen), torch.where(condition > 0, chosen, 0))
    smallest = torch.finfo(dtype).tiny
    assert torch.equal(where_nonzero(condition, chosen), torch.where(condition.abs() > smallest, chosen, 0))


def test_a_quotient_by_zero_is_left_out_and_nan_is_not():
    denominator = torch.tensor([0.0, 2.0, torch.nan])
    made = where_nonzero(denominator, torch.ones(3) / denominator)
    assert made[:2].tolist() == [0.0, 0.5]
    assert made[2].isnan()


@pytest.mark.parametrize(
    ("values", "nonzero", "negative"),
    [
        ([0.0, -0.0], False, False),
        ([0.0, 1.0], True, False),
        ([-1.0, 0.0], True, True),
        ([0.0, torch.nan], True, False),
    ],
)
def test_whether_there_are_values(values, nonzero, negative):
    assert any_nonzero(torch.tensor(values)) == nonzero
    assert any_negative(torch.tensor(values)) == negative


class Counted(TorchDispatchMode):
    """Counts the operations of torch inside the block by name, those on values of an activation only."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.numel() >= 36:
            self.calls[func._schema.name.removeprefix("aten::")] += 1
        return result


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize(
    ("compute", "convolutions"),
    [
        # Three forward, and the contributions of activations: of both signs in the first layer only.
        (lambda model, x: excitation_backprop.function(model, x, torch.tensor([1]), layer="image"), 7),
        (lambda model, x: lrp.function(model, x, torch.tensor([1]), composite="epsilon_plus"), 7),
        # z^B of the first layer; of the others all contributions, and those that either sign of the output favors.
        (lambda model, x: lrp.function(model, x, torch.tensor([1]), composite="conserving"), 12),
    ],
    ids=["excitation", "z+", "conserving"],
)
def test_rules_compare_no_activations(compute, convolutions, inplace):
    network = nn.Sequential(
        *(part for _ in range(3) for part in (nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace))),
        nn.Flatten(), nn.Linear(192, CLASSES),
    )  # fmt: skip
    model, x = wrap(settle(network)), images(1)
    compute(model, x)
    with Counted() as mode:
        compute(model, x)
    assert sum(mode.calls[name] for name in ("gt", "lt", "le", "ge", "eq", "where", "masked_fill")) == 0
    assert mode.calls["convolution"] == convolutions
