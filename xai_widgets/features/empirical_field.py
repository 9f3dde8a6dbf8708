"""Empirical receptive fields by occlusion: the part of an image that a channel really depends on (Zhou et al. 2015).

For the images that activate a channel most, with p_n the position of the largest activation in image n, and x_n^w the
image with a small window w occluded (section 3.2 of the paper):

    discrepancy map    D_n(u) = mean over windows w that cover u of |a_p_n(x_n) - a_p_n(x_n^w)|
    receptive field    R(d) = mean over n of D_n(c(p_n) + d),   c(p) the middle of position p in pixels
    segmentation       {u : sum over p of max(a_p, 0) R(u - c(p)) >= share of its maximum}

The field is smaller than the theoretical one, and takes the shape of the pattern that the channel responds to. The
paper occludes
windows of 11 x 11 pixels at a distance of 3, about 5000 for an image of 227 x 227.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.partial_pass import outputs_up_to
from xai_widgets.core.precision import double
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import check_finite, integer, number
from xai_widgets.errors import warn
from xai_widgets.features.objectives.maximized import check_channel
from xai_widgets.ops.fill import Fill, fill_image


@dataclass(frozen=True, repr=False)
class EmpiricalField(ShortRepr):
    """Discrepancy maps of a channel, and its receptive field.

    Attributes
    ----------
    layer : str
        Name of the layer.
    channel : int
        The channel.
    maps : Tensor, (n, H, W)
        Discrepancy maps of the images so far, in units of the activation; at least 0.
    activation : Tensor, (n, h, w)
        Activation of the channel.
    positions : Tensor of int, (n, 2)
        Row and column of its largest activation.
    """

    layer: str
    channel: int
    maps: Tensor
    activation: Tensor
    positions: Tensor

    @property
    def centers(self) -> Tensor:
        """Middles of the positions in pixels, row and column, (n, 2)."""
        return self._middles(self.positions)

    @property
    def field(self) -> Tensor:
        """R, (2 H + 1, 2 W + 1), with the position in the middle; 0 where no image reaches."""
        _, height, width = self.maps.shape
        total = self.maps.new_zeros(2 * height + 1, 2 * width + 1)
        seen = torch.zeros_like(total)
        for each, (row, column) in zip(self.maps, self.centers.floor().long().tolist(), strict=True):
            rows, columns = slice(height - row, 2 * height - row), slice(width - column, 2 * width - column)
            total[rows, columns] += each
            seen[rows, columns] += 1
        return total / seen.clamp(min=1)

    def extent(self, share: float = 0.5) -> float:
        """Return the side, in pixels, of a square as large as the part of the field above a share of its maximum."""
        share = number(share, "share", above=0, high=1)
        field = self.field
        peak = field.max()
        return float((field >= share * peak).sum()) ** 0.5 if peak > 0 else 0.0

    def segmentation(self, share: float = 0.5) -> Tensor:
        """Return the pixels of each image that the channel responds to, a boolean mask (n, H, W).

        Parameters
        ----------
        share : float, default 0.5
            Share of the maximum, above 0, at most 1.
        """
        share = number(share, "share", above=0, high=1)
        responses = self.responses()
        peak = responses.amax((1, 2), keepdim=True)
        return (responses >= share * peak) & (peak > 0)

    def responses(self) -> Tensor:
        """Return the sum over the positions of the positive activation times the field around it, (n, H, W)."""
        n, height, width = self.maps.shape
        h, w = self.activation.shape[1:]
        grid = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"), 2).flatten(0, 1)
        rows, columns = self._middles(grid.to(self.maps.device)).floor().long().unbind(1)
        points = self.maps.new_zeros(n, height, width)
        points[:, rows, columns] = self.activation.clamp(min=0).flatten(1)
        # A convolution: both tensors are extended so that their borders do not meet.
        size = (3 * height, 3 * width)
        product = torch.fft.rfft2(points, s=size) * torch.fft.rfft2(self.field, s=size)
        whole = torch.fft.irfft2(product, s=size)
        return whole[:, height : 2 * height, width : 2 * width].clamp(min=0)

    def _middles(self, positions: Tensor) -> Tensor:
        sizes = positions.new_tensor(self.maps.shape[1:]) / positions.new_tensor(self.activation.shape[1:])
        return (positions + 0.5) * sizes


@without_inference_mode
def empirical_receptive_field(
    model: ImageModel,
    images: Any,
    layer: str,
    channel: int,
    *,
    window: int | None = None,
    stride: int | None = None,
    fill: Fill = "mean",
    batch_size: int = 32,
) -> Run[EmpiricalField]:
    """Measure the receptive field of a channel by occluding small windows of the images that activate it most.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind, best those with the largest activations (:func:`~xai_widgets.features.top_activations`); 25
        in the paper.
    layer : str
        A spatial layer, by its name in ``model.layers()``.
    channel : int
        The channel.
    window : int, optional
        Side of a window, in pixels. Default: 1/20 of the short side, 11 of 224 pixels.
    stride : int, optional
        Distance of neighboring windows, in pixels, at most ``window``. Default: half a window, rounded up.
    fill : {"gray", "mean", "blur", "black", "noise"}, float or Tensor, default "mean"
        Pixels inside a window, see :func:`~xai_widgets.ops.fill.fill_image`.
    batch_size : int, default 32
        Occluded images per pass, which ends at the layer.

    Returns
    -------
    Run of EmpiricalField
        One snapshot per image. A warning reports images whose activation no window changes.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, a layer that is not spatial, a channel that it does not have, or
        windows that leave pixels out.
    """
    check_model(model)
    model.grid(layer)
    channel = check_channel(model, layer, channel)
    x = model.images(images).clone()
    side = (
        max(1, round(min(x.shape[2:]) / 20))
        if window is None
        else integer(window, "window", low=1, high=min(x.shape[2:]))
    )
    step = -(-side // 2) if stride is None else integer(stride, "stride", low=1, high=side)
    batch_size, filled = check_batch_size(batch_size), fill_image(fill, x)
    measured = field_by_passes(model, x, layer, channel, side, step, filled, batch_size)
    fields = (each for each in measured if each is not None)
    return Run(fields, total=len(x), name=f"receptive field of {layer}")


def field_by_passes(
    model: ImageModel,
    x: Tensor,
    layer: str,
    channel: int,
    side: int,
    stride: int,
    filled: Tensor,
    batch_size: int,
) -> Iterator[EmpiricalField | None]:
    """Yield None after each pass of occluded images, and the field after each image.

    Parameters
    ----------
    model, layer, channel, stride, batch_size
        See :func:`empirical_receptive_field`.
    x, filled : Tensor, (n, C, H, W)
        The images, and the pixels inside a window.
    side : int
        Side of a window, in pixels.
    """
    corners = _corners(x.shape[2], x.shape[3], side, stride)
    covered = _spread(torch.ones(len(corners)), corners, side, x.shape[2:])
    maps, activations, positions = [], [], []

    def activation(pixels: Tensor) -> Tensor:
        output = outputs_up_to(model, pixels, [layer])[layer]
        return check_finite(model.spatial(layer, output)[:, channel].float(), model.name, "activations")

    for n in range(len(x)):
        a = activation(x[n : n + 1])[0]
        at = int(a.flatten().argmax())
        changes = []
        for some in corners.split(batch_size):
            occluded = x[n].repeat(len(some), 1, 1, 1)
            for image, (top, left) in zip(occluded, some.tolist(), strict=True):
                box = (slice(None), slice(top, top + side), slice(left, left + side))
                image[box] = filled[n][box]
            changes.append((activation(occluded).flatten(1)[:, at] - a.flatten()[at]).abs())
            yield None
        maps.append(_spread(torch.cat(changes).cpu(), corners, side, x.shape[2:]) / covered)
        activations.append(a)
        positions.append(torch.tensor([at // a.shape[1], at % a.shape[1]]))
        stacked = torch.stack(maps), torch.stack(activations).cpu(), torch.stack(positions)
        yield EmpiricalField(layer, channel, *stacked)
    flat = [n for n, each in enumerate(maps) if not bool(each.any())]
    if flat:
        warn(
            f"no window changes the largest activation of channel {channel} of {layer!r} in image {flat[0]}"
            f"{f' and {len(flat) - 1} more' if len(flat) > 1 else ''}; its map is 0, and the field averages over it"
        )


def _corners(height: int, width: int, side: int, stride: int) -> Tensor:
    """Return the upper left corners of windows that cover an image, (W, 2); the last ones end at its border."""
    rows, columns = ([*range(0, extent - side, stride), extent - side] for extent in (height, width))
    return torch.cartesian_prod(torch.tensor(rows), torch.tensor(columns))


def _spread(values: Tensor, corners: Tensor, side: int, size: Any) -> Tensor:
    """Return the sum of the values of the windows that cover each pixel, (H, W)."""
    height, width = size
    # Differences at the corners of the windows, which cumulative sums turn into windows.
    edges = torch.zeros(height + 1, width + 1, dtype=torch.float64)
    for down, right, sign in ((0, 0, 1), (0, side, -1), (side, 0, -1), (side, side, 1)):
        edges.index_put_(
            (corners[:, 0] + down, corners[:, 1] + right), sign * double(values), accumulate=True
        )
    return edges.cumsum(0).cumsum(1)[:height, :width].clamp(min=0).float()
