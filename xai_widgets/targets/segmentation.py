"""Targets for networks with a dense output: a pixel, a region, or the area of a class.

The output is a map of scores (N, C, h, w), such as the logits of C classes of a segmentation, or (N, h, w), such as a
depth. Positions are given in pixels of the image that the network sees, whatever the resolution of the map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import check_fields, integer
from xai_widgets.targets.entries import check_index, class_map, constant

if TYPE_CHECKING:
    from xai_widgets.core.model import ImageModel


@dataclass(frozen=True)
class Pixel:
    """The score of a class at one pixel.

    Grad-CAM averages the gradient over the positions of its layer: if only a linear layer and resizing follow, its map
    is the same for every pixel. Methods that keep positions, such as ``linear_approximation``, distinguish pixels.

    Attributes
    ----------
    row, column : int
        The pixel in the image that the network sees, from 0 at the top left. The map is read at the position that
        covers it.
    class_index : int, default 0
        Channel of the map.
    entry : str or int, optional
        The entry of a dict, object or tuple that holds the map. Default: "logits", "out", or the first of a tuple.

    Examples
    --------
    >>> METHODS["grad_cam"](model, image, target=Pixel(120, 80, 15))
    """

    row: int
    column: int
    class_index: int = 0
    entry: str | int | None = None

    takes_size = True

    def __post_init__(self) -> None:
        check_fields(self, integer, "row", "column", "class_index", low=0)

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"class {self.class_index} at ({self.row}, {self.column})"

    def __call__(self, output: Any, size: tuple[int, int] | None = None) -> Tensor:
        """Return the scores, (N,), for images of a size (height, width), by default that of the map."""
        maps = class_map(output, self.entry)
        height, width = maps.shape[2:] if size is None else size
        check_index(self.row, height, "row")
        check_index(self.column, width, "column")
        check_index(self.class_index, maps.shape[1], "class_index")
        return maps[
            :, self.class_index, self.row * maps.shape[2] // height, self.column * maps.shape[3] // width
        ]


@dataclass(frozen=True, repr=False, eq=False)
class Region(ShortRepr):
    """The mean score of a class in a region, the target of Seg-Grad-CAM (Vinogradova et al. 2020).

    Attributes
    ----------
    mask : Tensor, (H, W)
        Weights of at least 0, such as a boolean mask, in the size of the image that the network sees or of the map; in
        another size than that of the map they are averaged over its positions.
    class_index : int, default 0
        Channel of the map.
    entry : str or int, optional
        See :class:`Pixel`.

    Examples
    --------
    >>> METHODS["integrated_gradients"](model, image, target=Region.predicted(model, image, 15))
    """

    mask: Tensor
    class_index: int = 0
    entry: str | int | None = None

    takes_size = True

    def __post_init__(self) -> None:
        mask = constant(self.mask, "mask", ("H", "W"))
        if bool((mask < 0).any()) or not bool((mask > 0).any()):
            raise ValueError("expected a mask with values of at least 0, some above 0, got others")
        object.__setattr__(self, "mask", mask)
        check_fields(self, integer, "class_index", low=0)

    @classmethod
    def predicted(
        cls, model: ImageModel, image: Any, class_index: int, *, entry: str | int | None = None
    ) -> Region:
        """Return the region that a network assigns to a class in an image.

        It is fixed, so that it stays the same while the image is perturbed. A map of one channel has the class where it
        is above 0, which is a probability above 1/2 by a sigmoid.

        Parameters
        ----------
        model : ImageModel
            The network.
        image
            One image of any kind.
        class_index : int
            Channel of the map.

        Raises
        ------
        ValueError
            If the network does not assign any position to the class.
        """
        maps = class_map(model.raw_output(image), entry)
        if len(maps) != 1:
            raise ValueError(f"expected one image, got {len(maps)}")
        check_index(integer(class_index, "class_index", low=0), maps.shape[1], "class_index")
        assigned = maps[0].argmax(0) if maps.shape[1] > 1 else (maps[0, 0] <= 0).long()
        if not bool((assigned == class_index).any()):
            found, counts = assigned.unique(return_counts=True)
            largest = ", ".join(map(str, found[counts.argsort(descending=True)][:3].tolist()))
            reason = f"it finds {largest}" if maps.shape[1] > 1 else "the map is at most 0 everywhere"
            raise ValueError(
                f"expected a class that {model.name} finds in the image, got {class_index}; {reason}"
            )
        return cls((assigned == class_index).cpu(), class_index, entry)

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"class {self.class_index} in a region"

    def __call__(self, output: Any, size: tuple[int, int] | None = None) -> Tensor:
        """Return the scores, (N,), for images of a size (height, width), by default that of the map."""
        maps = class_map(output, self.entry)
        check_index(self.class_index, maps.shape[1], "class_index")
        grid = (maps.shape[2], maps.shape[3])
        given = (self.mask.shape[0], self.mask.shape[1])
        if given not in (grid, size):
            raise ValueError(
                f"expected a mask of the size of the image, {size or grid}, or of the map, {grid}, got {given}"
            )
        with torch.no_grad():
            mask = self.mask.to(maps.device)
            mask = mask if given == grid else F.interpolate(mask[None, None], grid, mode="area")[0, 0]
            weights = (mask / mask.sum()).to(maps.dtype)
        return (maps[:, self.class_index] * weights).sum((1, 2))


@dataclass(frozen=True)
class ClassArea:
    """The share of the image that the network assigns to a class, in [0, 1]: the mean of its probability.

    The probability at each position is softmax over the channels, or sigmoid for a map of one channel. Where the
    network is certain, its gradient is small: a map of a gradient shows the outline of the area. For the evidence
    inside of the area use :meth:`Region.predicted`.

    Attributes
    ----------
    class_index : int, default 0
        Channel of the map.
    entry : str or int, optional
        See :class:`Pixel`.
    """

    class_index: int = 0
    entry: str | int | None = None

    def __post_init__(self) -> None:
        check_fields(self, integer, "class_index", low=0)

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"area of class {self.class_index}"

    def __call__(self, output: Any) -> Tensor:
        """Return the shares, (N,)."""
        areas = _areas(class_map(output, self.entry))
        check_index(self.class_index, areas.shape[1], "class_index")
        return areas[:, self.class_index]


@dataclass(frozen=True)
class ClassAreas:
    """The area of every class, one score each; see :class:`ClassArea`.

    Attributes
    ----------
    entry : str or int, optional
        See :class:`Pixel`.

    Examples
    --------
    >>> model = ImageModel(network, targets=ClassAreas(), labels=weights.meta["categories"])
    >>> model.predict(image)  # the classes with the largest areas
    """

    entry: str | int | None = None

    label = "area of each class"

    def __call__(self, output: Any) -> Tensor:
        """Return the shares, (N, C)."""
        return _areas(class_map(output, self.entry))


def _areas(maps: Tensor) -> Tensor:
    probabilities = maps.softmax(1) if maps.shape[1] > 1 else maps.sigmoid()
    return probabilities.mean((2, 3))
