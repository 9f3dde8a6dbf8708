"""Validation of arguments: numbers, tensors and choices of Python, numpy and torch.

A number may be an ``int``, a ``float``, a numpy scalar, or an array or tensor of one element. Each function returns the
plain value or raises an error ``expected <what>, got <what>`` that never prints a tensor and never calls the ``repr``
of an unknown object. Importing this module does not import torch.
"""

from __future__ import annotations

import math
import numbers as abstract
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar, overload

import numpy as np

from xai_widgets.errors import unknown_name

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

#: Range of the seeds of ``torch.Generator``.
LOWEST_SEED, HIGHEST_SEED = -(2**63), 2**64 - 1


def number(
    value: Any,
    name: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    hint: str = "",
) -> float:
    """Return a finite number as a ``float``.

    Parameters
    ----------
    value
        A number of Python, numpy or torch, or an array or tensor of one element.
    name : str
        Name of the argument, for the error message.
    low, high : float, optional
        Smallest and largest valid number.
    above, below : float, optional
        Exclusive bounds.
    hint : str, optional
        End of the error message.

    Raises
    ------
    TypeError
        For anything that is not a number, a boolean included.
    ValueError
        For NaN, infinity, or a number out of range.
    """
    expected = _range("a number", low, high, above, below)
    plain = plain_number(value)
    if plain is None:
        raise TypeError(_message(name, expected, value, hint))
    try:
        plain = float(plain)
    except OverflowError:
        plain = math.inf
    if not math.isfinite(plain) or _outside(plain, low, high, above, below):
        raise ValueError(_message(name, expected, value, hint))
    return plain


def integer(value: Any, name: str, *, low: int | None = None, high: int | None = None, hint: str = "") -> int:
    """Return a whole number as an ``int``; see :func:`number`. A float without a fraction is a whole number."""
    expected = _range("an integer", low, high, None, None)
    plain = plain_number(value)
    if plain is None:
        raise TypeError(_message(name, expected, value, hint))
    # A large integer cannot be converted to a float.
    if (isinstance(plain, float) and not plain.is_integer()) or _outside(int(plain), low, high, None, None):
        raise ValueError(_message(name, expected, value, hint))
    return int(plain)


def seed(value: Any, name: str = "seed") -> int:
    """Return a seed for ``torch.Generator`` as an ``int``."""
    return integer(value, name, low=LOWEST_SEED, high=HIGHEST_SEED)


def numbers(
    values: Any, name: str, *, length: int | None = None, hint: str = "", **limits: float | None
) -> list[float]:
    """Return the numbers of a sequence, an array or a tensor as floats, each within the limits of :func:`number`."""
    return [number(value, f"each of {name}", hint=hint, **limits) for value in items(values, name, length)]


def integers(
    values: Any, name: str, *, length: int | None = None, low: int | None = None, high: int | None = None
) -> list[int]:
    """Return the whole numbers of a sequence, an array or a tensor as integers; see :func:`integer`."""
    return [integer(value, f"each of {name}", low=low, high=high) for value in items(values, name, length)]


def items(values: Any, name: str, length: int | None = None, *, what: str = "numbers") -> list[Any]:
    """Return the items of a sequence, or of an array or a tensor of one dimension, as a list.

    Raises
    ------
    TypeError
        For anything that is not ordered, such as a string, a dict, a set or a number.
    ValueError
        If it is empty, or the number of items is not ``length``.
    """
    expected = f"a sequence of {what}" if length is None else f"{length} {what}"
    if is_tensor(values) or isinstance(values, np.ndarray):
        if (is_tensor(values) and not dense(values)) or values.ndim != 1:
            raise TypeError(f"expected {name} to be {expected}, got {brief(values)}")
        listed = list(values.tolist())
    elif isinstance(values, str | bytes | dict | set | frozenset) or not isinstance(values, Iterable):
        raise TypeError(f"expected {name} to be {expected}, got {brief(values)}")
    else:
        listed = list(values)
    if not listed or length not in (None, len(listed)):
        raise ValueError(f"expected {name} to be {expected}, got {brief(values)}")
    return listed


def choice(value: Any, name: str, choices: Iterable[str]) -> None:
    """Raise TypeError or ValueError, with the nearest choice, unless the value is one of the choices."""
    names = tuple(choices)
    if not isinstance(value, str):
        raise TypeError(f"expected {name} to be one of {', '.join(map(repr, names))}, got {brief(value)}")
    if value not in names:
        raise ValueError(unknown_name(name, value, names))


def dimensions(value: Any, default: int) -> int:
    """Return the number of dimensions of a tensor or an array; ``default`` for anything else."""
    return value.ndim if is_tensor(value) or isinstance(value, np.ndarray | np.generic) else default


def boolean(value: Any, name: str) -> bool:
    """Return a boolean of Python or numpy as a ``bool``."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"expected {name} to be True or False, got {brief(value)}")
    return bool(value)


@overload
def instance(value: Any, name: str, kind: type[T]) -> T: ...
@overload
def instance(value: Any, name: str, kind: tuple[type, ...]) -> Any: ...
def instance(value: Any, name: str, kind: Any) -> Any:
    """Return the value if it is an instance of ``kind``; TypeError otherwise."""
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise TypeError(
            f"expected {name} to be {' or '.join(each.__name__ for each in kinds)}, got {brief(value)}"
        )
    return value


def tensor(
    value: Any, name: str, shape: Sequence[str | int], *, finite: bool = False, like: Tensor | None = None
) -> Tensor:
    """Convert an array of real numbers to a tensor; a tensor keeps its autograd graph.

    Parameters
    ----------
    value : Tensor, ndarray or sequence
        Numbers; a sequence may hold tensors or arrays of one shape.
    name : str
        Name of the argument, for the error message.
    shape : sequence of str or int
        Sizes, or letters for any size above 0.
    finite : bool, default False
        Whether NaN and infinity raise an error.
    like : Tensor, optional
        Tensor whose dtype and device the result gets.

    Raises
    ------
    TypeError
        For anything else than real numbers, and for nested, sparse and meta tensors.
    ValueError
        For another shape, or numbers that are not finite.
    """
    expected = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
    converted = _as_tensor(value)
    if converted is None:
        raise TypeError(f"expected {name} as numbers of shape {expected}, got {brief(value)}")
    fits = converted.ndim == len(shape) and all(
        actual == size if isinstance(size, int) else actual > 0
        for actual, size in zip(converted.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(f"expected {name} of shape {expected}, got {tuple(converted.shape)}")
    if like is not None:
        converted = converted.to(like)
    if finite and not bool(converted.isfinite().all()):
        raise ValueError(f"expected finite {name}, got NaN or infinite values")
    return converted


def is_tensor(value: object) -> TypeGuard[Tensor]:
    """Return whether a value is a tensor of torch, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def dense(value: Tensor) -> bool:
    """Return whether a tensor is a dense one of real numbers: not nested, sparse, meta, quantized or complex."""
    return (
        not value.is_nested
        and str(value.layout) == "torch.strided"
        and not value.is_meta
        and not value.is_quantized
        and not value.is_complex()
    )


def check_finite(scores: Tensor, source: str, what: str = "scores") -> Tensor:
    """Return the output of a network; ValueError if it contains NaN or infinity.

    Parameters
    ----------
    scores : Tensor
        Output of a network.
    source : str
        Name of the network.
    what : str, default "scores"
        Name of the output. Scores may be minus infinity, which excludes a class.

    Notes
    -----
    Inside :meth:`xai_widgets.core.finite.FiniteChecks.collect`, outputs on an accelerator are checked later.
    """
    from xai_widgets.core.guard import thread_state

    if thread_state.pending is not None and scores.device.type != "cpu":
        thread_state.pending.append((scores.detach(), source, what))
        return scores
    # One reduction and one transfer: a sum of finite numbers is finite unless it overflows.
    if math.isfinite(float(scores.detach().sum())):
        return scores
    allowed = scores.isfinite() | scores.isneginf() if what == "scores" else scores.isfinite()
    if not bool(allowed.all()):
        kind = "NaN" if bool(scores.isnan().any()) else "infinite"
        raise ValueError(
            f"expected finite {what}, got {kind} {what} from the network {brief(source)}; "
            "its weights may have diverged in training"
        )
    return scores


def check_fields(settings: object, check: Callable[..., Any], *names: str, **limits: Any) -> None:
    """Validate fields of a frozen dataclass in its ``__post_init__`` and set them to the plain values."""
    for name in names:
        object.__setattr__(settings, name, check(getattr(settings, name), name, **limits))


def brief(value: object, limit: int = 60) -> str:
    """Describe a value briefly for an error message.

    Numbers and strings are printed, truncated to ``limit`` characters; tensors and arrays by shape and dtype; any other
    object by its type only, as its ``repr`` may be long or fail.
    """
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        # Python raises an error for the repr of an integer of thousands of digits.
        huge = isinstance(value, int) and abs(value) >= 10**limit
        return "a very large integer" if huge else _truncate(repr(value), limit)
    if isinstance(value, np.generic) and value.dtype.kind in "iufb":
        return repr(value.item())
    if is_tensor(value):
        if value.is_nested:
            return "a nested tensor"
        kind = "a meta" if value.is_meta else "a" if str(value.layout) == "torch.strided" else "a sparse"
        return f"{kind} tensor of shape {tuple(value.shape)} and {value.dtype}"
    if isinstance(value, np.ndarray):
        return _truncate(f"an array of shape {value.shape} and {value.dtype}", 2 * limit)
    if type(value) in (list, tuple, set, frozenset, dict):
        parts = list(value)  # type: ignore[call-overload]
        plain = type(value) in (list, tuple) and all(
            type(part) in (int, float, str, type(None)) for part in parts[:9]
        )
        printed = repr(value) if plain and len(parts) < 9 else ""
        return printed if 0 < len(printed) <= limit else f"a {type(value).__name__} of {len(parts)}"
    return _truncate(type(value).__name__, limit)


def _truncate(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def plain_number(value: Any) -> float | int | None:
    """Convert a number of numpy or torch to one of Python; None for anything else."""
    if is_tensor(value) or isinstance(value, np.ndarray | np.generic):
        if not _dense(value):
            return None
        size = value.numel() if is_tensor(value) else value.size
        value = value.item() if size == 1 else None
    if isinstance(value, bool) or not isinstance(value, abstract.Real):
        return None
    return value if isinstance(value, int | float) else float(value)


def _dense(value: Tensor | np.ndarray | np.generic) -> bool:
    return dense(value) if is_tensor(value) else np.asarray(value).dtype.kind in "iufb"


def _as_tensor(value: Any) -> Tensor | None:
    """Convert a value to a tensor of real numbers; None if that is impossible."""
    import torch

    if is_tensor(value):
        return value if dense(value) else None
    if isinstance(value, list | tuple) and any(is_tensor(item) for item in value):
        parts = [_as_tensor(item) for item in value]
        tensors = [part for part in parts if part is not None]
        uniform = len({(part.shape, part.dtype, part.device) for part in tensors}) == 1
        return torch.stack(tensors) if uniform and len(tensors) == len(parts) else None
    try:
        array = np.asarray(value)
        # torch does not support other byte orders, negative strides, and large unsigned integers.
        array = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
        if array.dtype.kind == "u" and array.dtype.itemsize > 1:
            array = array.astype(np.int64)
        if array.dtype.kind == "f" and array.dtype.itemsize > 8:
            array = array.astype(np.float64)
        return torch.from_numpy(array) if array.dtype.kind in "iufb" else None
    except Exception:  # an object may raise any exception when numpy converts it
        return None


def _outside(
    value: float, low: float | None, high: float | None, above: float | None, below: float | None
) -> bool:
    return (
        (low is not None and value < low)
        or (high is not None and value > high)
        or (above is not None and value <= above)
        or (below is not None and value >= below)
    )


def _range(kind: str, low: float | None, high: float | None, above: float | None, below: float | None) -> str:
    if low is not None and high is not None:
        return f"{kind} from {low} to {high}"
    bounds = [
        f"{words} {bound}"
        for words, bound in (("of at least", low), ("above", above), ("at most", high), ("below", below))
        if bound is not None
    ]
    return f"{kind} {' and '.join(bounds)}".strip()


def _message(name: str, expected: str, value: Any, hint: str) -> str:
    return f"expected {name} to be {expected}, got {brief(value)}" + (f"; {hint}" if hint else "")
