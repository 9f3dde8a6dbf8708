"""What explorers share that compute in the background: a worker, and a run bar that tells how it ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from xai_widgets.core.run import Run, Status, Worker
from xai_widgets.explorers.panel import Panel
from xai_widgets.views import RunBar

logger = logging.getLogger(__name__)


class Computing(Panel):
    """A panel that computes on a worker.

    A subclass sets ``_worker`` first of all in its constructor, as a constructor that raises is closed too.

    Attributes
    ----------
    run_bar : RunBar
        Ends as "done", "cancelled" or "error", whatever is raised on the way.
    """

    _worker: Worker
    run_bar: RunBar

    def _submit(
        self,
        make_run: Callable[[], Run[Any]],
        *,
        on_start: Callable[[], None],
        on_snapshot: Callable[[Run[Any]], None],
        on_end: Callable[[Status, BaseException | None], None] | None = None,
        message: Callable[[], str] | None = None,
        after: Callable[[Status], None] = lambda status: None,
    ) -> None:
        """Compute in place of whatever is computed; callbacks as for :meth:`Worker.submit`.

        Parameters
        ----------
        make_run : callable
            Makes the run.
        on_start, on_snapshot, on_end : callable
            Draw. The run bar begins before ``on_start`` and ends after ``on_end``, with the error of any of them.
        message : callable, optional
            Returns what the bar says at the end of a run that is done.
        after : callable
            Called with the status when the bar has ended: it may begin the next computation.
        """

        def ended(status: Status, error: BaseException | None) -> None:
            self._finish(status, error, on_end, message)
            after(status)

        self._worker.submit(
            make_run, on_start=lambda: self._begin(on_start), on_snapshot=on_snapshot, on_end=ended
        )

    def _begin(self, on_start: Callable[[], None]) -> None:
        self.run_bar.begin()
        try:
            on_start()
        except BaseException as error:
            self.run_bar.end("error", error)
            raise

    def _finish(
        self,
        status: Status,
        error: BaseException | None,
        on_end: Callable[[Status, BaseException | None], None] | None = None,
        message: Callable[[], str] | None = None,
    ) -> None:
        words = ""
        try:
            if on_end is not None:
                on_end(status, error)
            if message is not None and status == "done":
                words = message()
        except BaseException as failure:
            status, error = "error", error or failure
            if not isinstance(failure, Exception):
                raise
            logger.exception("the end of a computation could not be drawn")
        finally:
            self.run_bar.end(status, error, words)

    def cancel(self) -> None:
        """Stop; what is computed stays."""
        self._worker.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until nothing is computed any more; False if that took longer than ``timeout`` seconds."""
        return self._worker.wait(timeout)

    def close(self) -> None:
        """Stop, and close every part."""
        # A constructor that refuses its settings leaves none.
        if worker := getattr(self, "_worker", None):
            worker.cancel()
        super().close()


def wait_for(timeout: float | None, *parts: Any) -> bool:
    """Wait for workers or explorers, one after the other, no longer than ``timeout`` seconds in all."""
    end = None if timeout is None else time.monotonic() + timeout
    return all(part.wait(None if end is None else max(0.0, end - time.monotonic())) for part in parts)


def refusals(refused: Mapping[str, str]) -> str:
    """Return a few words on the methods that were refused, by their titles; the reasons stand where each is shown."""
    return f"done, {len(refused)} refused: {', '.join(refused)}" if refused else ""


def check_some(results: Collection[Any], refused: Mapping[str, str]) -> None:
    """Raise a ValueError with the first reason if everything was refused."""
    if refused and not results:
        title, reason = next(iter(refused.items()))
        others = f" (and {len(refused) - 1} more refused)" if len(refused) > 1 else ""
        raise ValueError(f"{title}: {reason}{others}")
