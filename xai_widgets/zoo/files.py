"""Files of weights: the bundled ones in half precision, and state dicts of the user's own."""

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

#: Folder of the weights that are part of the package.
WEIGHTS = Path(__file__).parent / "weights"


def weights_path(name: str) -> Path:
    """Where the weights of a bundled network lie."""
    return WEIGHTS / f"{name}.safetensors"


def save(network: nn.Module, path: Path, facts: dict[str, Any]) -> None:
    """Write a network's parameters and buffers in half precision.

    Parameters
    ----------
    network : torch.nn.Module
        Left as it is. Counters of batches are left out: only training would need them.
    path : Path
        File to write; replaced in one step, so that a reader never sees half of it.
    facts : dict
        What to note in the header, each value as JSON: classes, mean, std, size, accuracy and so on.
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
    """Add facts to the header of a file that `save` wrote; the tensors keep their bits."""
    with safe_open(path, framework="pt") as file:
        header = dict(file.metadata() or {})
    header.update({key: json.dumps(value) for key, value in facts.items()})
    partial = path.with_suffix(".partial")
    save_file(load_file(path), partial, metadata=header)
    partial.replace(path)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save` wrote: the state in single precision, and the facts of the header."""
    with safe_open(path, framework="pt") as file:
        facts = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
        state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    return state, facts


def read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """A state dict from a file, on the CPU.

    Parameters
    ----------
    path : str or path
        A .safetensors file, or one of `torch.save`, read without running code from it. A state dict that lies
        under "state_dict" or "model" is found, the prefix "module." of parallel training removed.

    Returns
    -------
    dict of str to torch.Tensor
        Half-precision entries in single precision.

    Raises
    ------
    ValueError
        If there is no such file or no state dict in it.
    """
    if not isinstance(path, (str, os.PathLike)) or not os.path.isfile(path):
        raise ValueError(
            f"There is no weights file {str(path)!r}: give the path of a .pth or .safetensors file."
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
            f"The file {str(path)!r} is damaged or holds more than tensors ({type(error).__name__}): "
            "save a network with torch.save(network.state_dict(), path)."
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
            f"The file {str(path)!r} holds no state dict but {type(content).__name__}: "
            "save a network with torch.save(network.state_dict(), path)."
        )
    return {
        key.removeprefix("module."): value.float() if value.dtype == torch.float16 else value
        for key, value in content.items()
    }


def _some(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def fill(network: nn.Module, state: dict[str, Tensor], *, source: object, name: str) -> None:
    """Load a state dict into a network, in place, and into eval mode.

    Parameters
    ----------
    network : torch.nn.Module
        Gets the values.
    state : dict of str to torch.Tensor
        One entry for each parameter and buffer; counters of batches may be missing.
    source : object
        Where the state comes from, for the message.
    name : str
        What the network is called, for the message.

    Raises
    ------
    ValueError
        If entries are missing, unknown or of another shape.
    """
    wanted = network.state_dict()
    missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
    extra = [k for k in state if k not in wanted]
    wrong = [k for k in wanted if k in state and state[k].shape != wanted[k].shape]
    troubles = []
    if missing:
        troubles.append(f"it lacks {_some(missing)}")
    if extra:
        troubles.append(f"it has {_some(extra)}, which the network has not")
    if wrong:
        key = wrong[0]
        troubles.append(f"{key!r} has shape {tuple(state[key].shape)} instead of {tuple(wanted[key].shape)}")
    if troubles:
        raise ValueError(f"The weights {str(source)!r} do not fit {name}: {'; '.join(troubles)}.")
    network.load_state_dict(state, strict=False)
    network.eval()
