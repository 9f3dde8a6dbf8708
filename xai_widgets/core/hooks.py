"""Watch the layers of a network during one pass, without a hook on the network.

A pass runs on a replica of the network (:mod:`xai_widgets.core.replica`), which lives as long as the pass. The watches
that are open in this thread when the replica is made become hooks of the replica, so there is nothing to remove from
the caller's network afterwards.

A layer is one call of a module: ``"relu"`` is the first call of the module ``relu`` in a pass, ``"relu:1"`` the second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn

from xai_widgets.core.guard import thread_state

#: Sees (name, module, output) after a layer ran; what it returns, unless None, takes the output's place.
Watcher = Callable[[str, nn.Module, Any], Any]
#: The number of a call for which every call is meant.
EVERY = -1


class Watch(NamedTuple):
    """Layers to watch and what to call: a watcher after a layer ran, or a receiver of its inputs before.

    ``names`` has for the id of each module the names of its layers by the number of the call.
    """

    names: dict[int, dict[int, str]]
    watcher: Watcher | None = None
    receiver: Callable[[str, Any], None] | None = None


def call_of(name: str) -> tuple[str, int]:
    """Return the name of the module and the number of the call of a layer: ``"relu:1"`` is ``("relu", 1)``."""
    module, _, call = name.rpartition(":")
    return (module, int(call)) if module and call.isdigit() else (name, 0)


def layer_name(module: str, call: int) -> str:
    """Return the name of the layer that is this call of a module."""
    return module if call == 0 else f"{module}:{call}"


def _names(layers: Mapping[str, nn.Module], call: int | None) -> dict[int, dict[int, str]]:
    names: dict[int, dict[int, str]] = {}
    for name, module in layers.items():
        names.setdefault(id(module), {})[call_of(name)[1] if call is None else call] = name
    return names


@contextmanager
def _open(watch: Watch) -> Iterator[None]:
    before = thread_state.watches
    thread_state.watches = (*before, watch)
    try:
        yield
    finally:
        thread_state.watches = before


def forward_hooks(
    layers: Mapping[str, nn.Module], watcher: Watcher, *, every_call: bool = False
) -> AbstractContextManager[None]:
    """Call ``watcher`` after each of ``layers`` ran in this thread, until the block ends.

    Parameters
    ----------
    layers : mapping of str to nn.Module
        The modules of the caller's network, by the names of their layers.
    watcher : callable
        Gets the name, the module and the output; returns None or what takes the output's place.
    every_call : bool, default False
        Whether the watcher is called at every call of the modules, always with the name that is given.
    """
    return _open(Watch(_names(layers, EVERY if every_call else None), watcher=watcher))


@contextmanager
def record_outputs(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Keep the outputs of ``layers``, by name, from the pass made inside the block.

    The network goes on with a copy, so that an in-place operation after the layer cannot change what was
    kept, and gradients with respect to it are those of the layer's output.
    """
    kept: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, output: Any) -> Tensor:
        if not isinstance(output, Tensor):
            raise ValueError(
                f"layer {name!r} returns {type(output).__name__}, wanted a layer that returns one tensor"
            )
        kept[name] = output
        return output.clone()

    with forward_hooks(layers, keep):
        yield kept


@contextmanager
def record_inputs(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Keep the first input of ``layers``, by name, from the pass made inside the block."""
    kept: dict[str, Tensor] = {}

    def keep(name: str, inputs: Any) -> None:
        # The layer before may go on in place with what it returned.
        kept[name] = inputs[0].detach().clone()

    with _open(Watch(_names(layers, None), receiver=keep)):
        yield kept
