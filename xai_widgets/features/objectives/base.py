"""Objectives of feature visualization: numbers per image, which are to rise, and how they are added and scaled.

An objective of any number of images is also a target of every method, metric and explorer:
``METHODS["gradient"](model, image, target=Channel("blocks.4", 12))``. The layers of ``model.with_target(objective)``
end with the last one that it reads, and so does a pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.guard import in_target
from xai_widgets.core.hooks import record_outputs
from xai_widgets.core.model import ImageModel
from xai_widgets.core.partial_pass import outputs_up_to
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import brief, check_finite, number


@dataclass(frozen=True, repr=False)
class Seen(ShortRepr):
    """Outputs of the network in one pass, as an objective reads them.

    Attributes
    ----------
    model : ImageModel
        The network.
    x : Tensor, (N, C, H, W)
        Pixels of the pass.
    outputs : mapping of str to Tensor
        Outputs (N, ...) of the layers that the objective names, float32, in the network's own layout.
    scores : Tensor, (N, classes), or None
        Scores before softmax, if the objective needs them.
    """

    model: ImageModel
    x: Tensor
    outputs: Mapping[str, Tensor]
    scores: Tensor | None = None

    def channels(self, layer: str) -> Tensor:
        """Return the output of a layer as (N, K, h, w); a vector (N, K) has one position."""
        output = self.outputs[layer]
        return output[:, :, None, None] if output.ndim == 2 else self.model.spatial(layer, output)


class Objective(ABC):
    """A number per image, which is to rise. Objectives are added, subtracted and multiplied by numbers.

    A subclass defines :meth:`values`, and the layers that it reads or that it needs scores.

    Examples
    --------
    >>> Channel("blocks.4", 12) + 0.5 * ClassScore("espresso") - 0.1 * Similarity("blocks.4")
    """

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that the objective reads."""
        return ()

    @property
    def label(self) -> str:
        """Name in legends."""
        return type(self).__name__.lower()

    @property
    def needs_scores(self) -> bool:
        """Whether the objective reads the scores, for which the whole network has to run."""
        return False

    @property
    def count(self) -> int | None:
        """Number of images that the objective is for; None for any number."""
        return None

    @property
    def positional(self) -> bool:
        """Whether the objective reads given positions of a layer, which crops of the image would move."""
        return False

    def bind(self, model: ImageModel) -> Objective:
        """Return the objective with names resolved for a network; ValueError if it does not fit the network."""
        for layer in self.layers:
            model.layer(layer)
        return self

    def evaluate(self, model: ImageModel, x: Tensor, *, frozen: bool = False) -> Tensor:
        """Return the values (N,) of a bound objective, which makes it a ``target`` of every method."""
        return evaluate(model, self, x, frozen=frozen)

    @abstractmethod
    def values(self, seen: Seen) -> Tensor:
        """Return the objective of each image, (N,), with gradients."""

    def __add__(self, other: Objective) -> Objective:
        return Total((self, other)) if isinstance(other, Objective) else NotImplemented

    def __sub__(self, other: Objective) -> Objective:
        return Total((self, -other)) if isinstance(other, Objective) else NotImplemented

    def __mul__(self, factor: Any) -> Objective:
        if isinstance(factor, Objective):
            return NotImplemented
        return Scaled(number(factor, "factor"), self)

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return Scaled(-1.0, self)


@dataclass(frozen=True, repr=False)
class LayerObjective(ShortRepr, Objective):
    """Base class of objectives that read one layer.

    Attributes
    ----------
    layer : str
        The layer, by its name in ``model.layers()``.
    """

    layer: str

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)


@dataclass(frozen=True, repr=False)
class Scaled(Objective):
    """An objective multiplied by a number."""

    factor: float
    objective: Objective

    def __repr__(self) -> str:
        return f"{self.factor:g} * {self.objective!r}"

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"{self.factor:g} x {self.objective.label}"

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that the objective reads."""
        return self.objective.layers

    @property
    def needs_scores(self) -> bool:
        """Whether the objective reads the scores."""
        return self.objective.needs_scores

    @property
    def count(self) -> int | None:
        """Number of images that the objective is for; None for any number."""
        return self.objective.count

    @property
    def positional(self) -> bool:
        """Whether the objective reads given positions of a layer."""
        return self.objective.positional

    def bind(self, model: ImageModel) -> Objective:
        """Return the objective with names resolved for a network."""
        return Scaled(self.factor, self.objective.bind(model))

    def values(self, seen: Seen) -> Tensor:
        """Return the scaled values."""
        return self.factor * self.objective.values(seen)


@dataclass(frozen=True, repr=False)
class Total(Objective):
    """Sum of objectives."""

    parts: tuple[Objective, ...]

    def __repr__(self) -> str:
        return f"({' + '.join(map(repr, self.parts))})"

    @property
    def label(self) -> str:
        """Name in legends."""
        return " + ".join(part.label for part in self.parts)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that the objective reads."""
        return tuple(dict.fromkeys(layer for part in self.parts for layer in part.layers))

    @property
    def needs_scores(self) -> bool:
        """Whether the objective reads the scores."""
        return any(part.needs_scores for part in self.parts)

    @property
    def count(self) -> int | None:
        """Number of images that the objective is for; None for any number."""
        return common_count([part.count for part in self.parts])

    @property
    def positional(self) -> bool:
        """Whether a part reads given positions of a layer."""
        return any(part.positional for part in self.parts)

    def bind(self, model: ImageModel) -> Objective:
        """Return the objective with names resolved for a network."""
        return Total(tuple(part.bind(model) for part in self.parts))

    def values(self, seen: Seen) -> Tensor:
        """Return the sum of the values."""
        return torch.stack([part.values(seen) for part in self.parts]).sum(0)


def check_objective(given: Any) -> Objective:
    """Return an objective; TypeError for anything else."""
    if not isinstance(given, Objective):
        raise TypeError(
            f"expected objective to be an Objective such as Channel(layer, 0), got {brief(given)}"
        )
    return given


def common_count(counts: Sequence[int | None]) -> int | None:
    """Return the one number of images among several; ValueError if they differ."""
    given = sorted({count for count in counts if count is not None})
    if len(given) > 1:
        raise ValueError(
            f"expected objectives for the same number of images, got {given[0]} and {given[1]}; one value, not a "
            "list of values, holds for any number"
        )
    return given[0] if given else None


def evaluate(model: ImageModel, objective: Objective, x: Tensor, *, frozen: bool = True) -> Tensor:
    """Return the values (N,) of a bound objective for pixels (N, C, H, W). Gradients flow.

    The pass ends at the last layer that the objective reads, unless it needs the scores.
    """
    layers = objective.layers
    scores = None
    if not objective.needs_scores:
        outputs = outputs_up_to(model, x, layers, frozen=frozen) if layers else {}
    elif layers:
        with record_outputs(model.find_layers(layers)) as outputs:
            scores = model(x, frozen=frozen)
    else:
        outputs, scores = {}, model(x, frozen=frozen, folded=frozen)
    with in_target():
        seen = Seen(model, x, {name: output.float() for name, output in outputs.items()}, scores)
        values = objective.values(seen)
    return check_finite(values, model.name, "activations")
