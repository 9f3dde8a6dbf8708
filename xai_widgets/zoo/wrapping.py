"""Parts that the adapters of timm and Hugging Face share."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError
from torch import nn

from xai_widgets.core.model import ImageModel

#: Errors of downloads and of damaged files.
DOWNLOAD_ERRORS = (
    OSError,
    RuntimeError,
    EOFError,
    SafetensorError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


def not_downloaded(name: str, error: BaseException, remedy: str) -> str:
    """Return the error message for weights that could not be downloaded, in one sentence."""
    reason = " ".join(str(error).partition("\n")[0].split()).rstrip(".")
    return f"expected to download {name!r}, got {type(error).__name__} ({reason}); {remedy}"


def wrap(network: nn.Module, options: Mapping[str, Any], *, features: bool) -> ImageModel:
    """Return the model of a network; features have no probabilities, and are labeled by their index."""
    if not features:
        return ImageModel(network, **options)
    model = ImageModel(network, **{"activation": None, **options})
    if options.get("labels") is None and options.get("targets") is None:
        model.labels = [f"feature {i}" for i in range(len(model.labels))]
    return model
