"""The base of studies: keys, a resumable computation for each key, and a store of the results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, MutableMapping
from contextlib import nullcontext
from typing import Any, ClassVar, Generic, TypeVar

from xai_widgets.core.run import Run
from xai_widgets.errors import as_sentence, collect_warnings
from xai_widgets.methods.shared_passes import SharedPasses
from xai_widgets.studies.store import Key, Outcome, ResultStore

Result = TypeVar("Result")

_END: Any = object()


class Study(ABC, Generic[Key, Result]):
    """Computations about a model, one for each key, such as a map for each method, image and class.

    A subclass defines :meth:`run`. A study has no thread and no widget: a script calls :meth:`compute`, an explorer
    hands :meth:`missing` to its worker.

    Parameters
    ----------
    store : mutable mapping, optional
        Where outcomes are kept. Default: a new :class:`~xai_widgets.studies.ResultStore`.

    Attributes
    ----------
    store : mutable mapping of key to Outcome
    """

    #: Whether a computation that ends before its last step has converged. False for inverses, whose units converge or
    #: not, and whose results name those that did not.
    early_is_converged: ClassVar[bool] = True

    #: Whether a complete result can be improved by computing its key again.
    resumable = False
    #: Whether the key to compute is chosen after each snapshot, so that all keys get rough results before fine ones.
    interleaved = False
    #: Whether methods that are computed one after the other share passes.
    shares_passes = False

    def __init__(self, store: MutableMapping[Key, Outcome[Result]] | None = None) -> None:
        self.store: MutableMapping[Key, Outcome[Result]] = ResultStore() if store is None else store
        #: The runs of the keys that are being computed.
        self._runs: dict[Key, Run[Result]] = {}
        #: The steps that a complete computation took, and those that it might have taken.
        self._taken: dict[Key, tuple[int, int]] = {}

    @abstractmethod
    def run(self, key: Key, start: Result | None = None) -> Run[Result]:
        """Return the computation for a key; its snapshots may be None as long as there is no result.

        Parameters
        ----------
        key : Key
            What is computed.
        start : Result, optional
            An earlier result to go on from.
        """

    def steps(self, key: Key) -> int:
        """Return how many snapshots the computation of a key has."""
        return 1

    def weight(self, key: Key, steps: int) -> float:
        """Return the time of a key, of so many snapshots, beside the others, for the progress."""
        return steps

    def title(self, key: Key) -> str:
        """Return the title of a key for messages."""
        return ""

    def convergence(self, keys: Iterable[Key]) -> str:
        """Return which computations ended before their last step, as "converged after 60 of 200 steps"; "" for none."""
        if not self.early_is_converged:
            return ""
        early = {key: taken for key in keys if (taken := self._taken.get(key)) and taken[0] < taken[1]}
        return ", ".join(
            f"{self.title(key)} converged after {done} of {total} steps".strip()
            for key, (done, total) in early.items()
        )

    def outcome(self, key: Key) -> Outcome[Result]:
        """Return the outcome of a key; an empty one if it was never computed."""
        return self.store.get(key) or Outcome()

    def result(self, key: Key) -> Result | None:
        """Return the latest result of a key; None if there is none."""
        return self.outcome(key).result

    def failures(self, keys: Iterable[Key]) -> dict[Key, str]:
        """Return the keys that failed, with the reasons."""
        return {key: error for key in dict.fromkeys(keys) if (error := self.outcome(key).error)}

    def forget(self, keys: Iterable[Key]) -> None:
        """Drop the outcomes of some keys."""
        for key in keys:
            self.store.pop(key, None)
            self._taken.pop(key, None)

    def clear(self) -> None:
        """Drop everything that was computed."""
        self.forget(list(self.store))

    def missing(
        self,
        keys: Collection[Key],
        *,
        again: bool = False,
        choose: Callable[[Collection[Key]], Key] = lambda keys: next(iter(keys)),
        replaced: Callable[[Key], Iterable[Key]] = lambda key: (),
        name: str = "study",
    ) -> Run[Key]:
        """Return a run that computes the keys that are not complete, one after the other.

        A key that fails does not stop the others.

        Parameters
        ----------
        keys : collection of Key
            What is to be computed.
        again : bool, default False
            Whether to compute complete keys, too: a resumable study goes on from their results, another one begins
            anew.
        choose : callable, optional
            Called before each computation, or before each snapshot of an interleaved study, with the keys that are
            left; returns the one to compute next. Default: the first one.
        replaced : callable, optional
            Called with a key that failed; returns keys to compute in its place. Default: none.
        name : str, default "study"
            Name of the progress bar.

        Returns
        -------
        Run of Key
            Each snapshot is the key whose outcome in the store has changed.

        Raises
        ------
        ValueError
            At the end of the run if every key failed, with the first reason.
        """
        store = self.store
        left = dict.fromkeys(key for key in keys if again or not self.outcome(key).complete)
        steps = {key: self.steps(key) for key in left}
        weights = {key: self.weight(key, count) for key, count in steps.items()}
        total = sum(count + 1 for count in steps.values())
        computed: list[Key] = []
        passes = SharedPasses() if self.shares_passes else None

        def compute() -> Iterator[Key]:
            opened: dict[Key, Generator[Key, None, None]] = {}
            try:
                while left:
                    key = choose(left)
                    if key not in opened:
                        opened[key] = _sharing(self._compute(key, store, again), passes)
                    for changed in opened[key]:
                        yield changed
                        if self.interleaved:
                            break
                    else:
                        del left[key], opened[key]
                        computed.append(key)
                        if store[key].error:
                            for new in replaced(key):
                                if new not in computed:
                                    left[new] = None
                                    weights.setdefault(new, self.weight(new, self.steps(new)))
            finally:
                for work in opened.values():
                    work.close()
            self._check_some(store, [*keys, *computed])

        def fraction() -> float:
            parts = {key: run.progress for key, run in list(self._runs.items()) if key in left}
            done = {**parts, **dict.fromkeys(list(computed), 1.0)}
            return sum(share * weights.get(key, 1) for key, share in done.items()) / max(
                1, sum(weights.values())
            )

        return Run(compute(), total=total, name=name, fraction=fraction)

    def _compute(
        self, key: Key, store: MutableMapping[Key, Outcome[Result]], again: bool
    ) -> Generator[Key, None, None]:
        """Compute one key, keep each snapshot in ``store`` and yield the key after it."""
        before = store.get(key) or Outcome[Result]()
        start = before.result if self.resumable or not before.complete else None
        outcome = Outcome(start)
        warnings: dict[str, None] = {}
        try:
            run = self._runs[key] = self.run(key, start)
            snapshots = iter(run)
            while True:
                # Warnings while a snapshot is drawn are not those of the computation.
                with collect_warnings() as messages:
                    result = next(snapshots, _END)
                warnings.update(dict.fromkeys(messages))
                if result is _END:
                    break
                store[key] = outcome = Outcome(result, warnings=tuple(warnings))
                yield key
            self._taken[key] = self._steps_taken(run)
            store[key] = Outcome(outcome.result, "", tuple(warnings), complete=True)
        except Exception as error:  # a failure of one key does not stop the others
            kept = outcome.result if self.resumable else None
            store[key] = Outcome(kept, as_sentence(error), tuple(warnings), complete=True)
        finally:
            self._runs.pop(key, None)
        yield key

    def _steps_taken(self, run: Run[Result]) -> tuple[int, int]:
        """Return the number of steps of a complete computation, and the largest number it might have taken."""
        return run.done, run.total

    def _check_some(self, store: MutableMapping[Key, Outcome[Result]], keys: Iterable[Key]) -> None:
        """Raise ValueError with the first reason if every key failed."""
        outcomes = {key: store[key] for key in keys if key in store}
        failed = {key: outcome.error for key, outcome in outcomes.items() if outcome.error}
        if failed and len(failed) == len(outcomes):
            key, error = next(iter(failed.items()))
            title = self.title(key)
            more = f" (and {len(failed) - 1} more failed)" if len(failed) > 1 else ""
            raise ValueError(f"{title}: {error}{more}" if title else f"{error}{more}")

    def compute(
        self, keys: Collection[Key], *, again: bool = False, progress: bool = True
    ) -> dict[Key, Outcome[Result]]:
        """Compute the keys that are not complete and return the outcomes of all.

        Parameters
        ----------
        keys : collection of Key
            What is to be computed.
        again : bool, default False
            Whether to compute complete keys, too.
        progress : bool, default True
            Whether to show a progress bar.

        Raises
        ------
        ValueError
            If every key failed, with the first reason.
        """
        run = self.missing(keys, again=again)
        if run.total:
            run.result(progress=progress)
        return {key: self.outcome(key) for key in keys}


def _sharing(work: Generator[Key, None, None], passes: SharedPasses | None) -> Generator[Key, None, None]:
    """Yield from a computation, which shares passes with others, if any are given."""
    try:
        while True:
            with passes.active() if passes is not None else nullcontext():
                key = next(work, _END)
            if key is _END:
                return
            yield key
    finally:
        work.close()
