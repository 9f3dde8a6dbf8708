"""Long computations that report snapshots and can be canceled and replaced.

A :class:`Run` is a generator with a name, a number of steps and a way to cancel it. In a script, ``run.result()``
drains it with a progress bar. A widget passes it to a :class:`Worker`, which drains it on one thread; the latest
request wins, and no result of an older one appears afterwards.

A canceled run stops before its next step or, within a step, before the next pass of the network. Workers take turns:
one of them computes at a time (:mod:`xai_widgets.core.scheduler`). Threads of workers are not daemons: the interpreter
joins them when it exits, and they cancel their runs then, so a script that ends during a computation neither aborts nor
hangs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Generic, Literal, ParamSpec, TypeVar
from weakref import WeakSet

import torch
from tqdm.auto import tqdm

from xai_widgets.core.guard import guarded, outside_inference
from xai_widgets.core.interrupt import watch_interrupts
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
from xai_widgets.errors import checked_keywords

T = TypeVar("T")
P = ParamSpec("P")

Status = Literal["idle", "running", "done", "cancelled", "error"]


class Run(Generic[T]):
    """A computation that yields a better result with every step.

    Iterate over it for its snapshots, or call :meth:`result`. A run can be iterated once; after an interrupt or
    :meth:`cancel`, :attr:`latest` is the last snapshot.

    Parameters
    ----------
    steps : iterator
        Yields snapshots; the last one is the result. It is closed when the run is canceled, so it may clean up in a
        ``finally``.
    total : int
        Largest number of snapshots.
    name : str
        Label of the progress bar.
    fraction : callable, optional
        Returns the completed fraction. Default: that of the steps, with the progress within the current one.

    Attributes
    ----------
    done : int
        Number of snapshots so far.
    latest : T or None
        The last snapshot.
    """

    def __init__(
        self,
        steps: Iterator[T],
        *,
        total: int,
        name: str = "run",
        fraction: Callable[[], float] | None = None,
    ) -> None:
        self._steps = steps
        self._fraction = fraction
        #: Passes of the network in the current step and in the one before.
        self._passes = self._passes_before = 0
        #: The run that the current step drains, and the one that the step before drained.
        self._nested: Run[Any] | None = None
        self._nested_before: Run[Any] | None = None
        self._cancel = threading.Event()
        self._ended = False
        self._complete = False
        self.total = total
        self.name = name
        self.done = 0
        self.latest: T | None = None

    def __repr__(self) -> str:
        steps = f"{self.total} step{'s' if self.total != 1 else ''}"
        return f"Run({self.name!r}, {steps}, {self._state()})"

    def _state(self) -> str:
        """Describe the progress of the run and the effect of :meth:`result`."""
        if self._complete and self.latest is not None:
            return f"complete; result() returns {type(self.latest).__name__}"
        if self._ended or self.cancelled:
            end = (
                "returns the last snapshot"
                if self.latest is not None
                else "raises an error: start the run again"
            )
            return f"{'canceled' if self.cancelled else 'stopped'} at {self.progress:.0%}; result() {end}"
        if self.done:
            return f"{self.progress:.0%} done; result() computes the rest"
        return "not started; result() computes it"

    @property
    def progress(self) -> float:
        """Completed fraction, in [0, 1]."""
        if self._complete or not self.total:
            return 1.0
        if self._fraction is not None:
            return min(1.0, self._fraction())
        return min(1.0, (self.done + self.within_step) / self.total)

    @property
    def within_step(self) -> float:
        """Estimated completed fraction of the current step, below 1."""
        if (nested := self._nested) is not None:
            # A run that was drained by the step before, too, is drained step by step.
            part = nested.within_step if nested is self._nested_before else nested.progress
        elif self._passes_before:
            part = self._passes / self._passes_before
        else:
            part = self._passes / (self._passes + 16)
        return min(part, 0.95)

    def count_pass(self) -> None:
        """Count a pass of the network in the current step."""
        self._passes += 1

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called."""
        return self._cancel.is_set()

    def cancel(self) -> None:
        """Stop before the next step or pass of the network. Thread-safe."""
        self._cancel.set()

    @property
    def stopping(self) -> bool:
        """Whether the current step should end."""
        # A run that has ended does not stop others, even if an interrupt left it in the stack of drained runs.
        return self._cancel.is_set() and not self._ended

    def __iter__(self) -> Iterator[T]:
        try:
            while not self.cancelled:
                try:
                    snapshot = self._step()
                except StopIteration:
                    # A closed generator is exhausted too.
                    self._complete = self._complete or not self._ended
                    return
                except RunCancelled:
                    if self.cancelled:
                        return
                    raise
                self.done += 1
                self.latest = snapshot
                self._passes_before, self._passes = self._passes, 0
                self._nested_before, self._nested = self._nested, None
                yield snapshot
        finally:
            self._ended = True
            close = getattr(self._steps, "close", None)
            if close is not None:
                close()

    @guarded
    def _step(self) -> T:
        around = draining.stack
        if around and isinstance(around[-1], Run):
            around[-1]._nested = self
        try:
            draining.stack = (*around, self)
            if any(each.stopping for each in draining.stack):
                raise RunCancelled
            # The caller's inference mode may change between steps.
            with outside_inference(), torch.no_grad():
                return next(self._steps)
        finally:
            draining.stack = around

    def result(self, *, progress: bool = True) -> T:
        """Run to the end and return the last snapshot.

        Parameters
        ----------
        progress : bool, default True
            Whether to show a progress bar.

        Returns
        -------
        T
            The last snapshot, also of a canceled run. An interrupt is raised to the caller, so that it stops the cell
            too; the last snapshot is then in :attr:`latest`.

        Raises
        ------
        RuntimeError
            If the run was stopped before its first snapshot.
        """
        with tqdm(
            total=self.total, initial=self.done, desc=self.name, disable=not progress, leave=False
        ) as bar:
            for _ in self:
                bar.update(self.done - bar.n)
            # A run may end early, and an incomplete bar would stay, in red.
            bar.total = bar.n
        if self.latest is None:
            raise RuntimeError(
                f"expected a run with a result, got {self.name!r}, stopped before its first one"
            )
        return self.latest


def without_inference_mode(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function to run like a step of a run, and check its keywords.

    It runs outside of the caller's inference mode and without gradients.

    Tensors created in inference mode cannot be used in autograd later.
    """

    @checked_keywords
    @guarded
    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        with outside_inference(), torch.no_grad():
            return function(*args, **kwargs)

    return called


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
            # What is drawn must not be canceled, nor wait for its turn.
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
