"""Objectives of extremal perturbations: scores of a network under masks on images or activations.

Fong, Patrick and Vedaldi 2019, sections 3.2 and 5; the formulas are in :mod:`~xai_widgets.perturbation.extremal` and
:mod:`~xai_widgets.perturbation.channel`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, get_args

import torch
from torch import Tensor

from xai_widgets.core.batching import initial_batch_size, pass_batch_size
from xai_widgets.core.cached import cached_property
from xai_widgets.core.finite import FiniteChecks
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.validation import check_finite, choice, tensor
from xai_widgets.ops.perturb import Perturbation, perturb, pyramid
from xai_widgets.perturbation.mask_search import MakeMasks
from xai_widgets.perturbation.scored_masks import (
    PRESERVING,
    BestMasks,
    MaskScores,
    ScoredMasks,
    Variant,
)


class ScoreObjective(ABC):
    """The score of a class where a mask is preserved, minus where it is deleted, their difference, or its margin.

    A subclass applies masks to the network, in :meth:`masked_scores`, and sets ``end_scores``.
    """

    #: Scores (N, 2, classes) of the fully perturbed and of the original images.
    end_scores: Tensor

    def __init__(self, model: ImageModel, target: Tensor, variant: Variant, batch_size: int | None) -> None:
        choice(variant, "variant", get_args(Variant))
        if variant == "contrastive" and len(model.labels) < 2:
            raise ValueError(
                "expected a network with at least two scores for variant='contrastive', got one; use "
                "variant='preserve'"
            )
        self.model, self.variant, self.checks = model, variant, FiniteChecks()
        self.batch_size = pass_batch_size(model, model.size, batch_size)
        # Tensors created in the caller's inference mode could not be part of a graph later.
        with outside_inference():
            self.target = target.clone()

    @abstractmethod
    def masked_scores(self, masks: Tensor, index: Tensor, step: int | None = None) -> Tensor:
        """Return scores (E, classes) of masks (E, ...), each on the image of that index (E,).

        Masks of a step of a search lie in [0, 1] and gradients flow to them; without a step they are binary.
        """

    @property
    def score_range(self) -> Tensor:
        """Difference that the perturbation makes to the score, or the margin, of the class, (N,)."""
        ends = self._reward(self.end_scores, self.target[:, None].expand(-1, 2))
        return (ends[:, 1] - ends[:, 0]).abs()

    def score(self, masks: Tensor) -> MaskScores:
        """Score binary masks (N, A, ...) where they are preserved or deleted, as the variant requires."""
        missing = torch.full((*masks.shape[:2], self.end_scores.shape[2]), torch.nan, device=masks.device)
        inside = missing if self.variant == "delete" else self._scores_of(masks).view_as(missing)
        outside = missing if self.variant in PRESERVING else self._scores_of(1 - masks).view_as(missing)
        target = self.target[:, None].expand(masks.shape[:2])
        of_target = (self._reward(scores, target) for scores in (inside, outside))
        return MaskScores(self._value(*of_target), inside.clone(), outside.clone())

    def complete(self, best: BestMasks) -> None:
        """Compute the scores that the variant does not require, in place, so that each mask needs it only once.

        Raises
        ------
        ValueError
            If scores since the last call contain NaN or infinity.
        """
        sides = (best.scores.inside, best.masks), (best.scores.outside, 1 - best.masks)
        missing = self.checks.read(*(scores[..., 0].isnan() for scores, _ in sides))
        for (scores, masks), of_side in zip(sides, missing, strict=True):
            chosen = [number for number, is_missing in enumerate(of_side) if is_missing]
            if chosen:
                found = self._scores_of(masks, chosen)
                for number, each in zip(chosen, found, strict=True):
                    scores[divmod(number, scores.shape[1])] = each
        self.checks.read()

    def gradient(self, parameters: Tensor, make_masks: MakeMasks, step: int) -> Tensor:
        """Return the gradient of the values with respect to the parameters (N, A, ...) of the masks."""
        flat, index = parameters.flatten(0, 1), _image_index(parameters)
        gradients = []
        # A pass with gradients takes several times the memory of one without.
        number = min(self.batch_size, initial_batch_size(self.model, self.model.size))
        for begin in range(0, len(flat), number):
            some = slice(begin, begin + number)
            with outside_inference(), torch.enable_grad(), self.checks.collect():
                moved = flat[some].detach().clone().requires_grad_()
                masks = make_masks(moved[:, None], some)[:, 0]
                sides = [masks] if self.variant != "delete" else []
                sides += [1 - masks] if self.variant not in PRESERVING else []
                scores = self.masked_scores(torch.cat(sides), index[some].repeat(len(sides)), step)
                target = self.target[index[some]].repeat(len(sides))
                of_target = self._reward(scores, target).chunk(len(sides))
                gradients.append(
                    torch.autograd.grad(self._value(of_target[0], of_target[-1]).sum(), moved)[0]
                )
        return torch.cat(gradients).view_as(parameters)

    def _reward(self, scores: Tensor, target: Tensor) -> Tensor:
        """Return the score of each class (...), or its margin, of scores (..., classes)."""
        own = scores.gather(-1, target[..., None])
        if self.variant != "contrastive":
            return own[..., 0]
        others = scores.scatter(-1, target[..., None], -torch.inf)
        return own[..., 0] - others.amax(-1)

    def _value(self, inside: Tensor, outside: Tensor) -> Tensor:
        """Return the value to maximize."""
        if self.variant in PRESERVING:
            return inside
        return -outside if self.variant == "delete" else inside - outside

    def _scores_of(self, masks: Tensor, which: list[int] | None = None) -> Tensor:
        """Return scores (E, classes) of all masks (N, A, ...), or of those with these numbers, E of them."""
        chosen, index = masks.flatten(0, 1), _image_index(masks)
        if which is not None:
            chosen, index = (torch.stack([each[number] for number in which]) for each in (chosen, index))
        # In this order: outside_inference() would switch gradients on again.
        with outside_inference(), torch.no_grad(), self.checks.collect():
            # In equal shares: a batch of one image left over would be slow.
            number = -(-len(chosen) // self.batch_size)
            batches = zip(chosen.tensor_split(number), index.tensor_split(number), strict=True)
            return torch.cat([self.masked_scores(some, images) for some, images in batches])


class ImageObjective(ScoreObjective):
    """Masks (N, A, H, W) on images, or on the activations of a layer, all channels alike."""

    def __init__(
        self,
        model: ImageModel,
        x: Tensor,
        target: Tensor,
        variant: Variant,
        perturbation: Perturbation,
        layer: str | None,
        batch_size: int | None,
    ) -> None:
        super().__init__(model, target, variant, batch_size)
        self.layer = layer
        choice(perturbation, "perturbation", get_args(Perturbation))
        self.perturbation = perturbation
        with outside_inference(), torch.no_grad():
            self.source = x.clone()
            if layer is not None:
                self.output = model.activations(self.source, layer)[layer].float()
                self.source = model.spatial(layer, self.output).clone()
        self.size = (self.source.shape[2], self.source.shape[3])

    # The first step of a run computes these: an explorer is shown before.

    @cached_property
    def levels(self) -> Tensor:
        """The image, or the activation, from fully perturbed to original."""
        with outside_inference(), torch.no_grad():
            return pyramid(self.source, self.perturbation)

    @property
    def ends(self) -> Tensor:
        """The fully perturbed and the original image, or activation."""
        return torch.stack([self.levels[:, 0], self.levels[:, -1]], dim=1)

    @cached_property
    def end_scores(self) -> Tensor:
        """Scores (N, 2, classes) of both ends."""
        with outside_inference(), torch.no_grad():
            index = torch.arange(len(self.source), device=self.source.device)
            return torch.stack([self._scores(self.ends[:, end], index) for end in (0, 1)], dim=1)

    def masked_scores(self, masks: Tensor, index: Tensor, step: int | None = None) -> Tensor:
        """Return scores (E, classes) of masks (E, H, W); in odd steps, images of classes are mirrored."""
        levels = self.ends if step is None else self.levels
        levels = levels.expand(len(index), *levels.shape[1:]) if len(levels) == 1 else levels[index]
        shown = perturb(levels, masks[:, None])[:, 0]
        # Mirrored activations are not those of a mirrored image, nor is a box or a pixel where it was.
        mirrored = step is not None and step % 2 == 1 and self.layer is None and self.model.mirrors
        return check_finite(self._scores(shown.flip(-1) if mirrored else shown, index), self.model.name)

    def _scores(self, shown: Tensor, index: Tensor) -> Tensor:
        """Return scores (E, classes) of images or activations; tokens without a position stay those of the image."""
        if self.layer is None:
            return self.model(shown, frozen=True, folded=True)
        output = self.model.with_spatial(self.layer, self.output[index], shown)
        return self.model.forward_from(self.layer, output)


@without_inference_mode
def score_masks(
    model: ImageModel,
    x: Any,
    masks: Tensor,
    target: Target = None,
    *,
    perturbation: Perturbation = "blur",
    layer: str | None = None,
    batch_size: int | None = None,
) -> ScoredMasks:
    """Score images where binary masks are preserved, and where they are deleted.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    masks : Tensor, (N, A, H, W)
        0 or 1, A masks for each image; with ``layer`` in its resolution.
    target : int, str, callable, sequence or Tensor, optional
        The class or a target (see :mod:`xai_widgets.targets`), or one per image. Default: the predicted class.
    perturbation : {"blur", "fade"}, default "blur"
        Perturbation of the image where the mask is not preserved.
    layer : str, optional
        Mask the activation of this layer instead of the image, as in :func:`~xai_widgets.perturbation.extremal`.
    batch_size : int, optional
        Masked images per pass. Default: those of the best throughput.

    Returns
    -------
    ScoredMasks

    Raises
    ------
    ValueError
        For masks of another shape or with other values, an unknown class, perturbation or layer.

    Examples
    --------
    >>> masks = torch.rand(1, 3, 224, 224).round()
    >>> score_masks(model, image, masks, "corgi").scores  # doctest: +SKIP
    """
    model, x, target = prepare(model, x, target)
    objective = ImageObjective(model, x, target, "hybrid", perturbation, layer, batch_size)
    masks = tensor(masks, "masks", (len(x), "A", *objective.size), like=objective.levels)
    if not bool(((masks == 0) | (masks == 1)).all()):
        raise ValueError("expected masks of 0 and 1, got other values; threshold them, such as masks > 0.5")
    scores = objective.score(masks)
    objective.checks.read()
    return ScoredMasks(
        masks=masks,
        class_scores=torch.stack([scores.inside, scores.outside], dim=2),
        end_scores=objective.end_scores,
        target=target,
    )


def _image_index(elements: Tensor) -> Tensor:
    """Return the index of the image of each of the elements (N, A, ...), flattened."""
    return torch.arange(len(elements), device=elements.device).repeat_interleave(elements.shape[1])
