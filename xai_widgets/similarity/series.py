"""Series of images: rotated, scaled, shifted, mirrored, or partly covered.

A point u = (x, y) in [0, 1]^2 of the image is, in the transformed image, at

    u' = D^-1 (A (D u - m) + m) + t,   D = diag(W, H),   m = (W, H) / 2

    rotations       A = [[cos r, sin r], [-sin r, cos r]], counterclockwise by r, as y points down
    scalings        A = s I, about the center
    flips           A = diag(-1, 1), diag(1, -1), or both
    shifts          A = I and t along one side
    occlusions      A = I; a square covers a part of the image

Points outside the image are NaN. Zeiler and Fergus 2014 (figure 5) shift, scale and rotate images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.precision import outside_autocast
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.validation import choice, dimensions, numbers, tensor
from xai_widgets.similarity.geometry import GeometricSeries

#: Side along which an image is shifted.
Along = Literal["width", "height"]
#: Mirrorings by number: factors of x and y, and label.
FLIPS = (
    (1.0, 1.0, "original"),
    (-1.0, 1.0, "left-right"),
    (1.0, -1.0, "up-down"),
    (-1.0, -1.0, "both"),
)


@without_inference_mode
def rotations(x: Tensor, degrees: Sequence[float]) -> GeometricSeries:
    """Rotate an image about its center.

    Parameters
    ----------
    x : Tensor, (C, H, W) or (1, C, H, W)
        The image, in [0, 1].
    degrees : sequence of float
        Angles, counterclockwise.

    Returns
    -------
    GeometricSeries

    Raises
    ------
    ValueError
        For no angles, an angle that is not finite, or more than one image.
    """
    angles = numbers(degrees, "degrees")
    turns = [math.radians(angle) for angle in angles]
    matrices = [[[math.cos(r), math.sin(r)], [-math.sin(r), math.cos(r)]] for r in turns]
    labels = [f"{_signed(angle)}°" for angle in angles]
    return _transformed(x, matrices, labels, angles, "degrees", [abs(angle) for angle in angles])


@without_inference_mode
def scalings(x: Tensor, factors: Sequence[float]) -> GeometricSeries:
    """Scale an image about its center.

    Parameters
    ----------
    x : Tensor, (C, H, W) or (1, C, H, W)
        The image, in [0, 1].
    factors : sequence of float
        Scale factors, from 1e-6 to 1e6.

    Returns
    -------
    GeometricSeries

    Raises
    ------
    ValueError
        For no factors, a factor out of range, or more than one image.
    """
    # Smaller factors leave nothing of the image, larger ones show less than one pixel.
    values = numbers(factors, "factors", low=1e-6, high=1e6)
    matrices = [[[s, 0.0], [0.0, s]] for s in values]
    changes = [abs(math.log(s)) for s in values]
    return _transformed(x, matrices, [f"× {s:g}" for s in values], values, "scale", changes)


@without_inference_mode
def flips(x: Tensor) -> GeometricSeries:
    """Mirror an image: the original, left-right, up-down, and both, which are the values 0 to 3.

    Parameters
    ----------
    x : Tensor, (C, H, W) or (1, C, H, W)
        The image, in [0, 1].

    Returns
    -------
    GeometricSeries
    """
    matrices = [[[horizontal, 0.0], [0.0, vertical]] for horizontal, vertical, _ in FLIPS]
    labels = [label for *_, label in FLIPS]
    axis = ", ".join(f"{number} {label}" for number, label in enumerate(labels))
    values = [float(number) for number in range(len(FLIPS))]
    return _transformed(x, matrices, labels, values, axis, values)


@without_inference_mode
def shifts(x: Tensor, percents: Sequence[float], along: Along = "width") -> GeometricSeries:
    """Shift an image along one side.

    Parameters
    ----------
    x : Tensor, (C, H, W) or (1, C, H, W)
        The image, in [0, 1].
    percents : sequence of float
        Shifts in percent of the side, from -100 to 100; to the right or downward if positive.
    along : {"width", "height"}, default "width"
        The side.

    Returns
    -------
    GeometricSeries

    Raises
    ------
    ValueError
        For no shifts, a shift out of range, an unknown side, or more than one image.
    """
    choice(along, "along", ["width", "height"])
    values = numbers(percents, "percents", low=-100, high=100)
    unit = torch.eye(2, dtype=torch.float64).tolist()
    moves = [(p / 100, 0.0) if along == "width" else (0.0, p / 100) for p in values]
    labels = [f"{_signed(p, plus=True)} %" for p in values]
    axis = f"shift, % of the {along}"
    return _transformed(x, [unit] * len(values), labels, values, axis, [abs(p) for p in values], moves)


@without_inference_mode
def occlusions(x: Tensor, sides: Sequence[float], center: Sequence[float] = (0.5, 0.5)) -> GeometricSeries:
    """Cover a growing square of an image with the image's mean color.

    Parameters
    ----------
    x : Tensor, (C, H, W) or (1, C, H, W)
        The image, in [0, 1].
    sides : sequence of float
        Sides of the squares in percent of the short side of the image, from 0, the original, to 200.
    center : (float, float), default (0.5, 0.5)
        x and y of the middle of the squares, in [0, 1].

    Returns
    -------
    GeometricSeries
        Points keep their positions, also where they are covered.

    Raises
    ------
    ValueError
        For no sides, a side or a center out of range or of less than a pixel, or more than one image.
    """
    values = numbers(sides, "sides", low=0, high=200)
    middle = numbers(center, "center", length=2, low=0, high=1)
    image = _image(x)
    height, width = image.shape[1:]
    half = torch.tensor(values, dtype=torch.float64) / 200 * min(height, width)
    rows, columns = (
        (torch.arange(extent) + 0.5 - at * extent).abs()[None] < half[:, None]
        for extent, at in ((height, middle[1]), (width, middle[0]))
    )
    covered = (rows[:, None, :, None] & columns[:, None, None, :]).to(image.device)
    for side, square in zip(values, covered, strict=True):
        if side > 0 and not square.any():
            raise ValueError(
                f"expected sides in percent of the short side that cover a pixel, or 0, got {side:g}; 20 is a fifth"
            )
    images = torch.where(covered, image.mean((1, 2))[:, None, None], image)
    transforms = torch.eye(2, 3).expand(len(values), 2, 3).clone()
    labels = tuple(f"{value:g} %" for value in values)
    axis = "side of the square, % of the short side"
    return GeometricSeries(images, transforms, labels, tuple(map(float, values)), axis, _smallest(values))


def _transformed(
    x: Tensor,
    matrices: Sequence[Any],
    labels: Sequence[str],
    values: Sequence[float],
    axis: str,
    changes: Sequence[float],
    moves: Sequence[tuple[float, float]] | None = None,
) -> GeometricSeries:
    """Return the images of linear maps about the center, in pixels, followed by moves, in shares of the sides."""
    x = _image(x)
    height, width = x.shape[1:]
    sides = torch.tensor([width, height], dtype=torch.float64)
    linear = torch.tensor(matrices, dtype=torch.float64) * sides[None, None] / sides[None, :, None]
    middle = torch.full((2,), 0.5, dtype=torch.float64)
    offset = middle - linear @ middle
    if moves is not None:
        offset = offset + torch.tensor(moves, dtype=torch.float64)
    # grid_sample needs the inverse: the source of each pixel, in coordinates from -1 to 1.
    inverse = torch.linalg.inv(linear)
    origin = 2 * ((inverse @ (middle - offset)[:, :, None])[:, :, 0] - middle)
    theta = torch.cat([inverse, origin[:, :, None]], 2).to(x)
    with outside_autocast(x):
        grid = F.affine_grid(theta, [len(theta), *x.shape], align_corners=False)
        images = F.grid_sample(x.expand(len(theta), *x.shape), grid, align_corners=False).clamp(0, 1)
    transforms = torch.cat([linear, offset[:, :, None]], 2).float()
    return GeometricSeries(
        images, transforms, tuple(labels), tuple(map(float, values)), axis, _smallest(changes)
    )


def _image(x: Tensor) -> Tensor:
    """Return one image as (C, H, W), float32."""
    lead = (1,) if dimensions(x, 3) == 4 else ()
    x = tensor(x, "an image", (*lead, "C", "H", "W"), finite=True)
    return (x[0] if lead else x).float()


def _smallest(changes: Sequence[float]) -> int:
    return min(range(len(changes)), key=lambda index: changes[index])


def _signed(value: float, *, plus: bool = False) -> str:
    """Return a number with a minus sign, and a plus sign where asked for."""
    return f"{value:{'+' if plus and value else ''}g}".replace("-", "−")
