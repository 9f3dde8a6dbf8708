"""The arrays of a leaderboard: numbers of the table, and the images and maps behind a comparison of two methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from xai_widgets.core.display import display_images
from xai_widgets.core.model import ImageModel
from xai_widgets.data.base import Example
from xai_widgets.explorers.parts import image_names
from xai_widgets.studies.attribution import AttributionKey
from xai_widgets.studies.evaluation import Cell
from xai_widgets.studies.leaderboard import Leaderboard
from xai_widgets.studies.leaderboard_study import LeaderboardStudy
from xai_widgets.studies.paired import least_images
from xai_widgets.views import PairView

#: Longest side of an image and of a map that are sent, pixels.
IMAGE, MAP = 256, 112
#: The images and maps of all items are sent, for each choice of two rows, up to so many bytes.
MOST = 4_000_000
#: Level of the intervals.
LEVEL = 0.95
#: Fewer images than this have rough intervals.
FEW = 10


def interval_values(result: Leaderboard | None, name: str, shape: tuple[int, int]) -> NDArray[Any]:
    """Return one number of each interval, (R, M); NaN, or 0 for counts, where there is none."""
    values = np.full(shape, 0 if name == "n" else np.nan, dtype=np.int32 if name == "n" else np.float32)
    if result is not None:
        for row, line in enumerate(result.intervals):
            for column, interval in enumerate(line):
                if interval is not None:
                    values[row, column] = getattr(interval, name)
    return values


def table_caption(
    model: ImageModel, examples: Sequence[Any], cells: Sequence[Cell], result: Leaderboard | None
) -> tuple[str, str]:
    """Return what the table is about, and a warning about it; "" for none."""
    images = len({cell.image for cell in cells})
    done = 0 if result is None else len({item.image for item in result.items})
    of = (
        f"{done} of {images} images so far" if done < images else f"{images} image{'s' if images > 1 else ''}"
    )
    classes = "" if result is None or len(result.items) == done else f", {len(result.items)} classes of them"
    caption = f"{model.name}, {of}{classes}. Mean and 95 % bootstrap interval over the images."
    warning = ""
    if images < least_images(LEVEL):
        warning = f"{images} image{'s' if images > 1 else ''} cannot separate two methods at 95 %; use {FEW} or more."
    elif images < FEW:
        warning = f"Intervals of {images} images are rough; use {FEW} or more."
    return caption, warning


def item_labels(
    model: ImageModel, examples: Sequence[Any], result: Leaderboard
) -> tuple[list[str], list[str]]:
    """Return the name of the image of each item, and its class."""
    names = [_image_name(examples, item.image) for item in result.items]
    labels = model.labels
    return names, [labels[one] if 0 <= one < len(labels) else "" for one in result.classes]


def _image_name(examples: Sequence[Any], index: int) -> str:
    # A data set that reads files is not read for its names.
    one = examples[index] if isinstance(examples, list | tuple) else None
    if isinstance(one, Example) and one.name:
        return one.name
    name = image_names([one])[0] if one is not None and not isinstance(one, Example | Tensor) else ""
    return name if name and name != "image 1" else f"image {index + 1}"


class Sent:
    """The images and maps that a :class:`PairView` has.

    Those of all items are sent if they are small, so that an exported page has them for every two rows; or else those
    of the chosen rows.

    Parameters
    ----------
    model : ImageModel
        The network.
    study : LeaderboardStudy
        The study, which knows the maps.
    examples : sequence
        The data set.
    """

    def __init__(self, model: ImageModel, study: LeaderboardStudy, examples: Sequence[Any]) -> None:
        self.model, self.study, self.examples = model, study, examples
        self._images: dict[int, NDArray[np.uint8]] = {}
        self._shown: tuple[Any, ...] = ()

    def show(self, view: PairView, result: Leaderboard) -> None:
        """Send what the chosen rows and metric need, if it was not sent yet."""
        rows = {row.name: at for at, row in enumerate(result.rows)}
        pair = [rows[name] for name in view.pair if name in rows]
        items, lines = view.shown(), pair
        height, width = self.model.size
        size = len(result.items) * (
            3 * min(height * width, IMAGE**2) + 2 * len(rows) * min(height * width, MAP**2)
        )
        if size <= MOST:
            items, lines = list(range(len(result.items))), list(range(len(result.rows)))
        needed = [(row, item) for item in items for row in lines]
        outcomes = {key: self.study.outcome(self._key(result, *key)) for key in needed}
        found = {key: one.result for key, one in outcomes.items() if one.result is not None}
        shown = tuple(items), tuple((key, id(one)) for key, one in found.items()), result.rows, result.items
        if shown == self._shown:
            return
        self._shown = shown
        images = self._read(items, result)
        maps = [_reduced(one) for one in found.values()]
        shape = tuple(max((one.shape[axis] for one in maps), default=1) for axis in (0, 1))
        with view.hold_sync():
            view.images = np.stack(images) if images else None
            view.image_items = items if images else []
            view.maps = np.stack([_padded(one, shape) for one in maps]) if maps else None
            view.map_sizes = [list(one.shape) for one in maps]
            view.map_rows, view.map_items = [row for row, _ in found], [item for _, item in found]

    def _key(self, result: Leaderboard, row: int, item: int) -> AttributionKey:
        method, layer = result.rows[row]
        return AttributionKey(method, *result.items[item], layer)

    def _read(self, items: Sequence[int], result: Leaderboard) -> list[NDArray[np.uint8]]:
        indices = [result.items[item].image for item in items]
        self._images = {index: one for index, one in self._images.items() if index in indices}
        for index in indices:
            if index not in self._images:
                given = self.examples[index]
                image = given.image if isinstance(given, Example) else given
                shown, _ = display_images(self.model, [image], longest=IMAGE)
                self._images[index] = shown[0]
        return [self._images[index] for index in indices]


def _reduced(saliency: Tensor) -> NDArray[np.float16]:
    """Return a map (h, w) divided by its largest magnitude, small enough to be sent."""
    longest = max(saliency.shape)
    if longest > MAP:
        small = [max(1, side * MAP // longest) for side in saliency.shape]
        saliency = F.interpolate(saliency[None, None].float(), small, mode="area")[0, 0]
    values = saliency.float().numpy()
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size else 0.0
    return np.asarray(values / largest if largest else values, dtype=np.float16)


def _padded(values: NDArray[np.float16], shape: tuple[int, ...]) -> NDArray[np.float16]:
    """Return a map in the upper left corner of an array of the shape."""
    padded = np.zeros(shape, np.float16)
    padded[: values.shape[0], : values.shape[1]] = values
    return padded
