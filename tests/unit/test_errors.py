import threading
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xai_widgets.errors import ExplanationWarning, as_sentence, collect_warnings, unknown_name, warn

NAMES = ["layer1", "layer2", "fc", "Norwegian elkhound"]


def test_the_nearest_name_is_offered_in_its_own_spelling():
    assert unknown_name("layer", "layer_1", NAMES).startswith(
        "unknown layer 'layer_1'; did you mean 'layer1'"
    )
    assert "'Norwegian elkhound'" in unknown_name("label", "NORWEGIAN ELKHOND", NAMES)


def test_with_nothing_near_the_choices_are_listed():
    assert unknown_name("layer", "???", NAMES) == (
        "unknown layer '???'; expected one of layer1, layer2, fc, Norwegian elkhound"
    )


def test_a_long_list_is_cut_and_counted():
    text = unknown_name("label", "???", [f"name {i}" for i in range(1000)])
    assert text.endswith("... (1000 in all)")
    assert len(text) < 250


def test_without_choices():
    assert "there are none" in unknown_name("layer", "conv1", [])


def test_what_is_no_string_is_shown_too():
    assert "unknown layer 5" in unknown_name("layer", 5, NAMES)


@given(st.text(min_size=1), st.lists(st.text(alphabet="abcdef", min_size=1), unique=True))
def test_every_suggestion_exists(given_name, names):
    text = unknown_name("layer", given_name, names)
    if "did you mean" in text:
        offered = text.rsplit("did you mean ", 1)[1].removesuffix("?").split(" or ")
        assert {name.strip("'") for name in offered} <= set(names)


# -- warnings -----------------------------------------------------------------------------------------------------


def test_messages_are_collected_once_and_no_filter_is_touched():
    filters, show = list(warnings.filters), warnings.showwarning
    with collect_warnings() as messages:
        warn("the sum is off")
        warn("the sum is off")
        assert (warnings.filters, warnings.showwarning) == (filters, show)
    assert messages == ["the sum is off"]
    with pytest.warns(ExplanationWarning, match="the next one"):
        warn("the next one")


def test_an_inner_block_takes_its_own_messages_and_an_error_ends_it():
    with collect_warnings() as outer:
        with pytest.raises(KeyboardInterrupt), collect_warnings() as inner:  # noqa: PT012
            warn("inner")
            raise KeyboardInterrupt
        warn("outer")
    assert (outer, inner) == (["outer"], ["inner"])
    with pytest.warns(ExplanationWarning):
        warn("heard again")


def test_other_threads_warn_as_ever():
    heard, inside, caught = [], threading.Event(), threading.Event()

    def collect():
        with collect_warnings() as messages:
            inside.set()
            assert caught.wait(30)
        heard.extend(messages)

    thread = threading.Thread(target=collect)
    thread.start()
    assert inside.wait(30)
    with pytest.warns(ExplanationWarning, match="of this thread"):
        warn("of this thread")
    caught.set()
    thread.join(30)
    assert heard == []


def test_the_first_line_of_an_error_or_its_type():
    class Mute(Exception):
        def __str__(self):
            raise ValueError("no words")

    assert as_sentence(ValueError("one\ntwo")) == "one"
    assert as_sentence(MemoryError()) == "MemoryError"
    assert as_sentence(Mute()) == "Mute"
