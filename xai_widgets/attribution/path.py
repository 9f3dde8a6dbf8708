"""Gradients along a path from a baseline: integrated gradients, and guided nonlinearity on top of them.

Sundararajan, Taly and Yan 2017; Kwon's dissertation, chapter 3 (equations 3.1 to 3.9). With x' the baseline:

    IG(x)  = (x - x') * integral over alpha in [0, 1] of dS_c/dx at x' + alpha (x - x')               (3.1)
    sum IG = S_c(x) - S_c(x')                                                          completeness (3.2)

The printed discrete form (3.3) lacks the factor (x - x'); it is kept here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.batching import scores_of
from xai_widgets.core.images import check_baseline
from xai_widgets.core.model import ImageModel, Target, check_model
from xai_widgets.errors import checked_keywords
from xai_widgets.methods.completeness import total, with_gap
from xai_widgets.methods.path_integral import Quadrature, path_integral
from xai_widgets.methods.registry import Cost, abs_sum, channel_sum, method
from xai_widgets.rules import guided_relu, positive_gradient, relu_rules

#: Of the change of the score; a sum that is further from it is said in a warning.
TOLERANCE = 0.05
#: Of the sum of all magnitudes; below it the change of the score is lost in rounding.
ROUNDING = 1e-3


@method(
    title="Integrated gradients",
    reduce=channel_sum,
    source="Sundararajan et al. 2017",
    formula="(x - x') * mean_k dS_c/dx at x' + (k/m) (x - x')",
    cost=Cost(1, 0, "steps", 1, 1, note="besides one forward for each baseline"),
    guarantees="sums to S_c(x) - S_c(x')",
    limits="What is like the baseline has nothing, whatever it means; too few steps leave a gap, which is "
    "measured.",
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
        As for every :class:`~xai_widgets.methods.Method`.
    baseline : float or Tensor, default 0.0
        x': a gray value in [0, 1], an image (C, H, W), or one per image (N, C, H, W).
    steps : int, default 50
        m, the number of points on the path.
    quadrature : {"right", "midpoint", "gauss_legendre"}, default "right"
        Where the points lie: at k/m as in equation 3.3, or where the sum comes nearer to the integral.
    batch_size : int, optional
        Points per pass through the network, of all images. Default: as many as fit into memory.

    Returns
    -------
    Tensor, (N, C, H, W)
        In units of the score; its sum is S_c(x) - S_c(x') up to :func:`completeness_gap`. A warning tells a sum that is
        off by more than a twentieth of that.
    """
    baseline = check_baseline(baseline, x)
    made = path_integral(model, x, target, baseline, steps, quadrature, batch_size)
    change = score_change(model, x, target, baseline, batch_size)
    return with_gap(
        made,
        change,
        TOLERANCE,
        lambda total, wanted: (
            f"the integrated gradients of {model.name} sum to {total} for a change of the score of {wanted}, wanted "
            f"the same: more than {steps} steps come nearer"
        ),
        rounding=ROUNDING * made.abs().sum((1, 2, 3)),
    )


@method(
    title="Guided nonlinearity",
    reduce=abs_sum,
    source="Kwon, dissertation, chapter 3",
    formula="as integrated gradients, with g made relu(g) on the way back through every ReLU and max-pool",
    cost=Cost(0, 0, "steps", 1, 1),
    limits="Refuses networks without ReLU; completeness is given up, and as guided backprop it changes little "
    "when upper layers have random weights.",
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
    """Guided nonlinearity: integrated gradients that go back through nonlinearities by their positive part.

    At every ReLU, y = relu(z), and at every max-pool, y_i = max_j z_ij:

        dF/dz    = relu(dF/dy * 1[z > 0])                                                             (3.6)
        dF/dz_ij = relu(dF/dy_i * 1[z_ij = y_i])                                                      (3.9)

    Parameters
    ----------
    model, x, target, baseline, steps, quadrature, batch_size
        As for :data:`integrated_gradients`.

    Returns
    -------
    Tensor, (N, C, H, W)
        Completeness is given up; :func:`completeness_gap` tells by how much. Its saliency map is the absolute
        value of the sum over channels.

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
    """How far an attribution is from summing to the change of the score, (N,).

    sum_i A_i - (S_c(x) - S_c(x')), equation 3.2: 0 for integrated gradients in the limit of many steps.

    Parameters
    ----------
    model, x, target, baseline
        What the attribution was made with.
    attribution : Tensor, (N, C, H, W)
        What a method returned.

    Returns
    -------
    Tensor, (N,)
        In units of the score.
    """
    check_model(model)
    x, target = model.prepare(x, target)
    change = score_change(model, x, target, check_baseline(baseline, x))
    return total(attribution, len(x)) - change


def score_change(
    model: ImageModel, x: Tensor, target: Tensor, baseline: Tensor, batch_size: int | None = None
) -> Tensor:
    """S_c(x) - S_c(x'), (N,), for baselines like x."""
    if (baseline == baseline[:1]).all():
        baseline = baseline[:1]
    scores = scores_of(model, torch.cat([x, baseline]), batch_size)
    return (scores[: len(x)] - scores[len(x) :]).gather(1, target[:, None])[:, 0]
