"""Targets: callables that compute scores from the raw output of a network.

A target takes what the network's ``forward`` returns and returns one score per image, (N,). With targets, an
:class:`~xai_widgets.core.model.ImageModel` accepts any network, and every explainer explains the scores of the targets
instead of those of classes. Ready ones are in :mod:`xai_widgets.targets`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeGuard

import numpy as np
import torch
from torch import Tensor

from xai_widgets.core.guard import in_target
from xai_widgets.core.model_output import describe
from xai_widgets.core.validation import brief

#: Maps the raw output of a network to scores: (N,), or (N, T) for T targets.
TargetFunction = Callable[..., Tensor]
#: Errors that a target raises because it does not fit the output.
_MISFITS = (AttributeError, IndexError, KeyError, RuntimeError, TypeError)


class InnerTarget(Protocol):
    """A target inside the network, such as a channel of a layer (:mod:`xai_widgets.features.objectives`)."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that the target reads."""

    @property
    def count(self) -> int | None:
        """Number of images that the target is for; None for any number."""

    def bind(self, model: Any) -> InnerTarget:
        """Return the target with valid arguments for a network; ValueError if it does not fit."""

    def evaluate(self, model: Any, x: Tensor, *, frozen: bool = False) -> Tensor:
        """Return the scores (N,) of images (N, C, H, W) by a pass of the network. Gradients flow."""


def is_inner(target: object) -> TypeGuard[InnerTarget]:
    """Return whether a target is inside the network; attributes of the object itself are not read."""
    return all(hasattr(type(target), name) for name in ("count", "bind", "evaluate"))


def is_target_function(target: object) -> bool:
    """Return whether a target is a callable on the raw output or inside the network, not a class or several."""
    if is_inner(target):
        return True
    return callable(target) and not isinstance(target, str | type | Tensor | np.ndarray | np.generic)


def target_functions(target: object) -> list[TargetFunction] | None:
    """Return the callables of a target, one for all images or one per image; None for classes.

    Raises
    ------
    TypeError
        For a mixture of callables and classes.
    """
    if is_target_function(target):
        return [target]  # type: ignore[list-item]
    if isinstance(target, str) or not isinstance(target, Sequence):
        return None
    functions = [each for each in target if is_target_function(each)]
    if functions and len(functions) != len(target):
        raise TypeError(
            f"expected target as classes or as callables, got a mixture of {len(functions)} callables and "
            f"{len(target) - len(functions)} classes; a callable for a class c is targets.Output(c)"
        )
    return functions or None


class TargetScores:
    """The scores (N, T) of targets of one network.

    Parameters
    ----------
    given : mapping of str to callable, callable, or sequence of callables
        Callables that return (N,), by label; or one that may return the scores (N, T) of several targets.
    network : str
        Name of the network, for errors.

    Attributes
    ----------
    functions : tuple of callables
    labels : list of str or None
        One label per target; None for a callable without labels that returns (N, T).
    """

    def __init__(self, given: Any, network: str) -> None:
        self.network = network
        self.labels: list[str] | None
        if isinstance(given, Mapping):
            pairs = [(str(label), function) for label, function in given.items()]
        elif is_target_function(given):
            pairs = [("", given)]
        elif isinstance(given, Sequence) and not isinstance(given, str):
            pairs = [("", function) for function in given]
        else:
            raise TypeError(
                f"expected targets as a callable on the output of the network, or as a dict of label to callable, got "
                f"{brief(given)}"
            )
        if not pairs or not all(is_target_function(function) for _, function in pairs):
            wrong = next(
                (brief(function) for _, function in pairs if not is_target_function(function)), "none"
            )
            raise TypeError(
                f"expected each target to be a callable on the output of the network, got {wrong}"
            )
        self.functions = tuple(function for _, function in pairs)
        #: The targets inside a network, in place of those on its output.
        self.inner: tuple[InnerTarget, ...] = ()
        several = getattr(self.functions[0], "labels", None) if len(pairs) == 1 else None
        if several is not None:
            self.labels = [str(label) for label in several]
        else:
            self.labels = list(_unique(label or label_of(function) for label, function in pairs))

    def bind(self, model: Any) -> None:
        """Prepare the targets inside an ImageModel, whose scores are those of :meth:`evaluate`.

        Raises
        ------
        ValueError
            If a target does not fit the network, or has values for several images.
        TypeError
            For a mixture of targets inside the network and on its output.
        """
        given = [function for function in self.functions if is_inner(function)]
        if given and len(given) < len(self.functions):
            raise TypeError(
                "expected targets inside the network or on its output, got a mixture of both; a class is "
                "objectives.ClassScore(class)"
            )
        self.inner = tuple(target.bind(model) for target in given)
        for target in self.inner:
            if target.count is not None:
                raise ValueError(
                    f"expected a target for any number of images, got values for {target.count}; pass one target "
                    "per image"
                )

    def evaluate(self, model: Any, x: Tensor, *, frozen: bool) -> Tensor:
        """Return the scores (N, T) of the targets inside the network, by a pass for each."""
        return torch.stack([target.evaluate(model, x, frozen=frozen) for target in self.inner], 1)

    def __call__(self, output: Any, size: tuple[int, int]) -> Tensor:
        """Return the scores (N, T) for the output of the network.

        Parameters
        ----------
        output
            The raw output of the network.
        size : (int, int)
            Height and width of the images.
        """
        with in_target():
            return torch.cat([self._score(function, output, size) for function in self.functions], dim=1)

    def _score(self, function: TargetFunction, output: Any, size: tuple[int, int]) -> Tensor:
        name = label_of(function)
        try:
            scores = (
                function(output, size=size) if getattr(function, "takes_size", False) else function(output)
            )
        except _MISFITS as error:
            if isinstance(error, torch.OutOfMemoryError | NotImplementedError):
                raise
            reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
            raise ValueError(
                f"expected a target for the output of {self.network}, {describe(output)}, got an error from {name!r} "
                f"({type(error).__name__}: {reason})"
            ) from error
        several = len(self.functions) == 1
        if (
            not isinstance(scores, Tensor)
            or not scores.is_floating_point()
            or scores.ndim not in (1, 1 + several)
        ):
            raise ValueError(
                f"expected one score per image, (N,), as floats from target {name!r}, got {_returned(scores)}; keep "
                "the dimension of the batch"
            )
        return (scores[:, None] if scores.ndim == 1 else scores).to(torch.float32)


def _returned(scores: object) -> str:
    if isinstance(scores, Tensor) and scores.ndim == 0:
        return "one number for the whole batch"
    return describe(scores) if isinstance(scores, Tensor) else brief(scores)


def label_of(target: TargetFunction) -> str:
    """Return the label of a target: its attribute ``label``, or the name of the function."""
    label = getattr(target, "label", None)
    if isinstance(label, str):
        return label
    name = getattr(target, "__name__", type(target).__name__)
    return "target" if name == "<lambda>" else name.replace("_", " ")


def _unique(labels: Iterator[str]) -> Iterator[str]:
    """Number labels that occur before."""
    seen: dict[str, int] = {}
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        yield label if seen[label] == 1 else f"{label} ({seen[label]})"


def advice(output: Any) -> str:
    """Return the end of an error for a network without class scores: the targets that make scores of its output."""
    parts = _tensors(output)
    keys = set(output) if isinstance(output, Mapping) else set()
    first = output[0] if isinstance(output, list | tuple) and output else None
    if "pred_boxes" in keys or (isinstance(first, Mapping) and "boxes" in first):
        return (
            "for a detector pass targets=xai_widgets.targets.DetectedClasses(labels), or BoxScore((left, top, right, "
            "bottom), class) for one box"
        )
    if any(part.ndim == 4 for part in parts):
        return (
            "for a segmentation pass targets=xai_widgets.targets.ClassAreas(), or Pixel(row, column, class) or "
            "Region(mask, class) for a part of the image"
        )
    if any(part.ndim in (2, 3) for part in parts):
        return (
            "output= names the entry with the scores, or targets= takes a callable that computes one score per image, "
            "such as xai_widgets.targets.Similarity(vector) for an embedding"
        )
    return "targets= takes a callable that computes one score per image, (N,), from this output"


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Mapping):
        output = list(output.values())
    parts: list[Any] = list(output) if isinstance(output, list | tuple) else [output]
    return [part for part in parts if isinstance(part, Tensor)]
