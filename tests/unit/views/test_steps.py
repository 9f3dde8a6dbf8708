"""The step that belongs to a value."""

import pytest

from xai_widgets.views.steps import nearest_ready


@pytest.mark.parametrize(
    ("value", "ready", "index"),
    [(0.0, (), 0), (2.9, (), 1), (3.0, (), 1), (3.1, (), 2), (9.0, (), 2), (3.1, (True, True, False), 1)],
)
def test_the_nearest_step_that_is_ready_the_first_of_two(value, ready, index):
    assert nearest_ready([1, 2, 4], value, ready) == index


def test_without_a_ready_step_there_is_none():
    assert nearest_ready([], 0) == -1
    assert nearest_ready([1, 2], 0, [False, False]) == -1
