"""Parts shared by both inverses: the network as a chain of units, exact inverses, and solving in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from xai_widgets.core.arguments import device_of
from xai_widgets.core.guard import guarded, outside_inference
from xai_widgets.core.images import to_images
from xai_widgets.core.model import ImageModel, Target, targeted
from xai_widgets.core.precision import no_autocast
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import brief, check_finite, tensor
from xai_widgets.errors import warn
from xai_widgets.inverse.exact import exact_inverse
from xai_widgets.inverse.inverted import UnitInverse
from xai_widgets.inverse.solver import Cost, Solution, SolverSettings, minimize
from xai_widgets.inverse.unit import Unit
from xai_widgets.inverse.units import check_network, divide, dominating
from xai_widgets.ops.blur import gaussian_blur

#: Standard deviation of the blur of a unit's starting point, in positions of its input.
START_SIGMA = 1.0

#: Kinds of units with a closed-form inverse.
EXACT = ("pool", "reshape", "average")
#: Relations of a residual to the input of a network.
_RESIDUALS = {
    "added": "adds the output of {!r} to its input",
    "subtracted": "subtracts the output of {!r} from its input",
}


def weighted_fraction(sizes: Sequence[int], done: int, share: float) -> float:
    """Return the completed fraction of parts of these sizes, in their order, with a share of the current part."""
    current = min(0.95, share) * sizes[done] if done < len(sizes) else 0.0
    return (sum(sizes[:done]) + current) / sum(sizes)


@dataclass(frozen=True, repr=False)
class Chain(ShortRepr):
    """A network as a chain of units, with the activations of a forward pass.

    Attributes
    ----------
    units : list of Unit
        Units in order of execution.
    inputs : list of Tensor, (N, ...)
        Input x_bar of each unit; the first is the image. Of several activations it is the one computed last.
    states : list of list of Tensor
        All activations at the input of each unit, and at last the output.
    output : Tensor, (N, ...)
        Output of the last unit.
    zero : Tensor, (C,)
        The color that the network sees as zeros: the mean color of an ImageModel.
    residual : {"added", "subtracted"} or None
        Whether the network adds the output of the last unit to its input, or subtracts it, so that the residual is
        inverted. None for other networks.
    signed : tuple of str
        Names of the activation functions with which activations between units can be negative.
    """

    units: list[Unit]
    inputs: list[Tensor]
    states: list[list[Tensor]]
    output: Tensor
    zero: Tensor
    residual: Literal["added", "subtracted"] | None = None
    signed: tuple[str, ...] = ()

    @classmethod
    @guarded
    def of(cls, model: ImageModel | nn.Module, x: Any) -> Chain:
        """Find the units of a network and run them on images of any kind; a chain is returned as it is."""
        if isinstance(x, Chain):
            return x
        if isinstance(model, ImageModel):
            image = model.images(x)
        else:
            check_network(model)
            channels = x.shape[-3] if isinstance(x, Tensor) and x.ndim in (3, 4) else 3
            image = to_images(x, channels=channels).to(device_of(model))
        division = divide(model, image)
        units = division.units
        # Tensors created in the caller's inference_mode() cannot be used in autograd later.
        with outside_inference(), torch.no_grad():
            states = [[image.clone()]]
            for unit in units:
                states.append(unit.outputs.split(unit.run(unit.inputs.join(states[-1]))))
        name = model.name if isinstance(model, ImageModel) else type(model).__name__
        check_finite(states[-1][-1], name)
        zero = model.mean.flatten() if isinstance(model, ImageModel) else image.new_zeros(image.shape[1])
        inputs = [state[-1] for state in states]
        return cls(units, inputs[:-1], states, inputs[-1], zero.to(image), division.residual, division.signed)

    def notes(self) -> tuple[str, ...]:
        """Return notes on the target and the limits of an inverse of this chain, and warn about them."""
        notes = []
        if self.residual is not None:
            notes.append(
                f"the network {_RESIDUALS[self.residual].format(self.units[-1].name)}, so the inverse is that of this "
                "residual"
            )
        if self.signed:
            notes.append(
                f"activations of {' and '.join(self.signed)} can be negative, so each one is searched between 0 and "
                "its value, with its sign"
            )
        unit, total = dominating(self.units), sum(unit.depth for unit in self.units)
        if unit is not None:
            reason = f", as the output of {unit.undivided!r}, which is not an activation, crosses it" * bool(
                unit.undivided
            )
            notes.append(
                f"the unit {unit.name!r} spans {unit.depth} of {total} weighted operations in a row{reason}, so lambda "
                "acts in one step on this part of the network; methods such as 'integrated_gradients' need no units"
            )
        for note in notes:
            warn(note)
        return tuple(notes)

    def biased(self, color: Tensor, index: int) -> bool:
        """Return whether a unit without a bias adds one to the color, which the network does not see as zeros."""
        first = all(unit.kind in EXACT for unit in self.units[:index])
        return first and not torch.equal(color, self.zero)

    def empty(self, color: Tensor, index: int) -> Tensor | None:
        """Return the empty activation at the input of a unit, (1, ...); None for 0.

        A color is empty for the image and behind units that only move, select or average its values.
        """
        if not bool(color.any()) or any(unit.kind not in EXACT for unit in self.units[:index]):
            return None
        empty = color[:, None, None].expand(1, *self.inputs[0].shape[1:])
        with torch.no_grad():
            for unit in self.units[:index]:
                empty = unit.run(empty)
        return empty

    def run(self, x: Tensor, batch_size: int) -> Tensor:
        """Return the output of the network for images (B, C, H, W)."""
        outputs = []
        with outside_inference(), torch.no_grad():
            for part in x.split(batch_size):
                for unit in self.units:
                    part = unit.run(part)
                outputs.append(part)
        return torch.cat(outputs)


def resolved(model: ImageModel | nn.Module, target: Target) -> tuple[ImageModel | nn.Module, Any]:
    """Return the model that has the scores of a target, and the target as a class of it."""
    return targeted(model, target) if isinstance(model, ImageModel) else (model, target)


def target_classes(model: ImageModel | nn.Module, chain: Chain, target: Target) -> Tensor | None:
    """Return the class of each image; None for a plain module, which cannot have a target (ValueError)."""
    if isinstance(model, ImageModel):
        return model.targets(target, chain.inputs[0])
    if target is not None:
        raise ValueError(
            f"expected an ImageModel for a target, got a plain module and target={brief(target)}; pass `output` instead"
        )
    return None


def check_output(output: Any, chain: Chain) -> Tensor:
    """Return the output to invert in place of a class, with the shape of the output of the network."""
    return tensor(output, "output", tuple(chain.output.shape), finite=True, like=chain.output)


def probability_fields(model: ImageModel | nn.Module) -> dict[str, Any]:
    """Return the fields of :class:`Inverted` that define the probabilities of a network."""
    if not isinstance(model, ImageModel):
        return {}
    return {"activation": model.activation, "has_probabilities": model.has_probabilities}


def exact_step(unit: Unit, x_bar: Tensor, empty: Tensor | None, image: Tensor, y: Tensor) -> Tensor:
    """Return the closed-form inverse of a unit, (B, ...), from the empty activation on.

    Parameters
    ----------
    unit : Unit
        The unit.
    x_bar : Tensor, (N, ...)
        Its input in the forward pass.
    empty : Tensor, (1, ...), or None
        The empty activation at the input of the unit; 0 for None.
    image : Tensor, (B,)
        The image of each element.
    y : Tensor, (B, ...)
        Value to invert.
    """
    x_bar = x_bar[image]
    if empty is None:
        return exact_inverse(unit, x_bar, y)
    with torch.no_grad():
        return empty + exact_inverse(unit, x_bar - empty, y - unit.run(empty))


def solve(
    cost: Cost, start: Tensor, upper: Tensor, settings: SolverSettings, batch_size: int
) -> Iterator[Solution | None]:
    """Minimize in batches of `batch_size` elements; yield None while in progress and finally the whole solution."""
    parts: list[Solution] = []
    for index in torch.arange(len(start), device=start.device).split(batch_size):

        def batch_cost(x: Tensor, chosen: Tensor, index: Tensor = index) -> Tensor:
            return cost(x, index[chosen])

        latest: Solution | None = None
        for solution in minimize(batch_cost, start[index], upper[index], settings):
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


def from_solution(unit: Unit, solution: Solution, x_bar: Tensor, empty: Tensor | None) -> UnitInverse:
    """Return the inverse (N, L, ...) of a unit from a solution (N * L, ...)."""
    lead = (len(x_bar), -1)
    x, cost, iterations, change, converged = (
        part.unflatten(0, lead)
        for part in (solution.x, solution.cost, solution.iterations, solution.change, solution.converged)
    )
    return UnitInverse(unit.name, unit.kind, x, x_bar, cost, iterations, change, converged, empty)


def starting_point(unit: Unit, x_bar: Tensor) -> Tensor:
    """Return the starting point of the solver: the forward activations, blurred if they are spatial."""
    with no_autocast(x_bar.device):
        return unit.inputs.join(
            [part if part.ndim < 4 else gaussian_blur(part, START_SIGMA) for part in unit.inputs.split(x_bar)]
        )


def check_settings(settings: Any) -> SolverSettings:
    """Return the settings, by default ``SolverSettings()``; TypeError for another type."""
    if settings is None:
        return SolverSettings()
    if not isinstance(settings, SolverSettings):
        raise TypeError(f"expected settings as SolverSettings(...), got {type(settings).__name__}")
    return settings


def exact_unit_inverse(unit: Unit, x: Tensor, x_bar: Tensor, empty: Tensor | None) -> UnitInverse:
    """Return the inverse (N, L, ...) of a unit that needs no iterations."""
    zero = x.new_zeros(x.shape[:2])
    return UnitInverse(
        unit.name,
        unit.kind,
        x,
        x_bar,
        zero,
        zero.long(),
        zero,
        torch.ones_like(zero, dtype=torch.bool),
        empty,
    )


def norms(x: Tensor) -> Tensor:
    """Return the Euclidean norm of each element of a batch, (B,)."""
    return x.flatten(1).norm(dim=1)
