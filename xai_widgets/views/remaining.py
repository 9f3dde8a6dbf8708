"""An estimate of the remaining time of a computation from its progress."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

#: Seconds of progress that the rate is measured over.
WINDOW = 30.0
#: Seconds and updates before the first estimate.
FIRST, UPDATES = 3.0, 5
#: Ratio within which the estimates of the last seconds must lie, and how many seconds.
STABLE, RECENT = 1.6, 4.0
#: Seconds between two progress values that are kept.
INTERVAL = 0.2


class RemainingTime:
    """The remaining time of a computation, from the progress of the last half minute.

    Parameters
    ----------
    clock : callable, optional
        Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, float]] = deque()
        #: The times at which estimates were made, and the ends that they gave.
        self._ends: deque[tuple[float, float]] = deque()
        self._paused_at: float | None = None

    def pause(self) -> None:
        """Stop the clock until the next progress."""
        if self._paused_at is None:
            self._paused_at = self._clock()

    def after(self, progress: float) -> float | None:
        """Return the remaining seconds after a progress in [0, 1]; None until the rate is stable."""
        now = self._clock()
        if self._paused_at is not None:
            pause, self._paused_at = now - self._paused_at, None
            self._seen = deque((moment + pause, value) for moment, value in self._seen)
            self._ends = deque((moment + pause, end + pause) for moment, end in self._ends)
        if self._seen and now - self._seen[-1][0] < INTERVAL and progress < 1:
            return self._estimate(now)
        self._seen.append((now, progress))
        while len(self._seen) > UPDATES and now - self._seen[0][0] > WINDOW:
            self._seen.popleft()
        (begin, low), elapsed = self._seen[0], now - self._seen[0][0]
        if len(self._seen) >= UPDATES and elapsed >= FIRST and progress > low:
            self._ends.append((now, now + (1 - progress) * (now - begin) / (progress - low)))
            while len(self._ends) > 3 and now - self._ends[0][0] > RECENT:
                self._ends.popleft()
        return self._estimate(now)

    def _estimate(self, now: float) -> float | None:
        left = [end - now for _, end in self._ends]
        if len(left) < 3 or max(left) > STABLE * max(min(left), 1.0):
            return None
        return max(0.0, left[-1])
