"""The base of all explorers: a study computed in the background and drawn by views, and its run bar."""

from __future__ import annotations

import logging
import math
import time
import weakref
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run, Status
from xai_widgets.core.scheduler import PAUSED, UNSEEN, VISIBLE, RunCancelled
from xai_widgets.core.worker import Worker
from xai_widgets.explorers.layout import intro
from xai_widgets.explorers.parts import with_menu
from xai_widgets.explorers.state import EXPLORER, Stateful, held
from xai_widgets.studies import Study
from xai_widgets.views import RunBar
from xai_widgets.views.control import Asking

logger = logging.getLogger(__name__)

#: Priority of a computation by the visibility of its explorer.
LEVELS = {"visible": VISIBLE, "unseen": UNSEEN, "gone": PAUSED}
#: Seconds between two drawings of a result that is being computed: each drawing sends all of its arrays.
INTERVAL = 0.25


class Choice(NamedTuple):
    """The images of a dashboard and their names, and the chosen image, class and layer.

    The images are given as pixels (N, C, H, W) of the network, and as they were given to the dashboard.
    """

    images: Tensor
    names: Sequence[str]
    frame: int
    target: int
    layer: str
    layers: Sequence[str]
    originals: Sequence[Any]


@dataclass(frozen=True, eq=False)
class Calls:
    """The callbacks of a computation; the explorer holds them, so that its worker need not."""

    make_run: Callable[[], Run[Any]]
    on_snapshot: Callable[[Run[Any]], None]
    on_end: Callable[[Status, BaseException | None], None]
    on_progress: Callable[[Run[Any]], None]
    on_queued: Callable[[bool], None]

    def start(self) -> Run[Any]:
        """Return the run."""
        return self.make_run()


def _weakly(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a call of a method that does not keep its object; without the object the run ends."""
    reference = weakref.WeakMethod(method)

    def call(*arguments: Any) -> Any:
        if (bound := reference()) is None:
            raise RunCancelled
        return bound(*arguments)

    return call


def _if_held(reference: weakref.ref[Calls], name: str) -> Callable[..., None]:
    """Return a call of a callback that does nothing if the explorer does not exist any more."""

    def call(*arguments: Any) -> None:
        if (calls := reference()) is not None:
            getattr(calls, name)(*arguments)

    return call


class Explorer(Stateful):
    """A panel of controls and views whose results are computed in the background.

    The controls choose keys of a study, the worker computes those that are missing, and the views draw the results. A
    subclass calls :meth:`_start_worker` first of all in its constructor, makes ``study``, and defines :meth:`_keys` and
    :meth:`_draw`; its constructor ends with :meth:`_assemble`.

    Attributes
    ----------
    run_bar : RunBar
        Starts and stops the computation. It ends as "done", "cancelled" or "error", whatever is raised.
    """

    #: The question that the explorer answers, and the first thing to do, a hint that goes after the first "press" in a
    #: view, or after a while of "hover".
    question: ClassVar[str] = ""
    hint: ClassVar[str] = ""
    hint_until: ClassVar[str] = "press"
    #: Controls that need a kernel; an exported page leaves them out.
    kernel_controls: ClassVar[tuple[str, ...]] = ("run_bar",)
    #: Views that show a result and can be changed with a kernel only; an exported page shows them without tools.
    kernel_views: ClassVar[tuple[str, ...]] = ()
    #: Attributes that a dashboard keeps equal in all explorers, such as ``{"layer": "layer_picker.value"}``: "image",
    #: "frame" (the index of the image), "target" and "layer".
    shared: ClassVar[Mapping[str, str]] = {}

    study: Study[Any, Any]
    run_bar: RunBar
    _worker: Worker
    #: The worker of results that take one pass, such as the scores of a painted mask; None if there are none.
    _quick_worker: Worker | None = None
    _calls: Calls | None = None
    _hidden = False
    #: The study and the keys of the latest computation.
    _asked: tuple[Any, Any] = (None, None)

    def _start_worker(self) -> None:
        # First of all in a constructor: one that raises is closed too.
        self._worker = Worker()
        self._drawn_at = -math.inf

    def _assemble(self, children: Iterable[Any]) -> None:
        """Show the children, which are closed with the explorer, and connect the run bar."""
        line = [intro(self.question, self.hint, self.hint_until)] if self.question else []
        children = with_menu([*line, *children], self._make_menu())
        self.add_class(EXPLORER)
        self._adopt(*children)
        self.children = children
        self._connect_controls()

    def _connect_controls(self) -> None:
        """Connect the run bar and the controls that need a kernel."""
        for name in self.kernel_controls:
            if isinstance(control := getattr(self, name), Asking):
                control._needs_kernel = True
        self.run_bar.on_run(lambda _bar: self._on_run())
        self.run_bar.on_cancel(lambda _bar: self.cancel())
        self.run_bar.on_restart(lambda _bar: self.restart())
        self.run_bar.observe(lambda _change: self._set_priority(), "visibility")

    @property
    def hidden(self) -> bool:
        """Whether the explorer is in a tab that is not open: its computation pauses until it is shown again."""
        return self._hidden

    @hidden.setter
    def hidden(self, hidden: bool) -> None:
        if hidden != self._hidden:
            self._hidden = hidden
            self._set_priority()

    def _set_priority(self) -> None:
        self._worker.level = PAUSED if self._hidden else LEVELS[self.run_bar.visibility]

    def _compute_on_change(self, *controls: tuple[Any, str]) -> None:
        """Compute whenever one of these traits changes."""
        for control, trait in controls:
            control.observe(lambda _change: self.compute(), trait)

    @classmethod
    def from_choice(cls, model: ImageModel, choice: Choice, **options: Any) -> Explorer:
        """Return an explorer of the image and class of a dashboard."""
        raise NotImplementedError(f"{cls.__name__} cannot be part of a dashboard")

    # -- defined by a subclass ------------------------------------------------------------------------------

    @abstractmethod
    def _keys(self) -> Collection[Any]:
        """Return the keys that the controls choose."""

    @abstractmethod
    def _draw(self, changed: Any = None) -> None:
        """Draw the results of the chosen keys, all arrays anew, so that nothing of an earlier choice is left.

        Parameters
        ----------
        changed : Key, optional
            The only key whose result has changed since the last drawing. Default: any may have changed.
        """

    def _message(self, key: Any) -> str:
        """Return the message of the run bar while a key is computed."""
        failed = ": failed" if self.study.outcome(key).error else ""
        return f"{self.study.title(key)}{failed}"

    def _end_message(self, keys: Collection[Any]) -> str:
        """Return the message of the run bar after a computation in which nothing failed."""
        converged = self.study.convergence(keys)
        return f"{converged or 'done'}; Resume searches further" if self.study.resumable else converged

    def _show_buttons(self) -> None:
        """Set the label of the button and the tooltip of Restart."""
        outcomes = [self.study.outcome(key) for key in self._keys()]
        known = sum(outcome.complete or outcome.result is not None for outcome in outcomes)
        complete = all(outcome.complete for outcome in outcomes)
        failed = bool(outcomes) and all(outcome.error for outcome in outcomes)
        with self.run_bar.hold_sync():
            self.run_bar.label = "Resume" if known and (not complete or self.study.resumable) else "Run"
            # A computation that failed altogether can be tried again, after its cause was removed.
            self.run_bar.runnable = not complete or self.study.resumable or failed
            self.run_bar.restart = (
                "Restart: discard all results so far and compute what is chosen anew" if known else ""
            )

    def _choose(self, keys: Collection[Any]) -> Any:
        """Return the key to compute next."""
        return next(iter(keys))

    def _replacements(self, key: Any) -> Iterable[Any]:
        """Return the keys to compute in place of one that failed."""
        return ()

    def _failures(self) -> Mapping[str, str]:
        """Return the titles of the methods that failed, with the reasons, which stand where each is shown."""
        failed = self.study.failures(self._keys())
        return {self.study.title(key): error for key, error in failed.items()}

    def _check(self) -> None:
        """Raise ValueError if nothing can be computed; called on the worker's thread."""

    def _on_run(self) -> None:
        # A complete search is continued.
        self.compute(again=all(self.study.outcome(key).complete for key in self._keys()))

    def restart(self) -> None:
        """Discard all results and compute what is chosen anew, for instance after the network was trained further."""
        self._worker.cancel()
        self._renew()
        self.study.clear()
        self.compute()

    def _renew(self) -> None:
        """Compute anew what the explorer knows besides the results of its study."""

    def _after(self, status: Status) -> None:
        """Do what follows a computation, such as starting the next one; called when the run bar has ended."""

    # -- the computation ------------------------------------------------------------------------------------

    @held
    def compute(self, *, again: bool = False) -> None:
        """Compute the missing results in the background; replaces a computation that is running.

        Parameters
        ----------
        again : bool, default False
            Whether to compute complete results too, for instance after the network was trained further. A search
            continues from its result.
        """
        study = self.study
        keys = list(self._keys())
        if not again and self._asked == (study, keys) and self._worker.resume(self._go_on):
            return
        self._asked = (study, keys)

        def on_start() -> None:
            if again and not study.resumable:
                # The results of other choices may be out of date, too; those of a stopped computation are continued.
                study.forget([key for key, outcome in study.store.items() if outcome.complete])
            self._redraw()

        def make_run() -> Run[Any]:
            self._check()
            return study.missing(
                keys,
                again=again,
                choose=_weakly(self._choose),
                replaced=_weakly(self._replacements),
                name=type(self).__name__,
            )

        undrawn: set[Any] = set()

        def on_snapshot(run: Run[Any]) -> None:
            key = run.latest
            self.run_bar.advance(run.progress)
            self.run_bar.message = self._message(key)
            if study.outcome(key).complete or self._is_due(key):
                undrawn.discard(key)
                self._redraw(key)
            else:
                undrawn.add(key)

        def on_end(status: Status, error: BaseException | None) -> None:
            if undrawn:
                self._redraw()
            self._show_buttons()

        def message() -> str:
            titles = self._failures()
            return f"done, {len(titles)} failed: {', '.join(titles)}" if titles else self._end_message(keys)

        if not again and all(study.outcome(key).complete for key in keys):
            self._worker.cancel()
            self._begin(on_start)
            self._finish("done", None, message=message)
            self._after("done")
            return
        self._submit(make_run, on_start=on_start, on_snapshot=on_snapshot, on_end=on_end, message=message)

    def _is_due(self, key: Any) -> bool:
        """Return whether the result of a key that is being computed is drawn now; otherwise a later one is."""
        return time.monotonic() - self._drawn_at >= INTERVAL

    def _go_on(self) -> None:
        self.run_bar.go_on()
        self._redraw()

    def _redraw(self, changed: Any = None) -> None:
        self._drawn_at = time.monotonic() if changed is not None else -math.inf
        self._draw(changed)
        self._show_buttons()

    def _submit(
        self,
        make_run: Callable[[], Run[Any]],
        *,
        on_start: Callable[[], None] = lambda: None,
        on_snapshot: Callable[[Run[Any]], None],
        on_end: Callable[[Status, BaseException | None], None] | None = None,
        message: Callable[[], str] | None = None,
    ) -> None:
        """Drain a run on the worker in place of the one that is running; callbacks as for :meth:`Worker.submit`.

        The run bar begins before ``on_start`` and ends after ``on_end``, with the error of any of them; ``message``
        returns its text at the end of a run that is done.
        """

        def ended(status: Status, error: BaseException | None) -> None:
            self._finish(status, error, on_end, message)
            self._after(status)

        def on_queued(queued: bool) -> None:
            self.run_bar.queued = queued

        self._calls = Calls(
            make_run, on_snapshot, ended, lambda run: self.run_bar.advance(run.progress), on_queued
        )
        # The thread must not keep an explorer that nothing else holds.
        held = weakref.ref(self._calls)
        self._worker.submit(
            _weakly(self._calls.start),
            on_start=lambda: self._begin(on_start),
            on_snapshot=_if_held(held, "on_snapshot"),
            on_end=_if_held(held, "on_end"),
            on_progress=_if_held(held, "on_progress"),
            on_queued=_if_held(held, "on_queued"),
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
        text = ""
        try:
            if on_end is not None:
                on_end(status, error)
            if message is not None and status == "done":
                text = message()
        except BaseException as failure:
            status, error = "error", error or failure
            if not isinstance(failure, Exception):
                raise
            logger.exception("the end of a computation could not be drawn")
        finally:
            self.run_bar.end(status, error, text)
        if status == "done":
            self._settle()

    def cancel(self) -> None:
        """Stop the computation; its results so far are kept, and :meth:`compute` continues it."""
        self._worker.stop()

    def abandon(self) -> None:
        """Cancel the computation, because its image is replaced; nothing of it is drawn any more."""
        self._worker.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the computation has ended; False if that took longer than ``timeout`` seconds."""
        # Results of one pass may be asked for when the computation ends.
        return wait_for(timeout, self._worker, *([self._quick_worker] if self._quick_worker else []))

    def wait_for_quick(self, timeout: float) -> None:
        """Wait for results that take one pass, such as the scores of a painted mask."""
        if self._quick_worker:
            self._quick_worker.wait(timeout)

    def close(self) -> None:
        """Stop the computation and close every part."""
        # A constructor that refuses its arguments has no worker.
        for worker in (self._quick_worker, getattr(self, "_worker", None)):
            if worker:
                worker.cancel()
        super().close()


def wait_for(timeout: float | None, *parts: Any) -> bool:
    """Wait for workers or explorers, one after the other, no longer than ``timeout`` seconds in all."""
    end = None if timeout is None else time.monotonic() + timeout
    return all(part.wait(None if end is None else max(0.0, end - time.monotonic())) for part in parts)
