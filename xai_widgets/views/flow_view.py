"""Flows from concepts to the class whose score they carry."""

from __future__ import annotations

from traitlets import Float, Int, List, Unicode

from xai_widgets.views.arrays import Array
from xai_widgets.views.base import View


class FlowView(View):
    """Flows from concepts, grouped by kind, to the class whose score they carry.

    The width of a flow is the size of the contribution; those against the class are drawn below, with a dashed edge.
    Two gray flows hold the parts that no concept explains. Up and down, or a click, choose a concept: `selected`.
    """

    _bundle = "flow_view"

    names: List[str] = List(Unicode(), help="Names of the concepts.").tag(sync=True)
    groups: List[str] = List(Unicode(), help="The kind of each concept, such as ``texture``.").tag(sync=True)
    values = Array("float32", (None,), help="Contribution of each concept to the score, shape (n,).")
    residual = Float(0.0, help="Contribution that no concept explains.").tag(sync=True)
    remainder = Float(0.0, help="The part of the score that does not depend on the layer.").tag(sync=True)
    remainder_label = Unicode("bias", help="Name of the remainder.").tag(sync=True)
    target_label = Unicode("", help="Name of the class.").tag(sync=True)
    target = Int(-1, help="Index of the class, which decides its color; -1 for none.").tag(sync=True)
    score = Float(0.0, help="Score of the class.").tag(sync=True)
    selected = Int(
        0, min=-1, help="The chosen row: a concept, or after the last one the residual; -1 for none."
    ).tag(sync=True)
    rows = Int(0, min=0, help="Number of rows for which there is room before they are known.").tag(sync=True)
    width = Int(0, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)
