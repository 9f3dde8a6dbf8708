"""Long computations that can be watched, stopped and replaced.

A :class:`Run` is a generator with a name, a length and a way to stop it. In a script ``run.result()`` drains it
with a progress bar. A widget hands it to a :class:`Worker`, which drains it on one thread, where the latest
request wins and nothing of an older one is ever seen again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Generic, Literal, ParamSpec, TypeVar

import torch
from tqdm.auto import tqdm

T = TypeVar("T")
P = ParamSpec("P")

Status = Literal["idle", "running", "done", "cancelled", "error"]


class Run(Generic[T]):
    """A computation that yields a better result with every step.

    Iterate over it for its snapshots, or take :meth:`result`. A run can be iterated once; an interrupt or
    :meth:`cancel` keeps what was reached in :attr:`latest`.

    Parameters
    ----------
    steps : iterator
        Yields snapshots; the last one is the result. It is closed when the run is cancelled, so it may clean
        up in a ``finally``.
    total : int
        How many snapshots there will be.
    name : str
        What the progress bar says.

    Attributes
    ----------
    done : int
        Snapshots so far.
    latest : T or None
        The last snapshot.
    """

    def __init__(self, steps: Iterator[T], *, total: int, name: str = "run") -> None:
        self._steps = steps
        self._cancel = threading.Event()
        self.total = total
        self.name = name
        self.done = 0
        self.latest: T | None = None

    @property
    def progress(self) -> float:
        """The share that is done, in [0, 1]."""
        return min(1.0, self.done / self.total) if self.total else 1.0

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called."""
        return self._cancel.is_set()

    def cancel(self) -> None:
        """Stop before the next step; may be called from any thread."""
        self._cancel.set()

    def __iter__(self) -> Iterator[T]:
        try:
            while not self.cancelled:
                try:
                    # The caller may be in inference mode now and not at the next step, or the other way round.
                    with torch.inference_mode(False), torch.no_grad():
                        snapshot = next(self._steps)
                except StopIteration:
                    return
                self.done += 1
                self.latest = snapshot
                yield snapshot
        finally:
            close = getattr(self._steps, "close", None)
            if close is not None:
                close()

    def result(self, *, progress: bool = True) -> T:
        """Run to the end and return the last snapshot.

        Parameters
        ----------
        progress : bool, default True
            Whether to show a progress bar.

        Returns
        -------
        T
            After a cancel, what was reached until then. An interrupt goes on to the caller, as it has to stop the
            cell too, and leaves what was reached in :attr:`latest`.

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
            # The total is the most that there may be; a bar that ends before it would stay, in red.
            bar.total = bar.n
        if self.latest is None:
            raise RuntimeError(f"the run {self.name!r} was stopped before its first result; start it again")
        return self.latest


def in_no_mode(function: Callable[P, T]) -> Callable[P, T]:
    """Call a function outside of the caller's inference mode, as the steps of a run are.

    What it makes there could be no part of a graph later.
    """

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        with torch.inference_mode(False), torch.no_grad():
            return function(*args, **kwargs)

    return called


class Worker:
    """Drains runs on one thread; the latest one wins.

    :meth:`submit` stops the run under way and starts the new one. Callbacks are made on the worker's thread, one
    at a time, and never for a run that was replaced or cancelled: once :meth:`submit` or :meth:`cancel` has
    returned, no callback of an earlier run begins.

    Attributes
    ----------
    status : {"idle", "running", "done", "cancelled", "error"}
        Of the latest run.
    """

    def __init__(self) -> None:
        # Reentrant: a callback may submit the next run.
        self._lock = threading.RLock()
        self._idle = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._job: _Job | None = None
        self._current: _Job | None = None
        self.status: Status = "idle"

    def submit(
        self,
        make_run: Callable[[], Run[T]],
        *,
        on_start: Callable[[], None] = lambda: None,
        on_snapshot: Callable[[Run[T]], None] = lambda run: None,
        on_end: Callable[[Status, BaseException | None], None] = lambda status, error: None,
    ) -> None:
        """Run ``make_run()`` on the worker's thread, in place of whatever runs or waits.

        Parameters
        ----------
        make_run : callable
            Makes the run; called on the worker's thread, so that it may be slow too.
        on_start : callable
            Called here and now, after the last callback of the run before and before the first of this one:
            the place to wipe what the other run has drawn.
        on_snapshot : callable
            Gets the run after every snapshot.
        on_end : callable
            Gets "done", "cancelled" or "error", and the exception for "error". A run that is replaced by
            another ends without a call.
        """
        with self._lock:
            self._stop_current()
            self._job = self._current = _Job(make_run, on_snapshot, on_end)
            self.status = "running"
            on_start()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="xai_widgets worker", daemon=True)
                self._thread.start()

    def cancel(self) -> None:
        """Stop what runs or waits; its ``on_end`` gets "cancelled", here and now."""
        with self._lock:
            job = self._stop_current()
            self._job = self._current = None
            if job is not None:
                self.status = "cancelled"
                job.on_end("cancelled", None)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until nothing runs or waits; False if that took longer than ``timeout`` seconds."""
        with self._idle:
            return self._idle.wait_for(lambda: self._thread is None, timeout)

    def _stop_current(self) -> _Job | None:
        job = self._current
        if job is not None and job.run is not None:
            job.run.cancel()
        return job

    def _work(self) -> None:
        while True:
            with self._lock:
                job, self._job = self._job, None
                if job is None:
                    # Under the lock: a submit sees either this thread at work or none.
                    self._thread = None
                    self._idle.notify_all()
                    return
            try:
                self._drain(job)
            except BaseException as error:
                # An on_end that raises must not take the thread with it: the next run would wait for ever.
                kind, trace = type(error), error.__traceback__
                threading.excepthook(threading.ExceptHookArgs((kind, error, trace, self._thread)))

    def _drain(self, job: _Job) -> None:
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
        except BaseException as error:  # a thread has nobody to raise to: whatever it is goes to the widget
            self._end(job, "error", error)
        else:
            # A run can be stopped by whoever holds it, not only by way of the worker.
            self._end(job, "cancelled" if run.cancelled else "done", None)

    def _end(self, job: _Job, status: Status, error: BaseException | None) -> None:
        with self._lock:
            if self._current is job:
                self._current = None
                self.status = status
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
