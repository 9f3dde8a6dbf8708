"""A network that draws an image from the activation of a layer (Dosovitskiy and Brox 2016).

With phi(x) the activation of the layer, m and s its mean and standard deviation over the images of the training, each
number by itself, and S the sizes from the code's to the image's, each twice the one before:

    z = (phi(x) - m) / s                  code: (K, h, w), or (K,) of a layer without positions
    u_0 = a(N(W z))                       W 3 x 3, or a linear map to a grid of 1/32 of the size
    u_i+1 = a(N(W_i u_i))                 W_i transposed convolution 4 x 4, stride 2; N group norm, a leaky ReLU
    u_i+1 = a(N(W_i upsampled u_i))       the last two: W_i 3 x 3, bilinear, without a pattern of their own
    G(z) = sigmoid(C u_L)                 C 3 x 3

The zero code is that of the mean activation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.partial_pass import outputs_up_to
from xai_widgets.core.run import without_inference_mode

#: Slope of the leaky ReLU.
SLOPE = 0.2
#: Reduction of the image's size at which a code without positions starts.
SMALLEST = 32
#: Number of channels of the coarse levels, as a multiple of those in the resolution of the image.
WIDEST = 4
#: Number of the last enlargements that are bilinear.
SMOOTH = 2
#: A standard deviation below this fraction of the mean one is raised to it: a unit that is always off stays 0.
LEAST_SPREAD = 1e-3


class FeatureGenerator(nn.Module):
    """Draws images (N, C, H, W) in [0, 1] from codes (N, *code_shape).

    Attributes
    ----------
    layer : str
        The layer whose activation is the code.
    code_shape : tuple of int
        (K, h, w), or (K,) for a layer without positions.
    size : (int, int)
        Height and width of the images.
    step, total : int
        Steps of training so far and in all.
    loss : float
        Mean loss of the last steps.
    """

    mean: Tensor
    std: Tensor
    #: Moments of the optimizer and last losses, to continue the training; None if it was loaded.
    training_state: tuple[Any, tuple[float, ...]] | None = None

    def __init__(
        self, layer: str, code_shape: Sequence[int], size: tuple[int, int], channels: int, *, width: int = 16
    ) -> None:
        super().__init__()
        self.layer, self.code_shape, self.size = layer, tuple(code_shape), size
        self.step, self.total, self.loss = 0, 0, math.nan
        self.sizes = grown_sizes(self.code_shape, size)
        depth = len(self.sizes) - 1
        widths = [width * min(WIDEST, 2 ** ((depth - level) // 2)) for level in range(depth + 1)]
        kind = self.code_shape[0]
        self.stem: nn.Module = (
            nn.Conv2d(kind, widths[0], 3, padding=1)
            if len(self.code_shape) == 3
            else nn.Linear(kind, widths[0] * math.prod(self.sizes[0]))
        )
        steps = list(pairwise(widths))
        coarse, fine = steps[:-SMOOTH], steps[-SMOOTH:]
        self.blocks = nn.ModuleList(
            [nn.ConvTranspose2d(a, b, 4, stride=2, padding=1) for a, b in coarse]
            + [nn.Conv2d(a, b, 3, padding=1) for a, b in fine]
        )
        self.norms = nn.ModuleList([nn.GroupNorm(math.gcd(8, each), each) for each in widths])
        self.out = nn.Conv2d(widths[-1], channels, 3, padding=1)
        self.register_buffer("mean", torch.zeros(self.code_shape))
        self.register_buffer("std", torch.ones(self.code_shape))

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.code_shape))
        return (
            f"FeatureGenerator({self.layer!r}, code {shape}, {self.size[0]}x{self.size[1]}, {self.step} of "
            f"{self.total} steps, loss {self.loss:.3g})"
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return the images of codes."""
        flow = self.stem(z)
        if flow.ndim == 2:
            flow = flow.unflatten(1, (-1, *self.sizes[0]))
        elif tuple(flow.shape[2:]) != self.sizes[0]:
            flow = F.interpolate(flow, self.sizes[0], mode="bilinear", align_corners=False)
        flow = F.leaky_relu(self.norms[0](flow), SLOPE)
        for size, block, norm in zip(self.sizes[1:], self.blocks, list(self.norms)[1:], strict=True):
            if isinstance(block, nn.Conv2d):
                flow = F.interpolate(flow, size, mode="bilinear", align_corners=False)
            # Sizes are halves, rounded up, so that twice a size may be one too large.
            flow = F.leaky_relu(norm(block(flow)[:, :, : size[0], : size[1]]), SLOPE)
        return self.out(flow).sigmoid()

    @without_inference_mode
    @torch.no_grad()
    def encode(self, model: ImageModel, images: Any) -> Tensor:
        """Return the codes of images of any kind, (N, *code_shape), for :class:`~.parameterizations.Generated`."""
        check_model(model)
        activation = activation_of(model, model.images(images), self.layer)
        if tuple(activation.shape[1:]) != self.code_shape:
            raise ValueError(
                f"expected an activation of shape {self.code_shape} at {self.layer!r}, got "
                f"{tuple(activation.shape[1:])} from {model.name}; use the model that the generator was trained for"
            )
        return self.standardized(activation)

    def standardized(self, activation: Tensor) -> Tensor:
        """Return the codes of activations, (N, *code_shape)."""
        return (activation - self.mean.to(activation)) / self.std.to(activation)

    def standardize(self, mean: Tensor, std: Tensor) -> None:
        """Set m and s, each (*code_shape)."""
        self.mean.copy_(mean)
        self.std.copy_(std.clamp(min=max(LEAST_SPREAD * std.mean().item(), 1e-12)))


def activation_of(model: ImageModel, x: Tensor, layer: str) -> Tensor:
    """Return the output of a layer as (N, K, h, w), or (N, K) without positions, for pixels (N, C, H, W)."""
    return arranged(model, layer, outputs_up_to(model, x, (layer,))[layer])


def arranged(model: ImageModel, layer: str, output: Tensor) -> Tensor:
    """Return an output of a layer as (N, K, h, w); as (N, K) without positions or with a single one."""
    grid = model.layer(layer).grid
    if grid is None or grid.height * grid.width == 1:
        return output.float().flatten(1)
    return grid.spatial(output).float()


def grown_sizes(code_shape: Sequence[int], size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the sizes from the code to the image, each half of the next one, rounded up.

    A code whose size is not one of these is resized to the first one.
    """
    least = tuple(code_shape[1:]) or tuple(-(-extent // SMALLEST) for extent in size)
    sizes = [size]
    while sizes[0] != (1, 1):
        half = (-(-sizes[0][0] // 2), -(-sizes[0][1] // 2))
        if half[0] < least[0] or half[1] < least[1]:
            break
        sizes.insert(0, half)
    return sizes
