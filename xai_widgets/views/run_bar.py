"""Buttons that start, stop and restart a computation, with progress, remaining time and errors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ipywidgets import CallbackDispatcher
from traitlets import Bool, Float, Int, Unicode, observe

from xai_widgets.errors import as_sentence
from xai_widgets.views.remaining import RemainingTime
from xai_widgets.views.seen import Seen
from xai_widgets.views.traits import Choice, Unit

logger = logging.getLogger(__name__)


class RunBar(Seen):
    """Run, Stop and Resume button of a computation, with Restart, Step, progress, message, remaining time and error.

    The bar does not compute anything: register callbacks with `on_run`, `on_cancel`, `on_restart` and `on_step`, and
    update `status`, `progress`, `message` and `error` during the computation.
    """

    _bundle = "run_bar"

    status = Choice(("idle", "running", "done", "cancelled", "error"), help="State of the computation.")
    progress = Unit(help="The share of the computation that is done.")
    message = Unicode("", help='Text beside the button, such as ``"batch 3 of 14"``.').tag(sync=True)
    error = Unicode(
        "", help="Error message, shown until the user dismisses it; the button stays enabled."
    ).tag(sync=True)
    label = Unicode("Run", help="Label of the button while nothing is computed.").tag(sync=True)
    runnable = Bool(True, help="Whether the button can start anything.").tag(sync=True)
    restart = Unicode("", help="Tooltip of the Restart button; the button is hidden if this is empty.").tag(
        sync=True
    )
    step = Unicode("", help="Tooltip of the Step button; the button is hidden if this is empty.").tag(
        sync=True
    )
    queued = Bool(False, help="Whether the computation waits for another one.").tag(sync=True)
    remaining = Float(None, allow_none=True, help="Remaining seconds; None if they are not known.").tag(
        sync=True
    )
    _acknowledged = Int(0, help="Number of the last click that reached Python.").tag(sync=True)
    width = Int(0, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)

    def __init__(self, **kwargs: Any) -> None:
        # Before anything that may raise, because `close` uses it.
        self._callbacks = {kind: CallbackDispatcher() for kind in ("run", "cancel", "restart", "step")}
        self._time = RemainingTime()
        super().__init__(**kwargs)
        self.on_msg(self._handle)

    @observe("progress", "status", "queued")
    def _estimate(self, _change: object) -> None:
        if self.status != "running":
            self.remaining = None
        elif self.queued:
            self._time.pause()
            self.remaining = None
        else:
            self.remaining = self._time.after(self.progress)

    def begin(self) -> None:
        """Set status, progress, message and error at the start of a computation."""
        self._time = RemainingTime()
        self.error = self.message = ""
        self.progress, self.queued = 0.0, False
        self.status = "running"

    def go_on(self) -> None:
        """Set status and error when a computation that was stopped continues."""
        self._time = RemainingTime()
        self.error = ""
        self.status = "running"

    def advance(self, progress: float) -> None:
        """Set the progress, unless it was greater before."""
        self.progress = max(self.progress, progress)

    def close(self) -> None:
        """Close the bar and remove its callbacks."""
        # A constructor that was interrupted may have set none.
        for dispatcher in getattr(self, "_callbacks", {}).values():
            dispatcher.callbacks = []
        super().close()

    def end(self, status: str, error: BaseException | None, message: str = "") -> None:
        """Set status, message, progress and error at the end of a computation.

        Parameters
        ----------
        status : {"done", "cancelled", "error"}
            How the computation ended.
        error : BaseException or None
            The exception, if it failed.
        message : str, optional
            Text beside the bar, such as the number of methods that failed.
        """
        self.status, self.message, self.queued = status, message, False
        if status == "done":
            self.progress = 1.0
        if error is not None:
            self.error = as_sentence(error)

    def on_run(self, callback: Callable[[RunBar], object], remove: bool = False) -> None:
        """Call `callback(bar)` at each click on the Run or Resume button.

        Parameters
        ----------
        callback : callable
            Called with this bar; an exception is shown as `error`.
        remove : bool, default False
            Whether to remove the callback instead.
        """
        self._callbacks["run"].register_callback(callback, remove=remove)

    def on_cancel(self, callback: Callable[[RunBar], object], remove: bool = False) -> None:
        """Call `callback(bar)` at each click on the Stop button; parameters as for `on_run`."""
        self._callbacks["cancel"].register_callback(callback, remove=remove)

    def on_restart(self, callback: Callable[[RunBar], object], remove: bool = False) -> None:
        """Call `callback(bar)` at each click on the Restart button; parameters as for `on_run`."""
        self._callbacks["restart"].register_callback(callback, remove=remove)

    def on_step(self, callback: Callable[[RunBar], object], remove: bool = False) -> None:
        """Call `callback(bar)` at each click on the Step button; parameters as for `on_run`."""
        self._callbacks["step"].register_callback(callback, remove=remove)

    def _handle(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        kind = content.get("type")
        if kind not in self._callbacks:
            return
        # Before the callbacks, which may take long or raise.
        self._acknowledged = int(content.get("id", 0))
        for callback in list(self._callbacks[kind].callbacks):
            try:
                callback(self)
            except Exception as error:
                logger.exception("%s callback of a RunBar failed", kind)
                self.error = f"{type(error).__name__}: {as_sentence(error)}"
                self.status = "error"
