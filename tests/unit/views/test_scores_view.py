import numpy as np
import pytest
from traitlets import TraitError

from xai_widgets.views import ScoresView


def test_arrays_travel_with_their_types_and_shapes():
    view = ScoresView(
        x=[0, 1],
        values=np.zeros((6, 2, 5)),
        indices=np.arange(60).reshape(6, 2, 5),
        target_values=np.zeros((6, 2)),
        reference=np.linspace(0, 1, 7),
    )
    state = view.get_state()
    assert state["indices"]["dtype"] == "int32"
    assert state["indices"]["shape"] == [6, 2, 5]
    np.testing.assert_array_equal(np.frombuffer(state["indices"]["data"], "int32"), np.arange(60))
    assert (state["reference"]["dtype"], state["reference"]["shape"]) == ("float32", [7])
    assert (state["values"]["dtype"], state["target_values"]["shape"]) == ("float32", [6, 2])


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"values": np.zeros((3, 1, 2, 5))}, r"\(any, any, any\), got shape \(3, 1, 2, 5\)"),
        ({"indices": np.full((2, 1, 1), 0.5)}, "integers from"),
        ({"target_values": np.zeros((3, 2, 2))}, r"\(any, any\)"),
        ({"reference": np.zeros((1, 5))}, r"\(any\), got shape \(1, 5\)"),
        ({"series": [{"mod": "deletion"}]}, "did you mean 'mode'"),
        ({"series": [{"frame": "0"}]}, r"series\[0\]\['frame'\] to be int, got '0'"),
        ({"fraction": -0.1}, "expected ScoresView.fraction to be a number from 0 to 1, got -0.1"),
    ],
)
def test_bad_values_are_refused_in_one_sentence(kwargs, words):
    with pytest.raises(TraitError, match=words) as caught:
        ScoresView(**kwargs)
    assert "\n" not in str(caught.value)


def test_limits_of_bars_are_a_range():
    assert ScoresView().value_limits == [0, 1]
    assert ScoresView(value_limits=[-3, 7]).value_limits == [-3, 7]
    for wrong in ([1, 1], [2, 1], [0, float("inf")]):
        with pytest.raises(TraitError, match="finite and low below high"):
            ScoresView(value_limits=wrong)


def test_a_click_on_a_bar_calls_back_and_is_answered(caplog):
    view, clicked = ScoresView(), []
    assert not view.explains

    def refuse(index):
        raise ValueError("no such class")

    view.on_explain(refuse)
    view.on_explain(clicked.append)
    assert view.explains
    view._handle(view, {"type": "explain", "index": 3}, [])
    view._handle(view, {"type": "other"}, [])
    assert (clicked, view._answered) == ([3], 1)
    assert "callback of a ScoresView failed" in caplog.text
    view.close()
    view._handle(view, {"type": "explain", "index": 4}, [])
    assert clicked == [3]
