"""Facts of an exported network that the program in the browser needs, in a page and in a notebook."""

from __future__ import annotations

from typing import Any

from xai_widgets.core.model import ImageModel
from xai_widgets.core.onnx_export import NetworkFile
from xai_widgets.explorers.brush_edits import FILLS
from xai_widgets.explorers.parts import TOP


def engine_facts(model: ImageModel, file: NetworkFile) -> dict[str, Any]:
    """Return what the thread that runs the network needs."""
    resizing = model.resizing
    return {
        "shape": file.shape,
        "batches": file.batches,
        "head": _head(file),
        "resizing": {
            "size": resizing.size,
            "resize": resizing.resize,
            "interpolation": resizing.interpolation,
            "rounding": resizing.rounding,
        },
    }


def scores_facts(model: ImageModel) -> dict[str, Any]:
    """Return what the bars of a brush need."""
    return {
        "fills": FILLS,
        "top": TOP,
        "activation": model.activation,
        "probabilities": model.has_probabilities,
    }


def _head(file: NetworkFile) -> dict[str, Any] | None:
    """Return where the weights of the linear head are in the file of the network."""
    head = file.head
    if head is None:
        return None
    return {
        "output": file.output(head.layer),
        "offset": file.offset,
        "dtype": file.head_dtype,
        "shape": list(head.weights.shape),
        "relu": head.relu,
    }
