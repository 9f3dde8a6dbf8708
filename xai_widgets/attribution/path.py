"""Gradients along a path from a baseline: integrated gradients and guided nonlinearity.

Sundararajan et al. 2017; Kwon 2021, chapter 3 (equations 3.1 to 3.9). With x' the baseline:

    IG(x)  = (x - x') * integral over alpha in [0, 1] of dS_c/dx at x' + alpha (x - x')               (3.1)
    sum IG = S_c(x) - S_c(x')                                                          completeness (3.2)

The discrete form (3.3) is printed without the factor (x - x'), which is included here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.batching import scores_of
from xai_widgets.core.images import check_baseline
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.errors import checked_keywords
from xai_widgets.methods.completeness import total, with_gap
from xai_widgets.methods.path_integral import Quadrature, path_integral
from xai_widgets.methods.registry import Cost, abs_sum, channel_sum, method
from xai_widgets.rules import guided_relu, positive_gradient, relu_rules

#: Largest completeness gap without a warning, relative to the change of the score.
TOLERANCE = 0.05
#: Additional tolerance for rounding, relative to the sum of all magnitudes.
ROUNDING = 1e-3


@method(
    title="Integrated gradients",
    reduce=channel_sum,
    source="Sundararajan et al. 2017",
    formula="(x - x') * mean_k dS_c/dx at x' + (k/m) (x - x')",
    cost=Cost(1, 0, "steps", 1, 1, note="plus one forward for each baseline"),
    guarantees="sums to S_c(x) - S_c(x')",
    limits="Pixels that equal the baseline get 0 even if they matter; too few steps leave a completeness gap, "
    "which is measured.",
    quick={"steps": 5},
)
def integrated_gradients(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    baseline: float | Tensor = 0.0,
    steps: int = 50,
    quadrature: Quadrature = "right",
    batch_size: int | None = None,
) -> Tensor:
    """Integrated gradients, (x - x') * mean_k dS_c/dx at x' + (k/m)(x - x').

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
    baseline : float or Tensor, default 0.0
        x': a gray value in [0, 1], an image (C, H, W), or one per image (N, C, H, W).
    steps : int, default 50
        m, the number of points on the path.
    quadrature : {"right", "midpoint", "gauss_legendre"}, default "right"
        Quadrature rule: points at k/m as in equation 3.3, or a more accurate rule.
    batch_size : int, optional
        Points per pass through the network, of all images. Default: as many as fit into memory.

    Returns
    -------
    Tensor, (N, C, H, W)
        In units of the score; its sum is S_c(x) - S_c(x') up to :func:`completeness_gap`. A gap above 5 % of that gives
        a warning.
    """
    baseline = check_baseline(baseline, x)
    result = path_integral(model, x, target, baseline, steps, quadrature, batch_size)
    change = score_change(model, x, target, baseline, batch_size)
    return with_gap(
        result,
        change,
        TOLERANCE,
        lambda total, expected: (
            f"integrated gradients of {model.name} are incomplete (sum {total}, expected {expected}); increase "
            f"steps={steps}"
        ),
        rounding=ROUNDING * result.abs().sum((1, 2, 3)),
    )


@method(
    title="Guided nonlinearity",
    reduce=abs_sum,
    source="Kwon 2021, chapter 3",
    formula="integrated gradients with relu(g) for the gradient g in the backward pass of every ReLU and max-pool",
    cost=Cost(0, 0, "steps", 1, 1),
    limits="Requires a network with ReLU; not complete, and like guided backprop it changes little if the weights "
    "of the upper layers are randomized.",
    requires=("relu",),
    quick={"steps": 5},
)
def guided_nonlinearity(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    baseline: float | Tensor = 0.0,
    steps: int = 50,
    quadrature: Quadrature = "right",
    batch_size: int | None = None,
) -> Tensor:
    """Guided nonlinearity: integrated gradients that backpropagate only positive gradients through nonlinearities.

    At every ReLU, y = relu(z), and at every max-pool, y_i = max_j z_ij:

        dF/dz    = relu(dF/dy * 1[z > 0])                                                             (3.6)
        dF/dz_ij = relu(dF/dy_i * 1[z_ij = y_i])                                                      (3.9)

    Parameters
    ----------
    model, x, target, baseline, steps, quadrature, batch_size
        See :data:`integrated_gradients`.

    Returns
    -------
    Tensor, (N, C, H, W)
        Not complete; :func:`completeness_gap` measures the gap. Its saliency map is the absolute value of the sum over
        channels.

    Raises
    ------
    ValueError
        If the network has no ReLU.
    """
    baseline = check_baseline(baseline, x)
    with relu_rules(model, "guided nonlinearity", relu=guided_relu, max_pool=positive_gradient):
        return path_integral(model, x, target, baseline, steps, quadrature, batch_size)


@checked_keywords
def completeness_gap(
    model: ImageModel, attribution: Tensor, x: Any, target: Target = None, *, baseline: float | Tensor = 0.0
) -> Tensor:
    """Return the difference between the sum of an attribution and the change of the score, (N,).

    sum_i A_i - (S_c(x) - S_c(x')), equation 3.2: 0 for integrated gradients in the limit of many steps.

    Parameters
    ----------
    model, x, target, baseline
        The arguments that the attribution was computed with.
    attribution : Tensor, (N, C, H, W)
        Result of a method.

    Returns
    -------
    Tensor, (N,)
        In units of the score.
    """
    model, x, target = prepare(model, x, target)
    change = score_change(model, x, target, check_baseline(baseline, x))
    return total(attribution, len(x)) - change


def score_change(
    model: ImageModel, x: Tensor, target: Tensor, baseline: Tensor, batch_size: int | None = None
) -> Tensor:
    """Return S_c(x) - S_c(x'), (N,), for baselines of the shape of x."""
    if (baseline == baseline[:1]).all():
        baseline = baseline[:1]
    scores = scores_of(model, torch.cat([x, baseline]), batch_size)
    return (scores[: len(x)] - scores[len(x) :]).gather(1, target[:, None])[:, 0]
