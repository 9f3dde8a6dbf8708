"""Base class of the rule modes: detects operations that a mode cannot intercept, and disables checkpointing.

A :class:`torch.overrides.TorchFunctionMode` intercepts calls from Python. It does not intercept the body of a custom
:class:`torch.autograd.Function`, or scripted and compiled code, where a method would silently use the plain gradient.
So every tensor that enters a call and depends on the pixels must be the result of an earlier call. Otherwise it is the
result of a hidden operation, which raises an error with the name of the operation.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from xai_widgets.core.guard import FunctionMode
from xai_widgets.core.replica import named_parts, original
from xai_widgets.core.target_scores import TargetScores, label_of

#: Autograd nodes that torch creates for in-place changes of views and for backward hooks: their inputs are checked
#: instead.
_REWRITTEN = (
    "BackwardHookFunction", "CopySlices", "AsStrided", "View", "Select", "Slice", "Alias", "Unsqueeze", "Squeeze",
    "Permute", "Transpose", "TBackward", "Expand", "Split", "Unbind", "Chunk", "UnsafeView", "Diagonal",
)  # fmt: skip

#: Functions that read no values.
_FACTS = frozenset(
    {
        Tensor.is_inference, Tensor.is_floating_point, Tensor.size, Tensor.dim,
        *(
            getattr(Tensor, name).__get__
            for name in ("shape", "ndim", "dtype", "device", "requires_grad", "is_leaf", "layout")
        ),
    }
)  # fmt: skip
_COPIES = frozenset({Tensor.detach, Tensor.clone})
#: Returns the hooks of torch on saved tensors; None in versions without.
_top_hooks = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)


class RulesMode(FunctionMode):
    """A mode that intercepts every torch function between the pixels and the scores.

    Parameters
    ----------
    title : str
        Name of the method in errors.
    network : nn.Module, optional
        The network whose layers are named in errors.
    """

    def __init__(self, title: str, network: nn.Module | None = None) -> None:
        super().__init__()
        self._title = title
        self._network = network
        self._seen: set[Any] = set()
        # The sequence number at the first call: nodes with a smaller one are older than the pass.
        self._start: int | None = None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        # Without gradients there is no backward pass to replace; the backward pass itself runs without gradients, too.
        if not torch.is_grad_enabled():
            return func(*args, **kwargs)
        if self._start is None:
            self._start = _node_count()
        # Most calls copy the weights for the pass, or ask for a fact of a tensor.
        if func in _FACTS or (func in _COPIES and not kwargs and _is_constant(args[0])):
            return func(*args, **kwargs)
        if self._has_unseen(args) or (kwargs and self._has_unseen(kwargs.values())):
            self._check_seen((*args, *kwargs.values()))
        if _in_checkpoint():
            # A block that is recomputed in the backward pass would not use the rules.
            with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor):
                result = self.call(func, args, kwargs)
        else:
            result = self.call(func, args, kwargs)
        self._see(result)
        # The first argument may be changed in place.
        if args:
            self._see(args[0])
        return result

    def _see(self, value: Any) -> None:
        """Note the nodes of the tensors in a value."""
        if isinstance(value, Tensor):
            if value.requires_grad:
                self._seen.add(value.grad_fn)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._see(item)

    @abstractmethod
    def call(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the result of ``func(*args, **kwargs)``, with the backward pass of its rule."""

    def layer_here(self) -> str:
        """Return the name of the innermost layer whose code is running."""
        if self._network is None:
            return "the network"
        names = {id(module): name for name, module in named_parts(self._network).items()}
        frame = inspect.currentframe()
        while frame is not None:
            caller = frame.f_locals.get("self")
            if isinstance(caller, TargetScores) and "function" in frame.f_locals:
                return f"the target {label_of(frame.f_locals['function'])}"
            name = names.get(id(original(caller)))
            if name is not None:
                return name or type(self._network).__name__
            frame = frame.f_back
        return type(self._network).__name__

    def _has_unseen(self, values: Iterable[Any]) -> bool:
        """Return whether a tensor is the result of an operation that was not intercepted; it may be a known one."""
        # A loop, as this is asked for every operation.
        for value in values:
            if isinstance(value, Tensor):
                if value.requires_grad and (node := value.grad_fn) is not None and node not in self._seen:
                    return True
            elif isinstance(value, (list, tuple)) and self._has_unseen(value):
                return True
        return False

    def _check_seen(self, values: Iterable[Any]) -> None:
        for tensor in tensors_in(values):
            if not tensor.requires_grad or (node := tensor.grad_fn) is None or node in self._seen:
                continue
            if (hidden := self._hidden(node)) is not None:
                raise ValueError(
                    f"expected a network of torch functions for {self._title}, got {_operation(hidden)!r} in "
                    f"{self.layer_here()!r}, whose backward pass cannot be replaced: it runs in a custom autograd "
                    "function, or in scripted or compiled code"
                )

    def _hidden(self, node: Any) -> Any:
        """Return the node of an operation that was not intercepted, or None."""
        assert self._start is not None
        nodes = [node]
        while nodes:
            node = nodes.pop()
            if node is None or node in self._seen or node._sequence_nr() < self._start or _is_known(node):
                continue
            if not node.name().rpartition("::")[2].startswith(_REWRITTEN):
                return node
            nodes.extend(before for before, _ in node.next_functions)
        return None


def _is_constant(tensor: Tensor) -> bool:
    return not tensor.requires_grad or (isinstance(tensor, nn.Parameter) and tensor.grad_fn is None)


def _is_known(node: Any) -> bool:
    """Return whether a node is a leaf, or belongs to a rule of this package in an inner mode."""
    function = getattr(type(node), "_forward_cls", None)
    ours = function is not None and function.__module__.partition(".")[0] == __name__.partition(".")[0]
    return ours or node.name().endswith("AccumulateGrad")


def _node_count() -> int:
    """Return a lower bound of the sequence numbers of autograd nodes created from now on in this thread."""
    with torch.enable_grad():
        node: Any = torch.zeros((), requires_grad=True).view(1).grad_fn
    count: int = node._sequence_nr()
    return count


def _operation(node: Any) -> str:
    """Return the name of an operation from that of its node: "ReluFn" from "ReluFnBackward"."""
    name: str = node.name()
    return name.removesuffix("Backward") if "Backward" in name[-8:] else name.partition("Backward")[0].lower()


def tensors_in(values: Iterable[Any]) -> list[Tensor]:
    """Return the tensors among values, and those in lists and tuples."""
    tensors: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            tensors.append(value)
        elif isinstance(value, (list, tuple)):
            tensors += tensors_in(value)
    return tensors


def _in_checkpoint() -> bool:
    """Return whether the operation is in a block that is recomputed in the backward pass."""
    hooks = None if _top_hooks is None else _top_hooks(False)
    return hooks is not None and getattr(hooks[0], "__module__", "") == "torch.utils.checkpoint"
