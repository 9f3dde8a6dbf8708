"""An image turned and scaled by steps, with the place that corresponds to one of its own in each of them.

Fong et al. 2021: the similarity of a place to the corresponding one tells how sensitive a layer is to a rotation or a
scale. A place u = (x, y) in [0, 1]^2 of the image lies, in the transformed one, at

    u' = D^-1 (A (D u - m) + m),   D = diag(W, H),   m = (W, H) / 2,   A = s [[cos t, sin t], [-sin t, cos t]]

for a rotation by t against the clock (y points down) and a scale s about the middle. What leaves the image has no
place: NaN, a gap and no zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.precision import outside_autocast
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.validation import dimensions, instance, integer, items, number, numbers, tensor
from xai_widgets.similarity.grids import ActivationGrid
from xai_widgets.similarity.measure import Kind, check_kind, check_place, similarity, width


@dataclass(frozen=True, eq=False)
class GeometricSeries:
    """An image in P transformations.

    Attributes
    ----------
    images : Tensor, (P, C, H, W)
        In [0, 1]; black where nothing of the image is.
    transforms : Tensor, (P, 2, 3)
        From a place (x, y, 1) of the image to its place (x, y) in each.
    labels : tuple of str
        What each is, for instance "30°" or "x 0.5".
    values : tuple of float
        The angles in degrees, or the factors.
    """

    images: Tensor
    transforms: Tensor
    labels: tuple[str, ...]
    values: tuple[float, ...]

    def ascending(self) -> GeometricSeries:
        """The same by ascending values, each value once."""
        values = sorted(set(self.values))
        order = [self.values.index(value) for value in values]
        labels = tuple(self.labels[index] for index in order)
        return GeometricSeries(self.images[order], self.transforms[order], labels, tuple(values))

    def follow(self, position: Sequence[float], image: int | None = None) -> Tensor:
        """Where a place lies in every transformation.

        Parameters
        ----------
        position : (float, float)
            x and y in [0, 1], from the top left corner.
        image : int, optional
            Of which of the transformations. Default: of the image itself.

        Returns
        -------
        Tensor, (P, 2)
            x and y; NaN where the place leaves the image.
        """
        point = torch.tensor(numbers(position, "position", length=2), dtype=torch.float64)
        if image is not None:
            matrix = self.transforms[self._index(image)].double()
            point = torch.linalg.solve(matrix[:, :2], point - matrix[:, 2])
        placed = self.transforms.double() @ torch.cat([point, torch.ones(1, dtype=torch.float64)])
        inside = ((placed >= 0) & (placed < 1)).all(1, keepdim=True)
        return torch.where(inside, placed, torch.nan)

    def profile(
        self,
        grids: Sequence[ActivationGrid],
        image: int,
        place: Sequence[int],
        kind: Kind = "cosine",
        *,
        sigma: float | None = None,
    ) -> Tensor:
        """How alike a place of one transformation is to the corresponding place of each.

        Parameters
        ----------
        grids : sequence of ActivationGrid, P of them
            One layer on the images of this series.
        image : int
            In which of the transformations the place lies.
        place : (int, int)
            Its row and column; its middle is followed.
        kind : {"cosine", "dot", "euclidean"}, default "cosine"
            Which similarity.
        sigma : float, optional
            Width of the Euclidean kernel. Default: that of all grids.

        Returns
        -------
        Tensor, (P,)
            NaN where the place leaves the image.
        """
        given = items(grids, "grids", len(self.images), what="activation grids")
        grids = [instance(grid, "each of the grids", ActivationGrid) for grid in given]
        check_kind(kind)
        image = self._index(image)
        rows, columns = grids[image].shape
        row, column = check_place(place, (rows, columns))
        sigma = width(grids) if sigma is None else number(sigma, "sigma", above=0)
        made = torch.full((len(grids),), torch.nan)
        followed = self.follow(((column + 0.5) / columns, (row + 0.5) / rows), image)
        for index, (grid, (x, y)) in enumerate(zip(grids, followed.tolist(), strict=True)):
            if math.isnan(x):
                continue
            at = math.floor(y * rows), math.floor(x * columns)
            made[index] = similarity(grids[image], (row, column), grid.raw[at][None, None], kind, sigma=sigma)
        return made

    def _index(self, image: int) -> int:
        return integer(image, "image", low=0, high=len(self.images) - 1)


@without_inference_mode
def rotations(x: Tensor, degrees: Sequence[float]) -> GeometricSeries:
    """An image turned about its middle.

    Parameters
    ----------
    x : Tensor, (C, H, W) or (1, C, H, W)
        The image, in [0, 1].
    degrees : sequence of float
        By which angles, against the clock.

    Returns
    -------
    GeometricSeries

    Raises
    ------
    ValueError
        For no angles, one that is not finite, or anything but a single image.
    """
    angles = numbers(degrees, "degrees")
    labels = [f"{angle:g}°".replace("-", "−") for angle in angles]
    return _series(x, [(angle, 1.0) for angle in angles], labels, angles)


@without_inference_mode
def scalings(x: Tensor, factors: Sequence[float]) -> GeometricSeries:
    """An image made larger or smaller about its middle.

    Parameters
    ----------
    x : Tensor, (C, H, W) or (1, C, H, W)
        The image, in [0, 1].
    factors : sequence of float
        How many times as large, from 1e-6 to 1e6.

    Returns
    -------
    GeometricSeries

    Raises
    ------
    ValueError
        For no factors, one out of range, or anything but a single image.
    """
    # A smaller one leaves nothing of the image, and of a larger one no pixel is left to see.
    given = numbers(factors, "factors", low=1e-6, high=1e6)
    return _series(x, [(0.0, factor) for factor in given], [f"× {f:g}" for f in given], given)


def _series(
    x: Tensor, steps: Sequence[tuple[float, float]], labels: Sequence[str], values: Sequence[float]
) -> GeometricSeries:
    lead = (1,) if dimensions(x, 3) == 4 else ()
    x = tensor(x, "an image", (*lead, "C", "H", "W"), finite=True)
    x = (x[0] if lead else x).float()
    height, width = x.shape[1:]
    turns = torch.stack([_transform(angle, factor, height, width) for angle, factor in steps])
    # grid_sample asks the other way round, where each pixel comes from, in coordinates from -1 to 1.
    back = torch.linalg.inv(turns[:, :, :2])
    middle = torch.full((2,), 0.5, dtype=turns.dtype)
    origin = 2 * ((back @ (middle - turns[:, :, 2])[:, :, None])[:, :, 0] - middle)
    theta = torch.cat([back, origin[:, :, None]], 2).to(x)
    with outside_autocast(x):
        grid = F.affine_grid(theta, [len(steps), *x.shape], align_corners=False)
        images = F.grid_sample(x.expand(len(steps), *x.shape), grid, align_corners=False).clamp(0, 1)
    return GeometricSeries(images, turns.float(), tuple(labels), tuple(float(value) for value in values))


def _transform(angle: float, factor: float, height: int, width: int) -> Tensor:
    """From places of the image to those of the transformed one, (2, 3), both in [0, 1]^2."""
    turn = math.radians(angle)
    sine, cosine = factor * math.sin(turn), factor * math.cos(turn)
    linear = torch.tensor(
        [[cosine, sine * height / width], [-sine * width / height, cosine]], dtype=torch.float64
    )
    middle = torch.full((2,), 0.5, dtype=torch.float64)
    return torch.cat([linear, (middle - linear @ middle)[:, None]], 1)
