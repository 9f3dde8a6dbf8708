"""What both inverses share: the forward pass unit by unit, what is inverted exactly, and a solver for large batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from xai_widgets.core.arguments import device_of
from xai_widgets.core.guard import guarded, outside_inference
from xai_widgets.core.images import to_images
from xai_widgets.core.model import ImageModel, Target
from xai_widgets.core.precision import no_autocast
from xai_widgets.core.validation import brief, check_finite, tensor
from xai_widgets.errors import warn
from xai_widgets.inverse.solver import Cost, Solution, SolverSettings, minimize
from xai_widgets.inverse.units import Unit, check_network, dominating, find_units
from xai_widgets.ops.blur import gaussian_blur

#: Blur of the forward activation at which a unit begins, in its places.
START_SIGMA = 1.0

#: Kinds of units that are inverted in closed form.
EXACT = ("pool", "reshape", "average")


@dataclass(frozen=True)
class UnitInverse:
    """The inverse at the input of one unit.

    Attributes
    ----------
    unit : str
        Its name.
    kind : str
        What it is: "convolution", "linear", "pool", "reshape", "average" or "scores".
    x : Tensor, (N, L, ...)
        x^, for each image and weight, between 0 and x_bar.
    x_bar : Tensor, (N, ...)
        The activation of the forward pass.
    cost : Tensor, (N, L)
        What was minimized; 0 for what is exact.
    iterations : Tensor, (N, L)
        How many it took.
    change : Tensor, (N, L)
        By which share of it the cost fell in the last iterations.
    converged : Tensor, (N, L)
        Whether that is little.
    """

    unit: str
    kind: str
    x: Tensor
    x_bar: Tensor
    cost: Tensor
    iterations: Tensor
    change: Tensor
    converged: Tensor

    @property
    def map(self) -> Tensor:
        """Sum of x^ over the channels, (N, L, h, w); ValueError for a unit whose input has no places."""
        if self.x.ndim != 5:
            raise ValueError(
                f"the input of {self.unit!r} has shape {tuple(self.x_bar.shape[1:])}, wanted (C, h, w): only what has "
                "places has a map"
            )
        return self.x.sum(2)


@dataclass(frozen=True, kw_only=True)
class Inverted:
    """The inverses so far, from the output down, L for each image.

    alpha = x^ / x, the mean over the channels of a pixel that are not 0, in [0, 1]; 0 where the image is 0.

    Attributes
    ----------
    units : tuple of UnitInverse
        Those that are done, the last of the network first.
    image : Tensor, (N, C, H, W)
        x.
    target : Tensor, (N,), or None
        The classes, if classes were inverted.
    original_output : Tensor, (N, ...)
        Phi(x): of a classifier the scores before softmax.
    output : Tensor, (N, L, ...), or None
        Phi(x^), when the image is reached.
    activation : {"softmax", "sigmoid"} or None
        How scores become probabilities; None where the outputs are taken as they are.
    has_probabilities : bool
        False where outputs are plain numbers, as of a regression.
    notes : tuple of str
        Reasons why the inverse says less than it seems to, such as a unit that spans most of the network.
    """

    units: tuple[UnitInverse, ...]
    image: Tensor
    target: Tensor | None
    original_output: Tensor
    output: Tensor | None = None
    activation: Literal["softmax", "sigmoid"] | None = "softmax"
    has_probabilities: bool = True
    notes: tuple[str, ...] = ()

    @property
    def x(self) -> Tensor:
        """x^, (N, L, ...), where the inverse has come to; at the end the image, (N, L, C, H, W)."""
        if not self.units:
            raise ValueError("no unit is inverted yet, wanted a run that has gone further")
        return self.units[-1].x

    @property
    def alpha(self) -> Tensor:
        """Which share of each pixel is left, (N, L, H, W) in [0, 1]; ValueError if the image is not reached."""
        self._reached()
        there = self.image[:, None] > 0
        share = torch.where(there, self.x / self.image[:, None].clamp(min=1e-12), 0)
        return share.sum(2) / there.sum(2).clamp(min=1)

    @property
    def mean_alpha(self) -> Tensor:
        """How much of the image is left, (N, L) in [0, 1]; ValueError if the image is not reached."""
        return self.alpha.mean((2, 3))

    @property
    def probability(self) -> Tensor:
        """Probability of the class for x^, (N, L), or its score where outputs are plain numbers.

        ValueError without a class, or before the image.
        """
        index = self._classes().view(-1, 1, 1).expand(-1, self.x.shape[1], 1)
        scores = self._reached()
        if self.activation is not None:
            scores = scores.softmax(2) if self.activation == "softmax" else scores.sigmoid()
        return scores.gather(2, index)[..., 0]

    @property
    def reidentified(self) -> Tensor:
        """Whether x^ is of the class, (N, L): the class is the best one, or of labels has a probability above 0.5.

        ValueError without a class or probabilities, or before the image.
        """
        output, classes = self._reached(), self._classes()
        if not self.has_probabilities:
            raise ValueError("expected a network with probabilities, got one whose outputs are plain numbers")
        if self.activation == "sigmoid" or output.shape[2] == 1:
            return self.probability > 0.5
        return output.argmax(2) == classes[:, None]

    @property
    def unconverged(self) -> list[str]:
        """In words, the units whose cost was still falling, and how fast."""
        return [
            f"{unit.unit} (still falling by {unit.change[~unit.converged].max():.2g} of its cost)"
            for unit in self.units
            if not bool(unit.converged.all())
        ]

    def saliency(self) -> Tensor:
        """alpha, the mean over all L, (N, H, W); ValueError if the image is not reached."""
        return self.alpha.mean(1)

    def _reached(self) -> Tensor:
        if self.output is None:
            raise ValueError("the inverse has not come to the image, wanted one that has")
        return self.output

    def _classes(self) -> Tensor:
        if self.target is None:
            raise ValueError("no class was inverted, wanted the inverse of a target")
        return self.target

    def warn(self) -> None:
        """Warn of units that did not converge, and of images of which nothing is left."""
        for unit in self.units:
            left = unit.x.flatten(1).any(1)
            if not left.all():
                which = f", for image {int((~left).nonzero()[0]) + 1} of {len(left)}" if left.any() else ""
                warn(
                    f"the inverse is 0 everywhere from the input of {unit.unit!r} on{which}: nothing of the image is "
                    "left, so it shows nothing"
                )
                break
        if self.unconverged:
            warn(
                f"{len(self.unconverged)} of {len(self.units)} units did not converge: {', '.join(self.unconverged)}; "
                "more steps may lower their cost"
            )


@dataclass(frozen=True)
class Chain:
    """A network as units, and what they passed on to each other.

    Attributes
    ----------
    units : list of Unit
        In the order in which they run.
    inputs : list of Tensor, (N, ...)
        x_bar of each; the first is the image.
    output : Tensor, (N, ...)
        Of the last one.
    """

    units: list[Unit]
    inputs: list[Tensor]
    output: Tensor

    @classmethod
    @guarded
    def of(cls, model: ImageModel | nn.Module, x: Any) -> Chain:
        """Return the chain of a network, and its forward pass of images of any kind."""
        if isinstance(model, ImageModel):
            image = model.images(x)
        else:
            check_network(model)
            channels = x.shape[-3] if isinstance(x, Tensor) and x.ndim in (3, 4) else 3
            image = to_images(x, channels=channels).to(device_of(model))
        units = find_units(model, image)
        # Inside the caller's inference_mode() nothing made could be part of a graph later.
        with outside_inference(), torch.no_grad():
            passed = [image.clone()]
            for unit in units:
                passed.append(unit.run(passed[-1]))
        name = model.name if isinstance(model, ImageModel) else type(model).__name__
        check_finite(passed[-1], name)
        return cls(units, passed[:-1], passed[-1])

    def notes(self) -> tuple[str, ...]:
        """Return in words what makes an inverse of this chain say less than it seems to, and warn of it."""
        unit, total = dominating(self.units), sum(unit.depth for unit in self.units)
        if unit is None:
            return ()
        note = (
            f"the unit {unit.name!r} spans {unit.depth} of {total} weighted operations in a row, so most of the "
            "network is inverted at once"
        )
        warn(note)
        return (note,)

    def run(self, x: Tensor, batch_size: int) -> Tensor:
        """The output of the network for images (B, C, H, W)."""
        made = []
        with outside_inference(), torch.no_grad():
            for part in x.split(batch_size):
                for unit in self.units:
                    part = unit.run(part)
                made.append(part)
        return torch.cat(made)


def classes_of(model: ImageModel | nn.Module, chain: Chain, target: Target) -> Tensor | None:
    """The class of each image; None for a plain module. ValueError for a target that a plain module cannot have."""
    if isinstance(model, ImageModel):
        return model.targets(target, chain.inputs[0])
    if target is not None:
        raise ValueError(
            f"target is {brief(target)} and the network a plain module, wanted an ImageModel, which has them, or an "
            "output"
        )
    return None


def check_output(output: Any, chain: Chain) -> Tensor:
    """Return what is inverted in place of a class, (N, ...) like the output of the network."""
    return tensor(output, "output", tuple(chain.output.shape), finite=True, like=chain.output)


def kind_of(model: ImageModel | nn.Module) -> dict[str, Any]:
    """Return how the outputs of a network become probabilities, as the fields of :class:`Inverted`."""
    if not isinstance(model, ImageModel):
        return {}
    return {"activation": model.activation, "has_probabilities": model.has_probabilities}


def exact_inverse(unit: Unit, x_bar: Tensor, y: Tensor) -> Tensor:
    """The inverse in closed form of a unit that only moves, picks or averages values.

    M^+ y for a max-pool, which has each y where its maximum was; the mean of those, where windows share one. For an
    average the part of x_bar whose average is y: x_bar y / y_bar, which is exact where windows do not overlap.

    Parameters
    ----------
    unit : Unit
        Of a kind in ``EXACT``.
    x_bar : Tensor, (B, ...)
        Its input in the forward pass.
    y : Tensor, (B, ...)
        Between 0 and its output there.
    """
    with outside_inference(), torch.enable_grad(), no_autocast(x_bar.device):
        given = x_bar.detach().clone().requires_grad_()
        out = unit.run(given)
        share = torch.where(out > 0, y / out, 0).detach() if unit.kind == "average" else y
        # Transposed matrices of what is linear around x_bar are its backward pass.
        (spread,) = torch.autograd.grad(out, given, share.clone(), retain_graph=True)
        (windows,) = torch.autograd.grad(out, given, torch.ones_like(out))
    made = torch.where(windows > 0, spread / windows.clamp(min=1e-12), 0)
    return x_bar * made if unit.kind == "average" else made


def solve(
    cost: Cost, start: Tensor, upper: Tensor, settings: SolverSettings, batch_size: int
) -> Iterator[Solution | None]:
    """Minimize, so many elements at a time; yields None under way, and the solution of all of them at last."""
    parts: list[Solution] = []
    for index in torch.arange(len(start), device=start.device).split(batch_size):

        def some(x: Tensor, chosen: Tensor, index: Tensor = index) -> Tensor:
            return cost(x, index[chosen])

        latest: Solution | None = None
        for solution in minimize(some, start[index], upper[index], settings):
            latest = solution
            yield None
        assert latest is not None
        parts.append(latest)
    yield Solution(
        *(
            torch.cat([getattr(part, name) for part in parts])
            for name in ("x", "cost", "iterations", "change", "converged")
        )
    )


def solved(unit: Unit, solution: Solution, x_bar: Tensor) -> UnitInverse:
    """The inverse (N, L, ...) of a unit, of a solution (N L, ...)."""
    lead = (len(x_bar), -1)
    x, cost, iterations, change, converged = (
        part.unflatten(0, lead)
        for part in (solution.x, solution.cost, solution.iterations, solution.change, solution.converged)
    )
    return UnitInverse(unit.name, unit.kind, x, x_bar, cost, iterations, change, converged)


def begin_at(x_bar: Tensor) -> Tensor:
    """Where a unit begins: its forward activation, blurred where it has places."""
    with no_autocast(x_bar.device):
        return x_bar if x_bar.ndim < 4 else gaussian_blur(x_bar, START_SIGMA)


def check_settings(settings: Any) -> SolverSettings:
    """The settings, or the default ones for None; TypeError for what are none."""
    if settings is None:
        return SolverSettings()
    if not isinstance(settings, SolverSettings):
        raise TypeError(f"settings is {type(settings).__name__}, wanted SolverSettings(...)")
    return settings


def exactly(unit: Unit, x: Tensor, x_bar: Tensor) -> UnitInverse:
    """The inverse (N, L, ...) of a unit that took no iterations."""
    nothing = x.new_zeros(x.shape[:2])
    return UnitInverse(
        unit.name,
        unit.kind,
        x,
        x_bar,
        nothing,
        nothing.long(),
        nothing,
        torch.ones_like(nothing, dtype=torch.bool),
    )


def length(x: Tensor) -> Tensor:
    """The Euclidean norm of each element of a batch, (B,)."""
    return x.flatten(1).norm(dim=1)


def beside(values: Tensor, like: Tensor) -> Tensor:
    """Values (B,) beside a tensor (B, ...)."""
    return values.view(-1, *[1] * (like.ndim - 1))
