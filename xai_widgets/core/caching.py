"""Weights that are trained at their first use, in the cache folder of the platform, keyed by their network.

The folder is ``xai_widgets`` in ``$XDG_CACHE_HOME`` or ``~/.cache`` on Linux, in ``~/Library/Caches`` on macOS, and in
``%LOCALAPPDATA%`` on Windows; the environment variable ``XAI_WIDGETS_CACHE`` names another one. A file that is deleted
is trained again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from xai_widgets.core.model import ImageModel
from xai_widgets.errors import warn

#: Environment variable with another folder.
VARIABLE = "XAI_WIDGETS_CACHE"


def cache_folder() -> Path:
    """Return the cache folder, which may not exist yet."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "xai_widgets"


def fingerprint(model: ImageModel) -> str:
    """Return a digest of the parameters, buffers, normalization and size of a model, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    parts = {**model.module.state_dict(), "mean": model.mean, "std": model.std}
    for name, value in parts.items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype} ".encode())
        digest.update(_bytes(value))
    digest.update(f"{model.size} {len(model.labels)}".encode())
    return digest.hexdigest()


def digest_of(*parts: Any) -> str:
    """Return a digest of tensors and of values with a ``repr``, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(_bytes(part) if isinstance(part, Tensor) else repr(part).encode())
    return digest.hexdigest()[:16]


def save_weights(path: Path, network: nn.Module, facts: dict[str, Any]) -> None:
    """Write the weights of a network and facts about it, each as JSON; the file is replaced at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    save_file(state, partial, metadata={key: json.dumps(value) for key, value in facts.items()})
    partial.replace(path)


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the weights and facts of a file; None, with a warning if it cannot be read, for no file."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            facts = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
        return load_file(path), facts
    except (SafetensorError, OSError, ValueError) as error:
        warn(f"expected trained weights in {path.name}, got {error}; training again")
        return None


def _bytes(value: Tensor) -> bytes:
    plain = value.detach().cpu().contiguous().flatten()
    return plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b""
