"""Smooth masks by max-convolution, with their area as a penalty: extremal perturbations as in TorchRay.

Fong, Patrick and Vedaldi 2019. With p a grid of parameters in [0, 1] and k a radial kernel with k(0) = 1:

    m(u) = smax_v k(u - v) p(v),   smax f = sum f exp(f / T) / sum exp(f / T)          equations 6 and 7
    max_p  Phi(m (x) x) - lambda R_a(m),   R_a(m) = |vecsort(m) - r_a|^2               equation 4

r_a holds (1 - a) n zeros, then a n ones, for n positions of the padded mask; R_a is the mean over them. The default
settings are those of TorchRay, the authors' implementation. Fong, "Understanding Convolutional Neural Networks", 2020,
has others: 1600 iterations, lambda 300 doubled at a third and at two thirds of them, and a kernel
exp(max(0, z - 1)^2 / 4), whose exponent must be negative for it to fall.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.validation import check_fields, integer, number
from xai_widgets.perturbation.mask_search import MOST_CELLS, MaskObjective, better, scored
from xai_widgets.perturbation.scored_masks import BestMasks, SearchResult


@dataclass(frozen=True)
class TorchRaySettings:
    """Settings of :class:`TorchRaySearch`; the defaults are those of TorchRay.

    Lengths are in pixels of an image of 224 x 224. They do not scale with the image.

    Attributes
    ----------
    steps : int, default 800
        Steps of SGD.
    learning_rate, momentum, dampening : float, defaults 0.01, 0.9, 0.9
        Parameters of SGD.
    weight, growth : float, defaults 300 and 1.0035
        lambda at the first step, and its factor from one step to the next.
    grid : int, default 7
        Pixels from one parameter to the next.
    sigma : float, default 21
        Extent of the kernel exp(-2 max(0, d / sigma - 0.5)^2).
    inverse_temperature : float, default 20
        1 / T.
    every : int, default 10
        Steps between two snapshots.
    """

    steps: int = 800
    learning_rate: float = 0.01
    momentum: float = 0.9
    dampening: float = 0.9
    weight: float = 300.0
    growth: float = 1.0035
    grid: int = 7
    sigma: float = 21.0
    inverse_temperature: float = 20.0
    every: int = 10

    def __post_init__(self) -> None:
        check_fields(self, integer, "steps", "every", low=1)
        check_fields(self, integer, "grid", low=1, high=MOST_CELLS)
        check_fields(self, number, "learning_rate", "inverse_temperature", above=0)
        # The kernel has about 4 (sigma / grid)^2 cells.
        check_fields(self, number, "sigma", above=0, high=64 * self.grid)
        check_fields(self, number, "momentum", "dampening", "weight", "growth")

    def image_search(
        self, areas: list[float], like: Tensor, start: SearchResult | Tensor | None = None
    ) -> TorchRaySearch:
        """Return a search over masks of images; see :class:`~xai_widgets.perturbation.mask_search.SearchSettings`.

        Raises
        ------
        ValueError
            If a start is given.
        """
        if start is not None:
            raise ValueError(
                "expected no start with ExtremalSettings.torchray(), whose search begins with masks of ones; leave it "
                "out, or use ExtremalSettings()"
            )
        return TorchRaySearch(areas, self, like)


class MaxConvolution:
    """The smooth masks of equations 6 and 7, on a grid that extends beyond the image.

    Parameters
    ----------
    size : (int, int)
        H and W of the masks, in pixels.
    settings : TorchRaySettings
        Grid, kernel and temperature.
    like : Tensor
        Any tensor with the dtype and device of the masks.
    """

    def __init__(self, size: tuple[int, int], settings: TorchRaySettings, like: Tensor) -> None:
        self.size, self.grid = size, settings.grid
        self.inverse_temperature = settings.inverse_temperature
        self.margin = 1 + math.ceil(settings.sigma / self.grid)
        self.cells = tuple(math.ceil(extent / self.grid) + 2 * self.margin for extent in size)
        offsets = (
            torch.arange(-self.margin, self.margin + 1, device=like.device, dtype=like.dtype) * self.grid
        )
        inner = torch.arange(self.grid, device=like.device, dtype=like.dtype) - (self.grid - 1) / 2
        along = (inner[:, None] - offsets[None]) ** 2
        # (rows in a cell, columns in a cell, neighbors down, neighbors right)
        distance = (along[:, None, :, None] + along[None, :, None, :]).sqrt()
        kernel = torch.exp(-2 * (distance / settings.sigma - 0.5).clamp(min=0) ** 2)
        self.kernel = kernel.reshape(self.grid**2, -1, 1)

    def __call__(self, parameters: Tensor) -> Tensor:
        """Return padded masks (B, h grid, w grid) of parameters (B, h, w)."""
        padded = F.pad(parameters[:, None], (self.margin,) * 4, mode="replicate")
        neighbors = F.unfold(padded, 2 * self.margin + 1)[:, None]
        products = self.kernel * neighbors
        pooled = ((self.inverse_temperature * products).softmax(2) * products).sum(2)
        return F.pixel_shuffle(pooled.unflatten(2, self.cells), self.grid)[:, 0]

    def crop(self, masks: Tensor) -> Tensor:
        """Crop padded masks (..., h grid, w grid) to the image, (..., H, W)."""
        down, right = (
            (masks.shape[dim] - extent) // 2 for dim, extent in zip((-2, -1), self.size, strict=True)
        )
        return masks[..., down : down + self.size[0], right : right + self.size[1]]


@dataclass(frozen=True)
class TorchRaySearch:
    """SGD on equation 4 from masks of ones, for all areas and images at once.

    Attributes
    ----------
    areas : list of float
        Shares of the image, ascending.
    settings : TorchRaySettings
        Settings.
    like : Tensor, (N, A, H, W)
        Any tensor with the shape, dtype and device of the masks.
    """

    areas: list[float]
    settings: TorchRaySettings
    like: Tensor

    @property
    def snapshots(self) -> int:
        """Number of snapshots: one every ``every`` steps, and the last."""
        return -(-self.settings.steps // self.settings.every)

    def run(self, objective: MaskObjective) -> Iterator[BestMasks]:
        """Yield the best masks so far, again and again; they never get worse."""
        settings, like = self.settings, self.like
        # Tensors created in the caller's inference mode could not be part of a graph later.
        with outside_inference():
            convolution = MaxConvolution((like.shape[2], like.shape[3]), settings, like)
        lead = like.shape[:2]
        parameters = torch.ones((*lead, *convolution.cells), dtype=like.dtype, device=like.device)
        velocity = torch.zeros_like(parameters)
        positions = math.prod(convolution.cells) * convolution.grid**2
        sorted_target = torch.zeros((len(self.areas), positions), dtype=like.dtype, device=like.device)
        for row, area in zip(sorted_target, self.areas, strict=True):
            row[positions - int(area * positions) :] = 1
        weight = settings.weight

        def make_masks(parameters: Tensor, _some: slice | None) -> Tensor:
            return convolution.crop(convolution(parameters.flatten(0, 1)).unflatten(0, parameters.shape[:2]))

        best: BestMasks | None = None
        for step in range(settings.steps):
            gradient = objective.gradient(parameters, make_masks, step)
            with outside_inference(), torch.enable_grad():
                moved = parameters.detach().clone().requires_grad_()
                ranked = convolution(moved.flatten(0, 1)).flatten(1).sort(dim=1).values.unflatten(0, lead)
                penalty = weight * ((ranked - sorted_target.clone()) ** 2).mean(2).sum()
                gradient = gradient - torch.autograd.grad(penalty, moved)[0]
            with torch.no_grad():
                # Like torch's SGD, the first step is not dampened.
                damped = gradient if step == 0 else (1 - settings.dampening) * gradient
                velocity = settings.momentum * velocity + damped
                parameters = (parameters + settings.learning_rate * velocity).clamp(0, 1)
            weight *= settings.growth
            if (step + 1) % settings.every == 0 or step + 1 == settings.steps:
                with torch.no_grad():
                    best = better(
                        scored(objective, make_masks(parameters, None), parameters, self.areas), best
                    )
                yield best
