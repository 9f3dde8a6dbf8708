"""Record the calls of torch functions in one pass of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from xai_widgets.core.guard import guarded, outside_inference
from xai_widgets.core.precision import no_autocast
from xai_widgets.core.replica import named_parts, original, replica
from xai_widgets.tracing.calls import Call, Scope, Value, in_place, leaves, mapped, name_of, tensors_in

#: Tensors and their copies in single precision, by the id of the tensor. The tensor is kept, as another one may get the
#: id of one that is freed, such as a buffer of the replica of an earlier pass.
Casts = dict[int, tuple[Tensor, Tensor]]
#: Functions with which Python reads the values of a tensor.
_READING = frozenset(
    {"item", "tolist", "numpy", "bool", "int", "float", "complex", "index", "array", "contains", "equal", "allclose",
     "is_nonzero", "dlpack", "set"}
)  # fmt: skip
#: Functions with which Python reads sizes that may depend on the size of the image.
_SIZES = frozenset({"shape", "size", "numel", "nelement", "stride"})
#: Conversions that return the tensor itself if there is nothing to convert.
_CONVERSIONS = frozenset({"to", "float", "double", "half", "bfloat16", "type", "type_as", "cpu", "cuda"})


class Untraceable(ValueError):
    """A network whose passes cannot be replayed; the message is the reason, as the end of a sentence."""


class Recorder(TorchFunctionMode):
    """One pass of a network with the recorded calls."""

    def __init__(
        self,
        network: nn.Module,
        x: Tensor,
        pick: Callable[[Any, Tensor], Any] | None,
        casts: Casts,
    ) -> None:
        super().__init__()
        self.x = x
        self.calls: list[Call] = []
        self.results: list[list[Tensor]] = []
        self.returned: dict[Value, Scope] = {}
        self.sized = False
        #: By the id of a tensor, the latest call that returned it.
        self._known: dict[int, Value] = {}
        self._scopes: list[Scope] = []
        self._numbers: dict[str, int] = {}
        self._count = 0
        #: Number of hooks of the network that are running.
        self._hooks = 0
        self._custom: dict[str, str] = {}
        self._scripted = [
            name for name, part in named_parts(network).items() if isinstance(part, torch.jit.ScriptModule)
        ]
        self._run(network, pick, casts)

    def _run(self, network: nn.Module, pick: Callable[[Any, Tensor], Any] | None, casts: Casts) -> None:
        made = replica(network)
        names = {id(part): name for name, part in named_parts(network).items()}
        single = all(p.dtype == torch.float32 for p in network.parameters() if p.is_floating_point())
        for part in list(made.modules()):
            if not isinstance(part, torch.jit.ScriptModule):
                if not single:
                    _cast(part, casts)
                self._scope(part, names.get(id(original(part)), ""))
        with outside_inference(), torch.enable_grad(), no_autocast(self.x.device):
            # Not a leaf, so that the network may start with an in-place operation.
            x = self.x.detach().clone().requires_grad_().clone()
            self._add_call("input", lambda: None, (), {}, [x], True, False)
            output = self._pass(made, x, pick)
        self.output: Any = self._value(output) if isinstance(output, Tensor) else output
        if isinstance(self.output, Tensor):
            raise Untraceable(self._hidden(self.output, "the output"))
        if isinstance(output, Tensor):
            self._refuse_custom(output)

    @guarded
    def _pass(self, network: nn.Module, x: Tensor, pick: Callable[[Any, Tensor], Any] | None) -> Any:
        """Run a network in this mode.

        :func:`guarded` exits the mode: if an interrupt arrives while torch has disabled the mode for a call, the exit
        of a ``with`` block would raise another error.
        """
        self.__enter__()
        output = network(x)
        return output if pick is None else pick(output, self.x)

    # -- scopes of calls ------------------------------------------------------------------------------------

    def _scope(self, part: nn.Module, name: str) -> None:
        """Record the calls of a module of the replica."""
        for kind in ("_forward_hooks", "_forward_pre_hooks"):
            hooks = part.__dict__[kind]
            if hooks:
                part.__dict__[kind] = type(hooks)((key, self._aside(hook)) for key, hook in hooks.items())
        if not name:
            return
        forward = part.forward

        def called(*args: Any, **kwargs: Any) -> Any:
            number = self._numbers.get(name, 0)
            self._numbers[name] = number + 1
            self._count += 1
            scope = Scope(name, number, self._count)
            self._scopes.append(scope)
            try:
                output = forward(*args, **kwargs)
            finally:
                self._scopes.pop()
            if isinstance(output, Tensor):
                if id(output) in self._known:
                    self.returned.setdefault(self._known[id(output)], scope)
                if isinstance(output.grad_fn, torch.autograd.function.BackwardCFunction):
                    self._custom.setdefault(type(output.grad_fn).__name__, scope.name)
            return output

        part.__dict__["forward"] = called

    def _aside(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a hook of the network, which may read values, for instance for a log: they do not affect the pass."""

        def called(*args: Any, **kwargs: Any) -> Any:
            self._hooks += 1
            try:
                return hook(*args, **kwargs)
            finally:
                self._hooks -= 1

        return called

    # -- calls ----------------------------------------------------------------------------------------------

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self._record(func, args, kwargs or {}, result)
        return result

    def _record(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        name = name_of(func)
        given = [leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        depends = any(
            id(each) in self._known and self.calls[self._known[id(each)].call].depends for each in given
        )
        tensors = tensors_in(result)
        if name == "setitem":
            tensors = [args[0]]
        if not tensors:
            if depends and name in _READING and not self._hooks:
                raise Untraceable(f"its path depends on values, read by {name!r}{self._here()}")
            # The number of images, and sizes of tensors without positions, are not sizes of the image.
            whole = name != "size" or self._dim(args, kwargs) != 0
            self.sized |= depends and name in _SIZES and whole and any(each.ndim > 2 for each in given)
            return
        if name in _CONVERSIONS and args and tensors[0] is args[0]:
            return
        changed = [each for each in tensors if any(each is other for other in given)]
        mutates = in_place(func, kwargs) and any(id(each) not in self._known for each in changed)
        self._add_call(name, func, self._template(args), self._template(kwargs), tensors, depends, mutates)

    @staticmethod
    def _dim(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return args[1] if len(args) > 1 else kwargs.get("dim")

    def _add_call(
        self,
        name: str,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        tensors: list[Tensor],
        depends: bool,
        mutates: bool,
    ) -> None:
        device = self.x.device.type
        self.calls.append(
            Call(
                function=func,
                args=args,
                kwargs=kwargs,
                name=name,
                scopes=tuple(self._scopes),
                depends=depends,
                mutates=mutates,
                shape=tuple(tensors[0].shape),
                autocast=torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None,
            )
        )
        # Kept for the whole pass, so that no other tensor gets their ids.
        self.results.append(tensors)
        for item, tensor in enumerate(tensors):
            self._known[id(tensor)] = Value(len(self.calls) - 1, item)

    def _value(self, tensor: Tensor) -> Value | Tensor:
        return self._known.get(id(tensor), tensor)

    def _template(self, given: Any) -> Any:
        return mapped(given, lambda leaf: self._value(leaf) if isinstance(leaf, Tensor) else leaf)

    def _here(self) -> str:
        return f" in {self._scopes[-1].name!r}" if self._scopes else ""

    # -- hidden operations ----------------------------------------------------------------------------------

    def _hidden(self, tensor: Tensor, where: str) -> str:
        """Describe the origin of a tensor that no recorded call returned."""
        if self._scripted:
            which = f"{self._scripted[0]!r}" if self._scripted[0] else "it"
            return (
                f"{which} is a scripted module, whose operations are hidden; use the module before scripting"
            )
        kind = type(tensor.grad_fn).__name__.rstrip("0123456789").removesuffix("Backward")
        made = f"the operation {kind!r}" if tensor.grad_fn is not None else "an operation"
        return f"{made} that gives {where} is hidden from torch's function modes"

    def hidden(self, tensor: Tensor, call: Call) -> str:
        """Describe the origin of an argument that no recorded call returned."""
        return self._hidden(tensor, f"an input of {call.description}")

    def _refuse_custom(self, output: Tensor) -> None:
        """Raise an error for custom autograd functions, which a replay bypasses, and functions without a gradient."""
        for call, results in zip(self.calls, self.results, strict=True):
            node = results[0].grad_fn
            if node is not None and node.name().endswith("NotImplemented"):
                raise Untraceable(f"{call.description} has no gradient")
        for node in _graph(output):
            kind = type(node)
            if not isinstance(node, torch.autograd.function.BackwardCFunction):
                continue
            if getattr(kind, "_forward_cls", kind).__module__.startswith("torch.utils.checkpoint"):
                continue
            where = self._custom.get(kind.__name__)
            name = kind.__name__.removesuffix("Backward")
            raise Untraceable(f"it has the autograd function {name!r}" + (f" in {where!r}" if where else ""))


def _graph(output: Tensor) -> Iterator[Any]:
    """Yield the nodes of the autograd graph behind a tensor."""
    waiting, seen = [output.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting.extend(each for each, _ in node.next_functions)


def _cast(part: nn.Module, casts: Casts) -> None:
    """Convert the parameters, buffers and other tensors of a module of a replica to single precision."""

    def single(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.dtype == torch.float32:
            return value
        if id(value) not in casts:
            cast = value.detach().to(torch.float32)
            casts[id(value)] = (
                value,
                nn.Parameter(cast, value.requires_grad) if isinstance(value, nn.Parameter) else cast,
            )
        return casts[id(value)][1]

    for key in ("_parameters", "_buffers"):
        part.__dict__[key] = {name: single(value) for name, value in part.__dict__[key].items()}
    for key, value in list(part.__dict__.items()):
        if isinstance(value, Tensor):
            part.__dict__[key] = single(value)
