"""GalleryView: traits and errors."""

import numpy as np
import pytest
from traitlets import TraitError

from xai_widgets.views import GalleryView, SliderView, link


def test_arrays_are_sent_as_the_browser_reads_them():
    thumbnails = np.random.default_rng(0).random((3, 4, 5, 3))
    state = GalleryView(images=thumbnails, values=[0.1, np.nan, 1]).get_state()
    assert (state["images"]["dtype"], state["images"]["shape"]) == ("uint8", [3, 4, 5, 3])
    sent = np.frombuffer(state["images"]["data"], "uint8").reshape(thumbnails.shape)
    np.testing.assert_array_equal(sent, np.round(255 * thumbnails))
    assert (state["values"]["dtype"], state["values"]["shape"]) == ("float32", [3])


def test_defaults():
    view = GalleryView()
    assert (view.frame, view.marked, view.columns, view.value_limits) == (-1, -1, 0, [0.0, 1.0])
    assert view.images is view.values is view.active is None
    assert view.step == 0


def test_which_are_lit_is_sent_as_bytes_that_are_0_where_one_is_not():
    lit = np.array([[True, False, False], [True, True, False]])
    for given in (lit, lit.astype("uint8"), lit.astype(float), lit.tolist()):
        state = GalleryView(active=given).get_state()["active"]
        assert (state["dtype"], state["shape"]) == ("uint8", [2, 3])
        np.testing.assert_array_equal(np.frombuffer(state["data"], "uint8").reshape(2, 3) > 0, lit)
    np.testing.assert_array_equal(GalleryView(active=lit[0]).active, [[255, 0, 0]])


def test_a_slider_chooses_what_is_lit():
    slider, view = SliderView(values=[1, 2, 4], frame=1), GalleryView(active=np.eye(3))
    link((slider, "frame"), (view, "step"))
    assert view.step == 1
    view.step = -1
    assert view.step == -1


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("images", np.zeros((4, 4, 3)), r"GalleryView\.images to be of shape .*, got shape \(4, 4, 3\)"),
        ("images", np.full((1, 2, 2, 3), -1.0), "floats from 0 to 1, or of uint8"),
        ("values", np.zeros((2, 2)), r"values to be of shape \(any\), got shape \(2, 2\)"),
        (
            "value_limits",
            [1, 1],
            r"value_limits to be \[low, high\], finite and low below high, got \[1\.0, 1\.0\]",
        ),
        ("value_limits", [0, float("inf")], "finite"),
        ("value_limits", [0.0], "value_limits"),
        ("frame", -2, "frame"),
        (
            "active",
            np.zeros((2, 2, 2)),
            r"active to be of shape \(any, any\), got shape \(2, 2, 2\)",
        ),
        ("active", [[0.0, -1.0]], "floats from 0 to 1"),
        ("step", 0.5, "step"),
        ("columns", -1, "columns"),
        ("interpolation", "nearest", "unknown choice 'nearest'"),
    ],
)
def test_bad_values_are_refused_and_the_view_stays_usable(name, value, words):
    view = GalleryView()
    before = getattr(view, name)
    with pytest.raises(TraitError, match=words):
        setattr(view, name, value)
    assert getattr(view, name) == before


def test_an_image_that_does_not_exist_is_white_in_the_static_image():
    view = GalleryView(images=np.zeros((2, 8, 8, 3), np.uint8), present=[True, False], columns=2)
    state = view.get_state()["present"]
    assert (state["dtype"], state["shape"]) == ("uint8", [2])
    drawn = view.static_image()
    assert (drawn[:, :8] == 0).all()
    assert (drawn[:, -8:] == 255).all()
