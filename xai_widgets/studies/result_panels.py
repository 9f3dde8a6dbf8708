"""Panels of the results of studies, for figures of matplotlib and plotly."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.core.figures import Curves, Panel, Pixels


def result_panels(result: Any, title: str = "") -> Iterator[Panel]:
    """Yield a panel for each array of a result: curves of one or two axes, maps, and images.

    Parameters
    ----------
    result : Tensor, array, or a dataclass, named tuple, mapping or sequence of these
        Numbers and arrays of more than four axes are left out.
    title : str, optional
        Title of the panels; fields add their names.
    """
    if isinstance(result, Tensor | np.ndarray):
        values = result.detach().float().cpu().numpy() if isinstance(result, Tensor) else result
        yield from _array_panels(values, title)
    elif all(hasattr(result, name) for name in ("fractions", "scores", "mode")):
        yield Curves(
            title or str(result.mode),
            result.fractions.cpu().numpy(),
            result.scores.cpu().numpy(),
            [f"image {number}: AUC {auc:.3f}" for number, auc in enumerate(result.auc.tolist())],
            x_label=f"share of pixels {'removed' if result.mode == 'deletion' else 'added'}",
            y_label=result.value_name,
        )
    else:
        for name, value in _fields(result):
            words = name.replace("_", " ")
            yield from result_panels(value, f"{title}: {words}" if title else words)


def _fields(result: Any) -> Iterator[tuple[str, Any]]:
    if dataclasses.is_dataclass(result):
        yield from ((each.name, getattr(result, each.name)) for each in dataclasses.fields(result))
    elif hasattr(result, "_asdict"):
        yield from result._asdict().items()
    elif isinstance(result, Mapping):
        yield from ((str(name), value) for name, value in result.items())
    elif isinstance(result, list | tuple):
        yield from ((str(number), value) for number, value in enumerate(result))


def _array_panels(values: NDArray[Any], title: str) -> Iterator[Panel]:
    if values.dtype.kind not in "biuf" or not values.size:
        return
    values = values.astype(float)
    if values.ndim == 4 and values.shape[1] in (1, 3):
        for number, image in enumerate(values):
            name = title if len(values) == 1 else f"{title} {number}"
            yield _image_panel(image, name)
    elif values.ndim == 4:
        for part in values:
            yield from _array_panels(part, title)
    elif values.ndim == 3:
        for number, one in enumerate(values):
            yield Pixels(title if len(values) == 1 else f"{title} {number}", one)
    elif values.ndim == 2 and min(values.shape) > 4:
        yield Pixels(title, values)
    elif values.ndim in (1, 2) and values.shape[-1] > 1:
        y = np.atleast_2d(values)
        yield Curves(title, np.arange(y.shape[1]), y, x_label="index")


def _image_panel(image: NDArray[Any], title: str) -> Panel:
    if len(image) == 1 or image.min() < 0 or image.max() > 1:
        return Pixels(title, image.sum(0) if len(image) > 1 else image[0])
    return Pixels(title, np.round(255 * image.transpose(1, 2, 0)).astype(np.uint8))
