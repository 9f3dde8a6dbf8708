"""Undo and redo of the choices in an explorer."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

#: Name of the threads that draw results, whose changes are not choices of the user.
WORKERS = "xai_widgets worker"
#: Changes that follow each other in less than so many seconds, such as those of a drag, are one step.
PAUSE = 0.8
#: Number of steps that are kept.
STEPS = 100
#: Entries that follow the pointer, or the chosen tab: their changes are not recorded.
HOVERED = ("position", "row", "column", "tab")


class History:
    """Steps between states.

    Parameters
    ----------
    read : callable
        Returns the present state.
    apply : callable
        Sets the entries of a state.
    changed : callable
        Called with the numbers of steps to undo and to redo, after each change of them.
    """

    def __init__(
        self,
        read: Callable[[], dict[str, Any]],
        apply: Callable[[dict[str, Any]], None],
        changed: Callable[[int, int], None],
    ) -> None:
        self._read, self._apply, self._changed = read, apply, changed
        self._past: list[dict[str, Any]] = []
        self._future: list[dict[str, Any]] = []
        #: When each trait was last changed, counted.
        self.latest: dict[tuple[int, str], int] = {}
        self._count = itertools.count(1)
        self._applying = False
        self._at = -PAUSE
        self.present = self.initial = read()

    def watch(self, entries: Iterable[tuple[str, Any, str]]) -> None:
        """Record the changes of entries: name, object and trait; those that are recorded already stay."""
        for _name, part, trait in entries:
            if (id(part), trait) not in self.latest:
                self.latest[id(part), trait] = 0
                part.observe(self._on_change, trait)
        self.present = self._read()

    def begin(self, load: Callable[[], None]) -> None:
        """Load the initial state, which is not a step."""
        self._applying = True
        try:
            load()
        finally:
            self._applying = False
            self.present = self.initial = self._read()

    def undo(self) -> None:
        """Return to the state before the last step."""
        if self._past:
            self._future.append(self._read())
            self._go(self._past.pop())

    def redo(self) -> None:
        """Make the last undone step again."""
        if self._future:
            self._past.append(self._read())
            self._go(self._future.pop())

    def reset(self) -> None:
        """Return to the initial state; this is a step, too."""
        self._past.append(self._read())
        self._future = []
        self._go(self.initial)

    def _go(self, state: dict[str, Any]) -> None:
        self._applying = True
        try:
            self._apply({name: value for name, value in state.items() if not is_hovered(name)})
        finally:
            self._applying = False
            self._at = -PAUSE
            self.present = self._read()
            self._report()

    def _on_change(self, change: dict[str, Any]) -> None:
        self.latest[id(change["owner"]), change["name"]] = next(self._count)
        if self._applying:
            return
        before, self.present = self.present, self._read()
        drawn = threading.current_thread().name.startswith(WORKERS)
        same = all(before.get(name) == value for name, value in self.present.items() if not is_hovered(name))
        if drawn or same:
            return
        now = time.monotonic()
        if now - self._at > PAUSE:
            self._past = [*self._past, before][-STEPS:]
            self._future = []
            self._report()
        self._at = now

    def _report(self) -> None:
        self._changed(len(self._past), len(self._future))


def is_hovered(name: str) -> bool:
    """Return whether an entry follows the pointer, so that its changes are not recorded."""
    return name.rpartition(".")[2] in HOVERED
