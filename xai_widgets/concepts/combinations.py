"""Learned combinations of filters: the weights of each concept, their scores, and their predictions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.concepts.per_image import PerImage
from xai_widgets.concepts.probe_data import Probe, concept_index
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import integer, number, tensor
from xai_widgets.data.base import Concept

Task = Literal["segmentation", "classification"]
#: Name of the score of each task.
SCORES: dict[Task, str] = {"segmentation": "set IoU", "classification": "balanced accuracy"}


@dataclass(frozen=True, eq=False, repr=False)
class Combinations(ShortRepr):
    """One vector of weights per concept, over the filters of a layer.

    Attributes
    ----------
    task : {"segmentation", "classification"}
        The task that the weights were learned for.
    network, layer : str
        Names of the network and of the layer.
    concepts : tuple of Concept
        The C concepts.
    trained : Tensor of bool, (C,)
        Whether a concept has at least ten positive training images, and ten negative ones in classification. The
        weights of another one are 0 and its scores NaN.
    positives : Tensor, (C,)
        Number of training images with the concept (with a label mask, in segmentation).
    size : Tensor, (C,)
        Mean share of the pixels of a training image that the label mask covers; NaN without a mask.
    weights : Tensor, (C, K)
        w_k; 0 for filters that a combination does not use.
    bias : Tensor, (C,)
        b; 0 in segmentation.
    train_score, score : Tensor, (C,)
        Set IoU or balanced accuracy in the training and the validation split, in [0, 1]; NaN without an image there.
    per_image : PerImage or None
        IoU with each label mask of the validation split; None in classification.
    """

    task: Task
    network: str
    layer: str
    concepts: tuple[Concept, ...]
    trained: Tensor
    positives: Tensor
    size: Tensor = field(repr=False)
    weights: Tensor
    bias: Tensor = field(repr=False)
    train_score: Tensor = field(repr=False)
    score: Tensor
    per_image: PerImage | None = None

    @property
    def iou_set(self) -> Tensor:
        """Set IoU in the validation split, (C,); ValueError for classification."""
        return self._of("segmentation")

    @property
    def accuracy(self) -> Tensor:
        """Balanced accuracy in the validation split, (C,); ValueError for segmentation."""
        return self._of("classification")

    def _of(self, task: Task) -> Tensor:
        if self.task != task:
            raise ValueError(
                f"expected combinations for {task}, got those for {self.task}; `score` is valid for both"
            )
        return self.score

    @property
    def shares(self) -> Tensor:
        """Share of each filter in a concept, |w_k| / |w|_1, (C, K); 0 for concepts that were not trained."""
        return self.weights.abs() / self.weights.abs().sum(1, keepdim=True).clamp(
            min=torch.finfo(torch.float32).tiny
        )

    def top(self, concept: int | str | Concept, count: int = 5) -> tuple[Tensor, Tensor]:
        """Return the filters with the largest absolute weights of a concept, and their weights, each (count,)."""
        index = concept_index(self.concepts, concept)
        count = integer(count, "count", low=1, high=self.weights.shape[1])
        filters = self.weights[index].abs().argsort(descending=True, stable=True)[:count]
        return filters, self.weights[index, filters]

    def filters_per_concept(self, share: float = 0.5) -> Tensor:
        """Return the smallest number of filters that hold a share of |w|_1 of each concept, (C,); 0 without weights.

        Parameters
        ----------
        share : float, default 0.5
            In (0, 1].
        """
        share = number(share, "share", above=0, high=1)
        held = self.shares.double().sort(1, descending=True).values.cumsum(1)
        # The sum of all shares is 1 up to rounding.
        count = (held < share * (1 - 1e-6)).sum(1) + 1
        return torch.where(self.weights.any(1), count, 0)

    def concepts_per_filter(self) -> Tensor:
        """Return the number of trained concepts in which each filter has the largest absolute weight, (K,)."""
        best = self.weights[self.trained].abs().argmax(1)
        return torch.bincount(best, minlength=self.weights.shape[1])

    def iou(self, concept: int | str | Concept) -> tuple[Tensor, Tensor]:
        """Return the validation images that contain a concept, and their IoUs, each (n,)."""
        self._of("segmentation")
        assert self.per_image is not None
        return self.per_image.of(concept)

    def maps(self, probe: Probe, images: Any, concept: int | str | Concept) -> Tensor:
        """Return the interpolated logits S(sum_k w_k 1[A_k > T_k]) of images, (n, H, W); the mask is above 0.

        Parameters
        ----------
        probe : Probe
            A probe of the layer with the thresholds of the training split.
        images : sequence of int
            Indices of its images.
        concept : int, str or Concept
            The concept.
        """
        self._of("segmentation")
        weights = self.weights[concept_index(self.concepts, concept)]
        return filter_maps(probe, images, weights)

    def table(self) -> list[dict[str, Any]]:
        """Return one row per concept, by descending validation score; concepts without weights come last."""
        order = self.score.nan_to_num(nan=-1).argsort(descending=True, stable=True)
        return [
            {
                "concept": self.concepts[c].name,
                "category": self.concepts[c].category,
                SCORES[self.task]: float(self.score[c]),
                "training images": int(self.positives[c]),
            }
            for c in order.tolist()
        ]


def filter_maps(probe: Probe, images: Any, weights: Tensor) -> Tensor:
    """Return the interpolated combination of the bits of images for weights (K,), (n, H, W)."""
    weights = tensor(weights, "weights", (probe.channels,)).float().cpu()
    combined = torch.einsum("k,nkhw->nhw", weights, probe.bits_of(images).float())
    return F.interpolate(combined[:, None], probe.label_size, mode="bilinear")[:, 0]
