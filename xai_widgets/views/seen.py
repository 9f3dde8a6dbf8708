"""The base class of views that know whether they are on the screen."""

from __future__ import annotations

from typing import Any

from traitlets import Enum

from xai_widgets.views.base import View


class Seen(View):
    """A view whose browser reports whether it, or the explorer around it, is on the screen."""

    visibility = Enum(
        ("unseen", "visible", "gone"),
        "unseen",
        help="Whether a view, or the explorer around it, is on the screen; gone if all were removed.",
    )

    def __init__(self, **kwargs: Any) -> None:
        #: The state of each view in a browser.
        self._shown: dict[str, str] = {}
        super().__init__(**kwargs)
        self.on_msg(self._see)

    def _see(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        if content.get("type") != "view":
            return
        view, state = str(content.get("id")), str(content.get("state"))
        if state == "gone":
            self._shown.pop(view, None)
        else:
            self._shown[view] = state
        states = self._shown.values()
        self.visibility = "visible" if "visible" in states else "unseen" if states else "gone"
