"""MaskView: traits and errors."""

import numpy as np
import pytest
from traitlets import TraitError

from xai_widgets.views import CurveView, MaskView, link


def test_arrays_are_sent_as_the_browser_reads_them():
    rng = np.random.default_rng(0)
    levels = rng.random((3, 4, 5, 3))
    masks = rng.random((2, 4, 5)).astype("float32")
    state = MaskView(levels=levels, masks=masks, areas=[0.1, 0.5]).get_state()
    assert (state["levels"]["dtype"], state["levels"]["shape"]) == ("uint8", [3, 4, 5, 3])
    assert (state["masks"]["dtype"], state["masks"]["shape"]) == ("uint8", [2, 4, 5])
    assert (state["areas"]["dtype"], state["areas"]["shape"]) == ("float32", [2])
    sent = np.frombuffer(state["masks"]["data"], "uint8").reshape(2, 4, 5)
    np.testing.assert_array_equal(sent, np.round(masks * 255))


def test_one_mask_may_be_given_alone_and_as_booleans():
    view = MaskView(masks=np.eye(3, dtype=bool))
    np.testing.assert_array_equal(view.masks, [255 * np.eye(3)])


def test_defaults():
    view = MaskView()
    assert (view.area, view.display, view.ready, view.interpolation) == (0.1, "preserved", [], "pixelated")
    assert view.frame == -1
    assert view.levels is view.masks is view.areas is view.best is view.position is None


@pytest.mark.parametrize("best", [None, float("nan"), np.nan])
def test_no_best_area(best):
    view = MaskView(best=0.25)
    view.best = best
    assert view.best is None
    assert view.get_state()["best"] is None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("levels", np.zeros((1, 4, 4, 3)), r"expected MaskView\.levels to be at least 2 images, .*, got 1"),
        (
            "levels",
            np.zeros((4, 4, 3)),
            r"levels to be of shape \(any, any, any, 3\), got shape \(4, 4, 3\)",
        ),
        ("levels", np.full((2, 4, 4, 3), 1.5), "floats from 0 to 1, or of uint8"),
        ("masks", np.full((2, 4, 4), np.nan), "floats from 0 to 1"),
        ("masks", np.zeros(4), r"masks to be of shape \(any, any, any\), got shape \(4,\)"),
        ("areas", [0.0, 0.5], r"areas to be strictly ascending, above 0 and at most 1, got \[0\.0, 0\.5\]"),
        ("areas", [0.5, 0.25], "strictly ascending"),
        ("areas", [0.5, 1.25], "at most 1"),
        ("areas", [0.5, np.nan], "expected MaskView.areas"),
        ("area", 1.1, r"expected MaskView\.area to be a number from 0 to 1, got 1\.1"),
        ("best", -0.5, r"expected MaskView\.best to be an area from 0 to 1, or None, got -0\.5"),
        ("frame", -2, "frame"),
        ("display", "preserve", "unknown choice 'preserve'; did you mean 'preserved'"),
        ("ready", [1.5], "ready"),
    ],
)
def test_bad_values_are_refused_and_the_view_stays_usable(name, value, words):
    view = MaskView()
    before = getattr(view, name)
    with pytest.raises(TraitError, match=words):
        setattr(view, name, value)
    assert getattr(view, name) == before


def test_the_slider_is_joined_to_the_cursor_of_a_curve():
    view, curve = MaskView(areas=[0.1, 0.5]), CurveView(fraction=0.3)
    link((curve, "fraction"), (view, "area"))
    assert view.area == 0.3
    assert view._channels["area"] == curve._channels["fraction"]


def test_the_area_chooses_the_frame_and_a_frame_the_area():
    view = MaskView(masks=np.zeros((3, 2, 2)), areas=[0.1, 0.2, 0.4], ready=[True, True, False])
    view.area = 0.18
    assert (view.frame, view.area) == (1, 0.18)
    view.frame = 0
    assert (view.frame, view.area) == (0, 0.1)
    for wrong in (2, 3, -1):
        view.frame = wrong
        assert view.area == 0.1
    view.area = 1
    assert view.frame == 1
