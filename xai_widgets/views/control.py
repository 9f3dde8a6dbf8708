"""The base class of views that are one control."""

from __future__ import annotations

from traitlets import Int, Unicode

from xai_widgets.views.base import View


class Control(View):
    """A control of one line."""

    # Not ``tooltip``, which ipywidgets shows for controls with a description only.
    help = Unicode("", help="A sentence that is shown when the pointer rests on the control.").tag(sync=True)
    width = Int(0, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)
