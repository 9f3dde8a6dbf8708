"""Long computations that report snapshots and can be canceled and replaced.

A :class:`Run` is a generator with a name, a number of steps and a way to cancel it. In a script, ``run.result()``
drains it with a progress bar. A widget passes it to a :class:`~xai_widgets.core.worker.Worker`. A canceled run stops
before its next step or, within a step, before the next pass of the network.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Generic, Literal, ParamSpec, TypeVar

import torch
from tqdm.auto import tqdm

from xai_widgets.core.guard import guarded, outside_inference
from xai_widgets.core.scheduler import (
    RunCancelled,
    draining,
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
