"""Solvers for the weights of concepts: stochastic gradient descent, and the optimum of the convex problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.validation import LOWEST_SEED, check_fields, choice, integer, number
from xai_widgets.errors import warn

Loss = Literal["cross_entropy", "printed"]
#: Memory of L-BFGS in steps, and the smallest step of its line search relative to a full one.
MEMORY, SHORTEST = 10, 2.0**-20
#: Decrease, relative to that of the linear model, that a step must reach.
DECREASE = 1e-4
#: Bytes of the features that one step of descent gathers.
GATHERED = 2**27


@dataclass(frozen=True)
class Descent:
    """Stochastic gradient descent with momentum; the defaults are those of Fong and Vedaldi 2018, section 3.1.2.

    Parameters
    ----------
    learning_rate : float, default 1e-4
        Step size, above 0.
    momentum : float, default 0.9
        Momentum, in [0, 1).
    batch_size : int, default 64
        Images per step and concept.
    epochs : int, default 30
        Passes over the training split.
    loss : {"cross_entropy", "printed"}, default "cross_entropy"
        Weighted cross entropy; or equation 4 as it is printed, without logarithms, which is not convex. Segmentation
        only.
    seed : int, default 0
        Seed of the order of the images.

    Raises
    ------
    ValueError
        For a number out of range, or an unknown loss.
    """

    learning_rate: float = 1e-4
    momentum: float = 0.9
    batch_size: int = 64
    epochs: int = 30
    loss: Loss = "cross_entropy"
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, number, "learning_rate", above=0)
        check_fields(self, number, "momentum", low=0, below=1)
        check_fields(self, integer, "batch_size", "epochs", low=1)
        check_fields(self, integer, "seed", low=LOWEST_SEED)
        choice(self.loss, "loss", get_args(Loss))

    def fit(self, features: Tensor, labels: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights and biases for balanced classification; see :meth:`Classifier.fit`.

        Each image of a batch is drawn from the positive and the negative images with equal probability.
        """
        generator = torch.Generator().manual_seed(self.seed)
        (rows, channels), count = used.shape, len(features)
        weights = torch.zeros(rows, channels + 1, device=features.device)
        velocity = torch.zeros_like(weights)
        mask = F.pad(used.to(weights), (0, 1), value=1)
        padded = F.pad(features.float(), (0, 1), value=1)
        # Images by row, the negative ones first.
        order = labels.to(torch.uint8).T.argsort(dim=1, stable=True)
        negatives = count - labels.sum(0)
        size = max(1, GATHERED // (4 * self.batch_size * (channels + 1)))
        for _ in range(self.epochs * -(-count // self.batch_size)):
            draws = torch.rand(2, rows, self.batch_size, generator=generator).to(features.device)
            positive = draws[0] < 0.5
            amount = torch.where(positive, (count - negatives)[:, None], negatives[:, None])
            drawn = (draws[1] * amount).long().clamp(max=count - 1) + positive * negatives[:, None]
            images = order.gather(1, drawn)
            for part in torch.arange(rows, device=features.device).split(size):
                x = padded[images[part]]
                logits = torch.bmm(x, weights[part, :, None])[..., 0]
                residual = (logits.sigmoid() - positive[part].float()) / self.batch_size
                gradient = torch.bmm(residual[:, None], x)[:, 0] * mask[part]
                velocity[part] = self.momentum * velocity[part] + gradient
                weights[part] -= self.learning_rate * velocity[part]
        return weights[:, :-1], weights[:, -1]


@dataclass(frozen=True)
class Optimum:
    """The optimum of balanced logistic regression with a penalty on the weights, by L-BFGS for all concepts at once.

    For n+ positive and n- negative images, features f divided by one number for the whole layer (the root of the mean
    variance of a channel), and z_i = b + w . f_i, it minimizes

        1/2 mean_(i positive) log(1 + exp(-z_i)) + 1/2 mean_(i negative) log(1 + exp(z_i)) + l2 / 2 |w|^2

    which is scikit-learn's ``LogisticRegression(class_weight="balanced", C=1 / (l2 n))`` for n images.

    Parameters
    ----------
    l2 : float, default 1e-3
        Weight of the penalty, above 0: without it, a concept that can be separated has no optimum.
    steps : int, default 500
        Largest number of steps.
    tolerance : float, default 1e-6
        Largest entry of the gradient at the end, above 0.

    Raises
    ------
    ValueError
        For a number out of range.
    """

    l2: float = 1e-3
    steps: int = 500
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        check_fields(self, number, "l2", "tolerance", above=0)
        check_fields(self, integer, "steps", low=1)

    def fit(self, features: Tensor, labels: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights and biases for balanced classification; see :meth:`Classifier.fit`.

        Warns
        -----
        ExplanationWarning
            If some concepts have not reached the tolerance.
        """
        center = features.double().mean(0)
        moved = features.double() - center
        variance = moved.square().mean(0)
        scale = variance.mean().sqrt()
        if not scale > 0:
            return torch.zeros_like(used, dtype=features.dtype), torch.zeros(len(used)).to(features)
        # Steps are taken in units in which the curvature is about 1.
        units = (variance / scale**2 / 4 + self.l2).rsqrt()
        scaled = F.pad(moved / scale * units, (0, 1), value=1)
        mask = F.pad(used.double(), (0, 1), value=1)
        penalty = self.l2 * F.pad(units**2, (0, 1))
        signs = 2 * labels.T.double() - 1
        share = 0.5 / torch.where(labels, labels.sum(0), (~labels).sum(0)).T.double()

        def objective(u: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            margins = signs[rows] * (u @ scaled.T)
            value = (share[rows] * F.softplus(-margins)).sum(1) + (penalty * u.square()).sum(1) / 2
            slope = -signs[rows] * share[rows] * torch.sigmoid(-margins)
            return value, (slope @ scaled + penalty * u) * mask[rows]

        u, gradient = minimize(objective, torch.zeros_like(mask), self.steps, self.tolerance)
        if late := int((gradient.abs().amax(1) > self.tolerance).sum()):
            warn(
                f"{late} of {len(used)} classifiers have not reached the optimum; increase `steps` in Optimum"
            )
        weights = u[:, :-1] * units / scale
        return weights.to(features), (u[:, -1] - weights @ center).to(features)


class Classifier(Protocol):
    """Learns balanced linear classifiers, one per row."""

    def fit(self, features: Tensor, labels: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights and biases.

        Parameters
        ----------
        features : Tensor, (N, K)
            Averaged activations.
        labels : Tensor of bool, (N, R)
            Whether an image is positive, for each classifier; every column has both kinds.
        used : Tensor of bool, (R, K)
            The filters that each classifier may use.

        Returns
        -------
        weights : Tensor, (R, K)
        bias : Tensor, (R,)
        """
        ...


#: Maps points (R', D) and the indices (R',) of their problems to values (R',) and gradients (R', D).
Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def minimize(objective: Objective, u: Tensor, steps: int, tolerance: float) -> tuple[Tensor, Tensor]:
    """Minimize convex problems by L-BFGS, each with steps of its own (Liu and Nocedal 1989).

    Parameters
    ----------
    objective : callable
        Maps points and the indices of their problems to values and gradients.
    u : Tensor, (R, D)
        Starting points of the R problems.
    steps : int
        Largest number of steps.
    tolerance : float
        A problem ends when no entry of its gradient is larger.

    Returns
    -------
    u, gradient : Tensor, (R, D)
        The last points, and the gradients there.
    """
    everything = torch.arange(len(u), device=u.device)
    u = u.clone()
    value, gradient = objective(u, everything)
    history: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(steps):
        rows = (gradient.abs().amax(1) > tolerance).nonzero()[:, 0]
        if not len(rows):
            break
        direction = -_inverse_curvature(gradient, history)
        slope = (direction * gradient).sum(1)
        step = torch.ones_like(value)
        before = u.clone(), gradient.clone()
        while len(rows):
            tried = u[rows] + step[rows, None] * direction[rows]
            new_value, new_gradient = objective(tried, rows)
            limit = value[rows] + DECREASE * step[rows] * slope[rows]
            # Near the optimum, the decrease is below the rounding of the values.
            accepted = new_value <= limit + 4 * torch.finfo(u.dtype).eps * value[rows].abs()
            done = rows[accepted]
            u[done], value[done], gradient[done] = (
                tried[accepted],
                new_value[accepted],
                new_gradient[accepted],
            )
            rows = rows[~accepted]
            step[rows] /= 2
            rows = rows[step[rows] > SHORTEST]
        moved, changed = u - before[0], gradient - before[1]
        product = (moved * changed).sum(1)
        inverse = torch.where(product > 0, 1 / product.clamp(min=torch.finfo(u.dtype).tiny), 0)
        history = [*history, (moved, changed, inverse)][-MEMORY:]
    return u, gradient


def _inverse_curvature(gradient: Tensor, history: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """Return the product of the approximate inverse Hessian with the gradient, (R, D), by the two-loop recursion."""
    q = gradient.clone()
    factors = []
    for moved, changed, inverse in reversed(history):
        factor = inverse * (moved * q).sum(1)
        q -= factor[:, None] * changed
        factors.append(factor)
    if history:
        moved, changed, inverse = history[-1]
        curvature = (moved * changed).sum(1) / changed.square().sum(1).clamp(min=torch.finfo(q.dtype).tiny)
        q *= torch.where(inverse > 0, curvature, 1)[:, None]
    for (moved, changed, inverse), factor in zip(history, reversed(factors), strict=True):
        q += moved * (factor - inverse * (changed * q).sum(1))[:, None]
    return q
