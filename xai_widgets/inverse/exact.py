"""Closed-form inverses of units that only move, select or average values."""

from __future__ import annotations

import torch
from torch import Tensor

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.precision import no_autocast
from xai_widgets.inverse.units import Unit


def exact_inverse(unit: Unit, x_bar: Tensor, y: Tensor) -> Tensor:
    """Return the closed-form inverse of a unit that only moves, selects or averages values.

    For a max-pool it is M^+ y: each y at the position of its maximum, averaged where windows share a maximum. Where a
    maximum is negative, zeros beside it would be larger, so that all positions of its window have this y. For an
    average it is the part of x_bar with average y, x_bar y / y_bar. Where windows overlap, averages and negative maxima
    are not reproduced exactly.

    Parameters
    ----------
    unit : Unit
        A unit of a kind in ``EXACT``.
    x_bar : Tensor, (B, ...)
        Input of the unit in the forward pass.
    y : Tensor, (B, ...)
        Value to invert, between 0 and the output of the unit for x_bar.

    Returns
    -------
    Tensor, (B, ...)
        Shaped like x_bar.
    """
    out = run_without_gradient(unit, x_bar)
    if unit.kind == "average":
        share, _ = _spread(unit, x_bar, torch.where(out != 0, y / out, 0))
        return x_bar * share
    inverse, windows = _spread(unit, x_bar, y)
    return inverse if unit.kind != "pool" else _with_negative_windows(unit, x_bar, y, inverse, windows > 0)


def run_without_gradient(unit: Unit, x: Tensor) -> Tensor:
    """Return the output of a unit outside of the autograd graph."""
    with outside_inference(), torch.no_grad():
        return unit.run(x)


def _spread(unit: Unit, x: Tensor, y: Tensor, counts: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the mean of y over the windows in `counts` that a position is selected by, and their number."""
    with outside_inference(), torch.enable_grad(), no_autocast(x.device):
        start = x.detach().clone().requires_grad_()
        out = unit.run(start)
        counts = torch.ones_like(out) if counts is None else counts.to(out)
        # The unit is linear around x, so the backward pass multiplies with the transposed matrix.
        (spread,) = torch.autograd.grad(out, start, y.detach().clone() * counts, retain_graph=True)
        (windows,) = torch.autograd.grad(out, start, counts)
    return torch.where(windows > 0, spread / windows.clamp(min=1e-12), 0), windows


def _with_negative_windows(unit: Unit, x_bar: Tensor, y: Tensor, inverse: Tensor, selected: Tensor) -> Tensor:
    """Return the inverse of a max-pool with y at all positions of windows whose maximum is negative."""
    negative = run_without_gradient(unit, x_bar) < 0
    left = x_bar
    # Each round selects the next largest position of each window.
    while bool(negative.any()):
        left = left.masked_fill(selected, -torch.inf)
        negative = negative & run_without_gradient(unit, left).isfinite()
        values, windows = _spread(unit, left, y, negative)
        selected = (windows > 0) & left.isfinite()
        inverse = torch.where(selected, values, inverse)
    return inverse
