"""OrderedMaskView: traits and errors."""

import numpy as np
import pytest
from traitlets import TraitError

from xai_widgets.views import OrderedMaskView


def test_arrays_are_sent_as_the_browser_reads_them():
    image = np.random.default_rng(0).random((4, 5, 3))
    ranks = np.random.default_rng(1).permutation(20).reshape(4, 5)
    view = OrderedMaskView(image=image, baselines=np.zeros((2, 4, 5, 3)), ranks=ranks)
    state = view.get_state()
    assert (state["image"]["dtype"], state["image"]["shape"]) == ("uint8", [4, 5, 3])
    assert (state["baselines"]["dtype"], state["baselines"]["shape"]) == ("uint8", [2, 4, 5, 3])
    assert (state["ranks"]["dtype"], state["ranks"]["shape"]) == ("int32", [1, 4, 5])
    np.testing.assert_array_equal(np.frombuffer(state["ranks"]["data"], np.int32), ranks.ravel())


def test_defaults():
    view = OrderedMaskView()
    assert (view.mode, view.fraction, view.frame, view.interpolation) == ("deletion", 0.0, 0, "pixelated")
    assert view.image is view.baselines is view.ranks is view.position is None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("mode", "deleted", r"OrderedMaskView\.mode: unknown choice 'deleted'; did you mean 'deletion'"),
        ("fraction", -0.1, r"fraction to be a number from 0 to 1, got -0\.1"),
        ("fraction", "half", "a number from 0 to 1"),
        ("ranks", np.full((2, 2), 0.5), "integers from"),
        ("ranks", np.zeros(4), r"ranks to be of shape .*, got shape \(4,\)"),
        ("baselines", np.zeros((3, 2, 2, 3)), r"\(2, height, width, 3\)"),
        ("baselines", np.full((2, 2, 2, 3), 1.5), "floats from 0 to 1, or of uint8"),
        ("interpolation", "nearest", "unknown choice 'nearest'"),
    ],
)
def test_bad_values_are_refused_and_the_view_stays_usable(name, value, words):
    view = OrderedMaskView()
    before = getattr(view, name)
    with pytest.raises(TraitError, match=words):
        setattr(view, name, value)
    assert getattr(view, name) == before


def test_rounding_of_a_sum_of_steps_is_forgiven():
    view = OrderedMaskView(fraction=sum([0.1] * 10) + 1e-9)
    assert view.fraction == 1.0
