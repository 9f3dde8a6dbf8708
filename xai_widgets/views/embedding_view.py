"""A map of concepts whose vectors can be added and subtracted."""

from __future__ import annotations

from traitlets import Int, List, Unicode

from xai_widgets.views.arrays import Array
from xai_widgets.views.control import Asking


class EmbeddingView(Asking):
    """A map of concepts by their vectors, with the nearest ones by cosine, and arithmetic by dragging.

    A concept under the pointer, or a chosen one, is joined to its five nearest ones. Concepts that are dragged to the
    fields below are combined as a - b + c; the diamond lies between the three concepts that are nearest to the result.
    All of it is computed in the browser.

    Examples
    --------
    >>> view = EmbeddingView(points=[[[0, 0], [1, 1]]], vectors=[[1, 0], [0, 1]], labels=["kite", "wheel"])
    """

    _bundle = "embedding_view"

    points = Array(
        "float32",
        (None, None, 2),
        help="Positions of C concepts in L layouts, from 0 to 1, right and down, shape (L, C, 2); NaN for none.",
    )
    vectors = Array("float32", (None, None), help="Vectors of length 1, shape (C, K); NaN for none.")
    labels: List[str] = List(Unicode(), help="The name of each concept.").tag(sync=True)
    groups: List[int] = List(Int(min=0), help="The group of each concept, a color and a marker.").tag(
        sync=True
    )
    group_names: List[str] = List(Unicode(), help="The name of each group.").tag(sync=True)
    layout_names: List[str] = List(Unicode(), help="The name of each layout.").tag(sync=True)
    layout_index = Int(0, min=0, help="Index of the layout that is shown.").tag(sync=True)
    frame = Int(-1, min=-1, help="Index of the chosen concept; -1 for none.").tag(sync=True)
    terms: List[int] = List(
        Int(min=-1), [-1, -1, -1], minlen=3, maxlen=3, help="Concepts a, b and c of a - b + c; -1 for none."
    ).tag(sync=True)
    height = Int(300, min=120, help="Height of the map in CSS px.").tag(sync=True)
    width = Int(0, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)
