"""Links between views, as Python sets them up; what they do in the page is tested in the browser."""

import pytest

from xai_widgets.views import CurveView, OrderedMaskView, ScoresView, link


def test_ends_share_a_channel_and_the_value_of_the_first():
    a, b, c = CurveView(fraction=0.5), OrderedMaskView(), ScoresView(fraction=0.25)
    link((a, "fraction"), (b, "fraction"), (c, "fraction"))
    assert a._channels["fraction"] == b._channels["fraction"] == c._channels["fraction"]
    assert (b.fraction, c.fraction) == (0.5, 0.5)


def test_links_are_apart_unless_an_end_is_in_both():
    views = [CurveView() for _ in range(4)]
    link((views[0], "frame"), (views[1], "frame"))
    link((views[0], "fraction"), (views[1], "fraction"))
    link((views[2], "frame"), (views[3], "frame"))
    assert len({view._channels["frame"] for view in views}) == 2
    assert views[0]._channels["frame"] != views[0]._channels["fraction"]
    other = CurveView()
    link((views[1], "frame"), (other, "frame"))
    assert other._channels == {"frame": views[0]._channels["frame"]}


def test_two_links_become_one():
    views = [CurveView(frame=n) for n in range(4)]
    link((views[0], "frame"), (views[1], "frame"))
    link((views[2], "frame"), (views[3], "frame"))
    link((views[1], "frame"), (views[2], "frame"))
    assert len({view._channels["frame"] for view in views}) == 1
    assert [view.frame for view in views] == [0] * 4


def test_what_cannot_be_linked_is_named():
    views = [CurveView() for _ in range(2)]
    with pytest.raises(
        ValueError, match="CurveView: unknown synced trait 'fractoin'; did you mean 'fraction'"
    ):
        link((views[0], "fractoin"), (views[1], "fraction"))
    with pytest.raises(ValueError, match=r"expected at least two ends, .*, got 1"):
        link((views[0], "fraction"))


def test_the_hand_gets_no_echo():
    assert all(
        CurveView().trait_metadata(name, "echo_update") is False for name in ("fraction", "frame", "hidden")
    )
