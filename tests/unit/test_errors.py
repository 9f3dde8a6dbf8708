from hypothesis import given
from hypothesis import strategies as st

from xai_widgets.errors import unknown

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
