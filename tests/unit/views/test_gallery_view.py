"""GalleryView: traits and errors."""

import numpy as np
import pytest
from traitlets import TraitError

from xai_widgets.views import GalleryView


def test_arrays_are_sent_as_the_browser_reads_them():
    pictures = np.random.default_rng(0).random((3, 4, 5, 3))
    state = GalleryView(pictures=pictures, values=[0.1, np.nan, 1]).get_state()
    assert (state["pictures"]["dtype"], state["pictures"]["shape"]) == ("uint8", [3, 4, 5, 3])
    sent = np.frombuffer(state["pictures"]["data"], "uint8").reshape(pictures.shape)
    np.testing.assert_array_equal(sent, np.round(255 * pictures))
    assert (state["values"]["dtype"], state["values"]["shape"]) == ("float32", [3])


def test_defaults():
    view = GalleryView()
    assert (view.frame, view.marked, view.columns, view.value_limits) == (-1, -1, 0, [0.0, 1.0])
    assert view.pictures is view.values is None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("pictures", np.zeros((4, 4, 3)), r"GalleryView\.pictures has shape \(4, 4, 3\), wanted"),
        ("pictures", np.full((1, 2, 2, 3), -1.0), "wanted floats from 0 to 1, or uint8"),
        ("values", np.zeros((2, 2)), r"values has shape \(2, 2\), wanted \(any\)"),
        (
            "value_limits",
            [1, 1],
            r"value_limits is \[1\.0, 1\.0\], wanted \[low, high\], finite and low below",
        ),
        ("value_limits", [0, float("inf")], "finite"),
        ("value_limits", [0.0], "value_limits"),
        ("frame", -2, "frame"),
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
