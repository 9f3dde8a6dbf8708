"""Activation maximization: the class, channel, unit, neuron or direction whose activation is to rise.

With a_k,p the activation of channel k of K at position p of h x w, and S_c(x) the score of a class before softmax:

    class        S_c(x)                                            Simonyan et al. 2014; Fong 2020, equation 2.9
    channel      mean over p of a_k,p
    unit         a_k,p at one position p
    neuron       one number of the output of a layer, by its index
    direction    mean over p of <v, a_p> max(cos(v, a_p), 1/10)^q  Fong 2020, equation 2.10 with q = 0

The dot product of equation 2.10 repeats v at all positions; its sum is h w times the mean. With q > 0 the direction of
the activation counts more than its length (Carter et al. 2019), which helps where other channels are large anyway.

An argument that is a sequence has one value per image: ``Channel("blocks.2", range(12))`` is for twelve images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import brief, integer, integers, number, plain_number, tensor
from xai_widgets.features.objectives.base import LayerObjective, Objective, Seen

#: Smallest cosine in the weight of a direction, so that a gradient is left where the cosine is negative.
LEAST_COSINE = 0.1


@dataclass(frozen=True)
class ClassScore(Objective):
    """Score of a class before softmax, S_c(x).

    A probability rises as well by lowering the other scores, and its images are less recognizable.

    Parameters
    ----------
    target : int, str or sequence
        The class, by index or label, or one per image. The scores of a callable target are those of
        ``model.with_target(callable)``, whose target is 0.
    """

    target: Any

    @property
    def needs_scores(self) -> bool:
        """Scores are needed."""
        return True

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"score of {self.target}"

    @property
    def count(self) -> int | None:
        """Number of images; None for any number."""
        return _count(self.target)

    def bind(self, model: ImageModel) -> ClassScore:
        """Return the objective with valid arguments for a network; ValueError if it does not fit."""
        single = _count(self.target) is None
        indices = [model.class_index(each) for each in ([self.target] if single else self.target)]
        return replace(self, target=indices[0] if single else tuple(indices))

    def values(self, seen: Seen) -> Tensor:
        """Return S_c(x), (N,)."""
        assert seen.scores is not None
        return _pick(seen.scores, self.target)


@dataclass(frozen=True, repr=False)
class Channel(LayerObjective):
    """Mean of a channel over the positions of its layer.

    Parameters
    ----------
    layer : str
        A layer with spatial positions or an output (K,), by its name in ``model.layers()``.
    channel : int or sequence of int
        The channel, or one per image.
    """

    channel: Any

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"channel {self.channel} of {self.layer}"

    @property
    def count(self) -> int | None:
        """Number of images; None for any number."""
        return _count(self.channel)

    def bind(self, model: ImageModel) -> Channel:
        """Return the objective with valid arguments for a network; ValueError if it does not fit."""
        return replace(self, channel=_check_channels(model, self.layer, self.channel))

    def values(self, seen: Seen) -> Tensor:
        """Return the mean of a_k over the positions, (N,)."""
        return _pick(seen.channels(self.layer).mean((2, 3)), self.channel)


@dataclass(frozen=True, repr=False)
class Unit(LayerObjective):
    """A channel at one position of its layer.

    Parameters
    ----------
    layer : str
        A layer with spatial positions or an output (K,), by its name in ``model.layers()``.
    channel : int or sequence of int
        The channel, or one per image.
    position : (int, int), optional
        Row and column. Default: the middle one, of an even number the one after the middle.
    """

    channel: Any
    position: tuple[int, int] | None = None

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"channel {self.channel} of {self.layer} at {self.position or 'the middle'}"

    @property
    def positional(self) -> bool:
        """Whether the objective reads given positions of a layer: it does."""
        return True

    @property
    def count(self) -> int | None:
        """Number of images; None for any number."""
        return _count(self.channel)

    def bind(self, model: ImageModel) -> Unit:
        """Return the objective with valid arguments for a network; ValueError if it does not fit."""
        channel = _check_channels(model, self.layer, self.channel)
        return replace(self, channel=channel, position=_check_position(model, self.layer, self.position))

    def values(self, seen: Seen) -> Tensor:
        """Return a_k at the position, (N,)."""
        return _pick(_at(seen.channels(self.layer), self.position), self.channel)


@dataclass(frozen=True, repr=False)
class Neuron(LayerObjective):
    """One number in the output of a layer, in the network's own layout.

    It reaches what has no position, such as the class token of a transformer.

    Parameters
    ----------
    layer : str
        Any layer, by its name in ``model.layers()``.
    index : int or sequence of int
        Index into the output for one image, such as (token, channel) or (channel, row, column).
    """

    index: Any

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"neuron {self.index} of {self.layer}"

    @property
    def positional(self) -> bool:
        """Whether the objective reads given positions of a layer: it does."""
        return True

    def bind(self, model: ImageModel) -> Neuron:
        """Return the objective with valid arguments for a network; ValueError if it does not fit."""
        shape = model.layer(self.layer).shape
        given = [self.index] if plain_number(self.index) is not None else self.index
        index = integers(given, "index", low=0)
        if len(index) != len(shape) or any(i >= size for i, size in zip(index, shape, strict=True)):
            raise ValueError(
                f"expected an index into the output of {self.layer!r} of shape {shape}, got {brief(tuple(index))}"
            )
        return replace(self, index=tuple(index))

    def values(self, seen: Seen) -> Tensor:
        """Return the number, (N,)."""
        return seen.outputs[self.layer].movedim(0, -1)[tuple(self.index)]


@dataclass(frozen=True, repr=False)
class Direction(LayerObjective):
    """Activation of a layer along a direction, such as the vector of a concept (equations 2.8 and 2.10).

    Parameters
    ----------
    layer : str
        A layer with spatial positions or an output (K,), by its name in ``model.layers()``.
    vector : Tensor, (K,) or (N, K)
        v, or one per image. The objective is linear in its length.
    cosine_power : float, default 0
        q, at least 0.
    position : (int, int), optional
        Row and column. Default: the mean over all positions.
    """

    vector: Any
    cosine_power: float = 0.0
    position: tuple[int, int] | None = None

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"direction in {self.layer}"

    @property
    def positional(self) -> bool:
        """Whether the objective reads a given position of a layer."""
        return self.position is not None

    @property
    def count(self) -> int | None:
        """Number of images; None for any number."""
        shape = getattr(self.vector, "shape", None)
        return None if shape is None or len(shape) == 1 else int(shape[0])

    def bind(self, model: ImageModel) -> Direction:
        """Return the objective with valid arguments for a network; ValueError if it does not fit."""
        width = model.layer_channels(self.layer)
        given = torch.as_tensor(self.vector)
        shape: list[str | int] = [width] if given.ndim == 1 else ["N", width]
        vector = tensor(given, "vector", shape, finite=True).to(model.device, torch.float32)
        if not bool(vector.any(-1).all()):
            raise ValueError("expected a vector with values other than 0, got zeros only")
        power = number(self.cosine_power, "cosine_power", low=0)
        position = None if self.position is None else _check_position(model, self.layer, self.position)
        return Direction(self.layer, vector, power, position)

    def values(self, seen: Seen) -> Tensor:
        """Return the mean over p of <v, a_p> max(cos(v, a_p), 1/10)^q, (N,)."""
        a = seen.channels(self.layer)
        if self.position is not None:
            a = _at(a, self.position)[:, :, None, None]
        if not self.cosine_power:
            # A linear layer of the mean, as in a classifier, has a rule in every method.
            mean = a.mean((2, 3))
            return (
                (mean * self.vector).sum(1)
                if self.vector.ndim == 2
                else F.linear(mean, self.vector[None])[:, 0]
            )
        v = (self.vector if self.vector.ndim == 2 else self.vector[None])[:, :, None, None]
        return weighted((a * v).sum(1), F.cosine_similarity(a, v, dim=1), self.cosine_power).mean((1, 2))


class Concept(Direction):
    """Activation along the vector of a concept, of length 1.

    Parameters
    ----------
    layer : str
        The layer that the vector was learned in, with one weight per channel.
    vector : Tensor, (K,) or (N, K)
        Vector of the concept, such as ``ConceptVectors.vectors`` or ``Embeddings.vector(concept)``, or one per image.
    cosine_power, position
        See :class:`Direction`.
    """

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"concept in {self.layer}"

    def bind(self, model: ImageModel) -> Direction:
        """Return the objective with valid arguments for a network; ValueError if it does not fit."""
        bound = super().bind(model)
        return replace(bound, vector=F.normalize(bound.vector, dim=-1))


def weighted(dot: Tensor, cosine: Tensor, power: float) -> Tensor:
    """Return dot products weighted by a power of the cosines."""
    return dot * cosine.clamp(min=LEAST_COSINE) ** power if power else dot


def check_channel(model: ImageModel, layer: str, channel: Any) -> int:
    """Return the index of a channel of a layer; ValueError if the layer has no such channel."""
    high = model.layer_channels(layer) - 1
    return integer(channel, "channel", low=0, high=high, hint=f"{layer!r} has {high + 1} channels")


def _check_channels(model: ImageModel, layer: str, channel: Any) -> Any:
    """Return a channel, or a tuple of channels, one per image."""
    if _count(channel) is None:
        return check_channel(model, layer, channel)
    return tuple(check_channel(model, layer, each) for each in channel)


def _check_position(model: ImageModel, layer: str, position: Any) -> tuple[int, int]:
    """Return a position of a layer, by default the middle one."""
    grid = None if len(model.layer(layer).shape) == 1 else model.grid(layer)
    height, width = (1, 1) if grid is None else (grid.height, grid.width)
    if position is None:
        return height // 2, width // 2
    row, column = integers(position, "position", length=2, low=0)
    if row >= height or column >= width:
        raise ValueError(f"expected a position of {layer!r}, {height} x {width}, got {(row, column)}")
    return row, column


def _at(a: Tensor, position: tuple[int, int] | None) -> Tensor:
    """Return the vectors (N, K) at a position of activations (N, K, h, w)."""
    assert position is not None
    return a[:, :, position[0], position[1]]


def _pick(values: Tensor, index: Any) -> Tensor:
    """Return the column of each row of values (N, K), for one index or one per row."""
    if isinstance(index, int):
        return values[:, index]
    return values.gather(1, torch.tensor(index, device=values.device)[:, None])[:, 0]


def _count(values: Any) -> int | None:
    """Return the number of values of a sequence; None for one value."""
    if isinstance(values, str) or plain_number(values) is not None:
        return None
    return len(values) if isinstance(values, Sequence) or hasattr(values, "__len__") else None
