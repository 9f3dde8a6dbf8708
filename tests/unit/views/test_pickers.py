import pytest
from traitlets import TraitError

from xai_widgets.views import ClassPicker, MethodPicker


def test_selected_takes_the_order_of_options_without_repetition():
    picker = MethodPicker(options=["a", "b", "c"], selected=["c", "a", "c"])
    assert picker.selected == ["a", "c"]


def test_other_options_keep_what_is_still_there():
    picker = MethodPicker(options=["a", "b", "c"], selected=["a", "b"])
    picker.options = ["c", "b"]
    assert picker.selected == ["b"]


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        (
            {"options": ["gradient"], "selected": ["gradiant"]},
            "unknown option 'gradiant'; did you mean 'gradient'",
        ),
        ({"options": ["a", "b", "a"]}, "to have each name once, got 'a' twice"),
    ],
)
def test_bad_methods_are_refused(kwargs, words):
    with pytest.raises(TraitError, match=words):
        MethodPicker(**kwargs)


def test_a_class_within_the_labels():
    assert ClassPicker(labels=["cat", "dog"], target=1).target == 1
    # Labels may come later.
    assert ClassPicker(target=500).target == 500


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        (
            {"labels": ["cat", "dog"], "target": 2},
            "expected ClassPicker.target to be a class from 0 to 1, got 2",
        ),
        ({"target": -1}, "expected ClassPicker.target to be a class of at least 0, got -1"),
    ],
)
def test_a_class_outside_of_them_is_refused(kwargs, words):
    with pytest.raises(TraitError, match=words):
        ClassPicker(**kwargs)
