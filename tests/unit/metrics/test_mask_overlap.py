"""Overlap of maps with masks, counted pixel by pixel."""

import math

import pytest
import torch
from closeness import assert_close, near
from hypothesis import given
from hypothesis import strategies as st

from xai_widgets.metrics import mask_auc, relevance_mass, relevance_rank

MASK = torch.tensor([[0, 1, 1], [0, 0, 1]]).bool()
MAP = torch.tensor([[1.0, 4.0, -2.0], [0.0, 2.0, 3.0]])


def test_values_by_counting():
    # Positive values: 1, 4, 2, 3, of which 4 and 3 are on the object.
    assert relevance_mass(MAP[None], MASK[None]).item() == near(7 / 10)
    # The three highest values are 4, 3 and 2, of which two are on the object.
    assert relevance_rank(MAP[None], MASK[None]).item() == near(2 / 3)
    # There are nine pairs: 4 wins three, 3 wins three and -2 none.
    assert mask_auc(MAP[None], MASK[None]).item() == near(6 / 9)


def test_ties_count_one_half():
    assert mask_auc(torch.tensor([[[1.0, 1.0]]]), torch.tensor([[[True, False]]])).item() == 0.5


@given(st.integers(0, 2**32 - 1))
def test_random_maps_and_perfect_maps(seed):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(3, 6, 7, generator=generator) < 0.4
    masks[:, 0, 0], masks[:, 0, 1] = True, False
    values = torch.randint(0, 5, (3, 6, 7), generator=generator).float()
    inside = (values * masks).flatten(1).sum(1) / values.flatten(1).sum(1)
    assert_close(relevance_mass(values, masks), inside)
    wins = [
        [(a > b) + 0.5 * (a == b) for a in row[mask] for b in row[~mask]]
        for row, mask in zip(values, masks, strict=True)
    ]
    assert_close(mask_auc(values, masks), torch.tensor([sum(map(float, w)) / len(w) for w in wins]))
    for measure in (relevance_mass, relevance_rank, mask_auc):
        assert (measure(masks.float(), masks) == 1).all()


def test_maps_are_resized_to_the_masks():
    masks = torch.zeros(1, 8, 8, dtype=torch.bool)
    masks[:, :4, :4] = True
    coarse = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    assert relevance_rank(coarse, masks).item() > 0.8


@pytest.mark.parametrize("measure", [relevance_mass, relevance_rank, mask_auc])
def test_what_is_undefined_is_nan(measure):
    assert math.isnan(measure(MAP[None], torch.zeros_like(MASK)[None]).item())
    assert math.isnan(measure(torch.full_like(MAP, math.nan)[None], MASK[None]).item())
