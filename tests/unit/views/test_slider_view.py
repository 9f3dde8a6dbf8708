"""SliderView: traits, errors, and the rules that frame and fraction obey without a page."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from traitlets import TraitError

from xai_widgets.views import CurveView, GalleryView, SliderView, link


def test_defaults():
    view = SliderView()
    assert (view.values, view.labels, view.ready) == ([], [], [])
    assert (view.frame, view.fraction, view.marked, view.spacing) == (-1, 0, -1, "even")


@pytest.mark.parametrize("values", [[1, 2.5, 4], (1, 2.5, 4), np.array([1, 2.5, 4], "float32")])
def test_stops_are_sent_as_plain_numbers(values):
    view = SliderView(values=values)
    assert view.get_state()["values"] == [1.0, 2.5, 4.0]
    assert {type(value) for value in view.values} == {float}
    assert view.frame == 0


def test_the_frame_is_the_stop_of_the_fraction_if_only_that_is_given():
    assert SliderView(values=range(5), fraction=0.5).frame == 2
    assert SliderView(values=[0, 1], fraction=0.5).frame == 0


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "values",
            [1, 1],
            r"expected SliderView\.values to be finite and strictly ascending, got \[1\.0, 1\.0\]",
        ),
        ("values", [2, 1], "strictly ascending"),
        ("values", [0, np.nan, 1], "finite and strictly"),
        ("values", [0, np.inf], "finite and strictly"),
        ("values", 3, r"expected SliderView\.values to be a list of numbers, got 3"),
        ("values", ["a"], r"values to be a list of numbers, got \['a'\]"),
        ("values", None, "values to be a list of numbers, got None"),
        ("fraction", 1.5, r"expected SliderView\.fraction to be a number from 0 to 1, got 1\.5"),
        ("frame", -2, "frame"),
        ("marked", -2, "marked"),
        ("labels", [1], "labels"),
        ("ready", [0.5], "ready"),
        ("spacing", "evn", "unknown choice 'evn'; did you mean 'even'"),
    ],
)
def test_bad_values_are_refused_and_the_view_stays_usable(name, value, words):
    view = SliderView(values=[1, 2, 4])
    before = getattr(view, name)
    with pytest.raises(TraitError, match=words):
        setattr(view, name, value)
    assert getattr(view, name) == before


values = st.lists(st.integers(-50, 50), min_size=1, max_size=8, unique=True).map(sorted)


@given(values=values, fraction=st.floats(0, 1), ready=st.lists(st.booleans(), max_size=8))
def test_a_fraction_chooses_the_nearest_stop_that_is_ready_and_stays(values, fraction, ready):
    view = SliderView(values=values, ready=ready)
    view.fraction = fraction
    there = [i for i in range(len(values)) if i >= len(ready) or ready[i]] or range(len(values))
    span = (values[-1] - values[0]) or 1
    distance = {i: abs((values[i] - values[0]) / span - fraction) for i in there}
    assert view.fraction == fraction
    # The first of equal ones.
    assert view.frame == min(distance, key=distance.get)


@given(values=values, frame=st.integers(0, 7), fraction=st.floats(0, 1))
def test_the_fraction_follows_the_frame(values, frame, fraction):
    view = SliderView(values=values)
    view.fraction = fraction
    before = view.frame
    view.frame = frame
    if frame < len(values) and frame != before:
        assert (view.frame, view.fraction) == (
            frame,
            (values[frame] - values[0]) / (values[-1] - values[0]),
        )
    else:
        assert (view.frame, view.fraction) == (before, fraction)


def test_a_stop_that_is_not_ready_cannot_be_chosen():
    view = SliderView(values=[0, 1, 2, 4], ready=[True, True, False, True], frame=1)
    view.frame = 2
    assert (view.frame, view.fraction) == (1, 0.25)
    view.frame = -1
    assert view.frame == 1
    view.ready = [True, False]
    assert (view.frame, view.fraction) == (0, 0.25)
    view.ready = [True, True]
    assert view.frame == 0


def test_as_long_as_none_is_ready_the_choice_waits():
    view = SliderView(values=[0, 1, 2], ready=[False] * 3, frame=2)
    assert view.frame == 2
    view.ready = [True, False, True]
    assert view.frame == 2


def test_stops_may_come_and_go():
    view = SliderView(frame=3, fraction=0.6)
    view.values = [0, 1, 2]
    assert (view.frame, view.fraction) == (1, 0.6)
    view.values = [0, 1, 9]
    assert (view.frame, view.fraction) == (1, 1 / 9)
    view.values = []
    assert view.frame == -1


def test_it_is_joined_to_a_curve_and_to_a_strip():
    x = [1, 2, 4, 8]
    view, curve, strip = SliderView(values=x), CurveView(x=x, fraction=0.4), GalleryView()
    link((curve, "fraction"), (view, "fraction"))
    link((view, "frame"), (strip, "frame"))
    assert (view.frame, strip.frame) == (2, 2)
