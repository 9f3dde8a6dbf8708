from collections import OrderedDict, namedtuple
from types import SimpleNamespace

import pytest
import torch
from networks import Answer

from xai_widgets.core.model_output import describe, find_scores

SCORES = torch.rand(2, 4)
OTHER = torch.rand(2, 7)
MAP = torch.rand(2, 5, 3, 3)
Named = namedtuple("Named", "logits aux")


@pytest.mark.parametrize(
    "output",
    [
        SCORES,
        (SCORES, MAP),
        (SCORES, OTHER),
        [MAP, SCORES],
        {"logits": SCORES, "other": OTHER},
        {"out": SCORES, "other": OTHER},
        OrderedDict(features=MAP, prediction=SCORES),
        Named(SCORES, OTHER),
        SimpleNamespace(logits=SCORES, hidden=OTHER),
        Answer(SCORES, MAP),
        (MAP, SCORES),
    ],
    ids=describe,
)
def test_scores_are_found(output):
    assert find_scores(output, None) is SCORES


@pytest.mark.parametrize(
    ("output", "key"),
    [
        ({"a": OTHER, "b": SCORES}, "b"),
        ((OTHER, MAP, SCORES), 2),
        ([OTHER, SCORES], -1),
        (Named(OTHER, SCORES), "aux"),
        (SimpleNamespace(logits=OTHER, b=SCORES), "b"),
        # A dict has methods of these names.
        ({"logits": OTHER, "values": SCORES}, "values"),
        ({"logits": OTHER, "items": SCORES}, "items"),
        ({0: OTHER, 1: SCORES}, 1),
    ],
)
def test_output_names_the_entry(output, key):
    assert find_scores(output, key) is SCORES


@pytest.mark.parametrize(
    ("output", "key"),
    [
        ({"a": SCORES, "b": OTHER}, None),
        ([SCORES, OTHER], None),
        (SimpleNamespace(a=1), None),
        (None, None),
        ("scores", None),
        ({"a": SCORES}, "b"),
        ({"a": SCORES}, "values"),
        ({"a": "text"}, "a"),
        ({"out": {"deeper": SCORES}}, None),
        ((SCORES,), 1),
        ((SCORES,), "count"),
        (Named(SCORES, None), "aux"),
        (3, 0),
    ],
)
def test_what_is_not_clear_is_not_guessed(output, key):
    assert find_scores(output, key) is None


def test_outputs_are_described_by_what_they_hold():
    assert describe(MAP) == "a tensor of shape (2, 5, 3, 3) and torch.float32"
    assert describe({"out": MAP, "aux": 1}) == "a dict with 'out', 'aux'"
    assert describe({}) == "a dict with nothing"
    assert describe((1, 2)) == "a tuple of 2"
    assert describe(Answer(SCORES, MAP)) == "Answer with 'scores', 'features'"
    assert describe(None) == "NoneType"
