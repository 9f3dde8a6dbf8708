import threading
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xai_widgets.errors import ExplanationWarning, collecting, sentence_of, tell, unknown

NAMES = ["layer1", "layer2", "fc", "Norwegian elkhound"]


def test_the_nearest_name_is_offered_in_its_own_spelling():
    assert unknown("layer", "layer_1", NAMES).startswith("unknown layer 'layer_1'; did you mean 'layer1'")
    assert "'Norwegian elkhound'" in unknown("label", "NORWEGIAN ELKHOND", NAMES)


def test_with_nothing_near_the_choices_are_listed():
    assert unknown("layer", "???", NAMES) == (
        "unknown layer '???'; wanted one of layer1, layer2, fc, Norwegian elkhound"
    )


def test_a_long_list_is_cut_and_counted():
    text = unknown("label", "???", [f"name {i}" for i in range(1000)])
    assert text.endswith("... (1000 in all)")
    assert len(text) < 250


def test_no_choice_is_said():
    assert "there are none" in unknown("layer", "conv1", [])


def test_what_is_no_string_is_shown_too():
    assert "unknown layer 5" in unknown("layer", 5, NAMES)


@given(st.text(min_size=1), st.lists(st.text(alphabet="abcdef", min_size=1), unique=True))
def test_every_suggestion_exists(given_name, names):
    text = unknown("layer", given_name, names)
    if "did you mean" in text:
        offered = text.rsplit("did you mean ", 1)[1].removesuffix("?").split(" or ")
        assert {name.strip("'") for name in offered} <= set(names)


# -- warnings -----------------------------------------------------------------------------------------------------


def test_messages_are_collected_once_and_no_filter_is_touched():
    filters, show = list(warnings.filters), warnings.showwarning
    with collecting() as messages:
        tell("the sum is off")
        tell("the sum is off")
        assert (warnings.filters, warnings.showwarning) == (filters, show)
    assert messages == ["the sum is off"]
    with pytest.warns(ExplanationWarning, match="the next one"):
        tell("the next one")


def test_an_inner_block_takes_its_own_messages_and_an_error_ends_it():
    with collecting() as outer:
        with pytest.raises(KeyboardInterrupt), collecting() as inner:  # noqa: PT012
            tell("inner")
            raise KeyboardInterrupt
        tell("outer")
    assert (outer, inner) == (["outer"], ["inner"])
    with pytest.warns(ExplanationWarning):
        tell("heard again")


def test_other_threads_warn_as_ever():
    heard, inside, told = [], threading.Event(), threading.Event()

    def collect():
        with collecting() as messages:
            inside.set()
            assert told.wait(30)
        heard.extend(messages)

    thread = threading.Thread(target=collect)
    thread.start()
    assert inside.wait(30)
    with pytest.warns(ExplanationWarning, match="of this thread"):
        tell("of this thread")
    told.set()
    thread.join(30)
    assert heard == []


def test_the_first_line_of_an_error_or_its_type():
    class Mute(Exception):
        def __str__(self):
            raise ValueError("no words")

    assert sentence_of(ValueError("one\ntwo")) == "one"
    assert sentence_of(MemoryError()) == "MemoryError"
    assert sentence_of(Mute()) == "Mute"
