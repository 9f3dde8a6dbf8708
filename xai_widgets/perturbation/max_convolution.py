"""Smooth masks by max-convolution, and their area as a penalty: extremal perturbations as they were published.

Fong, Patrick and Vedaldi 2019. With p a grid of parameters in [0, 1] and k a radial kernel with k(0) = 1:

    m(u) = smax_v k(u - v) p(v),   smax f = sum f exp(f / T) / sum exp(f / T)          equations 6 and 7
    max_p  Phi(m (x) x) - lambda R_a(m),   R_a(m) = |vecsort(m) - r_a|^2               equation 4

r_a holds (1 - a) n zeros, then a n ones, n the places of the padded mask; R_a is the mean over them. The figures are
those of the authors' released implementation. The thesis gives others: 1600 iterations, lambda 300 doubled at a third
and at two thirds of them, and a kernel exp(max(0, z - 1)^2 / 4), whose sign must be negative for it to fall.
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
from xai_widgets.perturbation.areas import MOST_CELLS, Found, Objective, better_of


@dataclass(frozen=True)
class ReleasedSettings:
    """The published search: SGD on a grid of parameters, the area as a penalty.

    Attributes
    ----------
    steps : int, default 800
        Of SGD.
    learning_rate, momentum, dampening : float, defaults 0.01, 0.9, 0.9
        Of SGD.
    weight, growth : float, defaults 300 and 1.0035
        lambda at the first step, and its factor from one step to the next.
    grid : int, default 7
        Pixels from one parameter to the next. At 224 pixels, as all lengths here; they do not scale with the image.
    sigma : float, default 21
        Pixels; the kernel is exp(-2 max(0, d / sigma - 0.5)^2).
    coldness : float, default 20
        1 / T.
    every : int, default 10
        Steps from one snapshot to the next.
    """

    steps: int = 800
    learning_rate: float = 0.01
    momentum: float = 0.9
    dampening: float = 0.9
    weight: float = 300.0
    growth: float = 1.0035
    grid: int = 7
    sigma: float = 21.0
    coldness: float = 20.0
    every: int = 10

    def __post_init__(self) -> None:
        check_fields(self, integer, "steps", "every", low=1)
        check_fields(self, integer, "grid", low=1, high=MOST_CELLS)
        check_fields(self, number, "learning_rate", "coldness", above=0)
        # In cells of the grid: the kernel has four times as many of them as there are neighbors.
        check_fields(self, number, "sigma", above=0, high=64 * self.grid)
        check_fields(self, number, "momentum", "dampening", "weight", "growth")


class MaxConvolution:
    """The smooth masks of equations 6 and 7 on a grid that reaches beyond the image.

    Parameters
    ----------
    size : (int, int)
        H and W of the masks, in pixels.
    settings : ReleasedSettings
        Grid, kernel and coldness.
    like : Tensor
        Of the dtype and on the device that are wanted.
    """

    def __init__(self, size: tuple[int, int], settings: ReleasedSettings, like: Tensor) -> None:
        self.size, self.grid, self.coldness = size, settings.grid, settings.coldness
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
        """Masks (B, h grid, w grid), of more than the image, of parameters (B, h, w)."""
        padded = F.pad(parameters[:, None], (self.margin,) * 4, mode="replicate")
        around = F.unfold(padded, 2 * self.margin + 1)[:, None]
        reached = self.kernel * around
        pooled = ((self.coldness * reached).softmax(2) * reached).sum(2)
        return F.pixel_shuffle(pooled.unflatten(2, self.cells), self.grid)[:, 0]

    def crop(self, masks: Tensor) -> Tensor:
        """The part of masks (..., h grid, w grid) that lies on the image, (..., H, W)."""
        down, right = (
            (masks.shape[dim] - extent) // 2 for dim, extent in zip((-2, -1), self.size, strict=True)
        )
        return masks[..., down : down + self.size[0], right : right + self.size[1]]


def released_search(
    objective: Objective, areas: list[float], settings: ReleasedSettings, like: Tensor
) -> Iterator[Found]:
    """Equation 4 by the published figures, all areas and images at once.

    Parameters
    ----------
    objective : Objective
        What the masks are for.
    areas : list of float
        Ascending.
    settings : ReleasedSettings
        The figures.
    like : Tensor, (N, A, H, W)
        Of the shape, the dtype and on the device of the masks.

    Yields
    ------
    Found
        Every ``settings.every`` steps; ``fields`` are the parameters.
    """
    # Inside the caller's inference_mode() nothing made could be part of a graph later.
    with outside_inference():
        make = MaxConvolution((like.shape[2], like.shape[3]), settings, like)
    lead = like.shape[:2]
    parameters = torch.ones((*lead, *make.cells), dtype=like.dtype, device=like.device)
    velocity = torch.zeros_like(parameters)
    places = math.prod(make.cells) * make.grid**2
    wanted = torch.zeros((len(areas), places), dtype=like.dtype, device=like.device)
    for row, area in zip(wanted, areas, strict=True):
        row[places - int(area * places) :] = 1
    weight = settings.weight

    def masks(field: Tensor, _some: slice | None) -> Tensor:
        return make.crop(make(field.flatten(0, 1)).unflatten(0, field.shape[:2]))

    found: Found | None = None
    for step in range(settings.steps):
        gradient = objective.gradient(parameters, masks, step)
        with outside_inference(), torch.enable_grad():
            moved = parameters.detach().clone().requires_grad_()
            ranked = make(moved.flatten(0, 1)).flatten(1).sort(dim=1).values.unflatten(0, lead)
            penalty = weight * ((ranked - wanted.clone()) ** 2).mean(2).sum()
            gradient = gradient - torch.autograd.grad(penalty, moved)[0]
        with torch.no_grad():
            # The first step is taken whole, as in every SGD with dampening.
            fresh = gradient if step == 0 else (1 - settings.dampening) * gradient
            velocity = settings.momentum * velocity + fresh
            parameters = (parameters + settings.learning_rate * velocity).clamp(0, 1)
        weight *= settings.growth
        if (step + 1) % settings.every == 0 or step + 1 == settings.steps:
            with torch.no_grad():
                found = better_of(objective, found, masks(parameters, None), parameters, areas)
            yield found
