"""The interrupt of a Jupyter kernel, which stops computations in the background, too.

A kernel ignores the signal of an interrupt while it is idle; while it handles a message, such as that of a cell or of a
widget, it raises ``KeyboardInterrupt`` there. Both stop the computations. In a plain script nothing is changed.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

_watched: Any = None


def watch_interrupts(stop: Callable[[], None]) -> None:
    """Call ``stop`` on a thread whenever the kernel of this process is interrupted; does nothing outside of a kernel.

    Parameters
    ----------
    stop : callable
        The same function in every call.
    """
    global _watched
    shell = running_shell()
    kernel = getattr(shell, "kernel", None)
    if kernel is None or kernel is _watched or threading.current_thread() is not threading.main_thread():
        return
    _watched = kernel

    def stop_soon() -> None:
        # On a thread: the interrupted main thread may hold any lock.
        threading.Thread(target=stop, name="xai_widgets interrupt", daemon=True).start()

    def when_busy(number: int, frame: Any) -> None:
        stop_soon()
        signal.default_int_handler(number, frame)

    def when_idle(_number: int, _frame: Any) -> None:
        stop_soon()

    def after_cell(result: Any) -> None:
        # A cell of asynchronous code has a handler of its own.
        if isinstance(result.error_in_exec, KeyboardInterrupt | asyncio.CancelledError):
            stop_soon()

    def watch_message() -> None:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, when_busy)

    def before_message() -> None:
        prepare()
        watch_message()

    shell.events.register("post_run_cell", after_cell)
    # The kernel sets the handler of its busy time before each message, and keeps that of its idle time meanwhile.
    prepare = kernel.pre_handler_hook
    kernel.pre_handler_hook = before_message
    watch_message()
    if getattr(kernel, "saved_sigint_handler", None) == signal.SIG_IGN:
        kernel.saved_sigint_handler = when_idle
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, when_idle)


def running_shell() -> Any:
    """Return the shell of IPython, if this process has one."""
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None and hasattr(module, "get_ipython") else None
