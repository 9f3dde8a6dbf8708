"""Objectives of different numbers of images."""

import pytest

from xai_widgets.features.objectives import Channel, ClassScore


def test_the_number_of_images_is_that_of_the_parts():
    assert Channel("a", 0).count is None
    assert ClassScore("cat").count is None
    assert (2 * Channel("a", range(3)) - Channel("b", 1)).count == 3
    with pytest.raises(ValueError, match="same number of images, got 2 and 3"):
        _ = (Channel("a", [0, 1]) + ClassScore([0, 1, 2])).count


def test_objectives_print_one_short_line():
    assert repr(Channel("a", 0)) == "Channel(layer='a', channel=0)"
    assert repr(2 * Channel("a", 0) + Channel("b", 1)) == (
        "(2 * Channel(layer='a', channel=0) + Channel(layer='b', channel=1))"
    )
