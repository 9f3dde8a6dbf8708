"""A button that starts and cancels a computation, with its progress and its error."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ipywidgets import CallbackDispatcher
from traitlets import Int, Unicode

from xai_widgets.errors import as_sentence
from xai_widgets.views.base import View
from xai_widgets.views.traits import Choice, Unit

logger = logging.getLogger(__name__)


class RunBar(View):
    """Run and cancel, progress, message and error of one computation.

    The bar computes nothing: register what is to happen with `on_run` and `on_cancel`, and set `status`,
    `progress`, `message` and `error` as the computation goes.
    """

    _bundle = "run_bar"

    status = Choice(("idle", "running", "done", "cancelled", "error"), help="What the computation does.")
    progress = Unit(help="The part that is done.")
    message = Unicode("", help='A few words beside the bar, for instance ``"batch 3 of 14"``.').tag(sync=True)
    error = Unicode(
        "", help=("Shown in an alert box until it is dismissed or emptied; the button stays usable.")
    ).tag(sync=True)
    label = Unicode("Compute", help="What the button says.").tag(sync=True)
    _acknowledged = Int(0, help="Number of the last click that reached Python.").tag(sync=True)
    width = Int(0, min=0, help="Largest width in CSS px, 0 for the width of the column.").tag(sync=True)

    def __init__(self, **kwargs: Any) -> None:
        # Before anything that may raise: what raised is closed too.
        self._callbacks = {"run": CallbackDispatcher(), "cancel": CallbackDispatcher()}
        super().__init__(**kwargs)
        self.on_msg(self._handle)

    def begin(self) -> None:
        """Show that a computation begins: nothing is done yet, and no error stands."""
        self.set_trait("error", "")
        self.status, self.progress = "running", 0.0

    def close(self) -> None:
        """Close the bar, and forget its callbacks."""
        # An interrupt may have come before there were any.
        for dispatcher in getattr(self, "_callbacks", {}).values():
            dispatcher.callbacks = []
        super().close()

    def end(self, status: str, error: BaseException | None, message: str = "") -> None:
        """Show how a computation has ended.

        Parameters
        ----------
        status : {"done", "cancelled", "error"}
            How.
        error : BaseException or None
            What was raised, if it failed.
        message : str, optional
            A few words beside the bar, such as how many methods were refused.
        """
        self.status, self.message = status, message
        if status == "done":
            self.progress = 1.0
        if error is not None:
            self.error = as_sentence(error)

    def on_run(self, callback: Callable[[RunBar], object], remove: bool = False) -> None:
        """Call `callback(bar)` at each click on run.

        Parameters
        ----------
        callback : callable
            Called with this bar. What it raises is shown as the bar's `error`.
        remove : bool, default False
            Whether to forget the callback instead.
        """
        self._callbacks["run"].register_callback(callback, remove=remove)

    def on_cancel(self, callback: Callable[[RunBar], object], remove: bool = False) -> None:
        """Call `callback(bar)` at each click on cancel; parameters as for `on_run`."""
        self._callbacks["cancel"].register_callback(callback, remove=remove)

    def _handle(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        kind = content.get("type")
        if kind not in self._callbacks:
            return
        # First of all: the click has arrived, whatever the callbacks take or raise.
        self._acknowledged = int(content.get("id", 0))
        for callback in list(self._callbacks[kind].callbacks):
            try:
                callback(self)
            except Exception as error:
                logger.exception("%s callback of a RunBar failed", kind)
                self.error = f"{type(error).__name__}: {as_sentence(error)}"
                self.status = "error"
