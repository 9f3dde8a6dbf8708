"""Leave the thread's state of torch as it was, whatever happens, an interrupt at any moment included.

A ``with`` block cannot promise that by itself: Python may raise ``KeyboardInterrupt`` on the first line of an
``__exit__``, before it does anything, and a mode or a switched-off gradient then stays for the rest of the process.
:func:`guarded` remembers the state before a call and restores it afterwards. The restoring can itself be interrupted,
so it is done again in that case; doing it twice is harmless.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch

T = TypeVar("T")
P = ParamSpec("P")


class ThreadState(threading.local):
    """State of the package that belongs to one thread.

    Attributes
    ----------
    watches : tuple
        The watches on layers that are open, see :mod:`xai_widgets.core.hooks`.
    """

    watches: tuple[Any, ...] = ()


thread_state = ThreadState()


class _Saved:
    """The state of torch and of the package in this thread, as it was when this was made."""

    __slots__ = ("autocast", "grad", "modes", "watches")

    def __init__(self) -> None:
        self.grad = torch.is_grad_enabled()
        self.autocast = {kind: torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")}
        self.modes = _modes()
        self.watches = thread_state.watches

    def restore(self) -> None:
        thread_state.watches = self.watches
        now = _modes()
        if now != self.modes:
            same = 0
            while same < min(len(now), len(self.modes)) and now[same] is self.modes[same]:
                same += 1
            while torch._C._len_torch_function_stack() > same:
                torch._C._pop_torch_function_stack()
            for mode in self.modes[same:]:
                torch._C._push_on_torch_function_stack(mode)
        if torch.is_grad_enabled() != self.grad:
            torch._C._set_grad_enabled(self.grad)
        for kind, enabled in self.autocast.items():
            if torch.is_autocast_enabled(kind) != enabled:
                torch.set_autocast_enabled(kind, enabled)


def _modes() -> list[Any]:
    return [torch._C._get_function_stack_at(place) for place in range(torch._C._len_torch_function_stack())]


def _leave_blocks(error: BaseException) -> None:
    """Leave the ``with`` blocks that an interrupt has left half-way.

    A context manager that is a generator and whose ``__exit__`` was interrupted ends only when it is collected together
    with the traceback: torch would put back a mode that it had taken off for a call, after everything was restored.
    """
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    if not all(isinstance(each, Exception) for each in chain):
        for each in chain:
            traceback.clear_frames(each.__traceback__)


def guarded(function: Callable[P, T]) -> Callable[P, T]:
    """Restore grad mode, autocast, function modes and watches of this thread after each call, even interrupted."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        saved = _Saved()
        try:
            return function(*args, **kwargs)
        except SystemError as error:
            # A signal within a call of an autograd function comes out of torch like that.
            if isinstance(error.__cause__, KeyboardInterrupt):
                _leave_blocks(error)
                raise error.__cause__ from None
            raise
        except BaseException as error:
            _leave_blocks(error)
            raise
        finally:
            try:
                saved.restore()
            except BaseException:
                saved.restore()
                raise

    return called


def outside_inference() -> AbstractContextManager[Any]:
    """Leave the caller's inference mode, where there is one: what is made in it can be part of no graph later."""
    # Entered only where needed: an interrupt in its exit would switch gradients when the block is collected.
    return torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext()
