"""Forward hooks on the layers of a network during one pass, which never touch the caller's network.

A pass runs on a replica of the network (:mod:`xai_widgets.core.replica`) that is discarded after the pass. The hooks
that are active in this thread when the replica is created are registered on the replica, so nothing has to be removed
from the caller's network afterwards.

A layer is one call of a module: ``"relu"`` is the first call of the module ``relu`` in a pass, ``"relu:1"`` the second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn

from xai_widgets.core.guard import thread_state

#: Called with (name, module, output) after a layer ran; a return value other than None replaces the output.
ForwardHook = Callable[[str, nn.Module, Any], Any]
#: Called with (name, inputs) before a layer runs.
ForwardPreHook = Callable[[str, Any], None]
#: Key of :attr:`LayerHooks.names` that stands for every call of a module.
EVERY_CALL = -1


class LayerHooks(NamedTuple):
    """A forward hook or a forward pre-hook on some layers.

    ``names`` maps the id of each module to the names of its layers by the number of the call.
    """

    names: dict[int, dict[int, str]]
    forward: ForwardHook | None = None
    forward_pre: ForwardPreHook | None = None


def call_of(name: str) -> tuple[str, int]:
    """Split the name of a layer into module name and number of the call: ``"relu:1"`` is ``("relu", 1)``."""
    module, _, call = name.rpartition(":")
    return (module, int(call)) if module and call.isdigit() else (name, 0)


def layer_name(module: str, call: int) -> str:
    """Return the name of the layer for a module and the number of its call."""
    return module if call == 0 else f"{module}:{call}"


def _names(layers: Mapping[str, nn.Module], call: int | None) -> dict[int, dict[int, str]]:
    names: dict[int, dict[int, str]] = {}
    for name, module in layers.items():
        names.setdefault(id(module), {})[call_of(name)[1] if call is None else call] = name
    return names


@contextmanager
def _activate(hooks: LayerHooks) -> Iterator[None]:
    before = thread_state.hooks
    thread_state.hooks = (*before, hooks)
    try:
        yield
    finally:
        thread_state.hooks = before


def forward_hooks(
    layers: Mapping[str, nn.Module], hook: ForwardHook, *, every_call: bool = False
) -> AbstractContextManager[None]:
    """Call ``hook`` after each of ``layers`` ran in this thread, until the block ends.

    Parameters
    ----------
    layers : mapping of str to nn.Module
        The modules of the caller's network, by the names of their layers.
    hook : callable
        Called with the name, the module and the output; returns None or a replacement of the output.
    every_call : bool, default False
        Whether to call the hook at every call of the modules, always with the given name.
    """
    return _activate(LayerHooks(_names(layers, EVERY_CALL if every_call else None), forward=hook))


def main_tensor(output: Any) -> Tensor | None:
    """Return the output of a layer if it is a tensor, or the first of a tuple that begins with one; None otherwise."""
    if type(output) is tuple and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None


def tensor_of(name: str, output: Any) -> Tensor:
    """Return :func:`main_tensor` of the output of a layer; ValueError, with the layer's name, if there is none."""
    tensor = main_tensor(output)
    if tensor is None:
        raise ValueError(
            f"expected a layer that returns one tensor, got {name!r}, which returns {type(output).__name__}"
        )
    return tensor


def with_main_tensor(output: Any, tensor: Tensor) -> Any:
    """Return the output of a layer with :func:`main_tensor` replaced by a tensor."""
    return (tensor, *output[1:]) if type(output) is tuple else tensor


@contextmanager
def record_outputs(
    layers: Mapping[str, nn.Module], *, as_leaves: bool = False
) -> Iterator[dict[str, Tensor]]:
    """Record the output of each named layer in the pass inside the block; of a tuple, its first tensor.

    The network continues with a copy, so that an in-place operation after the layer cannot change the recorded output,
    and gradients with respect to it are those of the layer's output. With ``as_leaves``, the graph begins there.
    """
    outputs: dict[str, Tensor] = {}

    def record(name: str, module: nn.Module, output: Any) -> Any:
        tensor = tensor_of(name, output)
        if as_leaves and tensor.is_floating_point():
            tensor = tensor.detach().requires_grad_()
        outputs[name] = tensor
        return with_main_tensor(output, tensor.clone())

    with forward_hooks(layers, record):
        yield outputs


@contextmanager
def record_inputs(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Record the first input of each named layer in the pass inside the block."""
    recorded: dict[str, Tensor] = {}

    def record(name: str, inputs: Any) -> None:
        # An in-place operation may change the input afterwards.
        recorded[name] = inputs[0].detach().clone()

    with _activate(LayerHooks(_names(layers, None), forward_pre=record)):
        yield recorded
