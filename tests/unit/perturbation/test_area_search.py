"""Masks of exact area against an independent solution, and the search on objectives with known optimum."""

import dataclasses
import math

import pytest
import torch
from closeness import assert_close
from examples import fewer_examples
from hypothesis import assume, given
from hypothesis import strategies as st
from networks import one_sentence

from xai_widgets.perturbation.area_search import (
    AreaSearch,
    AreaSettings,
    area_constrained_mask,
    standardize,
)
from xai_widgets.perturbation.mask_search import scored
from xai_widgets.perturbation.scored_masks import MaskScores, SearchResult

PIXELS = 24


def fields(seed, scale=1.0):
    return scale * torch.randn(PIXELS, generator=torch.Generator().manual_seed(seed)).double()


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
    made = area_constrained_mask(field, torch.tensor(area).double(), softness)
    assert made.mean().item() == pytest.approx(area, abs=1e-4)
    # In float64, so rounding counts for nothing; the shift is searched until the area is met by 1e-4.
    torch.testing.assert_close(made, exact(field, area, softness), atol=2e-3, rtol=0)
    assert ((made >= 0) & (made <= 1)).all()


@fewer_examples(3)
@given(st.integers(0, 999), st.floats(0.1, 0.9), st.floats(0.2, 1))
def test_the_gradient_includes_that_of_the_shift(seed, area, softness):
    field = fields(seed).requires_grad_()
    weights = fields(seed + 1)
    made = area_constrained_mask(field, torch.tensor(area).double(), softness)
    (gradient,) = torch.autograd.grad((weights * made).sum(), field)
    step = 1e-5
    expected = torch.stack(
        [
            (
                (weights * (exact(field + e, area, softness) - exact(field - e, area, softness))).sum()
                / (2 * step)
            )
            for e in step * torch.eye(PIXELS).double()
        ]
    ).detach()
    torch.testing.assert_close(gradient, expected, rtol=0.02, atol=0.01 * expected.abs().max().item())
    # The area is constant: where one pixel rises others fall.
    (of_mean,) = torch.autograd.grad(
        area_constrained_mask(field, torch.tensor(area).double(), softness).mean(), field
    )
    assert of_mean.abs().max() < 1e-3


def test_every_area_of_a_batch_is_met_in_single_precision():
    field = standardize(torch.randn(2, 5, 96, 96, generator=torch.Generator().manual_seed(0)))
    areas = torch.tensor([1 / 96**2, 0.05, 0.5, 0.99, 1.0])
    for softness in (0.3, 0.1):
        made = area_constrained_mask(field.flatten(2), areas.expand(2, 5), softness)
        assert_close(made.mean(2), areas.expand(2, 5))
        assert torch.isfinite(made).all()


def test_a_constant_field_is_a_constant_mask_without_nan():
    field = torch.zeros(1, 2, 3, 3, requires_grad=True)
    made = area_constrained_mask(standardize(field).flatten(2), torch.tensor([[0.2, 1.0]]), 0.1)
    assert_close(made[0, 0], torch.full((9,), 0.2))
    (gradient,) = torch.autograd.grad((made * torch.arange(9.0)).sum(), field)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["steps", "grid", "scan", "neighbor_exchange_every", "patience"])
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
        {"lengths": (0.1, 0.0)},
        {"lengths": ()},
        {"sigma": -1.0},
        {"tolerance": -1e-9},
    ],
)
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=r"expected .*, got") as error:
        AreaSettings(**options)
    one_sentence(error)


@given(st.integers(0, 99), st.floats(-5, 5), st.floats(1e-4, 1e4))
def test_standardized_fields_have_mean_0_and_deviation_1_whatever_their_scale(seed, shift, scale):
    raw = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(seed))
    assume(scale > 1e-2 or abs(shift) < 1)
    made = standardize(scale * raw.double() + shift)
    # In float64, so rounding counts for nothing; a small number is added to the variance.
    torch.testing.assert_close(made.mean((2, 3)), torch.zeros(1, 2).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(made.std((2, 3), correction=0), torch.ones(1, 2).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(made, standardize(raw.double()), atol=1e-4, rtol=0)


class Sum:
    """The value of a mask is the sum of the weights (H, W) inside it; fields are their own pixels."""

    def __init__(self, weights):
        self.weights = weights
        self.score_range = weights.abs().sum()[None]

    def score(self, masks):
        values = (masks * self.weights).sum((2, 3))
        return MaskScores(values, values[..., None].clone(), values[..., None].clone())

    def gradient(self, parameters, make_masks, _step):
        with torch.enable_grad():
            moved = parameters.detach().requires_grad_()
            masks = make_masks(moved, None)
            return torch.autograd.grad((masks * self.weights).sum(), moved)[0]


def search(objective, areas, starts, settings, earlier=None):
    """Snapshots of a search among fields that are their own pixels."""
    return AreaSearch(areas, settings, starts, smooth=lambda fields: fields, earlier=earlier).run(objective)


def result(best, areas):
    """The masks of a search as an earlier result."""
    unused = torch.zeros(1, 2, 1)
    return SearchResult(
        masks=best.masks, smooth=best.smooth, parameters=best.parameters, areas=torch.tensor(areas),
        class_scores=unused[:, :, None], end_scores=unused, target=torch.tensor([0]), variant="preserve", tau=1.0,
    )  # fmt: skip


@fewer_examples(3)
@given(st.integers(0, 99))
def test_the_search_finds_the_best_mask_where_it_is_known(seed):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(6, 6, generator=generator)
    areas = [4 / 36, 12 / 36, 1.0]
    starts = [torch.randn(6, 6, generator=generator).expand(1, 3, -1, -1)]
    *_, last = search(Sum(weights), areas, starts, AreaSettings(patience=100))
    ranked = weights.flatten().sort(descending=True).values
    best = torch.stack([ranked[:count].sum() for count in (4, 12, 36)])
    assert (last.scores.values[0] >= best - 0.05 * best.abs().max()).all()
    assert torch.equal(last.masks.sum((2, 3))[0], torch.tensor([4.0, 12.0, 36.0]))


def test_no_snapshot_is_worse_than_the_one_before_and_values_are_those_of_the_masks():
    weights = torch.randn(6, 6, generator=torch.Generator().manual_seed(1))
    objective = Sum(weights)
    starts = [torch.randn(1, 2, 6, 6, generator=torch.Generator().manual_seed(i)) for i in range(5)]
    before = torch.full((1, 2), -math.inf)
    count = 0
    for last in search(objective, [0.2, 0.5], starts, AreaSettings(scan=2)):
        count += 1
        assert (last.scores.values >= before).all()
        assert_close(objective.score(last.masks).values, last.scores.values)
        before = last.scores.values
    # Snapshots after 2, 4 and 5 starts, then of steps.
    assert 3 < count <= 3 + 30


def test_the_search_ends_when_nothing_is_gained():
    objective = Sum(torch.zeros(6, 6))
    starts = [torch.randn(1, 1, 6, 6, generator=torch.Generator().manual_seed(0))]
    made = list(search(objective, [0.5], starts, AreaSettings(patience=3)))
    assert len(made) == 1 + 3


def test_earlier_masks_are_replaced_by_better_ones_only():
    weights = torch.randn(6, 6, generator=torch.Generator().manual_seed(2))
    objective, start = Sum(weights), torch.randn(1, 2, 6, 6, generator=torch.Generator().manual_seed(3))
    areas = [0.25, 0.5]
    best = scored(objective, weights.expand(1, 2, -1, -1), start, areas)
    *_, last = search(objective, areas, [start], AreaSettings(steps=3), earlier=result(best, areas))
    assert torch.equal(last.masks, best.masks)
    # Masks of other areas are ignored.
    *_, last = search(objective, [0.2, 0.5], [start], AreaSettings(steps=3), earlier=result(best, areas))
    assert torch.equal(last.masks.sum((2, 3)), torch.tensor([[7.0, 18.0]]))


def test_an_area_takes_over_the_field_of_its_neighbor():
    """One area starts with the best field and one with the worst; the exchange gives both the best."""
    weights = torch.randn(6, 6, generator=torch.Generator().manual_seed(4))
    start = torch.stack([weights, -weights])[None]
    options = AreaSettings(steps=1, neighbor_exchange_every=1, lengths=[1e-9])
    *_, last = search(Sum(weights), [0.25, 0.5], [start], options)
    ranked = weights.flatten().sort(descending=True).values
    assert_close(last.scores.values[0], torch.stack([ranked[:9].sum(), ranked[:18].sum()]))
    alone = dataclasses.replace(options, neighbor_exchange_every=2)
    *_, last = search(Sum(weights), [0.25, 0.5], [start], alone)
    assert last.scores.values[0, 1] < ranked[:18].sum() - 1
