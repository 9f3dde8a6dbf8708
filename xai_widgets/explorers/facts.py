"""The network, image, class and methods of an explorer in words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from xai_widgets.explorers.state import Stateful
from xai_widgets.views import RunBar
from xai_widgets.views.static_repr import walk_widgets

#: Methods that are named; the others are counted.
NAMED = 6


def explorer_in(widget: Any) -> Stateful | None:
    """Return the first explorer or dashboard of a widget, or None."""
    return next((part for part in walk_widgets(widget) if isinstance(part, Stateful)), None)


def facts(widget: Any) -> list[str]:
    """Return the network, the image, the class with its probability, and the methods of a widget, as far as known."""
    explorer = explorer_in(widget)
    if explorer is None:
        return []
    methods = _methods(explorer) or next(
        (found for one in getattr(explorer, "explorers", {}).values() if (found := _methods(one))), ""
    )
    return [part for part in (network(explorer), _image(explorer), _class(explorer), methods) if part]


def network(explorer: Any) -> str:
    """Return the names of the networks of an explorer."""
    models = getattr(explorer, "models", None) or [getattr(explorer, "model", None)]
    names = [model.name for model in models if model is not None]
    if not names and hasattr(explorer, "network"):
        names = [type(explorer.network).__name__]
    return ", ".join(names)


def errors(widget: Any) -> list[str]:
    """Return the sentences of computations that failed."""
    failed = [part.error for part in walk_widgets(widget) if isinstance(part, RunBar) and part.error]
    return list(dict.fromkeys(failed))


def _image(explorer: Any) -> str:
    given_names = getattr(explorer, "_names", None)
    names = list(map(str, given_names)) if isinstance(given_names, list) else []
    frame = getattr(explorer, "frame", None)
    if frame is not None:
        return names[frame] if frame < len(names) else f"image {frame + 1}"
    if names:
        return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    arguments = getattr(explorer, "_arguments", None) or {}
    given = arguments.get("image", arguments.get("images"))
    if isinstance(given, str | os.PathLike):
        return Path(given).stem
    images = getattr(explorer, "images", None)
    if isinstance(images, Tensor) and len(images) > 1:
        return f"{len(images)} images"
    return ""


def _class(explorer: Any) -> str:
    model, target = getattr(explorer, "model", None), getattr(explorer, "target", None)
    # A class of several objectives has no list of classes.
    if model is None or not hasattr(explorer, "target") or not hasattr(explorer, "class_picker"):
        return ""
    if target is None:
        return "class predicted for each image"
    values = list(explorer.class_picker.probabilities)
    value = values[target] if target < len(values) else None
    words = ""
    if value is not None:
        words = f" ({100 * value:.3g} %)" if model.has_probabilities else f" ({value:.3g})"
    return f"class {model.labels[target]}{words}"


def _methods(explorer: Any) -> str:
    picker = getattr(explorer, "method_picker", None)
    if picker is None:
        return ""
    titles = list(_titles(picker))
    return ", ".join(titles[:NAMED]) + (f" and {len(titles) - NAMED} more" if len(titles) > NAMED else "")


def _titles(picker: Any) -> Iterator[str]:
    for name in picker.selected:
        yield picker.labels.get(name, name)
