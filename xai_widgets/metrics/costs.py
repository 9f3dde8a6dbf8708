"""Cost of a map: passes, seconds and memory.

passes     multiply-adds of convolutions and matrix products, in those of one forward pass; a backward pass adds about 2
seconds    wall time, of the second of two calls, as the first one warms up
memory     largest number of bytes in the tensors that live at one time, without those that lived before
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from xai_widgets.core.cost import operations_of, pass_cost
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import without_inference_mode
from xai_widgets.methods.registry import Method
from xai_widgets.metrics.base import Explanation, metric, saliency_of


@dataclass(frozen=True)
class MethodCost:
    """Cost of one call of a method.

    Attributes
    ----------
    passes : float
        Multiply-adds in those of one forward pass of the images.
    seconds : float
        Wall time of the second of two calls.
    megabytes : float
        Largest memory of the tensors that the method made, at one time.
    """

    passes: float
    seconds: float
    megabytes: float

    def __repr__(self) -> str:
        return f"MethodCost({self.passes:.1f} passes, {self.seconds:.3f} s, {self.megabytes:.1f} MB)"


@without_inference_mode
def method_cost(
    model: ImageModel,
    x: Any,
    target: Target = None,
    *,
    explain: str | Method | Callable[..., Any] = "gradient",
    **options: Any,
) -> MethodCost:
    """Measure one map: passes and memory in a first call, seconds in a second one.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind.
    target : int, str, callable, sequence or Tensor, optional
        The class, or one for each image. Default: the predicted class, whose pass is not counted.
    explain : str, Method or callable, default "gradient"
        The name of a method, an object with ``saliency(model, x, target)``, or your own function
        ``explain(model, x, target) -> map``.
    **options
        Options of the method.

    Returns
    -------
    MethodCost
    """
    model, x, target = prepare(model, x, target)
    one = pass_cost(model, (x.shape[2], x.shape[3])).multiply_adds * len(x)
    with _Memory() as memory:
        counted = operations_of(lambda: saliency_of(explain, model, x, target, **options))
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    began = time.perf_counter()
    saliency_of(explain, model, x, target, **options)
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    seconds = time.perf_counter() - began
    return MethodCost(counted.multiply_adds / max(one, 1.0), seconds, memory.peak / 1e6)


class _Memory(TorchDispatchMode):
    """Tracks the bytes of the storages that operations return, until they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {_storage_key(value) for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)}
        for value in tree_leaves(result):
            if isinstance(value, Tensor) and (key := _storage_key(value)) not in given | self._known:
                storage = value.untyped_storage()
                size = storage.nbytes()
                self._known.add(key)
                self.now += size
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._free, key, size)
        return result

    def _free(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _storage_key(value: Tensor) -> int:
    return value.untyped_storage()._cdata if value.layout == torch.strided else id(value)


_FACTS: dict[str, Any] = {
    "category": "cost",
    "direction": "lower",
    "needs": ("method",),
    "bounds": (0.0, float("inf")),
}


@metric("passes", title="Passes", measures="multiply-adds of the map, in those of one forward pass", **_FACTS)
def passes(explanation: Explanation) -> float:
    """Return the passes of one map."""
    return _measured(explanation).passes


@metric("seconds", title="Seconds", measures="wall time of the map", **_FACTS)
def seconds(explanation: Explanation) -> float:
    """Return the wall time of one map."""
    return _measured(explanation).seconds


@metric("megabytes", title="Memory", measures="largest memory of the tensors of the map, in MB", **_FACTS)
def megabytes(explanation: Explanation) -> float:
    """Return the memory of one map."""
    return _measured(explanation).megabytes


def _measured(explanation: Explanation) -> MethodCost:
    assert explanation.method is not None
    return method_cost(
        explanation.model,
        explanation.x,
        explanation.target,
        explain=explanation.method,
        **explanation.options,
    )
