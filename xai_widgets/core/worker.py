"""Threads that drain runs in the background.

The latest request wins, and no result of an older one appears afterwards. Workers take turns: one of them computes at a
time (:mod:`xai_widgets.core.scheduler`). Threads of workers are not daemons: the interpreter joins them when it exits,
and they cancel their runs then, so a script that ends during a computation neither aborts nor hangs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakSet

from xai_widgets.core.interrupt import watch_interrupts
from xai_widgets.core.run import Run, Status
from xai_widgets.core.scheduler import (
    AWAITED,
    UNSEEN,
    URGENT,
    Job,
    RunCancelled,
    draining,
    interpreter_ends,
    scheduler,
)

T = TypeVar("T")


class Worker:
    """Drains runs on one thread; the latest one wins, and the workers of a process take turns.

    :meth:`submit` stops the current run and starts the new one. Callbacks run on the worker's thread, one at a time,
    and never for a run that was replaced or canceled: after :meth:`submit` or :meth:`cancel` has returned, no callback
    of an earlier run starts.

    Parameters
    ----------
    urgent : bool, default False
        Whether the runs answer a gesture: they compute at once, and those of other workers wait meanwhile.

    Attributes
    ----------
    status : {"idle", "running", "done", "cancelled", "error"}
        Status of the latest run.
    """

    def __init__(self, *, urgent: bool = False) -> None:
        self.status: Status = "idle"
        self._level = URGENT if urgent else UNSEEN
        self._reset()
        _workers.add(self)

    def _reset(self) -> None:
        # Reentrant: a callback may submit the next run.
        self._lock = threading.RLock()
        self._idle = threading.Event()
        self._idle.set()
        self._thread: threading.Thread | None = None
        self._job: _Job | None = None
        self._current: _Job | None = None
        self._parked: _Job | None = None
        #: Number of threads that wait for the current run.
        self._awaited = 0

    @property
    def level(self) -> int:
        """Priority of the runs; assign ``VISIBLE``, ``UNSEEN`` or ``PAUSED`` of :mod:`xai_widgets.core.scheduler`."""
        return AWAITED if self._awaited and self._level < AWAITED else self._level

    @level.setter
    def level(self, level: int) -> None:
        self._level = level
        scheduler.changed()

    def submit(
        self,
        make_run: Callable[[], Run[T]],
        *,
        on_start: Callable[[], None] = lambda: None,
        on_snapshot: Callable[[Run[T]], None] = lambda run: None,
        on_end: Callable[[Status, BaseException | None], None] = lambda status, error: None,
        on_progress: Callable[[Run[T]], None] = lambda run: None,
        on_queued: Callable[[bool], None] = lambda queued: None,
        replace: bool = True,
    ) -> None:
        """Run ``make_run()`` on the worker's thread; it replaces the current, the stopped and the waiting run.

        Parameters
        ----------
        make_run : callable
            Returns the run. It is called on the worker's thread, so it may be slow.
        on_start : callable
            Called immediately on the caller's thread, after the last callback of the previous run and before the first
            of this one, for instance to clear the previous results.
        on_snapshot : callable
            Called with the run after every snapshot.
        on_end : callable
            Called with "done", "cancelled" or "error", and the exception for "error". It is not called for a run that
            is replaced by another.
        on_progress : callable
            Called with the run now and then between snapshots.
        on_queued : callable
            Called with True if the run waits for those of other workers for long, and with False when its turn comes.
        replace : bool, default True
            Whether to stop the current run; otherwise it ends first, and only the waiting run is replaced.
        """
        watch_interrupts(stop_all)
        with self._lock:
            self._drop_parked()
            if replace:
                self._stop_current()
            job = _Job(self, make_run, on_snapshot, on_end, on_progress, on_queued)
            # Whoever asks for a computation wants it, even if nothing shows it.
            self._level = max(self._level, UNSEEN)
            # A waiting run has not started and is replaced in any case.
            if replace or self._current is self._job or self._current is None:
                self._current = job
            self._job = job
            self.status = "running"
            try:
                on_start()
                if self._job is job:
                    self._start()
            except BaseException:
                if self._job is job:
                    self._job = None
                if self._current is job:
                    self._current, self.status = None, "error"
                raise

    def _start(self) -> None:
        if interpreter_ends():
            # The interpreter does not wait for threads started now.
            self.cancel()
            return
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="xai_widgets worker", daemon=False)
            thread.start()
            self._thread = thread
        self._idle.clear()

    def cancel(self) -> None:
        """Cancel the current, the stopped and the waiting run; ``on_end`` is called at once with "cancelled"."""
        # At interpreter exit there may be no thread left to release the lock.
        if not self._lock.acquire(blocking=not interpreter_ends()):
            return
        try:
            self._drop_parked()
            job = self._stop_current()
            self._job = self._current = None
            if job is not None:
                self.status = "cancelled"
                job.on_end("cancelled", None)
        finally:
            self._lock.release()

    def stop(self) -> None:
        """Stop the current run so that :meth:`resume` continues it; ``on_end`` is called at once with "cancelled".

        The run stands still before its next step or pass, until it is resumed, replaced or canceled.
        """
        with self._lock:
            job = self._current
            if job is None:
                return
            self._parked, self._current = job, None
            if self._job is not job:
                self._job = None
            job.parked = True
            scheduler.changed()
            self.status = "cancelled"
            self._idle.set()
            job.on_end("cancelled", None)

    def resume(self, on_start: Callable[[], None] = lambda: None) -> bool:
        """Continue the run that :meth:`stop` stopped, with its callbacks; return False if there is none.

        Parameters
        ----------
        on_start : callable
            Called first, on the caller's thread.
        """
        with self._lock:
            job = self._parked
            if job is None or self._thread is None or job.stopping:
                return False
            self._parked, self._current = None, job
            self.status = "running"
            self._level = max(self._level, UNSEEN)
            self._idle.clear()
            on_start()
            job.parked = False
            scheduler.changed()
            return True

    def wait(self, timeout: float | None = None) -> bool:
        """Block until no run is active or waiting; return False after ``timeout`` seconds.

        Meanwhile the run goes before those of other workers.
        """
        if self._idle.is_set() or timeout == 0:
            return self._idle.is_set()
        with scheduler.without_turn():
            self._awaited += 1
            scheduler.changed()
            try:
                return self._idle.wait(timeout)
            finally:
                self._awaited -= 1

    def _drop_parked(self) -> None:
        """Cancel the stopped run, whose thread goes on to the next one or ends."""
        job, self._parked = self._parked, None
        if job is not None:
            if self._thread is not None:
                self._idle.clear()
            job.cancel()

    def _stop_current(self) -> _Job | None:
        job = self._current
        if job is not None:
            job.cancel()
        return job

    def _work(self) -> None:
        while True:
            with self._lock:
                job, self._job = self._job, None
                if job is None:
                    # Under the lock: a submit sees either this thread at work or none.
                    self._thread = None
                    self._idle.set()
                    return
            try:
                self._drain(job)
            except BaseException as error:
                # An on_end that raises must not end the thread: the next run would wait forever.
                kind, trace = type(error), error.__traceback__
                threading.excepthook(threading.ExceptHookArgs((kind, error, trace, self._thread)))

    def _drain(self, job: _Job) -> None:
        draining.stack = (job,)
        try:
            with scheduler.turn(job):
                run = job.make_run()
            job.run = run
            snapshots = iter(run)
            try:
                while self._is_current(job):
                    with scheduler.turn(job):
                        if next(snapshots, _ENDED) is _ENDED:
                            break
                    if not self._when_current(job, lambda: job.on_snapshot(run)):
                        return
                else:
                    return
            finally:
                # Its steps may clean up.
                close = getattr(snapshots, "close", None)
                if close is not None:
                    close()
        except RunCancelled:
            self._end(job, "cancelled", None)
        except BaseException as error:  # a thread has no caller, so the widget shows any exception
            self._end(job, "error", error)
        else:
            # A run can also be canceled directly, not only by the worker.
            self._end(job, "cancelled" if run.cancelled else "done", None)
        finally:
            draining.stack = ()
            scheduler.leave(job)

    def _is_current(self, job: _Job) -> bool:
        return self._when_current(job, lambda: None)

    def _when_current(self, job: _Job, act: Callable[[], None]) -> bool:
        """Call ``act`` under the lock, for a stopped run when it is resumed; return False for a replaced run."""
        while True:
            scheduler.hold(job)
            with self._lock:
                if job.parked and not job.stopping:
                    continue
                if self._current is not job:
                    return False
                act()
                return True

    def _now_and_then(self, job: _Job, act: Callable[[], None]) -> None:
        """Call ``act`` within a step, unless another thread has the lock."""
        if self._lock.acquire(blocking=False):
            # Drawing must not be canceled, nor wait for its turn.
            stack, draining.stack = draining.stack, ()
            try:
                if self._current is job:
                    act()
            finally:
                draining.stack = stack
                self._lock.release()

    def _end(self, job: _Job, status: Status, error: BaseException | None) -> None:
        # The callback may run the network, and must not be canceled.
        draining.stack = ()

        def end() -> None:
            self._current = self._job
            self.status = status if self._job is None else "running"
            if not interpreter_ends():
                job.on_end(status, error)

        self._when_current(job, end)


_ENDED: Any = object()


class _Job(Job):
    """One request to a worker."""

    def __init__(
        self,
        worker: Worker,
        make_run: Callable[[], Run[Any]],
        on_snapshot: Callable[[Run[Any]], None],
        on_end: Callable[[Status, BaseException | None], None],
        on_progress: Callable[[Run[Any]], None],
        on_queued: Callable[[bool], None],
    ) -> None:
        super().__init__(
            lambda: worker.level,
            lambda: worker._now_and_then(self, lambda: on_progress(self.run)),
            lambda queued: worker._now_and_then(self, lambda: on_queued(queued)),
        )
        self.make_run, self.on_snapshot, self.on_end = make_run, on_snapshot, on_end
        self.order = scheduler.number()


_workers: WeakSet[Worker] = WeakSet()


def stop_all() -> None:
    """Stop the runs of all workers; each can be resumed."""
    for worker in list(_workers):
        worker.stop()


def _reset_workers() -> None:
    """Reset all workers in a forked process, which has neither their threads nor the owners of their locks."""
    scheduler.reset()
    for worker in _workers:
        running = worker._current is not None
        worker._reset()
        if running:
            worker.status = "cancelled"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_workers)
