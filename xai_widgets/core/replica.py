"""A private replica of a network in eval mode, created for one pass.

Explainers need a network in eval mode, while the user may train it in another thread, or call ``eval()`` or
``train()`` at any moment. Switching the shared ``training`` flags during a pass would be a race, so the flags are never
changed: a pass runs on a replica of the module tree. Its modules are new objects with their own ``training = False``;
they share parameters, hooks and all other values with the network, so that the replica computes with the current
weights. Buffers are copies, as a forward pass may write to them. Side effects of a pass stay on the replica, too: a
checkpointed block that runs its forward again in the backward pass runs it on the replica.

Alternatives do not work: a copy of the network does not follow later training; ``torch.func.functional_call`` swaps
the parameters of the shared modules; a function mode for dropout and batch norm does not reach ``if self.training``.
"""

from __future__ import annotations

import copy
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

import torch
from torch import nn

from xai_widgets.core.fixed_inputs import FixedInputs
from xai_widgets.core.guard import thread_state
from xai_widgets.core.hooks import EVERY_CALL, LayerHooks

#: Wrappers that hold the module on several devices.
_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)
#: Attributes of every module that do not hold other modules.
_PLAIN = frozenset(nn.Module().__dict__)
#: Attributes with the forward hooks of a module. Some networks register hooks of their own in their first pass.
_HOOKS = tuple(name for name in nn.Module().__dict__ if name.startswith("_forward") and "hooks" in name)
#: Types of values that may hold a module.
_HOLDERS = (nn.Module, list, tuple, dict, set, FunctionType, MethodType, partial)
#: Types of values that hold nothing.
_ATOMS = frozenset((bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device))
#: Types of containers that a pass may write to.
_MUTABLE = frozenset((dict, list, set, OrderedDict, defaultdict, deque))
#: Attribute of a replica that holds its original module.
_ORIGINAL = "_xai_widgets_original"


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the module inside ``torch.compile``, ``DataParallel`` and ``DistributedDataParallel`` wrappers.

    Compiled code and copies on other devices can have neither hooks nor other backward rules.
    """
    while True:
        if type(module).__name__ == "OptimizedModule" and "_orig_mod" in module._modules:
            inner = module._modules["_orig_mod"]
        elif isinstance(module, _PARALLEL):
            inner = module.module
        else:
            return module
        assert inner is not None
        module = inner


def named_parts(network: nn.Module) -> dict[str, nn.Module]:
    """Return every module of a network by its name, without wrappers, each module once."""
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

    visit(network.network if isinstance(network, FixedInputs) else network, "")
    return parts


def original(module: Any) -> Any:
    """Return the original module of a replica; any other value is returned as it is."""
    return module.__dict__.get(_ORIGINAL, module) if isinstance(module, nn.Module) else module


def replica(network: nn.Module, *, frozen: bool = False) -> nn.Module:
    """Return a replica of a network in eval mode with the active hooks of this thread, for one pass.

    Parameters
    ----------
    network : nn.Module
        The network, which is not changed.
    frozen : bool, default False
        Whether the parameters of the replica require no gradient, so that only tensors that depend on the input do.
    """
    # A mode of backward rules need not see each copy of a weight.
    with torch._C.DisableTorchFunction():
        return _Replicator(thread_state.hooks, frozen).replicate(network)


def check_private(network: nn.Module, run: Callable[[], Any]) -> None:
    """Run a pass; restore the buffers and raise ValueError if it changed those of the network itself.

    A hook or a custom object may hold a module that cannot be replaced by its replica.
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
    """Initialize lazy modules by one pass of the network."""
    if not any(isinstance(value, nn.parameter.UninitializedParameter) for value in network.parameters()):
        return
    flags = [(module, module.training) for module in network.modules()]
    try:
        with torch.no_grad():
            network.eval()(image)
    finally:
        for module, training in flags:
            module.training = training


class _Replicator:
    """Creates the replicas of the modules of one network, one per module."""

    def __init__(self, hooks: tuple[LayerHooks, ...], frozen: bool) -> None:
        self._hooks = hooks
        self._frozen = frozen
        self._replicas: dict[int, nn.Module] = {}
        self._functions: dict[int, FunctionType] = {}
        #: Whether modules of a type are neither wrappers nor scripted.
        self._plain: dict[type, bool] = {}

    def replicate(self, module: nn.Module) -> nn.Module:
        """Return the replica of a module, which is created at the first call."""
        module = module.__dict__.get(_ORIGINAL, module)
        kind = type(module)
        plain = self._plain.get(kind)
        if plain is None:
            plain = self._plain[kind] = unwrapped(module) is module and not isinstance(
                module, torch.jit.ScriptModule
            )
        if not plain:
            module = unwrapped(module)
        replica = self._replicas.get(id(module))
        if replica is None:
            scripted = not plain and isinstance(module, torch.jit.ScriptModule)
            replica = self._scripted(module) if scripted else self._create(module)
        return replica

    def _create(self, module: nn.Module) -> nn.Module:
        replica: nn.Module = object.__new__(type(module))
        self._replicas[id(module)] = replica
        values = replica.__dict__
        values.update(module.__dict__)
        values[_ORIGINAL] = module
        values["training"] = False
        for name in _HOOKS:
            held = values.get(name)
            values[name] = OrderedDict(held) if held else OrderedDict()
        values["_compiled_call_impl"] = None
        values["_modules"] = type(module._modules)(
            [
                (name, None if child is None else self.replicate(child))
                for name, child in list(module._modules.items())
            ]
            if module._modules
            else ()
        )
        parameters = list(module._parameters.items())
        if parameters and (
            self._frozen or any(value is not None and value.is_inference() for _, value in parameters)
        ):
            values["_parameters"] = type(module._parameters)(
                [(name, _constant(value, frozen=self._frozen)) for name, value in parameters]
            )
        if module._buffers:
            values["_buffers"] = type(module._buffers)(
                [(name, _copied(value)) for name, value in list(module._buffers.items())]
            )
        for name, value in list(values.items()):
            if name in _PLAIN or name == _ORIGINAL:
                continue
            kind = type(value)
            # Most values are numbers, or sizes.
            if kind in _ATOMS or (kind is tuple and _ATOMS.issuperset(map(type, value))):
                continue
            if isinstance(value, _HOLDERS):
                replaced = self._with_replicas(value)
                # A copy: a module may keep results of a pass in a container, such as a cache.
                values[name] = copy.copy(value) if replaced is value and type(value) in _MUTABLE else replaced
        if self._hooks:
            self._add_hooks(module, replica)
        return replica

    def _scripted(self, module: nn.Module) -> nn.Module:
        """Return a scripted module in eval mode as it is: it cannot be replicated."""
        if any(getattr(part, "training", False) for part in module.modules()):
            raise ValueError(
                "expected a scripted module in eval mode, got one in train mode; call its eval() first"
            )
        return module

    def _with_replicas(self, value: Any) -> Any:
        """Return a value with every module in it replaced by its replica; the value itself if it holds none."""
        if isinstance(value, nn.Module):
            return self.replicate(value)
        if isinstance(value, FunctionType):
            return self._rebind(value)
        if isinstance(value, MethodType):
            return MethodType(value.__func__, self._with_replicas(value.__self__))
        if isinstance(value, partial):
            parts = [value.func, value.args, value.keywords]
            replaced = [self._with_replicas(part) for part in parts]
            same = all(new is old for new, old in zip(replaced, parts, strict=True))
            return value if same else partial(replaced[0], *replaced[1], **replaced[2])
        if isinstance(value, dict):
            if not any(isinstance(item, _HOLDERS) for item in value.values()):
                return value
            entries = {key: self._with_replicas(item) for key, item in value.items()}
            return (
                value
                if all(entries[key] is item for key, item in value.items())
                else _rebuild(value, entries)
            )
        if isinstance(value, list | tuple | set):
            if not any(isinstance(item, _HOLDERS) for item in value):
                return value
            items = [self._with_replicas(item) for item in value]
            same = all(new is old for new, old in zip(items, value, strict=True))
            return value if same else _rebuild(value, items)
        return value

    def _rebind(self, function: FunctionType) -> FunctionType:
        """Return a function whose closure holds replicas instead of modules."""
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
        replaced = [self._with_replicas(value) if isinstance(value, _HOLDERS) else value for value in held]
        if all(new is old for new, old in zip(replaced, held, strict=True)):
            return function
        rebound = FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__,
            tuple(map(CellType, replaced)),
        )  # fmt: skip
        rebound.__kwdefaults__ = function.__kwdefaults__
        self._functions[id(function)] = rebound
        return rebound

    def _add_hooks(self, module: nn.Module, replica: nn.Module) -> None:
        """Register the active hooks on a module on its replica."""
        active = [(hooks, hooks.names[id(module)]) for hooks in self._hooks if id(module) in hooks.names]
        if not active:
            return
        forward = [(hooks.forward, names) for hooks, names in active if hooks.forward is not None]
        forward_pre = [(hooks.forward_pre, names) for hooks, names in active if hooks.forward_pre is not None]
        if forward:
            registered = OrderedDict(module._forward_hooks)
            registered[_ORIGINAL] = _forward_hook(module, forward)  # type: ignore[index]
            replica.__dict__["_forward_hooks"] = registered
        if forward_pre:
            registered = OrderedDict(module._forward_pre_hooks)
            registered[_ORIGINAL] = _forward_pre_hook(forward_pre)  # type: ignore[index]
            replica.__dict__["_forward_pre_hooks"] = registered


def _copied(buffer: torch.Tensor | None) -> torch.Tensor | None:
    """Return a copy of a buffer outside of any graph."""
    if buffer is None:
        return None
    return buffer.detach().clone() if buffer.requires_grad else buffer.clone()


def _constant(parameter: nn.Parameter | None, *, frozen: bool) -> nn.Parameter | None:
    """Return a parameter with the same values, which requires no gradient if ``frozen``."""
    if parameter is None:
        return None
    if parameter.is_inference() and not torch.is_inference_mode_enabled():
        return nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad and not frozen)
    if not frozen or not parameter.requires_grad:
        return parameter
    # A parameter is detached from the given one.
    return nn.Parameter(parameter, requires_grad=False)


def _forward_hook(
    module: nn.Module, hooks: list[tuple[Callable[..., Any], dict[int, str]]]
) -> Callable[..., Any]:
    """Return one hook of torch that runs all hooks on a module."""
    calls = 0

    def hook(_replica: nn.Module, _inputs: Any, output: Any) -> Any:
        nonlocal calls
        number, calls = calls, calls + 1
        changed = None
        for layer_hook, names in hooks:
            name = names.get(number, names.get(EVERY_CALL))
            if name is not None:
                replacement = layer_hook(name, module, output)
                if replacement is not None:
                    changed = output = replacement
        return changed

    return hook


def _forward_pre_hook(hooks: list[tuple[Callable[..., None], dict[int, str]]]) -> Callable[..., None]:
    """Return one pre-hook of torch that runs all pre-hooks on a module."""
    calls = 0

    def hook(_replica: nn.Module, inputs: Any) -> None:
        nonlocal calls
        number, calls = calls, calls + 1
        for layer_hook, names in hooks:
            name = names.get(number, names.get(EVERY_CALL))
            if name is not None:
                layer_hook(name, inputs)

    return hook


def _rebuild(value: Any, items: Any) -> Any:
    """Return a container of the type of ``value`` with other items; a plain dict or list if that fails."""
    if hasattr(value, "_fields"):
        return type(value)(*items)
    try:
        if isinstance(value, dict):
            rebuilt = copy.copy(value)
            rebuilt.update(items)
            return rebuilt
        return type(value)(items)
    except Exception:  # a custom container class may require other arguments
        return dict(items) if isinstance(value, dict) else list(items)
