"""Backgrounds of the generated scenes: procedural textures and crops of photographs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xai_widgets.data.photos import photograph

Array = NDArray[np.float32]

#: Photographs used as backgrounds in each split; the splits share none.
PHOTOGRAPHS: dict[str, tuple[str, ...]] = {
    "train": (
        "astronaut",
        "brick",
        "camera",
        "cat",
        "coins",
        "gravel",
        "hubble",
        "moon",
        "motorcycle",
        "tissue",
    ),
    "test": ("coffee", "grass", "retina", "rocket"),
}


def _resized(values: Array, size: int) -> Array:
    return np.asarray(Image.fromarray(values, mode="F").resize((size, size), Image.Resampling.BICUBIC))


def _noise(size: int, rng: np.random.Generator) -> Array:
    """Return value noise of three octaves, (size, size), approximately in [0, 1]."""
    total = np.zeros((size, size), np.float32)
    cells = int(rng.integers(3, 9))
    for octave, weight in enumerate((0.55, 0.3, 0.15)):
        side = min(cells * 2**octave, size)
        total += np.float32(weight) * _resized(rng.random((side, side), np.float32), size)
    return total


def _wave(size: int, rng: np.random.Generator) -> Array:
    """Return two slightly bent gratings, (size, size) in [0, 1]."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / np.float32(size)
    total = np.zeros((size, size), np.float32)
    for _ in range(2):
        angle, cycles, phase = rng.uniform(0, np.pi), rng.uniform(2, 13), rng.uniform(0, 6.28)
        along = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
        bend = np.float32(rng.uniform(0, 0.8)) * np.sin((x - y) * np.float32(rng.uniform(2, 8)))
        total += np.sin(along * np.float32(6.28 * cycles) + np.float32(phase) + bend)
    return total / 4 + np.float32(0.5)


def _tiles(size: int, rng: np.random.Generator) -> Array:
    """Return rows of bricks of different brightness, (size, size) in [0, 1]."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / np.float32(size)
    rows, ratio = rng.uniform(4, 12), rng.uniform(0.4, 1.0)
    v = y * np.float32(rows)
    u = x * np.float32(rows * ratio) + np.floor(v) * np.float32(0.5)
    bricks = rng.random((16, 16), np.float32)[np.floor(v).astype(int) % 16, np.floor(u).astype(int) % 16]
    mortar = (np.minimum(u % 1, v % 1) < 0.12) * np.float32(0.5)
    return np.clip(bricks * np.float32(0.6) + np.float32(0.3) - mortar, 0, 1)


def _spots(size: int, rng: np.random.Generator) -> Array:
    """Return soft spots at random positions, (size, size) in [0, 1]."""
    side = int(rng.integers(8, 24))
    sparse = (rng.random((side, side)) < 0.25).astype(np.float32)
    return np.clip(_resized(sparse, size), 0, 1)


def texture(size: int, rng: np.random.Generator) -> Array:
    """Return a procedural texture between two muted colors, (size, size, 3) in [0, 1]."""
    pattern = (_noise, _wave, _tiles, _spots)[int(rng.integers(4))]
    blend = pattern(size, rng)
    if rng.random() < 0.5:
        blend = 0.7 * blend + np.float32(0.3) * _noise(size, rng)
    base = rng.uniform(0.2, 0.85) + rng.uniform(-0.16, 0.16, 3)
    other = base + rng.choice((-1, 1)) * rng.uniform(0.08, 0.35) + rng.uniform(-0.08, 0.08, 3)
    low, high = base.astype(np.float32), other.astype(np.float32)
    return np.clip(low + blend[..., None] * (high - low), 0, 1)


@lru_cache(maxsize=32)
def _load(name: str) -> Image.Image:
    return Image.fromarray(photograph(name))


def photographic(size: int, rng: np.random.Generator, split: str) -> Array:
    """Return a square crop of one of the split's photographs at a random scale, (size, size, 3) in [0, 1]."""
    names = PHOTOGRAPHS[split]
    image = _load(names[int(rng.integers(len(names)))])
    shorter = min(image.size)
    side = rng.uniform(min(96, shorter), shorter)
    left, top = rng.uniform(0, image.width - side), rng.uniform(0, image.height - side)
    crop = image.resize(
        (size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side), reducing_gap=2.0
    )
    values = np.asarray(crop, np.float32) / np.float32(255)
    if rng.random() < 0.5:
        values = values[:, ::-1]
    gain, offset = rng.uniform(0.7, 1.0), rng.uniform(-0.05, 0.15)
    return np.clip(values * np.float32(gain) + np.float32(offset), 0, 1)
