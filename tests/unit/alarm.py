"""Interrupts at random moments of a call, by a real signal."""

import random
import signal
import threading
import time
from contextlib import contextmanager

import pytest


class Alarm:
    """Raises KeyboardInterrupt in the main thread, once for each call."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.set = False

    def ring(self, *_):
        if self.set:
            self.set = False
            raise KeyboardInterrupt

    def measure(self, call):
        """Let signals come within the time that a call takes."""
        began = time.perf_counter()
        call()
        self.longest = time.perf_counter() - began

    def interrupts(self, call):
        """Return whether the signal met the call."""
        began = time.perf_counter()
        self.set = True
        try:
            signal.setitimer(signal.ITIMER_REAL, self.draw.uniform(1e-5, max(1e-4, self.longest)))
            call()
            self.set = False
        except KeyboardInterrupt:
            return True
        except SystemError as error:
            # torch raises it if a signal arrives in a C function: "returned a result with an exception set".
            if not isinstance(error.__cause__, KeyboardInterrupt):
                raise
            return True
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        # The machine was busier when the call was measured.
        self.longest = min(self.longest, time.perf_counter() - began)
        return False


@contextmanager
def alarm(seed, call):
    """Yield an alarm for a call; skip the test where the system has no timer."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        pytest.skip("no timer, or no main thread to interrupt")
    made = Alarm(seed)
    made.measure(call)
    before = signal.signal(signal.SIGALRM, made.ring)
    try:
        yield made
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
