"""SimilarityView: messages and errors."""

import numpy as np
import pytest
import torch
from traitlets import TraitError

from xai_widgets.similarity import ActivationGrid, pack
from xai_widgets.views import SimilarityView


def test_defaults():
    view = SimilarityView()
    assert view.images is view.transforms is view.components is view._profile is view.position is None
    assert view.activations == view.scales == view.norms == ()
    assert (view.scope, view.kind, view.colormap, view.interpolation) == (
        "across",
        "cosine",
        "auto",
        "bicubic",
    )
    assert (view.frame, view.layer, view.marked, view.pins, view.threshold) == (0, 0, -1, [], 0)


def test_arrays_are_sent_as_they_are_or_as_floats():
    codes = np.arange(24, dtype=np.int8).reshape(1, 2, 3, 4)
    view = SimilarityView(activations=[codes, codes.astype(np.float16), torch.ones(1, 1, 1, 2).double()])
    messages = view.get_state("activations")["activations"]
    assert [(one["dtype"], one["shape"]) for one in messages] == [
        ("int8", [1, 2, 3, 4]),
        ("float16", [1, 2, 3, 4]),
        ("float32", [1, 1, 1, 2]),
    ]
    assert np.array_equal(np.frombuffer(messages[0]["data"], np.int8), np.arange(24))


def test_what_the_browser_sends_back_is_read():
    view = SimilarityView()
    view.set_state(
        {
            "_profile": {
                "dtype": "float32",
                "shape": [1, 2],
                "data": memoryview(np.array([1, np.nan], "<f4")).cast("B"),
            }
        }
    )
    np.testing.assert_array_equal(view._profile, [[1, np.nan]])
    view.set_state({"pins": [{"frame": 1, "layer": 0, "position": [0.5, 1]}], "position": [0, 1]})
    assert view.pins == [{"frame": 1, "layer": 0, "position": [0.5, 1.0]}]


def test_other_arrays_of_the_same_shape_notify():
    view = SimilarityView(norms=[np.ones((1, 2, 2))])
    seen = []
    view.observe(lambda change: seen.append(change["new"]), "norms")
    view.norms = [np.zeros((1, 2, 2))]
    assert len(seen) == 1
    assert seen[0][0].dtype == np.float32


def test_a_view_of_packed_activations():
    z = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    grids = [ActivationGrid("net", layer, n, z[n]) for layer in ("a", "b") for n in range(2)]
    packed = pack(grids)
    view = SimilarityView.of(packed, title="two layers")
    assert view.layer_labels == ["a", "b"]
    assert view.errors == [one.bound for one in packed]
    assert view.sigmas == [one.sigma for one in packed]
    assert [codes.shape for codes in view.activations] == [(2, 3, 4, 5)] * 2
    np.testing.assert_array_equal(view.scales[1], packed[1].scales)
    np.testing.assert_array_equal(view.norms[0], packed[0].norms)
    view.show(pack([*grids[:2], *(ActivationGrid("other", "a", g.image, g.raw) for g in grids[:2])]))
    assert view.layer_labels == ["net a", "other a"]
    assert view.title == "two layers"


PIN = {"frame": 0, "layer": 0, "position": [0.5, 0.5]}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "activations",
            np.zeros((2, 2, 2)),
            r"activations\[0\] to be an array of numbers with 4 axes, got float64 of shape \(2, 2\)",
        ),
        ("activations", 3, "a list of arrays, got 3"),
        ("activations", "ab", "a list of arrays, got 'ab'"),
        ("activations", [[["a"]]], "numbers with 4 axes"),
        ("activations", [[[1], [1, 2]]], r"activations\[0\] to be an array"),
        ("scales", [np.zeros((2, 2))], "numbers with 3 axes"),
        ("kind", "cosin", "did you mean 'cosine'"),
        ("scope", "inside", "did you mean 'within'|expected one of"),
        ("threshold", 2, r"threshold to be a number from 0 to 1, got 2"),
        ("sigmas", [0], "numbers above 0"),
        ("component_colors", ["red"], "'#rrggbb', got 'red'"),
        (
            "transforms",
            np.zeros((2, 3, 3)),
            r"transforms to be of shape \(any, 2, 3\), got shape \(2, 3, 3\)",
        ),
        ("components", np.full((1, 1, 1, 1), 2.0), "floats from 0 to 1"),
        ("pins", [PIN | {"position": [0.5, 2]}], r"position \[x, y\] from 0 to 1"),
        ("pins", [PIN | {"frame": -1}], "frame and layer from 0"),
        ("pins", [{"frame": 0}], "frame and layer"),
        ("pins", [PIN] * 3, "pins"),
        ("fields", [[[0, 0, 1]]], "fields"),
        ("fields", [[[0, 0, 1, 1]] * 3], "fields"),
        ("frame", -1, "should not be less than 0"),
    ],
)
def test_bad_values_are_refused_and_the_view_stays_usable(name, value, words):
    view = SimilarityView()
    before = getattr(view, name)
    with pytest.raises(TraitError, match=words):
        setattr(view, name, value)
    assert getattr(view, name) is before or getattr(view, name) == before
