"""Weight files: bundled ones in half precision, and state dicts of the user."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

#: Folder of the bundled weights.
WEIGHTS = Path(__file__).parent / "weights"


def weights_path(name: str) -> Path:
    """Return the path of the weights of a bundled network."""
    return WEIGHTS / f"{name}.safetensors"


def save(network: nn.Module, path: Path, facts: dict[str, Any]) -> None:
    """Write the parameters and buffers of a network in half precision.

    Parameters
    ----------
    network : torch.nn.Module
        The network; it is not changed. Batch counters are omitted, since only training needs them.
    path : Path
        File to write, replaced atomically.
    facts : dict
        Metadata for the header, each value as JSON: classes, mean, std, size, accuracy and so on.
    """
    state = {
        name: value.detach().to("cpu", torch.float16).contiguous()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(state, partial, metadata={key: json.dumps(value) for key, value in facts.items()})
    partial.replace(path)


def annotate(path: Path, **facts: Any) -> None:
    """Add metadata to the header of a file written by `save`; the tensors are not changed."""
    with safe_open(path, framework="pt") as file:
        header = dict(file.metadata() or {})
    header.update({key: json.dumps(value) for key, value in facts.items()})
    partial = path.with_suffix(".partial")
    save_file(load_file(path), partial, metadata=header)
    partial.replace(path)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file written by `save`: the state dict in single precision, and the metadata of the header."""
    with safe_open(path, framework="pt") as file:
        facts = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
        state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    return state, facts


def read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a state dict from a file, on the CPU.

    Parameters
    ----------
    path : str or path
        A .safetensors file, or a file of `torch.save`, which is read with ``weights_only=True``. The state dict can be
        stored under "state_dict" or "model"; the prefix "module." of parallel training is removed.

    Returns
    -------
    dict of str to torch.Tensor
        Half-precision entries are converted to single precision.

    Raises
    ------
    ValueError
        If the file does not exist or does not contain a state dict.
    """
    if not isinstance(path, (str, os.PathLike)) or not os.path.isfile(path):
        raise ValueError(
            f"expected the path of a .pth or .safetensors file, got {str(path)!r}, which does not exist"
        )
    try:
        if str(path).endswith(".safetensors"):
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
    ) as error:
        raise ValueError(
            f"expected a file of tensors, got {str(path)!r}, which is damaged or holds other objects "
            f"({type(error).__name__}); save a network with torch.save(network.state_dict(), path)"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(v, Tensor) for v in content.values())
    ):
        raise ValueError(
            f"expected a file of a state dict, got {str(path)!r} with {type(content).__name__}; save a network with "
            "torch.save(network.state_dict(), path)"
        )
    return {
        key.removeprefix("module."): value.float() if value.dtype == torch.float16 else value
        for key, value in content.items()
    }


def _abbreviated(names: list[str]) -> str:
    """List at most three names and the number of the others."""
    shown = ", ".join(repr(name) for name in names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def load_state(network: nn.Module, state: dict[str, Tensor], *, source: object, name: str) -> None:
    """Load a state dict into a network in place, and set it to eval mode.

    Parameters
    ----------
    network : torch.nn.Module
        The network to change.
    state : dict of str to torch.Tensor
        One entry per parameter and buffer; batch counters can be missing.
    source : object
        Path of the state dict, for error messages.
    name : str
        Name of the network, for error messages.

    Raises
    ------
    ValueError
        For missing or unknown entries, or entries of another shape.
    """
    expected = network.state_dict()
    missing = [k for k in expected if k not in state and not k.endswith("num_batches_tracked")]
    extra = [k for k in state if k not in expected]
    wrong = [k for k in expected if k in state and state[k].shape != expected[k].shape]
    problems = []
    if missing:
        problems.append(f"without {_abbreviated(missing)}")
    if extra:
        problems.append(f"with the unknown {_abbreviated(extra)}")
    if wrong:
        key = wrong[0]
        problems.append(
            f"with {key!r} of shape {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}"
        )
    if problems:
        raise ValueError(f"expected the weights of {name}, got {str(source)!r} {', '.join(problems)}")
    network.load_state_dict(state, strict=False)
    network.eval()
