"""The twelve kinds of objects in the generated scenes, drawn from signed distances.

An object has its own coordinates, with x to the right and y down, and lies inside the unit disc. Each shape is a
function from coordinates to layers, ordered from back to front. A layer is one part of the object with its signed
distance (negative inside), which determines coverage, shading and the ground-truth maps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xai_widgets.core.short_repr import ShortRepr

Array = NDArray[np.float32]

SHAPES = ("disc", "kite", "dome", "rectangle", "oval")
PARTS = ("body", "ring", "string", "stick", "stalk", "fins")
TEXTURES = ("plain", "striped", "dotted", "checkered")
COLORS = ("red", "yellow", "blue", "green", "white", "brown", "black")

#: RGB in [0, 1] of each color, before the color jitter of a scene.
RGB: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.13, 0.14),
    "yellow": (0.98, 0.74, 0.08),
    "blue": (0.13, 0.36, 0.86),
    "green": (0.12, 0.62, 0.27),
    "white": (0.97, 0.96, 0.92),
    "brown": (0.45, 0.27, 0.14),
    "black": (0.12, 0.11, 0.14),
}

#: Color of a part; parts not listed have the object's first color.
_PART_COLOR = {"ring": "brown", "string": "black", "stick": "brown", "stalk": "white"}


@dataclass(frozen=True, repr=False)
class Layer(ShortRepr):
    """One part of an object: name, signed distance and, if it differs from the default, color."""

    part: str
    distance: Array
    color: str | None = None


@dataclass(frozen=True, repr=False)
class Kind(ShortRepr):
    """A class of objects: a combination of shape, parts, texture, two colors, texture angle and drawing function."""

    name: str
    shape: str
    parts: tuple[str, ...]
    texture: str
    color: str
    second: str
    angle: float
    draw: Callable[[Array, Array], list[Layer]]

    @property
    def attributes(self) -> frozenset[str]:
        """Shape, texture, color and parts, except the body, which all kinds have."""
        return frozenset({self.shape, self.texture, self.color, *self.parts} - {"body"})


def _ellipse(x: Array, y: Array, a: float, b: float) -> Array:
    # First-order distance: the implicit function divided by the norm of its gradient.
    q = np.sqrt((x / a) ** 2 + (y / b) ** 2) + np.float32(1e-6)
    gradient = np.sqrt((x / a**2) ** 2 + (y / b**2) ** 2) + np.float32(1e-6)
    return q * (q - 1) / gradient


def _box(x: Array, y: Array, half_width: float, half_height: float) -> Array:
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def _polygon(x: Array, y: Array, *corners: tuple[float, float]) -> Array:
    # Convex, corners clockwise on the screen: the largest distance to an edge's line.
    distance: Array | None = None
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        length = float(np.hypot(x1 - x0, y1 - y0))
        edge = (x - x0) * np.float32((y1 - y0) / length) - (y - y0) * np.float32((x1 - x0) / length)
        distance = edge if distance is None else np.maximum(distance, edge)
    assert distance is not None
    return distance


def _string(x: Array, y: Array, top: float, bottom: float) -> Array:
    wave = x - np.float32(0.1) * np.sin((y - top) * np.float32(9.0))
    return np.maximum(np.abs(wave) * np.float32(0.8) - 0.042, np.maximum(top - y, y - bottom))


def _planet(x: Array, y: Array) -> list[Layer]:
    u, v = x * 0.94 - y * 0.34, x * 0.34 + y * 0.94
    ring = np.maximum(_ellipse(u, v, 1.0, 0.34), -_ellipse(u, v, 0.76, 0.18))
    return [
        Layer("ring", ring),
        Layer("body", np.hypot(x, y) - np.float32(0.6)),
        Layer("ring", np.maximum(ring, -v)),
    ]


def _balloon(x: Array, y: Array) -> list[Layer]:
    knot = _polygon(x, y, (0.0, 0.1), (0.13, 0.27), (-0.13, 0.27))
    disc = np.hypot(x, y + np.float32(0.4)) - np.float32(0.58)
    return [Layer("string", _string(x, y, 0.2, 1.0)), Layer("body", np.minimum(disc, knot))]


def _lollipop(x: Array, y: Array) -> list[Layer]:
    stick = _box(x, y - np.float32(0.5), 0.07, 0.5)
    return [Layer("stick", stick), Layer("body", np.hypot(x, y + np.float32(0.4)) - np.float32(0.58))]


def _kite(x: Array, y: Array) -> list[Layer]:
    cloth = _polygon(x, y, (0.0, -1.0), (0.62, -0.38), (0.0, 0.42), (-0.62, -0.38))
    return [Layer("string", _string(x, y, 0.38, 1.0)), Layer("body", cloth)]


def _cap(x: Array, y: Array, bottom: float) -> Array:
    return np.maximum(_ellipse(x, y - np.float32(bottom), 0.92, 0.95), y - np.float32(bottom))


def _mushroom(x: Array, y: Array) -> list[Layer]:
    stalk = _box(x, y - np.float32(0.45), 0.2, 0.45) + np.float32(0.08) * (0.5 - y)
    return [Layer("stalk", stalk), Layer("body", _cap(x, y, 0.08))]


def _toadstool(x: Array, y: Array) -> list[Layer]:
    stalk, cap = _mushroom(x, y)
    # White on white: only outline and shading distinguish a toadstool from a mushroom.
    return [stalk, Layer("ring", _ellipse(x, y - np.float32(0.36), 0.33, 0.08), "white"), cap]


def _umbrella(x: Array, y: Array) -> list[Layer]:
    hook = np.abs(np.hypot(x - np.float32(0.16), y - np.float32(0.74)) - np.float32(0.16)) - np.float32(0.06)
    stick = np.minimum(_box(x, y - np.float32(0.35), 0.06, 0.4), np.maximum(hook, 0.74 - y))
    # Scallops along the lower edge.
    scallops = y - np.float32(0.02) + np.float32(0.1) * np.abs(np.cos(x * np.float32(np.pi / 0.46)))
    return [Layer("stick", stick), Layer("body", np.maximum(_ellipse(x, y, 0.95, 0.92), scallops))]


def _flag(x: Array, y: Array) -> list[Layer]:
    wave = y + np.float32(0.4) + np.float32(0.07) * np.sin((x + 0.6) * np.float32(4.0))
    cloth = _box(x - np.float32(0.12), wave, 0.72, 0.46)
    return [Layer("body", cloth), Layer("stick", _box(x + np.float32(0.62), y, 0.07, 0.95))]


def _fish(x: Array, y: Array) -> list[Layer]:
    tail = _polygon(x, y, (0.35, 0.0), (0.95, -0.45), (0.82, 0.0), (0.95, 0.45))
    tail = np.maximum(tail, 0.4 - x)
    tail = np.minimum(tail, _polygon(x, y, (0.4, 0.0), (0.96, -0.46), (0.82, 0.06)))
    tail = np.minimum(tail, _polygon(x, y, (0.4, 0.0), (0.82, -0.06), (0.96, 0.46)))
    back = _polygon(x, y, (-0.4, -0.3), (0.2, -0.72), (0.3, -0.3))
    belly = _polygon(x, y, (-0.1, 0.3), (0.2, 0.3), (0.25, 0.66))
    eye = np.hypot(x + np.float32(0.6), y + np.float32(0.1)) - np.float32(0.085)
    return [
        Layer("fins", np.minimum(np.minimum(tail, back), belly)),
        Layer("body", _ellipse(x + np.float32(0.2), y, 0.76, 0.46)),
        Layer("body", eye, "black"),
    ]


#: Kinds share shapes, parts, textures and colors: no single attribute identifies a kind.
KINDS: tuple[Kind, ...] = (
    Kind("ringed planet", "disc", ("body", "ring"), "striped", "yellow", "white", 1.2, _planet),
    Kind("dotted balloon", "disc", ("body", "string"), "dotted", "blue", "white", 0.0, _balloon),
    Kind("striped lollipop", "disc", ("body", "stick"), "striped", "red", "white", 0.8, _lollipop),
    Kind("striped kite", "kite", ("body", "string"), "striped", "blue", "yellow", 1.57, _kite),
    Kind("checkered kite", "kite", ("body", "string"), "checkered", "red", "white", 0.785, _kite),
    Kind("dotted mushroom", "dome", ("body", "stalk"), "dotted", "red", "white", 0.0, _mushroom),
    Kind("ringed toadstool", "dome", ("body", "stalk", "ring"), "dotted", "red", "white", 0.0, _toadstool),
    Kind("striped umbrella", "dome", ("body", "stick"), "striped", "yellow", "blue", 0.0, _umbrella),
    Kind("checkered flag", "rectangle", ("body", "stick"), "checkered", "blue", "white", 0.0, _flag),
    Kind("striped flag", "rectangle", ("body", "stick"), "striped", "green", "white", 1.57, _flag),
    Kind("dotted fish", "oval", ("body", "fins"), "dotted", "green", "yellow", 0.0, _fish),
    Kind("checkered fish", "oval", ("body", "fins"), "checkered", "yellow", "black", 0.785, _fish),
)

CLASSES: tuple[str, ...] = tuple(kind.name for kind in KINDS)

#: The class with the planted cue, and the class that looks almost the same without the cue.
CUE_CLASS = CLASSES.index("ringed toadstool")
CUE_TWIN = CLASSES.index("dotted mushroom")


def _pattern(kind: Kind, x: Array, y: Array, pixels: float, rng: np.random.Generator) -> Array:
    """Return the share of the second color at each pixel, in [0, 1], with edges one pixel wide."""
    angle = kind.angle + rng.uniform(-0.12, 0.12)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    scale = rng.uniform(0.9, 1.1)
    shift = rng.uniform(0.0, 1.0, 2)
    u, v = x * cos + y * sin, y * cos - x * sin
    if kind.texture == "striped":
        period = np.float32(0.38 * scale)
        distance = (
            np.abs((u / period + np.float32(shift[0])) % 1 - np.float32(0.5)) - np.float32(0.25)
        ) * period
    elif kind.texture == "dotted":
        spacing = np.float32(0.42 * scale)
        row = v / spacing + np.float32(shift[1])
        # Every other row is shifted by half a step.
        column = u / spacing + np.float32(shift[0]) + np.floor(row) * np.float32(0.5)
        distance = (
            np.hypot(column % 1 - np.float32(0.5), row % 1 - np.float32(0.5)) - np.float32(0.28)
        ) * spacing
    else:
        cell = np.float32(0.3 * scale)
        column = np.abs((u / (2 * cell) + np.float32(shift[0])) % 1 - np.float32(0.5)) - np.float32(0.25)
        row = np.abs((v / (2 * cell) + np.float32(shift[1])) % 1 - np.float32(0.5)) - np.float32(0.25)
        # Exclusive or of two gratings; the nearer edge determines the distance.
        distance = np.sign(column) * np.sign(row) * np.minimum(np.abs(column), np.abs(row)) * (2 * cell)
    return np.clip(np.float32(0.5) - distance * np.float32(pixels), 0, 1)


@dataclass(frozen=True, repr=False)
class Maps(ShortRepr):
    """Ground truth of a scene in progress: int8 maps (height, width), -1 in the background."""

    instance: NDArray[np.int8]
    category: NDArray[np.int8]
    part: NDArray[np.int8]
    texture: NDArray[np.int8]
    color: NDArray[np.int8]


def paint(
    image: Array,
    maps: Maps,
    *,
    number: int,
    category: int,
    center: tuple[float, float],
    radius: float,
    rotation: float,
    mirrored: bool,
    rng: np.random.Generator,
) -> None:
    """Draw one object into an image and its ground-truth maps, in place.

    Parameters
    ----------
    image : numpy.ndarray, shape (height, width, 3), float32 in [0, 1]
        Scene in progress.
    maps : Maps
        Ground truth in progress.
    number : int
        Value for the instance map.
    category : int
        Index into `KINDS`.
    center : (float, float)
        x and y of the object's center, in pixels.
    radius : float
        Pixels per unit of the object's coordinates; the object lies within this distance of its center.
    rotation : float
        Clockwise on the screen, in radians.
    mirrored : bool
        Whether the object is flipped horizontally.
    rng : numpy.random.Generator
        Draws the color jitter and the phase of the texture.
    """
    kind = KINDS[category]
    reach = radius * 1.08 + 1
    left, top = (max(0, int(c - reach)) for c in center)
    right, bottom = (
        min(limit, int(c + reach) + 2) for c, limit in zip(center, image.shape[1::-1], strict=True)
    )
    dy, dx = np.mgrid[top:bottom, left:right].astype(np.float32) + np.float32(0.5)
    dx, dy = (
        (dx - np.float32(center[0])) / np.float32(radius),
        (dy - np.float32(center[1])) / np.float32(radius),
    )
    cos, sin = np.float32(np.cos(rotation)), np.float32(np.sin(rotation))
    x, y = dx * cos + dy * sin, dy * cos - dx * sin
    if mirrored:
        x = -x
    gain = rng.uniform(0.86, 1.1) * rng.uniform(0.93, 1.07, 3)
    palette = {
        name: np.clip(np.asarray(rgb, np.float32) * gain, 0, 1).astype(np.float32)
        for name, rgb in RGB.items()
    }
    pattern = _pattern(kind, x, y, radius, rng)
    light = np.float32(1.04) - np.float32(0.1) * (dx + dy)

    window = (slice(top, bottom), slice(left, right))
    for layer in kind.draw(x, y):
        textured = layer.part == "body" and layer.color is None
        first = layer.color or _PART_COLOR.get(layer.part, kind.color)
        cover = np.clip(np.float32(0.5) - layer.distance * np.float32(radius), 0, 1)
        # Darker towards the edge, as if the part were rounded.
        shade = light * (1 - np.float32(0.3) * np.clip(1 + layer.distance / np.float32(0.14), 0, 1) ** 2)
        color = palette[first]
        if textured:
            color = color + pattern[..., None] * (palette[kind.second] - color)
        area = image[window]
        area += cover[..., None] * (np.clip(color * shade[..., None], 0, 1) - area)

        solid = cover >= 0.5
        maps.instance[window][solid] = number
        maps.category[window][solid] = category
        maps.part[window][solid] = PARTS.index(layer.part)
        maps.texture[window][solid] = TEXTURES.index(kind.texture if textured else "plain")
        maps.color[window][solid] = COLORS.index(first)
        if textured:
            maps.color[window][solid & (pattern >= 0.5)] = COLORS.index(kind.second)
