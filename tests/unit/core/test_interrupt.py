"""An interrupt of a kernel stops all computations; a script keeps its handler."""

import signal
import sys
import threading

import pytest

from xai_widgets.core import interrupt

LONG = 30


class Kernel:
    saved_sigint_handler = signal.SIG_IGN

    def pre_handler_hook(self):
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Shell:
    """A shell of IPython in a kernel that runs a cell."""

    def __init__(self):
        self.kernel, self.events, self.callbacks = Kernel(), self, {}

    def register(self, name, callback):
        self.callbacks[name] = callback


class Result:
    def __init__(self, error):
        self.error_in_exec = error


@pytest.fixture
def handler():
    """The handler of interrupts of this process, which is set again at the end."""
    before = signal.getsignal(signal.SIGINT)
    yield before
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_of_a_kernel_stops_everything(monkeypatch, handler):
    shell, stopped = Shell(), threading.Semaphore(0)
    monkeypatch.setattr(interrupt, "_watched", None)
    monkeypatch.setattr(interrupt, "running_shell", lambda: shell)
    for _ in range(2):
        interrupt.watch_interrupts(stopped.release)
    assert list(shell.callbacks) == ["post_run_cell"]
    # The kernel is idle.
    shell.kernel.saved_sigint_handler(signal.SIGINT, None)
    assert stopped.acquire(timeout=LONG)
    # A cell is interrupted; any other error of a cell stops nothing.
    shell.callbacks["post_run_cell"](Result(KeyboardInterrupt()))
    assert stopped.acquire(timeout=LONG)
    shell.callbacks["post_run_cell"](Result(ValueError()))
    assert not stopped.acquire(timeout=0.2)
    # The callback of a widget is interrupted.
    shell.kernel.pre_handler_hook()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert stopped.acquire(timeout=LONG)


def test_a_script_keeps_its_handler(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    before = signal.getsignal(signal.SIGINT)
    interrupt.watch_interrupts(lambda: None)
    assert signal.getsignal(signal.SIGINT) is before
