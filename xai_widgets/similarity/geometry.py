"""An image under a series of transformations, and the change of its features.

The similarity of a position to the corresponding one measures how sensitive a layer is to a transformation
(Fong et al. 2021). The distance of all features to those of the original image measures how invariant the layer is
(Zeiler and Fergus 2014, figure 5): with a_l the output of layer l,

    d_l(x') = |a_l(x') - a_l(x)| / |a_l(x)|
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from xai_widgets.core.precision import double
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import instance, integer, items, number, numbers
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
        Angles in degrees, scale factors, shifts and sides of squares in percent, or numbers of mirrorings.
    axis : str
        What the values are, with their unit.
    original : int
        Index of the image that is least transformed.
    """

    images: Tensor
    transforms: Tensor
    labels: tuple[str, ...]
    values: tuple[float, ...]
    axis: str
    original: int = 0

    def ascending(self) -> GeometricSeries:
        """Return the series sorted by value, without repeated values."""
        values = sorted(set(self.values))
        order = [self.values.index(value) for value in values]
        return replace(
            self,
            images=self.images[order],
            transforms=self.transforms[order],
            labels=tuple(self.labels[index] for index in order),
            values=tuple(values),
            original=values.index(self.values[self.original]),
        )

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
        grids = self._members(grids)
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

    def distances(self, grids: Sequence[ActivationGrid]) -> Tensor:
        """Return the relative distance d_l of the features of every image to those of the original one.

        Parameters
        ----------
        grids : sequence of ActivationGrid, P of them
            Activations of one layer on the images of this series.

        Returns
        -------
        Tensor, (P,)
            0 for the original; NaN if its features are 0.
        """
        features = torch.stack([double(grid.raw.flatten()) for grid in self._members(grids)])
        start = features[self.original]
        return ((features - start).norm(dim=1) / start.norm()).float()

    def _members(self, grids: Sequence[ActivationGrid]) -> list[ActivationGrid]:
        members = items(grids, "grids", len(self.images), what="activation grids")
        return [instance(grid, "each of the grids", ActivationGrid) for grid in members]

    def _index(self, image: int) -> int:
        return integer(image, "image", low=0, high=len(self.images) - 1)
