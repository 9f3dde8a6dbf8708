"""MapGridView: the message of each cell, and errors."""

import numpy as np
import pytest
import torch
from traitlets import TraitError

from xai_widgets.views import HeatmapView, MapGridView, link
from xai_widgets.views.map_grid_view import MapCell


def done(values, dtype=np.float32):
    return MapCell("done", np.asarray(values, dtype))


@pytest.fixture
def view():
    view = MapGridView()
    view.messages = []

    def send(data=None, buffers=None, **_rest):
        view.messages.append((data["state"], buffers or []))

    view.comm.send = send
    return view


def maps_in(view):
    """The maps of each message: their types by their names."""
    return [
        {name: state[name] and state[name]["dtype"] for name in state if name.startswith("_map_")}
        for state, _ in view.messages
    ]


def test_defaults():
    view = MapGridView()
    assert view.images is view.position is None
    assert view.row_labels == view.column_labels == view.states == view.pins == view._visible_rows == []
    assert (view.row, view.column, view.enlarged) == (-1, -1, False)
    assert (view.scale, view.measure, view.sign, view.percentile) == ("cell", "pearson", "auto", 99)
    assert view.map_at(0, 0) is None


def test_only_new_maps_are_sent_and_all_in_one_message(view):
    first, second = done([[1, 2]]), done([[3]], np.float16)
    view.show([[first, MapCell()], [MapCell("computing"), MapCell("failed", note="no rule")]])
    assert maps_in(view) == [{"_map_0_0": "float32"}]
    assert view.states == [["done", "waiting"], ["computing", "failed"]]
    assert view.notes == [["", ""], ["", "no rule"]]
    view.messages.clear()
    view.show([[first, MapCell("computing")], [second, MapCell("failed", note="no rule")]])
    assert maps_in(view) == [{"_map_1_0": "float16"}]
    assert len(view.messages[0][1]) == 1
    view.messages.clear()
    view.show([[first, MapCell("computing")], [second, MapCell("failed", note="no rule")]])
    assert view.messages == []
    np.testing.assert_array_equal(view.map_at(0, 0), [[1, 2]])
    assert view.map_at(0, 1) is None


def test_the_state_alone_holds_every_map_and_none_of_a_table_that_is_gone(view):
    maps = [[np.full((2, 2), 10 * r + c, np.float32) for c in range(3)] for r in range(2)]
    view.show(
        [[done(one) for one in row] for row in maps], row_labels=["a", "b"], column_labels=["x", "y", "z"]
    )
    state = view.get_state()
    for r in range(2):
        for c in range(3):
            assert np.frombuffer(state[f"_map_{r}_{c}"]["data"], np.float32)[0] == 10 * r + c
    assert (state["row_labels"], state["column_labels"]) == (["a", "b"], ["x", "y", "z"])
    view.show([[done(maps[1][0])]], row_labels=["b"])
    state = view.get_state()
    assert {name for name, value in state.items() if name.startswith("_map_") and value} == {"_map_0_0"}
    # A table that grows again has all traits.
    view.show([[done(one) for one in row] for row in maps])
    assert sum(name.startswith("_map_") for name in view.keys) == 6
    assert view.map_at(1, 2)[0, 0] == 12


def test_two_views_share_no_map():
    one, other = MapGridView.of([[np.ones((1, 1))]]), MapGridView.of([[np.zeros((1, 1))], [None]])
    assert (one.map_at(0, 0)[0, 0], other.map_at(0, 0)[0, 0]) == (1, 0)
    assert other.states == [["done"], ["absent"]]
    assert not MapGridView().has_trait("_map_0_0")


def test_a_view_of_maps_takes_whatever_is_an_array():
    view = MapGridView.of(
        [[torch.ones(2, 3, requires_grad=True), [[0, 1]]], [None, np.eye(2, dtype=np.float16)]],
        images=np.zeros((4, 4, 3)),
        row_labels=["a", "b"],
    )
    assert view.images.shape == (1, 4, 4, 3)
    dtypes = [view.map_at(r, c).dtype for r, c in ((0, 0), (0, 1), (1, 1))]
    assert dtypes == [np.float32, np.float32, np.float16]


def test_the_position_is_linked_to_other_views():
    view, heat = MapGridView(position=[0.2, 0.3]), HeatmapView()
    link((view, "position"), (heat, "position"))
    assert heat.position == [0.2, 0.3]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("states", [["don"]], "unknown state 'don'; did you mean 'done'"),
        ("scale", "rows", "did you mean 'row'"),
        ("measure", "pearsons", "did you mean 'pearson'"),
        ("percentile", 0, "above 0 and at most 100"),
        ("opacity", 2, "a number from 0 to 1"),
        ("pins", [[0, 0]] * 3, "pins"),
        ("pins", [[0]], "pins"),
        ("position", [2, 0], "a position"),
        ("row", -2, "should not be less than -1"),
    ],
)
def test_bad_values_are_refused_and_the_view_stays_usable(name, value, words):
    view = MapGridView()
    before = getattr(view, name)
    with pytest.raises(TraitError, match=words):
        setattr(view, name, value)
    assert getattr(view, name) == before


def test_bad_maps_are_refused_in_words():
    view = MapGridView()
    with pytest.raises(TraitError, match=r"_map_0_0 to be of shape \(any, any\), got shape \(3,\)"):
        view.show([[done([1, 2, 3])]])
    with pytest.raises(ValueError, match=r"expected as many cells in each row, got \[1, 2\]"):
        view.show([[MapCell()], [MapCell(), MapCell()]])
    with pytest.raises(TypeError, match="did you mean 'row_labels'"):
        MapGridView(row_names=["a"])


def test_the_sign_of_a_row_is_one_of_those_of_a_map():
    view = MapGridView.of([[np.ones((2, 2))]], row_signs=["positive"])
    view.show([[MapCell()]], row_signs=["both"])
    assert view.row_signs == ["both"]
    with pytest.raises(TraitError, match=r"MapGridView\.row_signs: unknown sign 'bth'; did you mean 'both'"):
        view.row_signs = ["bth"]
    assert view.row_signs == ["both"]
