"""Series of rotated or scaled images, with corresponding points.

The similarity of a position to the corresponding one measures how sensitive a layer is to rotation or scale
(Fong et al. 2021). A point u = (x, y) in [0, 1]^2 of the image is, in the transformed image, at

    u' = D^-1 (A (D u - m) + m),   D = diag(W, H),   m = (W, H) / 2,   A = s [[cos t, sin t], [-sin t, cos t]]

for a counterclockwise rotation by t (y points down) and a scale s about the center. Points outside the image are NaN.
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
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import dimensions, instance, integer, items, number, numbers, tensor
from xai_widgets.similarity.grids import ActivationGrid
from xai_widgets.similarity.measure import Kind, check_kind, check_position, kernel_width, similarity


@dataclass(frozen=True, eq=False, repr=False)
class GeometricSeries(ShortRepr):
    """An image under P transformations.

    Attributes
    ----------
    images : Tensor, (P, C, H, W)
        Transformed images in [0, 1], black outside the original.
    transforms : Tensor, (P, 2, 3)
        Affine maps from a point (x, y, 1) of the image to the corresponding point (x, y) of each.
    labels : tuple of str
        Label of each transformation, for instance "30°" or "× 0.5".
    values : tuple of float
        Angles in degrees, or scale factors.
    """

    images: Tensor
    transforms: Tensor
    labels: tuple[str, ...]
    values: tuple[float, ...]

    def ascending(self) -> GeometricSeries:
        """Return the series sorted by value, without repeated values."""
        values = sorted(set(self.values))
        order = [self.values.index(value) for value in values]
        labels = tuple(self.labels[index] for index in order)
        return GeometricSeries(self.images[order], self.transforms[order], labels, tuple(values))

    def follow(self, point: Sequence[float], image: int | None = None) -> Tensor:
        """Return the corresponding point in every transformed image.

        Parameters
        ----------
        point : (float, float)
            x and y in [0, 1], from the top left corner.
        image : int, optional
            Index of the transformed image that contains `point`. Default: the original image.

        Returns
        -------
        Tensor, (P, 2)
            x and y; NaN where the point leaves the image.
        """
        start = torch.tensor(numbers(point, "point", length=2), dtype=torch.float64)
        if image is not None:
            matrix = self.transforms[self._index(image)].double()
            start = torch.linalg.solve(matrix[:, :2], start - matrix[:, 2])
        points = self.transforms.double() @ torch.cat([start, torch.ones(1, dtype=torch.float64)])
        inside = ((points >= 0) & (points < 1)).all(1, keepdim=True)
        return torch.where(inside, points, torch.nan)

    def profile(
        self,
        grids: Sequence[ActivationGrid],
        image: int,
        position: Sequence[int],
        kind: Kind = "cosine",
        *,
        sigma: float | None = None,
    ) -> Tensor:
        """Return the similarity of a position to the corresponding position in every transformed image.

        Parameters
        ----------
        grids : sequence of ActivationGrid, P of them
            Activations of one layer on the images of this series.
        image : int
            Index of the transformed image that contains the position.
        position : (int, int)
            Row and column. The middle of its cell is followed.
        kind : {"cosine", "dot", "euclidean"}, default "cosine"
            Similarity measure.
        sigma : float, optional
            Width of the Euclidean kernel. Default: :func:`kernel_width` of all grids.

        Returns
        -------
        Tensor, (P,)
            NaN where the position leaves the image.
        """
        members = items(grids, "grids", len(self.images), what="activation grids")
        grids = [instance(grid, "each of the grids", ActivationGrid) for grid in members]
        check_kind(kind)
        image = self._index(image)
        rows, columns = grids[image].shape
        row, column = check_position(position, (rows, columns))
        sigma = kernel_width(grids) if sigma is None else number(sigma, "sigma", above=0)
        profile = torch.full((len(grids),), torch.nan)
        followed = self.follow(((column + 0.5) / columns, (row + 0.5) / rows), image)
        for index, (grid, (x, y)) in enumerate(zip(grids, followed.tolist(), strict=True)):
            if math.isnan(x):
                continue
            at = math.floor(y * rows), math.floor(x * columns)
            profile[index] = similarity(
                grids[image], (row, column), grid.raw[at][None, None], kind, sigma=sigma
            )
        return profile

    def _index(self, image: int) -> int:
        return integer(image, "image", low=0, high=len(self.images) - 1)


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
    labels = [f"{angle:g}°".replace("-", "−") for angle in angles]
    return _series(x, [(angle, 1.0) for angle in angles], labels, angles)


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
    return _series(x, [(0.0, factor) for factor in values], [f"× {f:g}" for f in values], values)


def _series(
    x: Tensor, steps: Sequence[tuple[float, float]], labels: Sequence[str], values: Sequence[float]
) -> GeometricSeries:
    lead = (1,) if dimensions(x, 3) == 4 else ()
    x = tensor(x, "an image", (*lead, "C", "H", "W"), finite=True)
    x = (x[0] if lead else x).float()
    height, width = x.shape[1:]
    turns = torch.stack([_transform(angle, factor, height, width) for angle, factor in steps])
    # grid_sample needs the inverse: the source of each pixel, in coordinates from -1 to 1.
    inverse = torch.linalg.inv(turns[:, :, :2])
    middle = torch.full((2,), 0.5, dtype=turns.dtype)
    origin = 2 * ((inverse @ (middle - turns[:, :, 2])[:, :, None])[:, :, 0] - middle)
    theta = torch.cat([inverse, origin[:, :, None]], 2).to(x)
    with outside_autocast(x):
        grid = F.affine_grid(theta, [len(steps), *x.shape], align_corners=False)
        images = F.grid_sample(x.expand(len(steps), *x.shape), grid, align_corners=False).clamp(0, 1)
    return GeometricSeries(images, turns.float(), tuple(labels), tuple(float(value) for value in values))


def _transform(angle: float, factor: float, height: int, width: int) -> Tensor:
    """Return the affine map (2, 3) from points of the image to points of the transformed one, both in [0, 1]^2."""
    turn = math.radians(angle)
    sine, cosine = factor * math.sin(turn), factor * math.cos(turn)
    linear = torch.tensor(
        [[cosine, sine * height / width], [-sine * width / height, cosine]], dtype=torch.float64
    )
    middle = torch.full((2,), 0.5, dtype=torch.float64)
    return torch.cat([linear, (middle - linear @ middle)[:, None]], 1)
