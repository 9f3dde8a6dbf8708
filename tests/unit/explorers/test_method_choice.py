"""The methods of a picker, with their facts."""

import time
from collections import Counter

from xai_widgets.explorers.method_choice import GROUPS, OTHERS, method_picker, sentence
from xai_widgets.methods import METHODS
from xai_widgets.methods.registry import as_method


def test_every_method_is_in_one_group():
    names = Counter(name for group in GROUPS.values() for name in group)
    assert set(names) == set(METHODS)
    assert set(names.values()) == {1}


def test_a_picker_has_the_facts_of_each_method():
    mine = as_method(("mine", lambda model, x, target: x))
    picker = method_picker({**METHODS, "mine": mine}, ["lrp"])
    assert picker.selected == ["lrp"]
    assert picker.labels["lrp"] == METHODS["lrp"].title
    assert picker.families["mine"] == OTHERS
    assert picker.costs["gradient"] == "2 passes"
    assert picker.costs["fem"] == "1 pass"
    assert picker.costs["integrated_gradients"] == "101 passes"
    assert picker.costs["lime"] == "samples forward, 0 backward"
    assert "mine" not in picker.costs
    assert all(picker.sentences[name] for name in METHODS)


def test_methods_without_their_patterns_are_not_offered():
    picker = method_picker(METHODS, [])
    assert set(picker.reasons) == {"pattern_net", "pattern_attribution"}


def test_the_sentence_does_not_repeat_the_title():
    assert sentence(METHODS["legrad"]).startswith("The positive gradient of the score after each block")
    assert sentence(METHODS["gradient"]) == "Gradient of the class score, dS_c/dx, or dS_c/da at a layer."


def test_methods_that_cannot_run_are_found_when_the_list_is_opened(model):
    picker = method_picker(METHODS, ["lrp"], model)
    picker._opened = True
    end = time.monotonic() + 60
    while "legrad" not in picker.reasons and time.monotonic() < end:
        time.sleep(0.02)
    assert picker.reasons["legrad"] == "needs attention between all patches in every block"
    assert "guided_backprop" not in picker.reasons
