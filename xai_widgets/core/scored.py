"""The scores of an image model: found in the output of the network, or computed from it by targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from xai_widgets.core.arguments import dtype_of
from xai_widgets.core.model_output import as_scores, describe, final_activation, find_scores
from xai_widgets.core.pixels import PixelInput
from xai_widgets.core.target_scores import TargetScores, advice
from xai_widgets.core.validation import items
from xai_widgets.errors import unknown_name, warn

#: The function that converts class scores to probabilities.
Activation = Literal["softmax", "sigmoid"]


class Scored(PixelInput):
    """Base class of :class:`~xai_widgets.core.model.ImageModel` with the methods that concern its scores.

    Attributes
    ----------
    labels : list of str
        One name per class or target.
    activation : {"softmax", "sigmoid"} or None
        Function from scores to probabilities.
    has_probabilities : bool
        Whether :meth:`probabilities` returns probabilities.
    target_scores : TargetScores or None
        The targets whose scores replace those of classes.
    """

    labels: list[str]
    activation: Activation | None
    has_probabilities: bool
    target_scores: TargetScores | None
    _output: str | int | None

    def probabilities(self, scores: Tensor) -> Tensor:
        """Apply the model's activation to scores, (..., classes); without an activation, return the scores."""
        if self.activation == "softmax":
            return scores.softmax(-1)
        return scores.sigmoid() if self.activation == "sigmoid" else scores

    @property
    def value_name(self) -> str:
        """Name of the values that :meth:`probabilities` returns: "probability" or "score"."""
        return "probability" if self.has_probabilities else "score"

    def _count_classes(self) -> int:
        """Run one blank image and return the number of classes."""
        height, width = self.size
        output = self._try(
            self.size,
            f"expected a network that takes images of shape (1, {self.channels}, {height}, {width}), got {self.name}; "
            "size= and channels= set another shape",
        )
        maps = find_scores(output, self._output)
        #: Number of channels of a dense output of the network, whose layer explains nothing; 0 for other outputs.
        self._is_tensor = isinstance(output, Tensor)
        # A detector computes boxes from several resolutions.
        self._searches = not isinstance(output, list)
        self._map_channels = maps.shape[1] if maps is not None and maps.ndim == 4 and maps.shape[2] > 1 else 0
        scores = self._pick(output, self._blank(1))
        if len(scores) != 1:
            raise ValueError(
                f"expected class scores of shape (N, classes) from {self.name}, got {describe(output)} for one image"
            )
        return scores.shape[1]

    def _find_labels(self, given: Sequence[str] | None, classes: int) -> list[str]:
        """Return one label per class or target."""
        own = None if self.target_scores is None else self.target_scores.labels
        labels = own if given is None else items(given, "labels", what="names")
        if given is None and (labels is None or len(labels) != classes):
            return [f"{'class' if own is None else 'target'} {i}" for i in range(classes)]
        assert labels is not None
        if len(labels) != classes:
            raise ValueError(f"expected one label per class, {classes}, got {len(labels)}")
        return [str(label) for label in labels]

    def _find_activation(self, given: str | None) -> tuple[Activation | None, bool]:
        """Return the activation to apply to scores, and whether the result is a probability."""
        if given not in ("auto", None, *get_args(Activation)):
            raise ValueError(unknown_name("activation", given, ["auto", *get_args(Activation)]))
        if self.target_scores is not None and given in ("auto", None):
            return None, False
        found = final_activation(self, self._blank(1))
        if found is not None and given is not None:
            warn(
                f"{self.name} ends in {found}: its outputs are used as probabilities, and explainers explain a "
                "probability instead of the score before it; pass a network without its last activation"
                if given == "auto"
                else f"{self.name} ends in {found} itself, and activation={given!r} is applied on top of it"
            )
        if given == "auto":
            if found is not None:
                return None, True
            if len(self.labels) > 1:
                return "softmax", True
            warn(
                f"{self.name} returns one number per image, which is used as the score of one label "
                "(activation='sigmoid'); for a regression pass activation=None"
            )
            return "sigmoid", True
        if given is None:
            return None, found is not None
        return ("softmax" if given == "softmax" else "sigmoid"), True

    def _check_independence(self) -> None:
        """Warn about scores that depend on other images of the batch, or that change between passes."""
        if self.device.type == "meta":
            return
        noise = torch.rand(self._blank(1).shape, generator=torch.Generator().manual_seed(0)).to(self.device)
        try:
            with torch.no_grad():
                first, both = self(noise), self(torch.cat([noise, self._blank(1)]))[:1]
                again = self(noise)
        except (RuntimeError, ValueError, AssertionError):  # a network may take one image at a time only
            return
        # Far above the rounding differences between batch sizes.
        limit = max(1e-3, 64 * torch.finfo(dtype_of(self.module)).eps) * first.abs().amax()
        if not bool(((first - again).abs() <= limit).all()):
            if first.isfinite().all():
                warn(
                    f"{self.name} returns different scores for the same image, so its explanations are random too"
                )
        elif not bool(((first - both).abs() <= limit).all()) and both.isfinite().all():
            warn(
                f"the scores of {self.name} for an image depend on the other images of the batch, such as by batch "
                "statistics, so explanations do too; pass batch_size=1 where a method takes it"
            )

    def _pick(self, output: Any, x: Tensor) -> Tensor:
        """Return the scores, (N, classes), in the network's output for images (N, C, H, W)."""
        if self.target_scores is not None:
            scores = self.target_scores(output, (x.shape[2], x.shape[3]))
        else:
            found = find_scores(output, self._output)
            picked = None if found is None else as_scores(found, len(x))
            if picked is None:
                raise ValueError(
                    f"expected class scores of shape (N, classes) as floats from {self.name}, got {describe(output)}; "
                    + (advice(output) if self._output is None else "output= names the entry with the scores")
                )
            scores = picked
        classes = len(getattr(self, "labels", ())) or scores.shape[1]
        if scores.shape[1] != classes:
            raise ValueError(
                f"expected {classes} scores from {self.name}, as when it was wrapped, got {scores.shape[1]}; wrap the "
                "changed network in a new ImageModel"
            )
        return scores.to(torch.float32)
