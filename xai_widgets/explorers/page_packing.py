"""The data of an exported page: the states of its models and their arrays, each once."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

from ipywidgets import DOMWidget

from xai_widgets.explorers.page_network import PageNetwork
from xai_widgets.explorers.page_states import Frame, settled, titled
from xai_widgets.views import RunBar
from xai_widgets.views.static_repr import walk_widgets
from xai_widgets.views.traits import finite

#: Texts of traits of at least this length, such as the programs of views, are stored once for all models.
SHARED = 512

#: Traits that are the same for all images: parts of boxes, and the choice of the image itself.
FIXED = (
    "children",
    "layout",
    "style",
    "titles",
    "selected_index",
    "undos",
    "redos",
    "_acknowledged",
    "_sent",
)


def pack(
    widget: DOMWidget,
    states: dict[str, dict[str, Any]],
    several: Any = None,
    shown: Sequence[Frame] = (),
    inside: PageNetwork | None = None,
) -> bytes:
    """Pack the models of a page: the length of a JSON header, the header, and the bytes of each distinct array."""
    blobs: dict[bytes, tuple[int, bytes]] = {}
    texts: dict[str, int] = {}
    positions: list[tuple[str, list[Any], int]] = []
    long_texts: list[tuple[str, str, int]] = []
    models: dict[str, dict[str, Any]] = {}

    def blob(data: bytes) -> int:
        return blobs.setdefault(hashlib.sha256(data).digest(), (len(blobs), data))[0]

    for name, source in states.items():
        if source["model_module"] not in ("anywidget", "@jupyter-widgets/base", "@jupyter-widgets/controls"):
            raise ValueError(
                "expected only widgets of ipywidgets and anywidget, "
                f"got {source['model_name']} of {source['model_module']}"
            )
        # Widgets of ipywidgets may hold NaN, which JSON does not have.
        state = finite(settled(titled(dict(source["state"]))))
        for buffer in source.get("buffers", ()):
            positions.append((name, buffer["path"], blob(base64.b64decode(buffer["data"]))))
        for key, value in list(state.items()):
            if isinstance(value, str) and len(value) >= SHARED:
                long_texts.append((name, key, texts.setdefault(value, len(texts))))
                del state[key]
        models[name] = {**{key: source[key] for key in source if key.startswith("model_")}, "state": state}
    variants, variant_positions = _variants(shown, states, blob)
    header = {
        "shown": [widget.model_id],
        "disabled": sorted(_disabled(widget, several, inside)),
        "frozen": sorted(_frozen(widget, inside)),
        "models": models,
        "texts": list(texts),
        "blobs": [len(data) for _, data in blobs.values()],
        "positions": positions,
        "long_texts": long_texts,
        "picker": several.image_picker.model_id if several is not None else "",
        "captions": [frame.caption for frame in shown],
        "variants": variants,
        "variant_positions": variant_positions,
        "network": None if inside is None else inside.header(),
    }
    head = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    return b"".join([struct.pack("<I", len(head)), head, *(data for _, data in blobs.values())])


def _variants(
    shown: Sequence[Frame], states: dict[str, dict[str, Any]], blob: Callable[[bytes], int]
) -> tuple[list[dict[str, dict[str, Any]]], list[tuple[int, str, list[Any], int]]]:
    """Return the traits of each image that are not the same for all images, and the positions of their arrays."""
    differing = {(name, key) for frame in shown for name, key in frame.differing(shown[0])}
    differing = {(name, key) for name, key in differing if name in states and key not in FIXED}
    variants: list[dict[str, dict[str, Any]]] = []
    positions: list[tuple[int, str, list[Any], int]] = []
    for number, frame in enumerate(shown):
        values: dict[str, dict[str, Any]] = {}
        for name, key in sorted(differing):
            if key in frame.values.get(name, {}):
                values.setdefault(name, {})[key] = frame.values[name][key]
                for path, data in frame.arrays.get((name, key), ()):
                    positions.append((number, name, path, blob(data)))
        variants.append(values)
    return variants, positions


def _disabled(widget: DOMWidget, several: Any = None, inside: PageNetwork | None = None) -> set[str]:
    """Return the ids of the models that need a kernel; the page leaves them out."""
    every = list(walk_widgets(widget))
    parts = [getattr(each, name) for each in every for name in getattr(each, "kernel_controls", ())]
    # A run bar outside of its explorer needs the kernel, too.
    parts += [each for each in every if isinstance(each, RunBar)]
    kept = _frozen(widget) | ({several.image_picker.model_id} if several is not None else set())
    # A part that was not asked for is None.
    disabled = {part.model_id for part in parts if part is not None} - kept
    return disabled if inside is None else (disabled - inside.answered()) | inside.unanswered()


def _frozen(widget: DOMWidget, inside: PageNetwork | None = None) -> set[str]:
    """Return the ids of the models that show a result, which cannot be changed without a kernel."""
    every = list(walk_widgets(widget))
    parts = [getattr(each, name) for each in every for name in getattr(each, "kernel_views", ())]
    # A view of a choice that is not made is not in the page.
    frozen = {part.model_id for part in parts} & {each.model_id for each in every}
    return frozen if inside is None else frozen - inside.answered()
