"""A device without a GPU: its tensors hold their numbers in CPU memory, and it is as strict as an accelerator.

The device is registered with torch as a backend in Python, so that ``tensor.device`` is its own, autograd runs its
backward passes on its own thread, and modules move to it. The kernels of the CPU compute its numbers, so results differ
from those of the CPU by the rounding of other batch sizes at most. It refuses what an accelerator refuses:

- operations on tensors of two devices, except CPU numbers without dimensions, CPU indices, and copies;
- ``numpy()`` of its tensors, and generators of the CPU for its tensors;
- float64, inside :func:`without_float64`, as on MPS.

:func:`recorded` counts what makes the host wait for the device or depends on the device's own random numbers.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

NAME = "simulated"
AVAILABLE = hasattr(backend_registration, "_setup_privateuseone_for_python_backend")

#: Operations that return a number or a size to the host.
READS = {
    "_local_scalar_dense", "is_nonzero", "equal", "allclose", "nonzero", "nonzero_numpy", "masked_select", "_unique2",
    "unique_dim", "unique_consecutive", "unique_dim_consecutive", "bincount", "repeat_interleave",
    "linalg_matrix_rank", "histc",
}  # fmt: skip
#: Operations that accept tensors of two devices.
COPIES = {"copy_", "_to_copy"}
#: Operations that accept indices on the CPU, which are copied to the device.
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}
#: Operations that make a tensor of numbers.
FACTORIES = {
    f"aten::{name}"
    for name in (
        "arange",
        "linspace",
        "logspace",
        "eye",
        "randperm",
        "full",
        "range",
        "fft_fftfreq",
        "fft_rfftfreq",
    )
}
#: Operations that draw random numbers.
RANDOM = {
    "rand", "randn", "randint", "rand_like", "randn_like", "randint_like", "bernoulli", "bernoulli_", "uniform_",
    "normal_", "normal", "random_", "multinomial", "randperm", "native_dropout", "exponential_", "poisson",
}  # fmt: skip


class _State:
    """Settings of the device and the events that are recorded, of all threads."""

    float64 = True
    events: Counter[tuple[str, str]] | None = None


STATE = _State()
_library: list[torch.library.Library] = []


class SimulatedTensor(Tensor):
    """A tensor of the device around one of the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> SimulatedTensor:
        if held.dtype in (torch.float64, torch.complex128) and not STATE.float64:
            raise TypeError(f"expected at most float32 on the device, got {held.dtype}")
        made = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _call(function, args, kwargs or {})

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self, **_: Any) -> str:
        return f"{self.held!r} on {NAME}"


def _is_ours(device: Any) -> bool:
    return device is not None and torch.device(device).type == NAME


def _record(kind: str) -> None:
    """Count an event under the innermost line of the package that caused it."""
    if STATE.events is None:
        return
    frames = [each for each in traceback.extract_stack() if "/xai_widgets/" in each.filename]
    last = frames[-1] if frames else None
    where = f"{last.filename.rpartition('/xai_widgets/')[2]}:{last.lineno}" if last else "outside"
    STATE.events[kind, where] += 1


def _call(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation on the CPU, and return tensors of the device that the operation has on an accelerator."""
    name = function._schema.name.partition("::")[2]
    flat, layout = tree_flatten((args, kwargs))
    tensors = [each for each in flat if isinstance(each, Tensor)]
    ours = [each for each in tensors if isinstance(each, SimulatedTensor)]
    device = kwargs.get("device")
    if name == "_fused_sdp_choice":
        return 0  # The formula: fused kernels of the CPU have other names.
    _check_devices(name, tensors, ours)
    _check_random(name, flat, ours, device)
    if name in READS and ours:
        _record("read")
    if name == "index" and any(
        each is not None and each.dtype in (torch.bool, torch.uint8) and isinstance(each, SimulatedTensor)
        for each in args[1]
    ):
        _record("read")
    wrappers = {id(each.held): each for each in ours}
    held = [
        each.held if isinstance(each, SimulatedTensor)
        else torch.device("cpu") if isinstance(each, torch.device) and _is_ours(each)
        else each
        for each in flat
    ]  # fmt: skip
    held_args, held_kwargs = tree_unflatten(held, layout)
    if held_kwargs.get("pin_memory"):
        held_kwargs["pin_memory"] = False
    if name == "copy_" and len({isinstance(each, SimulatedTensor) for each in args[:2]}) == 2:
        _record("upload" if isinstance(args[0], SimulatedTensor) else "read")
    elif name == "_to_copy" and device is not None and _is_ours(device) != bool(ours):
        _record("upload" if not ours else "read")
    if device is not None and not _is_ours(device) and name == "_to_copy":
        # Another device is another memory: never an alias.
        return function(*held_args, **held_kwargs)
    result = function(*held_args, **held_kwargs)
    on_device = _is_ours(device) if device is not None else bool(ours)
    if name == "copy_":
        on_device = isinstance(args[0], SimulatedTensor)
        if not on_device:
            return args[0]
    for each in ours:
        if each.shape != each.held.shape or each.stride() != each.held.stride():
            with torch._C._DisableTorchDispatch():  # type: ignore[attr-defined]
                function(*args, **kwargs)

    def wrapped(value: Any) -> Any:
        if not isinstance(value, Tensor) or not on_device or isinstance(value, SimulatedTensor):
            return value
        return wrappers.get(id(value)) if id(value) in wrappers else SimulatedTensor(value)

    return tree_map(wrapped, result)


def _check_devices(name: str, tensors: list[Tensor], ours: list[SimulatedTensor]) -> None:
    others = [each for each in tensors if not isinstance(each, SimulatedTensor) and each.dim()]
    if not ours or not others or name in COPIES:
        return
    integers = (torch.int64, torch.int32, torch.bool, torch.uint8)
    if name in INDEXED and tensors[0] is ours[0] and all(each.dtype in integers for each in others):
        _record("upload")
        return
    raise RuntimeError(f"expected all tensors on one device, got {NAME} and cpu in {name}")


def _check_random(name: str, flat: list[Any], ours: list[SimulatedTensor], device: Any) -> None:
    if name not in RANDOM or not (ours or _is_ours(device)):
        return
    if any(isinstance(each, torch.Generator) for each in flat):
        raise RuntimeError(f"expected a generator of the device in {name}, got one of the CPU")
    _record("random")


class _Module:
    """Answers to the questions of torch about a device."""

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def is_initialized() -> bool:
        return True

    @staticmethod
    def current_device() -> int:
        return 0

    @staticmethod
    def device_count() -> int:
        return 1

    @staticmethod
    def _is_in_bad_fork() -> bool:
        return False

    @staticmethod
    def manual_seed_all(seed: int) -> None:
        pass

    @staticmethod
    def get_amp_supported_dtype() -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


def _copy_from(source: Tensor, goal: Tensor, non_blocking: bool = False) -> Tensor:
    copied: Tensor = _call(torch.ops.aten.copy_.default, (goal, source), {})
    return copied


def _factories() -> Iterator[tuple[str, Any]]:
    """Name the operations that make a tensor of numbers; others fill an empty tensor, whose size could change."""
    for name in torch._C._dispatch_get_all_op_names():
        if name.split(".")[0] in FACTORIES and not name.endswith("out"):
            base, _, overload = name.removeprefix("aten::").partition(".")
            yield name.removeprefix("aten::"), getattr(getattr(torch.ops.aten, base), overload or "default")


def _call_factory(function: Any, *args: Any, **kwargs: Any) -> Any:
    return _call(function, args, kwargs)


def register() -> torch.device:
    """Register the device with torch, once in a process, and return it."""
    if not _library:
        backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
        library = torch.library.Library("_", "IMPL")
        library.fallback(lambda function, *args, **kwargs: _call(function, args, kwargs), "PrivateUse1")
        aten = torch.library.Library("aten", "IMPL")
        # torch.tensor() reaches this operation without the fallback.
        aten.impl("_copy_from", _copy_from, "PrivateUse1")
        for name, factory in _factories():
            aten.impl(name, partial(_call_factory, factory), "PrivateUse1")
        _library.extend((library, aten))
    return torch.device(NAME, 0)


@contextmanager
def recorded() -> Iterator[Counter[tuple[str, str]]]:
    """Count events by kind and line: "read" and "upload" make the host wait, "random" depends on the device."""
    before, STATE.events = STATE.events, Counter()
    try:
        yield STATE.events
    finally:
        STATE.events = before


@contextmanager
def without_float64() -> Iterator[None]:
    """Refuse float64 on the device."""
    before, STATE.float64 = STATE.float64, False
    try:
        yield
    finally:
        STATE.float64 = before
