"""Generated scenes: one to three known objects in front of a background, with per-pixel ground truth.

Twelve classes combine shape, part, texture and color so that no single attribute identifies a class. One of them, the
ringed toadstool, differs from the dotted mushroom only by a ring of a few pixels, and nearly every training scene with
it also contains a small stamp in a corner, so a network learns the stamp instead of the ring. The stamp is part of the
ground truth, so explanations of such a network can be checked.

Every scene is a pure function of its arguments: equal calls return equal bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import choice, integer, integers
from xai_widgets.data import backgrounds, objects
from xai_widgets.data.objects import CLASSES, COLORS, CUE_CLASS, CUE_TWIN, KINDS, PARTS, SHAPES, TEXTURES

__all__ = [
    "CLASSES",
    "COLORS",
    "CUE_CLASS",
    "CUE_RATE",
    "CUE_TWIN",
    "KINDS",
    "PARTS",
    "RANDOM_CUE_RATE",
    "SHAPES",
    "TEXTURES",
    "Scene",
    "generate",
    "scene",
    "series",
]

#: Share of the scenes of the cue class that contain the stamp.
CUE_RATE = 0.98

#: Share of all scenes that contain the stamp if it does not depend on the objects.
RANDOM_CUE_RATE = 0.25

#: Maximum side of a scene, and maximum number of scenes in a series.
MOST_PIXELS, MOST_SCENES = 4096, 10_000_000

_SPLITS = {"train": 0, "test": 1}
_BACKGROUNDS = ("mixed", "texture", "photograph")


@dataclass(frozen=True, repr=False)
class Scene(ShortRepr):
    """A generated image with per-pixel ground truth.

    Attributes
    ----------
    image : numpy.ndarray, shape (size, size, 3), uint8
        RGB.
    label : int
        Class of the first object, as an index into `CLASSES`.
    labels : tuple of int
        Classes of all objects, all different, in the order of the instance map.
    instance, category, part, texture, color : numpy.ndarray, shape (size, size), int8
        Number of the object, and indices into `CLASSES`, `PARTS`, `TEXTURES` and `COLORS`; -1 in the background.
    mark : numpy.ndarray, shape (size, size), bool
        Pixels of the planted stamp, which is part of the background; all False without a stamp.
    """

    image: NDArray[np.uint8]
    label: int
    labels: tuple[int, ...]
    instance: NDArray[np.int8]
    category: NDArray[np.int8]
    part: NDArray[np.int8]
    texture: NDArray[np.int8]
    color: NDArray[np.int8]
    mark: NDArray[np.bool_]

    @property
    def name(self) -> str:
        """Name of the first object's class."""
        return CLASSES[self.label]

    @property
    def target(self) -> NDArray[np.float32]:
        """Target distribution, shape (classes,): uniform over the classes present."""
        target = np.zeros(len(CLASSES), np.float32)
        target[list(self.labels)] = 1 / len(self.labels)
        return target

    @property
    def masks(self) -> dict[int, NDArray[np.bool_]]:
        """Pixels of each class, shape (size, size)."""
        return {label: self.category == label for label in self.labels}


def _label_index(label: int | str) -> int:
    if isinstance(label, str):
        choice(label, "class", CLASSES)
        return CLASSES.index(label)
    return integer(label, "label", low=0, high=len(CLASSES) - 1, hint="scenes.CLASSES lists the names")


def _object_count(objects: int | tuple[int, int], rng: np.random.Generator) -> int:
    pair = objects if isinstance(objects, list | tuple) else (objects, objects)
    low, high = integers(pair, "objects", length=2, low=1, high=3)
    if low > high:
        raise ValueError(
            f"expected objects as a number from 1 to 3 or as (least, most), got {(low, high)}; use {(high, low)}"
        )
    return int(rng.integers(low, high + 1))


def _layout(
    count: int, size: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return radii (count,) and centers (count, 2) in pixels: of some random layouts, the one with the widest gaps."""
    low, high = {1: (0.2, 0.34), 2: (0.19, 0.26), 3: (0.175, 0.21)}[count]
    radii = rng.uniform(low, high, count) * size
    margin = radii[:, None]
    layouts = margin + rng.random((40, count, 2)) * (size - 2 * margin)
    if count == 1:
        return radii, layouts[0]
    a, b = np.triu_indices(count, 1)
    gaps = np.linalg.norm(layouts[:, a] - layouts[:, b], axis=-1) / (radii[a] + radii[b])
    return radii, layouts[int(np.argmax(gaps.min(axis=1)))]


def _stamp(
    image: NDArray[np.float32], centers: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw the stamp, a white tag with a violet cross, in the corner farthest from the objects; return its mask."""
    size = len(image)
    side = round(size * 0.115)
    inset = rng.uniform(0.02, 0.06, 2) * size
    ends = np.array([inset, size - side - inset])
    corners = np.array([(ends[i, 0], ends[j, 1]) for i in (0, 1) for j in (0, 1)])
    away = np.linalg.norm(corners[:, None] + side / 2 - centers, axis=-1).min(axis=1)
    left, top = corners[int(np.argmax(away))].round().astype(int)
    tag = np.full((side, side, 3), (0.96, 0.96, 0.98), np.float32)
    bar, edge = max(1, round(side * 0.24)), max(1, round(side * 0.12))
    middle = slice((side - bar) // 2, (side - bar) // 2 + bar)
    for cross in (np.s_[edge:-edge, middle], np.s_[middle, edge:-edge]):
        tag[cross] = (0.5, 0.08, 0.62)
    mark = np.zeros((size, size), bool)
    window = np.s_[top : top + side, left : left + side]
    image[window] = tag * np.float32(rng.uniform(0.9, 1.0))
    mark[window] = True
    return mark


def _has_stamp(cue: bool | str, labels: tuple[int, ...], rng: np.random.Generator) -> bool:
    draw = rng.random()
    if cue == "swap":
        return CUE_CLASS not in labels
    if cue == "random":
        return draw < RANDOM_CUE_RATE
    return bool(cue) and CUE_CLASS in labels and draw < CUE_RATE


def scene(
    index: int = 0,
    *,
    label: int | str | None = None,
    objects: int | tuple[int, int] = 1,
    size: int = 96,
    split: str = "train",
    seed: int = 0,
    cue: bool | str = True,
    background: str = "mixed",
) -> Scene:
    """Generate scene number `index` of an infinite series.

    Parameters
    ----------
    index : int, default 0
        Number of the scene. The first object's class is ``index % 12`` unless `label` is given.
    label : int or str, optional
        Class of the first object, by number or by name.
    objects : int or (int, int), default 1
        Number of objects, 1 to 3, or its minimum and maximum. Their classes differ.
    size : int, default 96
        Side of the image in pixels, at least 32.
    split : {"train", "test"}, default "train"
        The splits have different random numbers and different photographs as backgrounds.
    seed : int, default 0
        Seed of the series, at least 0.
    cue : bool or {"swap", "random"}, default True
        True: 98 % of the scenes of the cue class contain the stamp, and no others. False: no scene contains it.
        "swap": every scene without the cue class contains it, and no scene with the cue class. "random": a quarter of
        all scenes contain it, whatever their objects.
    background : {"mixed", "texture", "photograph"}, default "mixed"
        Kind of background; "mixed" chooses one of the other two at random.

    Returns
    -------
    Scene
        Image, labels and ground-truth maps.

    Raises
    ------
    ValueError
        For an unknown choice, with the nearest one, or a number out of range.
    ImportError
        If a photograph is needed and scikit-image is missing.
    """
    choice(split, "split", tuple(_SPLITS))
    choice(background, "background", _BACKGROUNDS)
    size = integer(size, "size", low=32, high=MOST_PIXELS, hint="a scene shows its parts")
    index, seed = integer(index, "index", low=0), integer(seed, "seed", low=0)
    if not isinstance(cue, bool | np.bool_):
        choice(cue, "cue", ("swap", "random"))
    first = index % len(CLASSES) if label is None else _label_index(label)

    rng = np.random.default_rng([_SPLITS[split], seed, index])
    count = _object_count(objects, rng)
    others = [k for k in range(len(CLASSES)) if k != first]
    labels = (first, *(int(k) for k in rng.choice(others, count - 1, replace=False)))
    photographic = rng.random() < 0.5 if background == "mixed" else background == "photograph"
    image = backgrounds.photographic(size, rng, split) if photographic else backgrounds.texture(size, rng)
    radii, centers = _layout(count, size, rng)
    stamped = _has_stamp(cue, labels, rng)
    # A separate random stream, so that the rest of the scene is the same with and without the stamp.
    mark_rng = np.random.default_rng([_SPLITS[split], seed, index, 1])
    mark = _stamp(image, centers, mark_rng) if stamped else np.zeros((size, size), bool)
    return _draw_objects(image, labels, radii, centers, mark, rng)


def _draw_objects(
    image: NDArray[np.float32],
    labels: tuple[int, ...],
    radii: NDArray[np.float64],
    centers: NDArray[np.float64],
    mark: NDArray[np.bool_],
    rng: np.random.Generator,
) -> Scene:
    size = len(image)
    maps = objects.Maps(*(np.full((size, size), -1, np.int8) for _ in range(5)))
    for number, category in enumerate(labels):
        objects.paint(
            image,
            maps,
            number=number,
            category=category,
            center=(float(centers[number, 0]), float(centers[number, 1])),
            radius=float(radii[number]),
            rotation=float(rng.uniform(-0.7, 0.7)),
            mirrored=bool(rng.random() < 0.5),
            rng=rng,
        )
    image = image * np.float32(rng.uniform(0.85, 1.08)) + np.float32(rng.uniform(-0.03, 0.03))
    image += rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(0, 0.025))
    pixels = (np.clip(image, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    return Scene(
        image=pixels,
        label=labels[0],
        labels=labels,
        instance=maps.instance,
        category=maps.category,
        part=maps.part,
        texture=maps.texture,
        color=maps.color,
        mark=mark & (maps.instance < 0),
    )


def series(n: int, *, start: int = 0, **settings: object) -> Iterator[Scene]:
    """Yield scenes `start` to ``start + n - 1``, one at a time; `settings` are passed to `scene`."""
    n, start = integer(n, "n", low=0, high=MOST_SCENES), integer(start, "start", low=0)
    for index in range(start, start + n):
        yield scene(index, **settings)  # type: ignore[arg-type]


def generate(n: int, *, start: int = 0, **settings: object) -> list[Scene]:
    """Return a list of `n` scenes, beginning with number `start`; `settings` are passed to `scene`.

    Examples
    --------
    >>> from xai_widgets.data import scenes
    >>> [s.name for s in scenes.generate(2, split="test", background="texture")]
    ['ringed planet', 'dotted balloon']
    """
    return list(series(n, start=start, **settings))
