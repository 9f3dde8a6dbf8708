"""Result of an adversarial probe, and the parts that all probes share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel, Target, check_model
from xai_widgets.core.precision import double
from xai_widgets.core.run import Run
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import check_finite
from xai_widgets.methods.gradients import no_gradient_error


@dataclass(frozen=True, repr=False)
class Probed(ShortRepr):
    """Changed images of an adversarial probe.

    Attributes
    ----------
    probe : str
        Name of the probe.
    original, image : Tensor, (N, C, H, W)
        Pixels in [0, 1] before and after.
    old, new : Tensor, (N,)
        Predicted classes before and after.
    toward : Tensor, (N,), or None
        The classes to reach; None: any class but the old one.
    step : int
        Number of steps so far.
    """

    probe: str
    original: Tensor = field(repr=False)
    image: Tensor
    old: Tensor
    new: Tensor
    toward: Tensor | None = field(repr=False)
    step: int

    def __len__(self) -> int:
        return len(self.image)

    @property
    def perturbation(self) -> Tensor:
        """The change of the pixels, (N, C, H, W)."""
        return self.image - self.original

    @property
    def reached(self) -> Tensor:
        """Whether each image has the class to reach, or another class than the old one, (N,) bool."""
        return self.new != self.old if self.toward is None else self.new == self.toward

    def norm(self, order: float = 2) -> Tensor:
        """Return the norm of each perturbation over all pixels and channels, (N,): 2, 1, ``math.inf``, or 0.

        Order 0 counts the pixels that differ in any channel.
        """
        change = self.perturbation
        if order == 0:
            return (change != 0).any(1).flatten(1).sum(1)
        return torch.linalg.vector_norm(change.flatten(1), ord=order, dim=1)

    def describe(self) -> str:
        """Return one line: how many images reached their class, and the largest and mean change."""
        reached = self.reached
        done = f"{self.probe}: {int(reached.sum())} of {len(self)} images reached"
        if not reached.any():
            return f"{done} another class"
        change = f"L2 {self.norm()[reached].mean():.3g}, L-inf {self.norm(math.inf)[reached].mean():.3g}"
        return f"{done} {'another' if self.toward is None else 'their'} class; mean {change}"


#: Changes images so that the class of a model changes: ``probe(model, x)`` for images of any kind.
Probe = Callable[[ImageModel, Any], Run[Probed] | Probed]


@dataclass(frozen=True, repr=False)
class Start(ShortRepr):
    """Start of a probe: images (N, C, H, W), their classes (N,), and the classes to reach."""

    x: Tensor
    old: Tensor
    toward: Tensor | None

    def goal(self, rows: slice | Tensor) -> tuple[Tensor, int]:
        """Return the classes whose probability is changed, and 1 to raise it, -1 to lower it."""
        return (self.old[rows], -1) if self.toward is None else (self.toward[rows], 1)


def begin(model: ImageModel, x: Any, toward: Target) -> Start:
    """Validate the arguments of a probe.

    Raises
    ------
    TypeError
        If ``model`` is not an ImageModel, or ``toward`` is a callable.
    ValueError
        For a model with one score, and for a class to reach that an image has already.
    """
    check_model(model)
    if len(model.labels) < 2:
        raise ValueError(
            f"expected a model with at least two classes, got {model.name} with one, whose class cannot change"
        )
    with outside_inference():
        x = model.images(x).clone()
        old = check_finite(model(x), model.name).argmax(1)
        goal = None if toward is None else model.targets(toward, x).clone()
    if goal is not None and bool((goal == old).any()):
        n = int((goal == old).nonzero()[0])
        raise ValueError(
            f"expected toward as another class than the predicted one, got {model.labels[int(goal[n])]!r} for image "
            f"{n}, which has it already"
        )
    return Start(x, old, goal)


def classes_of(model: ImageModel, x: Tensor, batch_size: int) -> Tensor:
    """Return the predicted classes, (N,), in batches."""
    with outside_inference(), torch.no_grad():
        return torch.cat([check_finite(model(part), model.name).argmax(1) for part in x.split(batch_size)])


def cross_entropy_direction(model: ImageModel, x: Tensor, classes: Tensor) -> Tensor:
    """Return d(log p_c)/dx of images (N, C, H, W), up to a positive factor for each image.

    p is the softmax of the scores, also for networks with another activation. The factor makes the largest derivative
    with respect to a score 1: where p_c rounds to 1, the derivative itself would round to 0.
    """
    with outside_inference(), torch.enable_grad():
        x = x.clone().requires_grad_()
        scores = model(x, frozen=True)
        if not scores.requires_grad:
            raise no_gradient_error(model)
        weights = score_weights(check_finite(scores.detach(), model.name), classes)
        (gradient,) = torch.autograd.grad(scores, x, weights.to(scores), allow_unused=True)
    if gradient is None:
        raise no_gradient_error(model)
    return gradient


def score_weights(scores: Tensor, classes: Tensor) -> Tensor:
    """Return d(log p_c)/dS = 1[k = c] - p_k, divided by its largest magnitude, (N, classes) in float64."""
    logs = double(scores).log_softmax(1)
    mine = torch.nn.functional.one_hot(classes.to(logs.device), scores.shape[1]).bool()
    # Relative to the largest of the other probabilities, which may be too small for any number.
    others = logs.masked_fill(mine, -math.inf)
    others = (others - others.amax(1, keepdim=True)).exp()
    weights = torch.where(mine, others.sum(1, keepdim=True), -others)
    return weights / weights.abs().amax(1, keepdim=True)
