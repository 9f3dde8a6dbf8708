import gc
import weakref

import numpy as np
import pytest
from traitlets import TraitError

from xai_widgets.views import CurveView


def test_arrays_travel_as_float32_with_their_shapes():
    view = CurveView(x=np.linspace(0, 1, 3), y=[[0, np.nan, 1], [1, 2, 3]])
    state = view.get_state()
    assert (state["x"]["dtype"], state["x"]["shape"]) == ("float32", [3])
    assert (state["y"]["dtype"], state["y"]["shape"]) == ("float32", [2, 3])
    np.testing.assert_array_equal(
        np.frombuffer(state["y"]["data"], "float32"), np.array([0, np.nan, 1, 1, 2, 3], "float32")
    )


def test_nothing_is_needed_to_begin():
    view = CurveView()
    assert view.x is None
    assert view.y is None
    assert (view.fraction, view.frame, view.mode, view.hidden) == (0.0, 0, "", [])


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"series": [{"labl": "a"}]}, "unknown key 'labl'; did you mean 'label'"),
        (
            {"series": [{}, {"style": "dotted"}]},
            r"series\[1\]: unknown style 'dotted'; did you mean 'dashed'",
        ),
        ({"series": [{"frame": "0"}]}, r"series\[0\]\['frame'\] to be int, got '0'"),
        ({"series": [{"frame": True}]}, "int, got True"),
        ({"fraction": 1.5}, "expected CurveView.fraction to be a number from 0 to 1, got 1.5"),
        ({"fraction": float("nan")}, "a number from 0 to 1"),
        ({"fraction": "half"}, "a number from 0 to 1"),
        ({"x": [0, 0.5, 0.5]}, "strictly ascending"),
        ({"x": [0, np.nan]}, "finite and strictly ascending"),
        ({"x": [[0, 1]]}, r"expected CurveView.x to be of shape \(any\), got shape \(1, 2\)"),
        ({"y": [0, 1]}, r"expected CurveView.y to be of shape \(any, any\), got shape \(2,\)"),
        ({"height": 10}, "height"),
        ({"lines": [{"y": 0.5}]}, r"lines\[0\] to have 'y' and 'label', got no 'label'"),
        (
            {"lines": [{"y": "0.5", "label": "a"}]},
            r"lines\[0\]\['y'\] to be a finite number, got '0.5'",
        ),
        ({"lines": [{"y": float("nan"), "label": "a"}]}, "a finite number, got nan"),
        ({"lines": [{"y": True, "label": "a"}]}, "a finite number, got True"),
        ({"lines": [{"y": 1, "label": "a", "colr": "red"}]}, "unknown key 'colr'; did you mean 'color'"),
        ({"marks": [{"x": 1, "label": 3}]}, r"marks\[0\]\['label'\] to be str, got 3"),
        ({"marks": [{}, {"y": 1, "label": "a"}]}, r"marks\[0\] to have 'x' and 'label', got no 'x'"),
    ],
)
def test_bad_values_are_refused_in_one_sentence(kwargs, words):
    with pytest.raises(TraitError, match=words) as caught:
        CurveView(**kwargs)
    assert "\n" not in str(caught.value)


def test_a_refused_value_leaves_the_old_one():
    view = CurveView(fraction=0.25, series=[{"label": "a"}])
    with pytest.raises(TraitError):
        view.fraction = 2
    with pytest.raises(TraitError):
        view.series = [{"colr": "red"}]
    assert view.fraction == 0.25
    assert view.series == [{"label": "a"}]


@pytest.mark.parametrize("first", [0, -1, 1e-60])
def test_a_logarithmic_axis_wants_x_above_zero(first):
    words = r"expected CurveView\.x to be above 0 for x_scale 'log', got (0|-1)"
    with pytest.raises(TraitError, match=words):
        CurveView(x=[first, 1], x_scale="log")
    view = CurveView(x=[first, 1])
    with pytest.raises(TraitError, match=words):
        view.x_scale = "log"
    assert view.x_scale == "linear"
    view.x = [1, 10]
    view.x_scale = "log"
    with pytest.raises(TraitError, match=words):
        view.x = [first, 1]
    np.testing.assert_array_equal(view.x, [1, 10])
    view.x = None
    with pytest.raises(TraitError, match="unknown choice 'lgo'; did you mean 'log'"):
        view.x_scale = "lgo"


def test_the_rounding_of_a_sum_is_forgiven():
    view = CurveView(fraction=1 + 1e-9)
    assert view.fraction == 1.0


def test_numbers_of_lines_and_marks_are_sent_as_plain_floats():
    view = CurveView(
        lines=[{"y": np.float32(0.5), "label": "a", "color": "red"}], marks=[{"x": 1, "label": "b"}]
    )
    assert view.lines == [{"y": 0.5, "label": "a", "color": "red"}]
    assert view.marks == [{"x": 1.0, "label": "b"}]
    assert {type(view.lines[0]["y"]), type(view.marks[0]["x"])} == {float}


def test_unknown_keyword():
    with pytest.raises(TypeError, match="unexpected keyword argument 'serie'; did you mean 'series'"):
        CurveView(serie=[])


def test_closing_releases_it():
    view = CurveView(x=np.linspace(0, 1, 3), y=np.zeros((1, 3)))
    view.layout.close()
    view.close()
    gone = weakref.ref(view)
    del view
    gc.collect()
    assert gone() is None


def test_steps_may_be_in_any_order():
    view = CurveView(steps=[0.5, 0.25], step=1)
    assert view.get_state("steps")["steps"]["dtype"] == "float32"
    assert view.steps.tolist() == [0.5, 0.25]
    with pytest.raises(TraitError, match="steps to be finite positions on x, got NaN"):
        view.steps = [0.5, np.nan]
    with pytest.raises(TraitError, match="should not be less than -1"):
        view.step = -2
    assert (view.steps.tolist(), view.step) == ([0.5, 0.25], 1)
    view.steps = None
    assert view.steps is None


def test_a_stop_sets_the_fraction_and_a_fraction_the_stop():
    view = CurveView(x=[0, 4], y=[[0, 1]], steps=[3, 1, 3], step=1)
    assert (view.step, view.fraction) == (1, 0.25)
    view.fraction = 0.6
    assert (view.step, view.fraction) == (0, 0.75)
    view.step = 2
    assert (view.step, view.fraction) == (2, 0.75)
    view.fraction = 0.7
    assert (view.step, view.fraction) == (2, 0.75)
    view.step = -1
    assert (view.step, view.fraction) == (-1, 0.75)


def test_a_stop_waits_for_its_curve():
    view = CurveView(steps=[0.5, 1.0], step=1)
    assert (view.step, view.fraction) == (1, 0)
    view.x = [0.0, 1.0]
    assert (view.step, view.fraction) == (1, 1)


def test_a_cursor_that_snaps_stands_on_x():
    view = CurveView(x=[0, 0.25, 1], y=[[1, 2, 3]], fraction=0.3, snap=True)
    assert view.fraction == 0.25
    view.fraction = 0.7
    assert view.fraction == 1
    view.x = [0, 0.5, 2]
    assert view.fraction == 1
    view.fraction = 0.2
    assert view.fraction == 0.25


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        (
            {"x": [-1, 1], "x_scale": "sqrt"},
            "expected CurveView.x to be at least 0 for x_scale 'sqrt', got -1",
        ),
        ({"height": 40}, "expected CurveView.height to be 0 or at least 80, got 40"),
        ({"series": [{"auc": float("nan")}]}, r"series\[0\]\['auc'\] to be a finite number"),
        ({"band": [[[0.0, 1.0]]]}, r"\(2, any, any\)"),
    ],
)
def test_settings_of_tables_and_scales_are_checked(kwargs, words):
    with pytest.raises(TraitError, match=words):
        CurveView(**kwargs)
    assert CurveView(x=[0, 1], x_scale="sqrt", height=0).height == 0
