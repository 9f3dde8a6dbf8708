"""Restore torch's state of the current thread after a call, even if an interrupt arrives at any moment.

A ``with`` block cannot guarantee that by itself: Python may raise ``KeyboardInterrupt`` on the first line of an
``__exit__``, before it does anything, and a mode or disabled gradients then stay for the rest of the process.
:func:`guarded` saves the state before a call and restores it afterwards. If the restoring is interrupted, it is
repeated, which is harmless.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _pop_mode

T = TypeVar("T")
P = ParamSpec("P")


class ThreadState(threading.local):
    """State of the package in one thread.

    Attributes
    ----------
    hooks : tuple of LayerHooks
        The active hooks on layers, see :mod:`xai_widgets.core.hooks`.
    in_target : bool
        Whether a target computes scores from the output of a network, see :mod:`xai_widgets.core.target_scores`.
    pending : list or None
        Where checks of outputs are postponed to, see :mod:`xai_widgets.core.finite`; None to check at once.
    shared : SharedPasses or None
        The passes that methods share, see :mod:`xai_widgets.methods.shared_passes`.
    """

    hooks: tuple[Any, ...] = ()
    in_target: bool = False
    pending: list[Any] | None = None
    shared: Any = None


thread_state = ThreadState()


@contextmanager
def in_target() -> Iterator[None]:
    """Mark the operations inside the block as those of a target, which no backward rule replaces."""
    around, thread_state.in_target = thread_state.in_target, True
    try:
        yield
    finally:
        thread_state.in_target = around


class FunctionMode(TorchFunctionMode):
    """A mode whose exit is safe if an interrupt arrives while torch has disabled it for a call."""

    def __exit__(self, *error: object) -> None:
        top = torch._C._len_torch_function_stack() - 1
        if top >= 0 and torch._C._get_function_stack_at(top) is self:
            torch._C._pop_torch_function_stack()


class _Saved:
    """Snapshot of the state of torch and of the package in this thread."""

    __slots__ = ("autocast", "dispatch", "grad", "hooks", "in_target", "modes", "pending", "shared")

    def __init__(self) -> None:
        self.grad = torch.is_grad_enabled()
        self.autocast = {kind: torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")}
        self.modes = _modes()
        self.dispatch = torch._C._len_torch_dispatch_stack()
        self.hooks = thread_state.hooks
        self.in_target = thread_state.in_target
        self.pending = thread_state.pending
        self.shared = thread_state.shared

    def restore(self) -> None:
        thread_state.hooks = self.hooks
        thread_state.in_target = self.in_target
        thread_state.pending = self.pending
        thread_state.shared = self.shared
        now = _modes()
        if now != self.modes:
            same = 0
            while same < min(len(now), len(self.modes)) and now[same] is self.modes[same]:
                same += 1
            while torch._C._len_torch_function_stack() > same:
                torch._C._pop_torch_function_stack()
            for mode in self.modes[same:]:
                torch._C._push_on_torch_function_stack(mode)
        while torch._C._len_torch_dispatch_stack() > self.dispatch:
            _pop_mode()
        if torch.is_grad_enabled() != self.grad:
            torch._C._set_grad_enabled(self.grad)
        for kind, enabled in self.autocast.items():
            if torch.is_autocast_enabled(kind) != enabled:
                torch.set_autocast_enabled(kind, enabled)


def _modes() -> list[Any]:
    return [torch._C._get_function_stack_at(index) for index in range(torch._C._len_torch_function_stack())]


def _leave_blocks(error: BaseException) -> None:
    """Exit the ``with`` blocks whose ``__exit__`` was interrupted.

    A generator-based context manager whose ``__exit__`` was interrupted ends only when it is garbage-collected with the
    traceback: torch would then re-enter a mode that it had left for a call, after everything was restored.
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
    """Decorate a function to restore grad mode, autocast, function modes and hooks of this thread after each call."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        saved = _Saved()
        try:
            return function(*args, **kwargs)
        except SystemError as error:
            # torch wraps a signal during an autograd function in a SystemError.
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
    """Leave the caller's inference mode, if enabled: tensors created in it cannot be used in autograd later."""
    # Entered only if needed: an interrupt in its exit would change the grad mode when the block is collected.
    return torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext()
