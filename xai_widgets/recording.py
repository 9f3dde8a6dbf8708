"""Running and watching a network for the length of one pass, and leaving no trace on it.

A hook on a module can be left behind, and it changes the caller's network. The watch below is one global
forward hook that looks only at the modules asked for, in its own thread, and goes when the block ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

#: Sees (name, module, output) after a layer ran; what it returns, unless None, takes the output's place.
Watcher = Callable[[str, nn.Module, Any], Any]


@contextmanager
def watching(layers: Mapping[str, nn.Module], watcher: Watcher) -> Iterator[None]:
    """Call ``watcher`` after each call of one of ``layers`` in this thread, until the block ends."""
    names = {id(module): name for name, module in layers.items()}
    thread = threading.get_ident()

    def hook(module: nn.Module, _inputs: Any, output: Any) -> Any:
        name = names.get(id(module))
        if name is None or threading.get_ident() != thread:
            return None
        return watcher(name, module, output)

    handle = register_module_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def recording(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Keep the outputs of ``layers``, by name, from the pass made inside the block.

    The network goes on with a copy, so that an in-place operation after the layer cannot change what was
    kept, and gradients with respect to it are those of the layer's output. Of a layer that runs several
    times the last output is kept.
    """
    kept: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, output: Any) -> Tensor:
        if not isinstance(output, Tensor):
            raise ValueError(
                f"layer {name!r} returns {type(output).__name__}, wanted a layer that returns one tensor"
            )
        kept[name] = output
        return output.clone()

    with watching(layers, keep):
        yield kept


@contextmanager
def receiving(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Keep what ``layers`` of one input are given, by name; of one that runs several times the last."""
    names = {id(module): name for name, module in layers.items()}
    thread = threading.get_ident()
    kept: dict[str, Tensor] = {}

    def hook(module: nn.Module, inputs: Any) -> None:
        name = names.get(id(module))
        if name is not None and threading.get_ident() == thread:
            # The layer before may go on in place with what it returned.
            kept[name] = inputs[0].detach().clone()

    handle = register_module_forward_pre_hook(hook)
    try:
        yield kept
    finally:
        handle.remove()


#: The modules held in eval mode by anyone, by id: the module, and by how many blocks it is held. One table for all
#: wrappers, as two of them may run one network, or parts of one, in two threads.
_held: dict[int, tuple[nn.Module, int]] = {}
_held_lock = threading.Lock()


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Hold a network in eval mode for as long as any thread is in such a block, then every flag as it was."""
    holding: list[nn.Module] = []
    try:
        with _held_lock:
            for part in module.modules():
                if part.training or id(part) in _held:
                    holding.append(part)
                    _held[id(part)] = (part, _held.get(id(part), (part, 0))[1] + 1)
                    part.training = False
        yield
    finally:
        with _held_lock:
            for part in holding:
                _, blocks = _held.pop(id(part), (part, 1))
                if blocks > 1:
                    _held[id(part)] = (part, blocks - 1)
                else:
                    part.training = True
