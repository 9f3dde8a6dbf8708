"""Equation 8, pair by pair."""

import itertools
import math
import re

import pytest
import torch
from closeness import near
from hypothesis import given
from hypothesis import strategies as st

from xai_widgets.metrics import monotonicity

AREAS = torch.tensor([0.05, 0.1, 0.2, 0.4])
COLUMNS = st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9]), min_size=4, max_size=4)


@given(
    st.lists(COLUMNS, min_size=1, max_size=4),
    st.sampled_from([0.05, 0.2, 0.6, 1.0]),
    st.sampled_from([0, 0.15]),
)
def test_it_is_equation_8_for_every_pair_of_areas(rows, reference, tolerance):
    found = monotonicity(AREAS, torch.tensor(rows), torch.full((len(rows),), reference), tolerance=tolerance)
    for n, row in enumerate(torch.tensor(rows).tolist()):
        enough = [k for k in range(4) if row[k] >= torch.tensor(reference).item()]
        best = enough[0] if enough else 4
        pairs = itertools.combinations(range(min(best, 3) + 1), 2)
        assert found.best[n] == best
        assert found.monotone[n] == all(row[i] <= row[j] + tolerance for i, j in pairs)
    assert found.share == near(found.monotone.float().mean().item())


def test_what_comes_after_the_best_area_does_not_count():
    scores = torch.tensor([[0.1, 0.5, 0.9, 0.2], [0.1, 0.05, 0.9, 0.95], [0.3, 0.2, 0.1, 0.0]])
    found = monotonicity(AREAS, scores, torch.tensor([0.8, 0.8, 0.3]))
    assert found.best.tolist() == [2, 2, 0]
    assert found.monotone.tolist() == [True, False, True]
    assert found.share == near(2 / 3)


@pytest.mark.parametrize(
    ("areas", "scores", "reference", "words"),
    [
        (AREAS.flip(0), torch.zeros(1, 4), torch.zeros(1), "expected increasing areas"),
        (AREAS[:0], torch.zeros(1, 0), torch.zeros(1), "expected areas of shape (A,)"),
        (AREAS, torch.zeros(1, 3), torch.zeros(1), "expected scores of shape (N, 4), got (1, 3)"),
        (AREAS, torch.zeros(0, 4), torch.zeros(0), "expected scores of shape (N, 4), got (0, 4)"),
        (AREAS, torch.zeros(2, 4), torch.zeros(1), "expected reference of shape (2,), got (1,)"),
        (
            AREAS,
            torch.full((1, 4), torch.nan),
            torch.zeros(1),
            "expected finite scores, got NaN or infinite values",
        ),
    ],
)
def test_bad_input_is_named_in_one_sentence(areas, scores, reference, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        monotonicity(areas, scores, reference)


def test_a_tolerance_below_nothing_is_refused():
    with pytest.raises(ValueError, match="expected tolerance to be a number of at least 0, got -1"):
        monotonicity(AREAS, torch.zeros(1, 4), torch.zeros(1), tolerance=-1)


def test_images_with_fewer_than_two_areas_below_the_sufficient_one_cannot_fail():
    # a* is the first, second and third area, and none.
    scores = torch.tensor([[0.9, 0, 0, 0], [0.1, 0.9, 0, 0], [0.2, 0.1, 0.9, 0], [0.1, 0.2, 0.3, 0.4]])
    found = monotonicity(AREAS, scores, torch.full((4,), 0.8))
    assert found.can_fail.tolist() == [False, False, True, True]
    assert found.share == near(3 / 4)
    assert found.share_of_possible == near(1 / 2)
    assert math.isnan(monotonicity(AREAS, scores[:1], torch.full((1,), 0.8)).share_of_possible)
