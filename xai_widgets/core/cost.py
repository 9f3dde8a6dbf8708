"""The cost of a pass, estimated without a clock, from which defaults are chosen.

The estimate counts the multiply-adds of a pass and the values that its convolutions and products return, so that it is
the same on every machine and in every session. Measured on a CPU, one returned value takes the time of some hundred
multiply-adds: a depthwise convolution has few of these and many of those.

A default that depends on the cost is the published one while the whole computation stays below a budget, and as much of
it as the budget allows for larger networks, but never less than a documented minimum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from xai_widgets.core.guard import guarded, outside_inference, thread_state
from xai_widgets.core.model import ImageModel

#: Operations that a default may take on a CPU, about 40 s on one thread, and on other devices.
CPU_BUDGET, OTHER_BUDGET = 5e12, 3e14
#: Time of one returned value, in multiply-adds.
PER_VALUE = 400
#: Cost of a pass with gradients, in passes without.
GRADIENT = 3
#: Memory of a pass with gradients, in bytes for each byte of the returned values.
MEMORY = 3


@dataclass(frozen=True)
class PassCost:
    """Cost of a pass of one image.

    Attributes
    ----------
    multiply_adds : float
        Multiply-adds of convolutions and matrix products.
    values : float
        Number of values that they return.
    largest : float
        Number of values that the largest of them returns.
    """

    multiply_adds: float
    values: float
    largest: float = 0.0

    @property
    def operations(self) -> float:
        """Time in multiply-adds."""
        return self.multiply_adds + PER_VALUE * self.values

    @property
    def memory(self) -> float:
        """Approximate bytes that a pass with gradients takes."""
        return 4 * MEMORY * self.values


#: Cost for each pixel of a network whose pass cannot be counted: that of a ResNet-50.
_UNKNOWN = PassCost(80_000, 220, 16)
#: By network: the cost of a pass of one image of its size.
_costs: WeakKeyDictionary[ImageModel, PassCost] = WeakKeyDictionary()


def pass_cost(model: ImageModel, size: tuple[int, ...] | None = None) -> PassCost:
    """Return the cost of a pass of one image.

    The first call for a network runs one blank image.

    Parameters
    ----------
    model : ImageModel
        The network.
    size : (int, int), optional
        Height and width of the image. Default: those of the network.
    """
    if model not in _costs:
        _costs[model] = _count(model)
    cost = _costs[model]
    share = 1.0 if size is None else size[0] * size[1] / (model.size[0] * model.size[1])
    return PassCost(share * cost.multiply_adds, share * cost.values, share * cost.largest)


def affordable(
    model: ImageModel,
    size: tuple[int, ...],
    *,
    least: int,
    most: int,
    each: float = 1,
    gradient: bool = False,
) -> int:
    """Return how often a computation may be repeated by default: as often as the budget allows.

    Parameters
    ----------
    model : ImageModel
        The network.
    size : (int, int)
        Height and width of the images.
    least, most : int
        Bounds of the result.
    each : float, default 1
        Images that pass through the network in each repetition.
    gradient : bool, default False
        Whether the passes compute gradients.
    """
    budget = CPU_BUDGET if model.device.type == "cpu" else OTHER_BUDGET
    one = each * pass_cost(model, size).operations * (GRADIENT if gradient else 1)
    return max(least, min(most, int(budget / max(one, 1.0))))


def operations_of(compute: Callable[[], object]) -> PassCost:
    """Return the operations of a computation, backward passes included."""
    counter = _Counter()
    with counter:
        compute()
    return PassCost(counter.multiply_adds, counter.values, counter.largest)


@guarded
def _count(model: ImageModel) -> PassCost:
    """Count the operations in the pass of a blank image."""
    height, width = model.size
    counter = _Counter()
    with outside_inference(), torch.no_grad():
        # Hooks of the caller are for its own passes.
        thread_state.hooks = ()
        blank = torch.zeros(1, model.channels, height, width, device=model.device)
        try:
            with counter:
                model(blank)
        except Exception:  # the cost does not refuse networks; operations until the error are counted
            pass
    if not counter.values:
        pixels = height * width
        return PassCost(
            *(each * pixels for each in (_UNKNOWN.multiply_adds, _UNKNOWN.values, _UNKNOWN.largest))
        )
    return PassCost(counter.multiply_adds, counter.values, counter.largest)


def _convolution_flops(x: Tensor, weight: Tensor, *_: Any, out_val: Tensor, **__: Any) -> int:
    """Return the operations of a convolution: two for each value and each weight that it is a product of."""
    return 2 * out_val.numel() * weight[0].numel()


class _Counter(TorchDispatchMode):
    """Counts multiply-adds, and the values that convolutions and matrix products return."""

    def __init__(self) -> None:
        super().__init__()
        from torch.utils.flop_counter import flop_registry

        # The convolution of folded passes is not in the registry of torch.
        own = {torch.ops.aten.mkldnn_convolution: _convolution_flops}
        self._flops: dict[Any, Callable[..., int]] = {**flop_registry, **own}
        self.multiply_adds = 0.0
        self.values = self.largest = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        flops = self._flops.get(func._overloadpacket)
        if flops is not None:
            self.multiply_adds += flops(*args, **kwargs, out_val=result) / 2
            first = result[0] if isinstance(result, tuple | list) else result
            made = first.numel() if isinstance(first, Tensor) else 0
            self.values += made
            self.largest = max(self.largest, made)
        return result
