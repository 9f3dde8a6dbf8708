"""Areas, binary masks of exactly an area, and the better ones of two sets of masks."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import one_sentence

from xai_widgets.perturbation.mask_search import binarize, check_areas, pixel_count


@given(st.integers(0, 999), st.floats(0.01, 1), st.integers(1, 40))
def test_a_binary_mask_has_exactly_the_rounded_count_and_holds_the_highest_values(seed, area, pixels):
    masks = torch.randint(0, 5, (2, 1, pixels), generator=torch.Generator().manual_seed(seed)).float()
    binary = binarize(masks, [area])
    count = max(1, round(area * pixels))
    assert torch.equal(binary.sum(2), torch.full((2, 1), float(count)))
    assert set(binary.unique().tolist()) <= {0.0, 1.0}
    for mask, chosen in zip(masks[:, 0], binary[:, 0], strict=True):
        if count < pixels:
            assert mask[chosen == 1].min() >= mask[chosen == 0].max()
        # If values are equal, the first are inside.
        edge = mask[chosen == 1].min()
        equal = chosen[mask == edge]
        assert torch.equal(equal, equal.sort(descending=True).values)


def test_each_area_is_binarized_from_its_own_mask():
    masks = torch.tensor([[[[0.1, 0.9], [0.5, 0.7]], [[0.9, 0.1], [0.2, 0.3]]]])
    binary = binarize(masks, [0.5, 0.75])
    assert torch.equal(binary, torch.tensor([[[[0.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]]]))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6, unique=True))
def test_ascending_areas_a_pixel_apart_are_accepted(counts):
    areas = [count / 50 for count in sorted(counts)]
    assert check_areas(iter(areas), 50) == areas
    assert [pixel_count(area, 50) for area in areas] == sorted(counts)


@pytest.mark.parametrize(
    ("areas", "message"),
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
def test_areas_that_no_mask_can_have_are_refused(areas, message):
    with pytest.raises((TypeError, ValueError), match=message) as error:
        check_areas(areas, 100)
    one_sentence(error)
