"""The base class of views of moving images, whose frames do not pile up."""

from __future__ import annotations

import math
import time
from typing import Any

from traitlets import Int

from xai_widgets.views.base import View

#: Seconds until another frame is sent although the one before was not confirmed; twice as long for each further one.
PATIENCE = 1.0


class Paced(View):
    """A view whose browser confirms each frame that it has drawn.

    A frame is to be sent while :attr:`ready`: not before the one before was drawn. Without an answer, as from a script
    or a hidden page, the waiting time doubles with each frame.
    """

    _sent = Int(0, help="Number of the last frame that Python has sent.").tag(sync=True)

    def __init__(self, **kwargs: Any) -> None:
        self._drawn, self._sent_at = 0, -math.inf
        super().__init__(**kwargs)
        self.on_msg(self._confirm)

    @property
    def in_flight(self) -> int:
        """Number of frames that were sent and not confirmed."""
        return self._sent - self._drawn

    @property
    def ready(self) -> bool:
        """Whether the next frame may be sent."""
        waiting = self.in_flight
        return not waiting or time.monotonic() - self._sent_at >= PATIENCE * 2 ** (waiting - 1)

    def send_frame(self, **traits: Any) -> None:
        """Set traits, such as an image, in one message, whose drawing the browser confirms."""
        with self.hold_sync():
            for name, value in traits.items():
                setattr(self, name, value)
            self._sent += 1
        self._sent_at = time.monotonic()

    def _confirm(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        if content.get("type") == "drawn":
            self._drawn = min(max(self._drawn, int(content.get("frame", 0))), self._sent)
