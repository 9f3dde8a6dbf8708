"""DeepFool: the smallest change that crosses the nearest boundary of a class (Moosavi-Dezfooli et al. 2016).

With c the predicted class, f the scores, w_k = df_k/dx - df_c/dx and g_k = f_k - f_c at x_i (algorithm 2):

    l      = argmin over k != c of  |g_k| / |w_k|_q
    r_i    = |g_l| / |w_l|_2^2  w_l                   norm "l2",    q = 2
    r_i    = |g_l| / |w_l|_1  sign(w_l)               norm "linf",  q = 1, equations 10 and 11
    x_i+1  = clip(x_i + r_i)

until the class of clip(x + (1 + eta) (x_i - x)) is another one; eta = 0.02, at most 50 steps. The boundaries of the ten
best classes are compared, as in the authors' code. clip limits pixels to [0, 1], which the source does not do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.validation import check_finite, choice, integer, number
from xai_widgets.learned.probed import Probed, begin, classes_of
from xai_widgets.methods.gradients import no_gradient_error

PerturbationNorm = Literal["l2", "linf"]


@without_inference_mode
def deep_fool(
    model: ImageModel,
    x: Any,
    *,
    norm: PerturbationNorm = "l2",
    overshoot: float = 0.02,
    classes: int = 10,
    steps: int = 50,
    batch_size: int = 32,
) -> Run[Probed]:
    """Change each image by about the least amount that changes its class.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    norm : {"l2", "linf"}, default "l2"
        The norm that is kept small: of the whole perturbation, or of its largest value.
    overshoot : float, default 0.02
        eta, by which the change exceeds the one to the boundary, at least 0.
    classes : int, default 10
        Number of best classes whose boundaries are compared, at least 2; more cost one backward pass each.
    steps : int, default 50
        Largest number of steps.
    batch_size : int, default 32
        Images per pass.

    Returns
    -------
    Run of Probed
        One snapshot for each step, until all images have another class. An image that keeps its class is returned
        changed, with ``reached`` False. A class to reach is not defined.
    """
    choice(norm, "norm", get_args(PerturbationNorm))
    overshoot = number(overshoot, "overshoot", low=0)
    classes, steps = integer(classes, "classes", low=2), integer(steps, "steps", low=1)
    batch_size = check_batch_size(batch_size)
    start = begin(model, x, None)

    def cross() -> Iterator[Probed]:
        x, linear = start.x, start.x.clone()
        image, new = x.clone(), start.old.clone()
        for step in range(1, steps + 1):
            left = (new == start.old).nonzero().flatten()
            for rows in left.split(batch_size):
                with outside_inference():
                    change = _to_boundary(model, linear[rows], start.old[rows], classes, norm)
                    linear[rows] = (linear[rows] + change).clamp(0, 1)
                    image[rows] = (x[rows] + (1 + overshoot) * (linear[rows] - x[rows])).clamp(0, 1)
                    new[rows] = classes_of(model, image[rows], batch_size)
            yield Probed("DeepFool", x, image.clone(), start.old, new.clone(), None, step)
            if bool((new != start.old).all()):
                return

    return Run(cross(), total=steps, name="DeepFool")


def _to_boundary(model: ImageModel, x: Tensor, old: Tensor, classes: int, norm: PerturbationNorm) -> Tensor:
    """Return the change r, (N, C, H, W), to the nearest boundary of the linearized scores."""
    gaps, normals = _boundaries(model, x, old, classes)
    lengths = normals.flatten(2).norm(p=2 if norm == "l2" else 1, dim=2)
    # A boundary without a gradient is never the nearest.
    distances = torch.where(lengths > 0, gaps.abs() / lengths, torch.inf)
    nearest = distances.argmin(1)
    each = torch.arange(len(x), device=x.device)
    distance, length, normal = distances[each, nearest], lengths[each, nearest], normals[each, nearest]
    direction = normal.sign() if norm == "linf" else normal / length.clamp(min=1e-30).view(-1, 1, 1, 1)
    distance = torch.where(distance.isfinite(), distance, 0)
    return distance.view(-1, 1, 1, 1) * direction


def _boundaries(model: ImageModel, x: Tensor, old: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return g_k, (N, K), and w_k, (N, K, C, H, W), of the K best other classes."""
    with outside_inference(), torch.enable_grad():
        x = x.clone().requires_grad_()
        scores = model(x, frozen=True)
        check_finite(scores.detach(), model.name)
        if not scores.requires_grad:
            raise no_gradient_error(model)
        others = scores.detach().scatter(1, old[:, None], -torch.inf)
        best = others.topk(min(classes, scores.shape[1]) - 1, dim=1).indices
        gaps = scores.gather(1, best) - scores.gather(1, old[:, None])
        normals = [
            torch.autograd.grad(gap.sum(), x, retain_graph=True, allow_unused=True)[0]
            for gap in gaps.unbind(1)
        ]
    found = [normal for normal in normals if normal is not None]
    if len(found) < len(normals):
        raise no_gradient_error(model)
    return gaps.detach(), torch.stack(found, 1)
