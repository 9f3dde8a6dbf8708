"""Convolutions that are followed by batch norm, found as a network runs; see :mod:`xai_widgets.core.folding`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import ref

import torch.nn.functional as F
from torch import Tensor, nn

from xai_widgets.core.function_calls import argument
from xai_widgets.core.guard import FunctionMode

#: Functions that read the shape or the type of a tensor, but none of its values.
_SHAPES = frozenset(
    {"dim", "size", "numel", "nelement", "stride", "is_contiguous", "is_floating_point", "__len__"}
)
#: Attributes of a tensor that do not depend on its values.
_ATTRIBUTES = (
    Tensor.shape, Tensor.ndim, Tensor.dtype, Tensor.device, Tensor.layout, Tensor.requires_grad, Tensor.is_cuda,
)  # fmt: skip


class TensorName(NamedTuple):
    """A parameter or buffer of a network by the path of its module."""

    path: str
    name: str
    buffer: bool

    def find(self, modules: dict[str, nn.Module]) -> Tensor:
        """Return the tensor in a replica, from its modules by their paths; KeyError if there is none."""
        module = modules[self.path]
        found = (module._buffers if self.buffer else module._parameters)[self.name]
        if found is None:
            raise KeyError(self.name)
        return found


class Site(NamedTuple):
    """A convolution and the batch norm that follows it, by the names of their tensors."""

    weight: TensorName
    bias: TensorName | None
    mean: TensorName
    variance: TensorName
    factor: TensorName | None
    shift: TensorName | None
    eps: float

    @property
    def paths(self) -> set[str]:
        """The paths of the modules that have the tensors."""
        return {name.path for name in self[:-1] if name is not None}

    def find(self, modules: dict[str, nn.Module]) -> list[Tensor | None]:
        """Return the tensors in a replica; see :class:`TensorName`."""
        return [None if name is None else name.find(modules) for name in self[:-1]]


@dataclass(frozen=True)
class Plan:
    """The calls of torch functions in a pass, and the convolutions to fold by the number of their call.

    ``weights`` and ``outputs`` count the values in the weights of these convolutions, and in their outputs for one
    image.
    """

    calls: tuple[Any, ...] = ()
    sites: dict[int, Site] | None = None
    weights: int = 0
    outputs: int = 0


class Recorder(FunctionMode):
    """Records the calls of a pass, and which convolutions are followed by batch norm only."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._names = {
            id(tensor): TensorName(path, name, buffer)
            for path, module in network.named_modules()
            for buffer, group in ((False, module._parameters), (True, module._buffers))
            for name, tensor in group.items()
            if tensor is not None
        }
        self._calls: list[Any] = []
        #: By the id of its output, the number of the call of each convolution.
        self._numbers: dict[int, int] = {}
        #: By number: the output, which is kept so that its id stays its own, and weight and bias.
        self._convolutions: dict[int, tuple[Tensor, Tensor, Tensor | None]] = {}
        self._sites: dict[int, Site] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        number = len(self._calls)
        self._calls.append(func)
        if self._numbers and not reads_shape(func):
            self._use(func, args, kwargs)
        result = func(*args, **kwargs)
        if func is F.conv2d and isinstance(result, Tensor):
            weight, bias = argument(args, kwargs, 1, "weight"), argument(args, kwargs, 2, "bias")
            self._numbers[id(result)] = number
            self._convolutions[number] = result, weight, bias
        return result

    def _use(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note what uses the output of a convolution: its first use must be batch norm, and its only one."""
        for tensor in tensors_in((args, kwargs)):
            number = self._numbers.get(id(tensor))
            if number is None:
                continue
            site = None
            if func is F.batch_norm and number not in self._sites and args and tensor is args[0]:
                site = self._site(number, args, kwargs)
            self._sites.pop(number, None)
            if site is None:
                del self._numbers[id(tensor)]
            else:
                self._sites[number] = site

    def _site(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Site | None:
        """Return the names of the tensors of a convolution and its batch norm; None if it cannot be folded."""
        output, weight, bias = self._convolutions[number]
        if argument(args, kwargs, 5, "training", False):
            return None
        tensors = [weight, bias, *statistics_of(args, kwargs)]
        if any(tensor is not None and tensor.dtype != output.dtype for tensor in tensors):
            return None
        names = [None if tensor is None else self._names.get(id(tensor)) for tensor in tensors]
        if any(name is None and tensor is not None for name, tensor in zip(names, tensors, strict=True)):
            return None
        weight_name, bias_name, mean, variance, factor, shift = names
        if weight_name is None or mean is None or variance is None:
            return None
        eps = argument(args, kwargs, 7, "eps", 1e-5)
        return Site(weight_name, bias_name, mean, variance, factor, shift, eps)

    def plan(self) -> Plan:
        """Return the plan, without convolutions whose output is still in use after the pass."""
        outputs = {number: self._convolutions[number][0].numel() for number in self._sites}
        weights = {number: self._convolutions[number][1].numel() for number in self._sites}
        kept = {number: ref(output) for number, (output, *_) in self._convolutions.items()}
        self._convolutions.clear()
        sites = {number: site for number, site in self._sites.items() if kept[number]() is None}
        return Plan(
            tuple(self._calls),
            sites,
            sum(weights[number] for number in sites),
            sum(outputs[number] for number in sites),
        )


def statistics_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor | None]:
    """Return mean, variance, factor and shift of a call of ``batch_norm``."""
    names = ("running_mean", "running_var", "weight", "bias")
    return [argument(args, kwargs, index, name) for index, name in enumerate(names, 1)]


def reads_shape(func: Any) -> bool:
    """Return whether a function does not depend on the values of its tensors."""
    name = getattr(func, "__name__", "")
    return name in _SHAPES or (name == "__get__" and getattr(func, "__self__", None) in _ATTRIBUTES)


def tensors_in(value: Any) -> list[Tensor]:
    """Return the tensors in nested arguments."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, list | tuple | type({}.values())):
        return [tensor for each in value for tensor in tensors_in(each)]
    return []
