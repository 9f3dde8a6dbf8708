"""Long computations that report snapshots and can be canceled and replaced.

A :class:`Run` is a generator with a name, a number of steps and a way to cancel it. In a script, ``run.result()``
drains it with a progress bar. A widget passes it to a :class:`Worker`, which drains it on one thread; the latest
request wins, and no result of an older one appears afterwards.

A canceled run stops before its next step or, within a step, before the next pass of the network, which calls
:func:`check_cancelled`. Threads of workers are not daemons: the interpreter joins them when it exits, and they cancel
their runs then, so a script that ends during a computation neither aborts nor hangs.
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
from xai_widgets.errors import checked_keywords

T = TypeVar("T")
P = ParamSpec("P")

Status = Literal["idle", "running", "done", "cancelled", "error"]


class RunCancelled(BaseException):
    """Raised in a pass of the network to leave a canceled run; ``except Exception`` does not catch it."""


class _Draining(threading.local):
    """The nested runs and jobs that this thread drains, outermost first."""

    stack: tuple[Run[Any] | _Job, ...] = ()


_draining = _Draining()


def check_cancelled() -> None:
    """Raise :class:`RunCancelled` if a run that this thread drains was canceled."""
    for each in _draining.stack:
        if each.stopping:
            raise RunCancelled


def _interpreter_ends() -> bool:
    """Return whether the main thread has ended, after which the interpreter waits for the other threads."""
    return not threading.main_thread().is_alive()


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

    Attributes
    ----------
    done : int
        Number of snapshots so far.
    latest : T or None
        The last snapshot.
    """

    def __init__(self, steps: Iterator[T], *, total: int, name: str = "run") -> None:
        self._steps = steps
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
        return min(1.0, self.done / self.total) if self.total else 1.0

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
                yield snapshot
        finally:
            self._ended = True
            close = getattr(self._steps, "close", None)
            if close is not None:
                close()

    @guarded
    def _step(self) -> T:
        around = _draining.stack
        try:
            _draining.stack = (*around, self)
            check_cancelled()
            # The caller's inference mode may change between steps.
            with outside_inference(), torch.no_grad():
                return next(self._steps)
        finally:
            _draining.stack = around

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
    """Drains runs on one thread; the latest one wins.

    :meth:`submit` stops the current run and starts the new one. Callbacks run on the worker's thread, one at a time,
    and never for a run that was replaced or canceled: after :meth:`submit` or :meth:`cancel` has returned, no callback
    of an earlier run starts.

    Attributes
    ----------
    status : {"idle", "running", "done", "cancelled", "error"}
        Status of the latest run.
    """

    def __init__(self) -> None:
        self.status: Status = "idle"
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

    def submit(
        self,
        make_run: Callable[[], Run[T]],
        *,
        on_start: Callable[[], None] = lambda: None,
        on_snapshot: Callable[[Run[T]], None] = lambda run: None,
        on_end: Callable[[Status, BaseException | None], None] = lambda status, error: None,
        replace: bool = True,
    ) -> None:
        """Run ``make_run()`` on the worker's thread; it replaces the current and the waiting run.

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
        replace : bool, default True
            Whether to stop the current run; otherwise it ends first, and only the waiting run is replaced.
        """
        with self._lock:
            if replace:
                self._stop_current()
            job = _Job(make_run, on_snapshot, on_end)
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
        if _interpreter_ends():
            # The interpreter does not wait for threads started now.
            self.cancel()
        elif self._thread is None:
            thread = threading.Thread(target=self._work, name="xai_widgets worker", daemon=False)
            thread.start()
            self._thread = thread
            self._idle.clear()

    def cancel(self) -> None:
        """Stop the current and the waiting run; ``on_end`` is called immediately with "cancelled"."""
        # At interpreter exit there may be no thread left to release the lock.
        if not self._lock.acquire(blocking=not _interpreter_ends()):
            return
        try:
            job = self._stop_current()
            self._job = self._current = None
            if job is not None:
                self.status = "cancelled"
                job.on_end("cancelled", None)
        finally:
            self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until no run is active or waiting; return False after ``timeout`` seconds."""
        return self._idle.wait(timeout)

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
        _draining.stack = (job,)
        try:
            run = job.make_run()
            with self._lock:
                if self._current is not job:
                    return
                job.run = run
            for _ in run:
                with self._lock:
                    if self._current is not job:
                        return
                    job.on_snapshot(run)
        except RunCancelled:
            self._end(job, "cancelled", None)
        except BaseException as error:  # a thread has no caller, so the widget shows any exception
            self._end(job, "error", error)
        else:
            # A run can also be canceled directly, not only by the worker.
            self._end(job, "cancelled" if run.cancelled else "done", None)
        finally:
            _draining.stack = ()

    def _end(self, job: _Job, status: Status, error: BaseException | None) -> None:
        # The callback may run the network, and must not be canceled.
        _draining.stack = ()
        with self._lock:
            if self._current is job:
                self._current = self._job
                self.status = status if self._job is None else "running"
                if not _interpreter_ends():
                    job.on_end(status, error)


class _Job:
    """One request to the worker."""

    def __init__(
        self,
        make_run: Callable[[], Run[Any]],
        on_snapshot: Callable[[Run[Any]], None],
        on_end: Callable[[Status, BaseException | None], None],
    ) -> None:
        self.make_run = make_run
        self.on_snapshot = on_snapshot
        self.on_end = on_end
        self.run: Run[Any] | None = None
        self._cancel = threading.Event()

    @property
    def stopping(self) -> bool:
        """Whether the current step should end."""
        return self._cancel.is_set() or _interpreter_ends()

    def cancel(self) -> None:
        """Stop before the next step or pass of the network."""
        self._cancel.set()
        if self.run is not None:
            self.run.cancel()


_workers: WeakSet[Worker] = WeakSet()


def _reset_workers() -> None:
    """Reset all workers in a forked process, which has neither their threads nor the owners of their locks."""
    for worker in _workers:
        running = worker._current is not None
        worker._reset()
        if running:
            worker.status = "cancelled"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_workers)
