"""A private replica of a network in eval mode, made for one pass.

Explainers need a network in eval mode, while its owner may be training it in another thread, or may call ``eval()`` or
``train()`` at any moment. Switching the shared ``training`` flags for the length of a pass takes part in that race, so
the flags are never touched: a pass runs on a replica of the module tree. Modules are new objects with their own
``training = False``; parameters, hooks and all other values are those of the network, so that the replica computes with
the weights of this moment, and buffers are copies, which a forward pass may write to. It also keeps what a pass leaves
behind away from the network: a checkpointed block that runs its forward again in the backward pass runs it on the
replica.

Alternatives that were weighed: a copy of the network follows no later training; ``torch.func.functional_call`` swaps
the parameters of the shared modules; a function mode for dropout and batch-norm does not reach ``if self.training``.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

import torch
from torch import nn

from xai_widgets.core.guard import thread_state
from xai_widgets.core.hooks import EVERY, Watch

#: Attributes of every module that hold no other module.
_PLAIN = frozenset(nn.Module().__dict__) - {"_modules"}
#: What may hold a module.
_HOLDERS = (nn.Module, list, tuple, dict, set, FunctionType, MethodType, partial)
#: Where a replica keeps the module that it stands for.
_ORIGINAL = "_xai_widgets_original"


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the module inside wrappers that change how it runs and not what it computes.

    These are ``torch.compile``, ``DataParallel`` and ``DistributedDataParallel``: compiled code and copies on other
    devices can be neither watched nor given other backward rules.
    """
    while True:
        if type(module).__name__ == "OptimizedModule" and "_orig_mod" in module._modules:
            inner = module._modules["_orig_mod"]
        elif isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = module.module
        else:
            return module
        assert inner is not None
        module = inner


def named_parts(network: nn.Module) -> dict[str, nn.Module]:
    """Return every module of a network by its name, wrappers left out, each module once."""
    parts: dict[str, nn.Module] = {}
    seen: set[int] = set()

    def visit(module: nn.Module, name: str) -> None:
        module = unwrapped(module)
        if id(module) in seen:
            return
        seen.add(id(module))
        parts[name] = module
        for child_name, child in list(module._modules.items()):
            if child is not None:
                visit(child, f"{name}.{child_name}" if name else child_name)

    visit(network, "")
    return parts


def original(module: Any) -> Any:
    """Return the module of the caller's network that a replica stands for; anything else as it is."""
    return module.__dict__.get(_ORIGINAL, module) if isinstance(module, nn.Module) else module


def replica(network: nn.Module, *, frozen: bool = False) -> nn.Module:
    """Return a replica of a network in eval mode with the watches of this thread, for one pass.

    Parameters
    ----------
    network : nn.Module
        Parameters and buffers are shared with it; it is not changed.
    frozen : bool, default False
        Whether the parameters of the replica require no gradient, so that what requires one depends on the input.
    """
    return _Replicas(thread_state.watches, frozen).of(network)


def check_private(network: nn.Module, run: Callable[[], Any]) -> None:
    """Run a pass; ValueError, with everything as it was, if modules of the network itself ran in it and left a trace.

    A hook or an object of its own may hold a module where no replica can take its place.
    """
    if not any(module.training for module in network.modules()):
        run()
        return
    before = [(buffer, buffer.detach().clone()) for buffer in network.buffers()]
    run()
    if any(not torch.equal(buffer, kept) for buffer, kept in before):
        with torch.no_grad():
            for buffer, kept in before:
                buffer.copy_(kept)
        raise ValueError(
            "expected a network that calls its modules by its attributes, got one in train mode that holds some in "
            "a hook or another object, so that their statistics would change; call its eval() first"
        )


def initialize(network: nn.Module, image: torch.Tensor) -> None:
    """Give lazy modules their parameters, as the first call of the network by its owner would."""
    if not any(isinstance(value, nn.parameter.UninitializedParameter) for value in network.parameters()):
        return
    flags = [(module, module.training) for module in network.modules()]
    try:
        with torch.no_grad():
            network.eval()(image)
    finally:
        for module, training in flags:
            module.training = training


class _Replicas:
    """The replicas made so far, by the id of the module that each stands for."""

    def __init__(self, watches: tuple[Watch, ...], frozen: bool) -> None:
        self._watches = watches
        self._frozen = frozen
        self._made: dict[int, nn.Module] = {}
        self._functions: dict[int, FunctionType] = {}

    def of(self, module: nn.Module) -> nn.Module:
        module = unwrapped(original(module))
        made = self._made.get(id(module))
        if made is None:
            scripted = isinstance(module, torch.jit.ScriptModule)
            made = self._scripted(module) if scripted else self._replicate(module)
        return made

    def _replicate(self, module: nn.Module) -> nn.Module:
        made: nn.Module = object.__new__(type(module))
        self._made[id(module)] = made
        values = made.__dict__
        values.update(module.__dict__)
        values[_ORIGINAL] = module
        values["training"] = False
        values["_compiled_call_impl"] = None
        values["_modules"] = type(module._modules)(
            (name, None if child is None else self.of(child)) for name, child in list(module._modules.items())
        )
        parameters = list(module._parameters.items())
        if self._frozen or any(value is not None and value.is_inference() for _, value in parameters):
            values["_parameters"] = type(module._parameters)(
                (name, _constant(value, frozen=self._frozen)) for name, value in parameters
            )
        if module._buffers:
            values["_buffers"] = type(module._buffers)(
                (name, None if value is None else value.detach().clone())
                for name, value in list(module._buffers.items())
            )
        for name, value in module.__dict__.items():
            if name not in _PLAIN and name != "_modules" and isinstance(value, _HOLDERS):
                values[name] = self._moved(value)
        self._watch(module, made)
        return made

    def _scripted(self, module: nn.Module) -> nn.Module:
        """Return scripted code, which is in eval mode: it cannot be replicated."""
        if any(getattr(part, "training", False) for part in module.modules()):
            raise ValueError(
                "expected scripted code in eval mode, got it in train mode; call its eval() first"
            )
        return module

    def _moved(self, value: Any) -> Any:
        """Return a value with every module in it replaced by its replica; the value itself where there is none."""
        if isinstance(value, nn.Module):
            return self.of(value)
        if isinstance(value, FunctionType):
            return self._rebound(value)
        if isinstance(value, MethodType):
            return MethodType(value.__func__, self._moved(value.__self__))
        if isinstance(value, partial):
            parts = [value.func, value.args, value.keywords]
            moved = [self._moved(part) for part in parts]
            same = all(one is other for one, other in zip(parts, moved, strict=True))
            return value if same else partial(moved[0], *moved[1], **moved[2])
        if isinstance(value, dict):
            if not any(isinstance(each, _HOLDERS) for each in value.values()):
                return value
            made = {key: self._moved(each) for key, each in value.items()}
            return value if all(made[key] is each for key, each in value.items()) else _alike(value, made)
        if isinstance(value, list | tuple | set):
            if not any(isinstance(each, _HOLDERS) for each in value):
                return value
            items = [self._moved(each) for each in value]
            same = all(one is other for one, other in zip(items, value, strict=True))
            return value if same else _alike(value, items)
        return value

    def _rebound(self, function: FunctionType) -> FunctionType:
        """Return a function whose closure holds replicas in the place of modules."""
        cells = function.__closure__ or ()
        held: list[Any] = []
        for cell in cells:
            try:
                held.append(cell.cell_contents)
            except ValueError:  # a cell that is still empty
                return function
        if id(function) in self._functions:
            return self._functions[id(function)]
        self._functions[id(function)] = function
        moved = [self._moved(value) if isinstance(value, _HOLDERS) else value for value in held]
        if all(one is other for one, other in zip(held, moved, strict=True)):
            return function
        made = FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__,
            tuple(map(CellType, moved)),
        )  # fmt: skip
        made.__kwdefaults__ = function.__kwdefaults__
        self._functions[id(function)] = made
        return made

    def _watch(self, module: nn.Module, made: nn.Module) -> None:
        """Give a replica the hooks of the watches on its module."""
        watches = [(watch, watch.names[id(module)]) for watch in self._watches if id(module) in watch.names]
        after = [(watch.watcher, names) for watch, names in watches if watch.watcher is not None]
        before = [(watch.receiver, names) for watch, names in watches if watch.receiver is not None]
        if after:
            hooks = OrderedDict(module._forward_hooks)
            hooks[_ORIGINAL] = _after(module, after)  # type: ignore[index]
            made.__dict__["_forward_hooks"] = hooks
        if before:
            hooks = OrderedDict(module._forward_pre_hooks)
            hooks[_ORIGINAL] = _before(before)  # type: ignore[index]
            made.__dict__["_forward_pre_hooks"] = hooks


def _constant(parameter: nn.Parameter | None, *, frozen: bool) -> nn.Parameter | None:
    """Return a parameter of the same values, that requires no gradient if it is to be frozen."""
    if parameter is None:
        return None
    if parameter.is_inference() and not torch.is_inference_mode_enabled():
        return nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad and not frozen)
    if not frozen or not parameter.requires_grad:
        return parameter
    return nn.Parameter(parameter.detach(), requires_grad=False)


def _after(
    module: nn.Module, watchers: list[tuple[Callable[..., Any], dict[int, str]]]
) -> Callable[..., Any]:
    calls = 0

    def hook(_replica: nn.Module, _inputs: Any, output: Any) -> Any:
        nonlocal calls
        number, calls = calls, calls + 1
        changed = None
        for watcher, names in watchers:
            name = names.get(number, names.get(EVERY))
            if name is not None:
                made = watcher(name, module, output)
                if made is not None:
                    changed = output = made
        return changed

    return hook


def _before(receivers: list[tuple[Callable[..., None], dict[int, str]]]) -> Callable[..., None]:
    calls = 0

    def hook(_replica: nn.Module, inputs: Any) -> None:
        nonlocal calls
        number, calls = calls, calls + 1
        for receiver, names in receivers:
            name = names.get(number, names.get(EVERY))
            if name is not None:
                receiver(name, inputs)

    return hook


def _alike(value: Any, items: Any) -> Any:
    """Return a container of the kind of ``value`` with other items; a plain one where its kind takes no items."""
    if hasattr(value, "_fields"):
        return type(value)(*items)
    try:
        made = copy.copy(value)
        if isinstance(made, dict):
            made.update(items)
            return made
        return type(value)(items)
    except Exception:  # a container class of the network's own may want other arguments
        return dict(items) if isinstance(value, dict) else list(items)
