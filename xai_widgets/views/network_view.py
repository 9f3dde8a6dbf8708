"""A network that computes in the browser, and a line about it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

from traitlets import Int, Unicode

from xai_widgets.views.base import STATIC, View
from xai_widgets.views.traits import Choice


class NetworkView(View):
    """A network in the browser that answers views in place of the kernel, and a line that shows its state.

    The browser asks for the network when the view is first shown. It is sent once, and runs in a thread of the
    browser as long as the view exists. Where the browser cannot run it, the line states why.

    Parameters
    ----------
    network : callable
        Returns what the browser needs to know of the network, and arrays of bytes: its content as an ONNX file, and
        an image to try.
    opened : callable
        Called without arguments before the network is sent, for instance because the page was opened again.
    """

    _bundle = "network_view"

    status = Choice(
        ("waiting", "loading", "running", "failed"),
        help="Whether the network runs in the browser; views are answered by it while it does.",
    )
    reason = Unicode("", help="Why the browser cannot run the network.").tag(sync=True)
    _version = Int(0, help="Number of the network; another one replaces it in the browser.").tag(sync=True)
    _acknowledged = Int(0, help="Number of the last question that reached Python.").tag(sync=True)
    width = Int(0, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)

    def __init__(
        self,
        network: Callable[[], tuple[dict[str, Any], list[bytes]]] = lambda: ({}, []),
        opened: Callable[[], object] = lambda: None,
        **kwargs: Any,
    ) -> None:
        self._network, self._opened = network, opened
        super().__init__(**kwargs)
        self.on_msg(self._answer)

    def renew(self) -> None:
        """Have the browser ask for the network again, because it is another one."""
        self.status = "waiting"
        self._version += 1

    def close(self) -> None:
        """Close the view, which ends the thread of the browser, and free the network."""
        self._network = self._opened = _closed
        super().close()

    def _answer(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        if content.get("type") != "open":
            return
        self._acknowledged = int(content.get("id", 0))
        self._opened()
        facts, arrays = self._network()
        program = (STATIC / "engine.js").read_bytes()
        wasm = (STATIC / "engine.wasm.gz").read_bytes()
        self.send(
            {"type": "network", "version": self._version, **facts},
            [gzip.compress(program, mtime=0), wasm, *arrays],
        )


def _closed() -> tuple[dict[str, Any], list[bytes]]:
    return {}, []
