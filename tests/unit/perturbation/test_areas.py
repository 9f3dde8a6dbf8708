"""Masks of exact area against an independent solution, and the search against objectives whose best is known."""

import dataclasses
import math

import pytest
import torch
from closeness import assert_close
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import one_sentence

from xai_widgets.perturbation.areas import (
    AreaSettings,
    Verdict,
    better_of,
    check_areas,
    counts_of,
    cut,
    of_area,
    search,
    standardized,
)

PLACES = 24


def fields(seed, scale=1.0):
    return scale * torch.randn(PLACES, generator=torch.Generator().manual_seed(seed)).double()


def exact(field, area, softness):
    """sigmoid((u + b) / T) of mean a, b by two hundred bisections."""
    low, high = -field.max().item() - 60 * softness, -field.min().item() + 60 * softness
    for _ in range(200):
        middle = (low + high) / 2
        if torch.sigmoid((field + middle) / softness).mean() < area:
            low = middle
        else:
            high = middle
    return torch.sigmoid((field + low) / softness)


@given(st.integers(0, 999), st.floats(0.02, 0.98), st.floats(0.05, 2), st.floats(0.1, 5))
def test_a_mask_has_its_area_and_is_the_sigmoid_of_the_shifted_field(seed, area, softness, scale):
    field = fields(seed, scale)
    made = of_area(field, torch.tensor(area).double(), softness)
    assert made.mean().item() == pytest.approx(area, abs=1e-4)
    # In float64, so rounding counts for nothing; the shift is searched until the area is met by 1e-4.
    torch.testing.assert_close(made, exact(field, area, softness), atol=2e-3, rtol=0)
    assert ((made >= 0) & (made <= 1)).all()


@settings(max_examples=20)
@given(st.integers(0, 999), st.floats(0.1, 0.9), st.floats(0.2, 1))
def test_the_gradient_takes_the_shift_along(seed, area, softness):
    field = fields(seed).requires_grad_()
    weights = fields(seed + 1)
    made = of_area(field, torch.tensor(area).double(), softness)
    (gradient,) = torch.autograd.grad((weights * made).sum(), field)
    step = 1e-5
    expected = torch.stack(
        [
            (
                (weights * (exact(field + e, area, softness) - exact(field - e, area, softness))).sum()
                / (2 * step)
            )
            for e in step * torch.eye(PLACES).double()
        ]
    ).detach()
    torch.testing.assert_close(gradient, expected, rtol=0.02, atol=0.01 * expected.abs().max().item())
    # The area stays: what rises at one place falls at others.
    (of_mean,) = torch.autograd.grad(of_area(field, torch.tensor(area).double(), softness).mean(), field)
    assert of_mean.abs().max() < 1e-3


def test_every_area_of_a_batch_is_met_in_single_precision():
    field = standardized(torch.randn(2, 5, 96, 96, generator=torch.Generator().manual_seed(0)))
    areas = torch.tensor([1 / 96**2, 0.05, 0.5, 0.99, 1.0])
    for softness in (0.3, 0.1):
        made = of_area(field.flatten(2), areas.expand(2, 5), softness)
        assert_close(made.mean(2), areas.expand(2, 5))
        assert torch.isfinite(made).all()


def test_a_constant_field_is_a_constant_mask_without_nan():
    field = torch.zeros(1, 2, 3, 3, requires_grad=True)
    made = of_area(standardized(field).flatten(2), torch.tensor([[0.2, 1.0]]), 0.1)
    assert_close(made[0, 0], torch.full((9,), 0.2))
    (gradient,) = torch.autograd.grad((made * torch.arange(9.0)).sum(), field)
    assert torch.isfinite(gradient).all()


@given(st.integers(0, 999), st.floats(0.01, 1), st.integers(1, 40))
def test_a_cut_has_exactly_the_rounded_count_and_holds_the_highest(seed, area, places):
    masks = torch.randint(0, 5, (2, 1, places), generator=torch.Generator().manual_seed(seed)).float()
    made = cut(masks, [area])
    count = max(1, round(area * places))
    assert torch.equal(made.sum(2), torch.full((2, 1), float(count)))
    assert set(made.unique().tolist()) <= {0.0, 1.0}
    for mask, one in zip(masks[:, 0], made[:, 0], strict=True):
        if count < places:
            assert mask[one == 1].min() >= mask[one == 0].max()
        # Among equals the first.
        edge = mask[one == 1].min()
        equal = one[mask == edge]
        assert torch.equal(equal, equal.sort(descending=True).values)


def test_each_area_is_cut_from_its_own_mask():
    masks = torch.tensor([[[[0.1, 0.9], [0.5, 0.7]], [[0.9, 0.1], [0.2, 0.3]]]])
    made = cut(masks, [0.5, 0.75])
    assert torch.equal(made, torch.tensor([[[[0.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]]]))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6, unique=True))
def test_ascending_shares_a_pixel_apart_are_taken(counts):
    areas = [count / 50 for count in sorted(counts)]
    assert check_areas(iter(areas), 50) == areas
    assert [counts_of(area, 50) for area in areas] == sorted(counts)


@pytest.mark.parametrize(
    ("areas", "said"),
    [
        ([0.0, 0.1], "a number above 0 and at most 1"),
        ([-0.1], "a number above 0 and at most 1"),
        ([0.1, 1.01], "at most 1"),
        ([math.nan], "a number above 0 and at most 1"),
        ([math.inf], "at most 1"),
        ([0.2, 0.1], r"got \[0.2, 0.1\]; sorted they are \[0.1, 0.2\]"),
        ([0.1, 0.1], "the same 10 of 100 pixels"),
        ([0.1, 0.104], "the same 10 of 100 pixels"),
        ([0.004], "one of 100 pixels"),
        ([], r"a sequence of numbers, got \[\]"),
        ("0.1", "expected areas to be|expected each of areas"),
        ("1", "expected areas to be|expected each of areas"),
        (["some"], "expected areas to be|expected each of areas"),
        (0.1, "expected areas to be|expected each of areas"),
        (None, "expected areas to be|expected each of areas"),
    ],
)
def test_areas_that_no_mask_can_have_are_refused(areas, said):
    with pytest.raises((TypeError, ValueError), match=said) as error:
        check_areas(areas, 100)
    one_sentence(error)


@pytest.mark.parametrize("name", ["steps", "grid", "scan", "every", "exchange", "patience"])
def test_counts_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"expected {name} to be an integer .*, got 0") as error:
        AreaSettings(**{name: 0})
    one_sentence(error)


@pytest.mark.parametrize(
    "options",
    [
        {"softness": (0.1, 0.3)},
        {"softness": (0.1, 0.0)},
        {"softness": (0.1,)},
        {"learning_rate": 0.0},
        {"sigma": -1.0},
        {"tolerance": -1e-9},
    ],
)
def test_settings_without_a_meaning_are_refused(options):
    with pytest.raises(ValueError, match=r"expected .*, got") as error:
        AreaSettings(**options)
    one_sentence(error)


@given(st.integers(0, 99), st.floats(-5, 5), st.floats(1e-4, 1e4))
def test_standardized_fields_have_mean_0_and_deviation_1_whatever_their_scale(seed, shift, scale):
    raw = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(seed))
    assume(scale > 1e-2 or abs(shift) < 1)
    made = standardized(scale * raw.double() + shift)
    # In float64, so rounding counts for nothing; a small number is added to the variance.
    torch.testing.assert_close(made.mean((2, 3)), torch.zeros(1, 2).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(made.std((2, 3), correction=0), torch.ones(1, 2).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(made, standardized(raw.double()), atol=1e-4, rtol=0)


class Sum:
    """The value of a mask is the sum of the weights (H, W) inside it; fields are their own pixels."""

    def __init__(self, weights):
        self.weights = weights
        self.spread = weights.abs().sum()[None]

    def smooth(self, coarse):
        return coarse

    def judge(self, masks):
        values = (masks * self.weights).sum((2, 3))
        return Verdict(values, values[..., None].clone(), values[..., None].clone())

    def gradient(self, coarse, make_masks, _step):
        with torch.enable_grad():
            moved = coarse.detach().requires_grad_()
            masks = make_masks(moved, None)
            return torch.autograd.grad((masks * self.weights).sum(), moved)[0]


@settings(max_examples=8)
@given(st.integers(0, 99))
def test_the_search_finds_the_best_of_all_masks_where_it_is_known(seed):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(6, 6, generator=generator)
    areas = [4 / 36, 12 / 36, 1.0]
    starts = [torch.randn(6, 6, generator=generator).expand(1, 3, -1, -1)]
    *_, found = search(Sum(weights), areas, AreaSettings(patience=100), starts)
    ranked = weights.flatten().sort(descending=True).values
    best = torch.stack([ranked[:count].sum() for count in (4, 12, 36)])
    assert (found.verdict.values[0] >= best - 0.05 * best.abs().max()).all()
    assert torch.equal(found.masks.sum((2, 3))[0], torch.tensor([4.0, 12.0, 36.0]))


def test_no_snapshot_is_worse_than_the_one_before_and_values_are_those_of_the_masks():
    weights = torch.randn(6, 6, generator=torch.Generator().manual_seed(1))
    objective = Sum(weights)
    starts = [torch.randn(1, 2, 6, 6, generator=torch.Generator().manual_seed(i)) for i in range(5)]
    before = torch.full((1, 2), -math.inf)
    count = 0
    for found in search(objective, [0.2, 0.5], AreaSettings(scan=2), starts):
        count += 1
        assert (found.verdict.values >= before).all()
        assert_close(objective.judge(found.masks).values, found.verdict.values)
        before = found.verdict.values
    # Snapshots after 2, 4 and 5 starts, then of steps.
    assert 3 < count <= 3 + 30


def test_the_search_ends_when_nothing_is_gained():
    objective = Sum(torch.zeros(6, 6))
    starts = [torch.randn(1, 1, 6, 6, generator=torch.Generator().manual_seed(0))]
    made = list(search(objective, [0.5], AreaSettings(patience=3), starts))
    assert len(made) == 1 + 3


def test_masks_that_are_there_are_given_up_for_better_ones_alone():
    weights = torch.randn(6, 6, generator=torch.Generator().manual_seed(2))
    objective, start = Sum(weights), torch.randn(1, 2, 6, 6, generator=torch.Generator().manual_seed(3))
    areas = [0.25, 0.5]
    best = better_of(objective, None, weights.expand(1, 2, -1, -1), start, areas)
    *_, found = search(objective, areas, AreaSettings(steps=3), [start], best)
    assert torch.equal(found.masks, best.masks)


def test_an_area_takes_over_a_field_of_its_neighbor():
    """Of two starts by area, one best and one worst, the exchange brings the best to both."""
    weights = torch.randn(6, 6, generator=torch.Generator().manual_seed(4))
    start = torch.stack([weights, -weights])[None]
    options = AreaSettings(steps=1, every=1, exchange=1, learning_rate=1e-9)
    *_, found = search(Sum(weights), [0.25, 0.5], options, [start])
    ranked = weights.flatten().sort(descending=True).values
    assert_close(found.verdict.values[0], torch.stack([ranked[:9].sum(), ranked[:18].sum()]))
    alone = dataclasses.replace(options, exchange=2)
    *_, found = search(Sum(weights), [0.25, 0.5], alone, [start])
    assert found.verdict.values[0, 1] < ranked[:18].sum() - 1
