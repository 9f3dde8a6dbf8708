"""The base classes of views that may need Python to have an effect, and of those that are one control."""

from __future__ import annotations

from typing import Any

from traitlets import Bool, Int, Unicode

from xai_widgets.views.base import View


class Asking(View):
    """A view with a choice that may need Python to have an effect."""

    _needs_kernel = Bool(
        False,
        help="Whether a change needs Python: without an answer the old value returns.",
    ).tag(sync=True)
    _acknowledged = Int(0, help="Number of the last change in the browser that reached Python.").tag(
        sync=True
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.on_msg(self._answer)

    def _answer(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        if content.get("type") == "ping":
            self._acknowledged = int(content.get("id", 0))


class Control(Asking):
    """A control of one line."""

    # Not ``tooltip``, which ipywidgets shows for controls with a description only.
    help = Unicode("", help="A sentence that is shown when the pointer rests on the control.").tag(sync=True)
    width = Int(0, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)
