"""Stores of results by key: in bounded memory, or in a folder that later sessions and other processes can use."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from xai_widgets.core.figures import draw_with_matplotlib, draw_with_plotly
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import brief
from xai_widgets.core.writing import atomic_write
from xai_widgets.studies.result_panels import result_panels

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")

#: Memory of a :class:`ResultStore` in bytes.
MAX_BYTES = 2**30


@dataclasses.dataclass(frozen=True, repr=False)
class Outcome(ShortRepr, Generic[Result]):
    """The result of one key so far, or the reason why there is none.

    Attributes
    ----------
    result : Result or None
        The latest snapshot; None before the first one, and after a failure unless the study can resume from it.
    error : str
        Why the computation failed; "" if it did not.
    warnings : tuple of str
        Warnings of the computation.
    complete : bool
        Whether the computation has ended, with a result or with an error.
    """

    result: Result | None = None
    error: str = ""
    warnings: tuple[str, ...] = ()
    complete: bool = False

    def plot(self) -> Any:
        """Draw the curves, maps and images of the result with matplotlib.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there is no result.
        """
        return draw_with_matplotlib(self._panels())

    def figure(self) -> Any:
        """Draw the result with plotly; errors are those of :meth:`plot`.

        Returns
        -------
        plotly.graph_objects.Figure
        """
        return draw_with_plotly(self._panels())

    def _panels(self) -> list[Any]:
        if self.result is None:
            raise ValueError(f"expected a result to draw, got none{f': {self.error}' if self.error else ''}")
        return list(result_panels(self.result))


class ResultStore(MutableMapping[Key, Outcome[Result]]):
    """Results in memory, up to a number of bytes; the one that was used longest ago is dropped first.

    The latest result is always kept. Safe to use from several threads.

    Parameters
    ----------
    max_bytes : int, default 2**30
        Memory of all arrays and tensors in the results.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._entries: OrderedDict[Key, tuple[Outcome[Result], int]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Memory of all arrays and tensors in the results."""
        return sum(size for _, size in list(self._entries.values()))

    def __getitem__(self, key: Key) -> Outcome[Result]:
        with self._lock:
            outcome, _ = self._entries[key]
            self._entries.move_to_end(key)
            return outcome

    def __setitem__(self, key: Key, outcome: Outcome[Result]) -> None:
        size = nbytes(outcome.result)
        with self._lock:
            self._entries[key] = outcome, size
            self._entries.move_to_end(key)
            total = sum(size for _, size in self._entries.values())
            while total > self.max_bytes and len(self._entries) > 1:
                _, (_, dropped) = self._entries.popitem(last=False)
                total -= dropped

    def __delitem__(self, key: Key) -> None:
        with self._lock:
            del self._entries[key]

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} results, {self.nbytes / 1e6:.1f} MB)"


def nbytes(value: Any) -> int:
    """Return the memory of all arrays and tensors in a value; one that occurs twice counts once."""
    seen: set[int] = set()

    def size(value: Any) -> int:
        if value is None or isinstance(value, str | int | float) or id(value) in seen:
            return 0
        seen.add(id(value))
        if isinstance(value, Tensor):
            return value.numel() * value.element_size()
        if isinstance(value, np.ndarray):
            return value.nbytes
        if isinstance(value, Mapping):
            return sum(map(size, value.values()))
        if isinstance(value, list | tuple | set | frozenset):
            return sum(map(size, value))
        if dataclasses.is_dataclass(value):
            return sum(size(getattr(value, field.name)) for field in dataclasses.fields(value))
        return 0

    return size(value)


class DiskStore(MutableMapping[Key, Outcome[Any]]):
    """Results in a folder, one file for each key, written beside and renamed.

    An evaluation that was interrupted continues from its results, and several processes may share a folder. Results
    consist of numbers, strings, arrays, tensors, and of tuples, lists and dicts of these; nothing is pickled.

    Parameters
    ----------
    folder : str or Path
        Made if it does not exist.

    Raises
    ------
    TypeError
        For a key or a result of another type.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def _path(self, key: Key) -> Path:
        return self.folder / f"{hashlib.sha256(_key_text(key).encode()).hexdigest()[:32]}.safetensors"

    def __getitem__(self, key: Key) -> Outcome[Any]:
        path = self._path(key)
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads(file.metadata()["outcome"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        except FileNotFoundError:
            raise KeyError(key) from None
        result = _decode(header["result"], tensors)
        return Outcome(result, header["error"], tuple(header["warnings"]), header["complete"])

    def __setitem__(self, key: Key, outcome: Outcome[Any]) -> None:
        tensors: dict[str, Tensor] = {}
        header = {
            "result": _encode(outcome.result, tensors),
            "error": outcome.error,
            "warnings": outcome.warnings,
            "complete": outcome.complete,
        }
        content = save(tensors, {"key": _key_text(key), "outcome": json.dumps(header)})
        with atomic_write(self._path(key)) as path:
            path.write_bytes(content)

    def __delitem__(self, key: Key) -> None:
        try:
            self._path(key).unlink()
        except FileNotFoundError:
            raise KeyError(key) from None

    def __contains__(self, key: object) -> bool:
        return self._path(key).exists()  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        """Yield the keys as tuples."""
        for path in sorted(self.folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                yield _tuples(json.loads(file.metadata()["key"]))

    def __len__(self) -> int:
        return sum(1 for _ in self.folder.glob("*.safetensors"))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r}, {len(self)} results)"


def _key_text(key: Any) -> str:
    return json.dumps(_plain_key(key))


def _plain_key(key: Any) -> Any:
    """Return a key as lists of plain values."""
    if key is None or isinstance(key, str | int | float | bool):
        return key
    if isinstance(key, tuple):
        return [_plain_key(part) for part in key]
    if dataclasses.is_dataclass(key) and not isinstance(key, type):
        return [_plain_key(getattr(key, field.name)) for field in dataclasses.fields(key)]
    raise TypeError(f"expected a key of strings, numbers, None and tuples of these, got {brief(key)}")


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _encode(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return a value as JSON with its arrays taken out, which are added to ``tensors``."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tensor | np.ndarray):
        name = str(len(tensors))
        kind = "tensor" if isinstance(value, Tensor) else "array"
        tensors[name] = torch.as_tensor(value).detach().cpu().contiguous().clone()
        return {"kind": kind, "value": name}
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {"kind": kind, "value": [_encode(part, tensors) for part in value]}
    if isinstance(value, dict):
        return {
            "kind": "dict",
            "value": [[_encode(k, tensors), _encode(v, tensors)] for k, v in value.items()],
        }
    raise TypeError(
        f"expected a result of numbers, strings, arrays, and tuples, lists and dicts of these, got {brief(value)}"
    )


def _decode(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    kind, content = value["kind"], value["value"]
    if kind == "tensor":
        return tensors[content]
    if kind == "array":
        return tensors[content].numpy()
    if kind == "dict":
        return {_decode(k, tensors): _decode(v, tensors) for k, v in content}
    parts = [_decode(part, tensors) for part in content]
    return tuple(parts) if kind == "tuple" else parts
