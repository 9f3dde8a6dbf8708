"""Rows of bars, and the map of concepts: their arrays and choices."""

import numpy as np
import pytest
from traitlets import TraitError

from xai_widgets.views import BarsView, EmbeddingView, link


def test_values_are_steps_by_rows_by_bars():
    view = BarsView(labels=["a", "b"], values=[[[1, 2], [3, np.nan]]], series=["weight", "IoU"])
    assert view.values.shape == (1, 2, 2)
    assert view.values.dtype == np.float32
    with pytest.raises(TraitError):
        view.values = np.zeros((2, 2))
    with pytest.raises(TraitError):
        view.frame = -2


def test_a_map_has_layouts_of_two_coordinates_and_three_terms():
    view = EmbeddingView(points=np.zeros((2, 3, 2)), vectors=np.eye(3))
    assert view.terms == [-1, -1, -1]
    with pytest.raises(TraitError):
        view.points = np.zeros((2, 3, 3))
    with pytest.raises(TraitError):
        view.terms = [0, 1]


def test_their_choices_can_be_linked():
    bars, other = BarsView(), EmbeddingView()
    link((bars, "frame"), (other, "frame"))
    assert bars._channels["frame"] == other._channels["frame"]


def test_both_have_a_text_for_pages_without_a_browser():
    assert "values" in BarsView(values=np.zeros((1, 2, 1))).summary()
    assert "vectors" in EmbeddingView(vectors=np.eye(2)).summary()
