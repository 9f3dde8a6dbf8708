"""BrushView: traits and errors, and the masks that come from the browser."""

import numpy as np
import pytest
from traitlets import TraitError

from xai_widgets.views import BrushView

IMAGE = np.random.default_rng(0).random((4, 6, 3))


def message(mask):
    """Return the message of a mask from the browser; its bytes are a part of a larger buffer."""
    mask = np.ascontiguousarray(mask, dtype="uint8")
    data = memoryview(b"\0\0\0" + mask.tobytes())[3:]
    return {"dtype": "uint8", "shape": list(mask.shape), "data": data}


def test_arrays_are_sent_as_the_browser_reads_them():
    mask = np.eye(4, 6)
    state = BrushView(image=IMAGE, fills=[0 * IMAGE, IMAGE], mask=mask).get_state()
    assert (state["image"]["dtype"], state["image"]["shape"]) == ("uint8", [4, 6, 3])
    assert (state["fills"]["dtype"], state["fills"]["shape"]) == ("uint8", [2, 4, 6, 3])
    sent = np.frombuffer(state["mask"]["data"], "uint8").reshape(4, 6)
    np.testing.assert_array_equal(sent, 255 * mask)


def test_defaults():
    view = BrushView()
    assert (view.tool, view.display, view.fill, view._stroke, view._seen) == ("paint", "result", 0, 0, 0)
    assert view.image is view.fills is view.mask is None


def test_a_mask_from_the_browser_is_taken_up_before_it_is_acknowledged():
    view = BrushView(image=IMAGE)
    mask = np.arange(24).reshape(4, 6)
    heard = []
    view.observe(lambda change: heard.append((change.new.copy(), view._seen)), "mask")
    view.set_state({"_stroke": 3, "mask": message(mask)})
    [(taken, seen)] = heard
    np.testing.assert_array_equal(taken, mask)
    assert (seen, view._seen) == (0, 3)
    # An array from the browser can be edited like any other array.
    view.mask[0, 0] = 255
    assert view.mask[0, 0] == 255


def test_a_mask_is_acknowledged_even_when_an_observer_fails():
    view = BrushView(image=IMAGE)

    def fail(_change):
        raise RuntimeError("no network")

    view.observe(fail, "mask")
    with pytest.raises(RuntimeError, match="no network"):
        view.set_state({"_stroke": 1, "mask": message(np.ones((4, 6)))})
    assert view._seen == 1


def test_a_mask_that_was_painted_on_the_image_before_is_passed_over():
    view = BrushView(image=IMAGE)
    view.image = np.zeros((8, 8, 3))
    view.set_state({"_stroke": 1, "mask": message(np.ones((4, 6)))})
    assert view.mask is None
    assert view._seen == 1


def test_an_image_of_another_size_forgets_the_mask_and_one_of_the_same_does_not():
    view = BrushView(image=IMAGE, mask=np.ones((4, 6)))
    view.image = 1 - IMAGE
    assert view.mask.min() == 255
    view.image = IMAGE[:, :5]
    assert view.mask is None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "mask",
            np.zeros((4, 5)),
            r"expected BrushView\.mask to be of shape \(4, 6\), as the image, got shape \(4, 5\)",
        ),
        ("mask", np.full((4, 6), -1.0), "floats from 0 to 1, or of uint8"),
        ("mask", np.zeros((1, 4, 6)), r"\(any, any\)"),
        ("fills", IMAGE, r"fills to be of shape .*, got shape \(4, 6, 3\)"),
        ("tool", "eraser", "unknown choice 'eraser'; did you mean 'erase'"),
        ("display", "overlay", "unknown choice 'overlay'"),
        ("brush_size", 2, r"brush_size to be a number from 0 to 1, got 2"),
        ("fill", -1, "fill"),
    ],
)
def test_bad_values_are_refused_and_the_view_stays_usable(name, value, words):
    view = BrushView(image=IMAGE)
    before = getattr(view, name)
    with pytest.raises(TraitError, match=words):
        setattr(view, name, value)
    assert getattr(view, name) is before or getattr(view, name) == before
