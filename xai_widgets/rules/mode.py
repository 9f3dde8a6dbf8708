"""What every rules mode shares: it notices the operations that it cannot see, and leaves checkpointing out.

A :class:`torch.overrides.TorchFunctionMode` sees the calls that Python makes. It does not see the body of a custom
:class:`torch.autograd.Function`, or scripted and compiled code, whose backward pass no rule replaces: a method that
went on would silently give the plain gradient there. So every tensor that enters a call and depends on the pixels has
to have come out of a call before; one that did not was made by an operation that is hidden, and is refused by its name.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from xai_widgets.core.replica import named_parts, original

#: Nodes that torch makes when a view or its base was written to, or a module has backward hooks: what they are made of
#: counts.
_REWRITTEN = (
    "BackwardHookFunction", "CopySlices", "AsStrided", "View", "Select", "Slice", "Alias", "Unsqueeze", "Squeeze",
    "Permute", "Transpose", "TBackward", "Expand", "Split", "Unbind", "Chunk", "UnsafeView", "Diagonal",
)  # fmt: skip


class RulesMode(TorchFunctionMode):
    """A mode that sees every torch function between the pixels and the scores.

    Parameters
    ----------
    title : str
        The method, as errors say it.
    network : nn.Module, optional
        Whose layers errors name.
    """

    def __init__(self, title: str, network: nn.Module | None = None) -> None:
        super().__init__()
        self._title = title
        self._network = network
        self._seen: set[Any] = set()
        # The count of nodes at the first call: what is older was there before the pass.
        self._start: int | None = None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        # Without gradients there is no backward pass to change; the backward pass itself runs like that too.
        if not torch.is_grad_enabled():
            return func(*args, **kwargs)
        if self._start is None:
            self._start = _node_count()
        self._check_seen((*args, *kwargs.values()))
        with _without_checkpointing():
            result = self.call(func, args, kwargs)
        for tensor in _tensors((result, *args[:1])):
            if tensor.grad_fn is not None:
                self._seen.add(tensor.grad_fn)
        return result

    def __exit__(self, *error: object) -> None:
        # An interrupt may have hit torch while it had taken the mode off for a call.
        top = torch._C._len_torch_function_stack() - 1
        if top >= 0 and torch._C._get_function_stack_at(top) is self:
            torch._C._pop_torch_function_stack()

    @abstractmethod
    def call(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what ``func(*args, **kwargs)`` returns, with the backward pass of its rule."""

    def layer_here(self) -> str:
        """Return the name of the innermost layer whose code is running."""
        if self._network is None:
            return "the network"
        names = {id(module): name for name, module in named_parts(self._network).items()}
        frame = inspect.currentframe()
        while frame is not None:
            name = names.get(id(original(frame.f_locals.get("self"))))
            if name is not None:
                return name or type(self._network).__name__
            frame = frame.f_back
        return type(self._network).__name__

    def _check_seen(self, values: Iterable[Any]) -> None:
        for tensor in _tensors(values):
            if tensor.requires_grad and (hidden := self._hidden(tensor.grad_fn)) is not None:
                raise ValueError(
                    f"{self._title} cannot replace the backward pass of {_operation(hidden)!r}, met in "
                    f"{self.layer_here()!r}: it runs in a custom autograd function, or in scripted or compiled code; "
                    "expected a network of ordinary torch functions, got one with hidden operations"
                )

    def _hidden(self, node: Any) -> Any:
        """Return the node of an operation that was not seen, or None."""
        assert self._start is not None
        nodes = [node]
        while nodes:
            node = nodes.pop()
            if node is None or node in self._seen or node._sequence_nr() < self._start or _is_known(node):
                continue
            if not node.name().startswith(_REWRITTEN):
                return node
            nodes.extend(before for before, _ in node.next_functions)
        return None


def _is_known(node: Any) -> bool:
    """Whether a node is a leaf, or made by a rule of this package in a mode further in."""
    function = getattr(type(node), "_forward_cls", None)
    ours = function is not None and function.__module__.partition(".")[0] == __name__.partition(".")[0]
    return ours or node.name().endswith("AccumulateGrad")


def _node_count() -> int:
    """Return a number that the nodes of the graph made from now on in this thread are not below."""
    with torch.enable_grad():
        node: Any = torch.zeros((), requires_grad=True).view(1).grad_fn
    count: int = node._sequence_nr()
    return count


def _operation(node: Any) -> str:
    """Return the name of an operation from that of its node: "ReluFn" from "ReluFnBackward"."""
    name: str = node.name()
    return name.removesuffix("Backward") if "Backward" in name[-8:] else name.partition("Backward")[0].lower()


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _without_checkpointing() -> AbstractContextManager[Any]:
    """Keep what a checkpointed block computes: computed again in the backward pass it would have no rules."""
    top = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    hooks = None if top is None else top(False)
    if not hooks or getattr(hooks[0], "__module__", "") != "torch.utils.checkpoint":
        return nullcontext()
    return torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)
