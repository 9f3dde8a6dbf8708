"""One queue for the computations of all workers of a process: one of them computes at a time, by priority.

A job is one request to a :class:`~xai_widgets.core.worker.Worker`. It takes its turn before each step of its run.
Within a step, each pass of the network calls :func:`check_cancelled`, which stops a canceled job, holds a parked one,
and gives the turn to a job that is more urgent. A run that is drained without a worker, such as ``run.result()`` in a
script, takes no turn and never waits.

A waiting job holds no lock: callbacks of workers are called without a turn, and the thread of a worker that waits for
another worker gives its turn away first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: Levels of priority. A paused job waits until it is shown again.
PAUSED, UNSEEN, VISIBLE, AWAITED, URGENT = range(5)
#: Visible jobs take turns of this length, in seconds.
SLICE = 0.5
#: A job that waited so long is shown as queued, in seconds.
PATIENCE = 1.5
#: Seconds between two looks of a waiting thread at the end of the interpreter.
POLL = 0.1
#: Seconds for which less urgent jobs wait while the results of a step are drawn.
DRAWING = 1.0
#: Seconds between two reports of the progress within a step.
REPORT = 0.25


class RunCancelled(BaseException):
    """Raised in a pass of the network to leave a canceled run; ``except Exception`` does not catch it."""


class _Draining(threading.local):
    """The nested runs and jobs that this thread drains, outermost first."""

    stack: tuple[Any, ...] = ()


draining = _Draining()


def check_cancelled() -> None:
    """Raise :class:`RunCancelled` if a run that this thread drains was canceled; wait if it is not its turn.

    Called before each pass of the network.
    """
    stack = draining.stack
    for each in stack:
        if each.stopping:
            raise RunCancelled
    if not stack:
        return
    if isinstance(stack[0], Job):
        scheduler.give_way(stack[0])
        stack[0].report()
    stack[-1].count_pass()


def interpreter_ends() -> bool:
    """Return whether the main thread has ended, after which the interpreter waits for the other threads."""
    return not threading.main_thread().is_alive()


class Job:
    """One request to a worker, and its position in the queue.

    Parameters
    ----------
    level : callable
        Returns the current priority.
    on_progress, on_queued : callable
        Called on the thread of the job now and then within a step, and with True or False when it begins and ends to
        wait for its turn for long.
    """

    def __init__(
        self,
        level: Callable[[], int],
        on_progress: Callable[[], None] = lambda: None,
        on_queued: Callable[[bool], None] = lambda queued: None,
    ) -> None:
        self.level, self.on_progress, self.on_queued = level, on_progress, on_queued
        self.parked = False
        #: Whether this job computes now, and until when less urgent ones wait for its next step.
        self.holds, self.drawing_until = False, 0.0
        #: The run, once it is made.
        self.run: Any = None
        #: When the job took its turn last, and its number.
        self.served, self.order = 0.0, 0
        self._reported = 0.0
        self._cancel = threading.Event()

    @property
    def stopping(self) -> bool:
        """Whether the current step should end."""
        return self._cancel.is_set() or interpreter_ends()

    @property
    def eligible(self) -> bool:
        """Whether the job may compute when its turn comes."""
        return not self.parked and self.level() > PAUSED

    def cancel(self) -> None:
        """Stop before the next step or pass of the network."""
        self._cancel.set()
        if self.run is not None:
            self.run.cancel()
        scheduler.changed()

    def report(self) -> None:
        """Report the progress within a step, now and then."""
        now = time.monotonic()
        if now - self._reported >= REPORT and self.run is not None:
            self._reported = now
            self.on_progress()

    def count_pass(self) -> None:
        """Do nothing: passes outside of a run are not counted."""


class Scheduler:
    """The turns of all jobs of the process.

    The most urgent eligible job is next. Visible jobs take turns, so that each shows its first results soon; those
    that nobody sees are computed one after the other, in the order in which they were submitted.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all jobs, as in a forked process, which has none of their threads."""
        # The lock of a condition is reentrant: a signal handler may cancel a job at any moment.
        self._condition = threading.Condition()
        self._waiting: list[Job] = []
        self._drawing: list[Job] = []
        self._holder: Job | None = None
        self._urgent = 0
        self._count = 0

    def number(self) -> int:
        """Return the number of the next job, in the order of submission."""
        with self._condition:
            self._count += 1
            return self._count

    def changed(self) -> None:
        """Let waiting jobs look again: a priority has changed, or a job was canceled or parked."""
        with self._condition:
            self._condition.notify_all()

    @contextmanager
    def turn(self, job: Job) -> Iterator[None]:
        """Hold the turn for a block; wait for it first, and come back to it soon, until :meth:`leave`."""
        try:
            # It may raise when it has the turn, in a callback.
            self._take(job)
            yield
        finally:
            with self._condition:
                if job.holds:
                    job.drawing_until = time.monotonic() + DRAWING
                    self._drawing.append(job)
                self._release(job)

    def leave(self, job: Job) -> None:
        """Forget a job that has ended."""
        with self._condition:
            self._drawing = [each for each in self._drawing if each is not job]
            self._condition.notify_all()

    @contextmanager
    def without_turn(self) -> Iterator[None]:
        """Give the turn of this thread away for a block in which it waits for something else."""
        job = draining.stack[0] if draining.stack else None
        if not isinstance(job, Job):
            yield
            return
        held = job.holds
        self.leave(job)
        self._release(job)
        try:
            yield
        finally:
            if held:
                self._take(job)

    def give_way(self, job: Job) -> None:
        """Wait in the middle of a step if a job is parked, paused, or less urgent than another one."""
        if not job.holds or not self._must_wait(job):
            return
        self._release(job)
        self._take(job)

    def hold(self, job: Job) -> None:
        """Block while a job is parked, until it goes on or is canceled."""
        with self._condition:
            while job.parked and not job.stopping:
                self._condition.wait(POLL)

    def _take(self, job: Job) -> None:
        begin, queued = time.monotonic(), False
        with self._condition:
            self._drawing = [each for each in self._drawing if each is not job]
            self._waiting.append(job)
        try:
            while True:
                with self._condition:
                    if job.stopping:
                        raise RunCancelled
                    if self._may(job):
                        self._begin(job)
                        break
                    self._condition.wait(POLL)
                if not queued and job.eligible and time.monotonic() - begin > PATIENCE:
                    queued = True
                    job.on_queued(True)
        finally:
            with self._condition:
                self._waiting.remove(job)
        if queued:
            job.on_queued(False)

    def _begin(self, job: Job) -> None:
        if job.level() == URGENT:
            self._urgent += 1
        else:
            self._holder = job
        job.holds, job.served = True, time.monotonic()

    def _release(self, job: Job) -> None:
        with self._condition:
            if not job.holds:
                return
            job.holds = False
            if job is self._holder:
                self._holder = None
            else:
                self._urgent -= 1
            self._condition.notify_all()

    def _may(self, job: Job) -> bool:
        """Return whether a waiting job may compute now."""
        if not job.eligible:
            return False
        if job.level() == URGENT:
            return True
        if self._holder is not None or self._urgent:
            return False
        now = time.monotonic()
        drawing = [each for each in self._drawing if each.drawing_until > now]
        # Two that take turns alternate between steps.
        rivals = [each for each in drawing if each.level() > job.level() or each.level() < VISIBLE]
        return job is min((each for each in [*self._waiting, *rivals] if each.eligible), key=_rank)

    def _must_wait(self, job: Job) -> bool:
        """Return whether the job that computes must let others compute first."""
        if not job.eligible:
            return True
        if job.level() == URGENT:
            return False
        if self._urgent:
            return True
        if not self._waiting:
            return False
        with self._condition:
            others = [_rank(each) for each in self._waiting if each.eligible]
        if not others:
            return False
        best = min(others)
        if best[0] < -job.level():
            return True
        # Among equals that take turns, at the end of a slice.
        alike = best[0] == -job.level() and best < _rank(job)
        return alike and (job.level() != VISIBLE or time.monotonic() - job.served > SLICE)


def _rank(job: Job) -> tuple[int, float, int]:
    """Return the position of a job in the queue; the lowest is first."""
    level = job.level()
    return -level, job.served if level == VISIBLE else 0.0, job.order


scheduler = Scheduler()
