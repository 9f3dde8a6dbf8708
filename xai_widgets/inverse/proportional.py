"""Units whose output is proportional to their input, so that nothing adds a bias."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from xai_widgets.inverse.operations import POOLS, is_linear
from xai_widgets.inverse.signs import Signs
from xai_widgets.tracing import Trace, Value, leaves

#: Calls f with f(t x) = t f(x) for t > 0 that are not linear, and those of them for which all arguments must be x.
_PROPORTIONAL = POOLS | {
    "relu", "leaky_relu", "prelu", "rrelu", "abs", "absolute", "norm", "linalg_vector_norm", "vector_norm", "amax",
    "amin",
}  # fmt: skip
_EXTREMES = frozenset({"max", "min", "maximum", "minimum", "fmax", "fmin"})


def is_proportional(
    traced: Trace, signs: Signs, begins: Iterable[Value], ends: Iterable[Value], indices: Iterable[int]
) -> bool:
    """Return whether f(t x) = t f(x) holds for t > 0 and the part f of a network between results, of these calls.

    It holds for convolutions, linear layers and batch normalizations without a shift, for ReLUs, pools, sums, and
    blocks of them.
    """
    proportional = {begin.call for begin in begins}
    for index in indices:
        call = traced.calls[index]
        rectified = signs.rectified(index)
        if rectified is not None:
            clipped = call.name in ("relu6", "hardtanh") or (
                call.name in ("clamp", "clip") and call.argument(2, "max") is not None
            )
            keeps = rectified.call in proportional and not clipped
        else:
            depending = {value.call for value in call.values() if traced.calls[value.call].depends}
            keeps = depending <= proportional and _keeps(traced, index)
        if keeps:
            proportional.add(index)
    return {end.call for end in ends} <= proportional


def _keeps(traced: Trace, index: int) -> bool:
    """Return whether the result of a call is proportional to its arguments that depend on the image."""
    call = traced.calls[index]
    if call.name in _EXTREMES:
        tensors = [leaf for leaf in leaves((call.args, call.kwargs)) if isinstance(leaf, Value | Tensor)]
        return all(isinstance(leaf, Value) and traced.calls[leaf.call].depends for leaf in tensors)
    if call.name in _PROPORTIONAL:
        return True
    return is_linear(traced, index) and all(_is_zero(each) for each in traced.at_zero(index))


def _is_zero(tensor: Tensor) -> bool:
    """Return whether all values are 0, or infinite like the padding of a max-pool."""
    return not tensor.is_floating_point() or bool(((tensor == 0) | tensor.isinf()).all())
