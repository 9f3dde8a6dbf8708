"""What a network says of masked images or activations: what extremal perturbations maximize.

Fong, Patrick and Vedaldi 2019, sections 3.2 and 5; the formulas are in :mod:`~xai_widgets.perturbation.extremal` and
:mod:`~xai_widgets.perturbation.channel`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, get_args

import torch
from torch import Tensor

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel
from xai_widgets.core.precision import outside_autocast
from xai_widgets.core.validation import check_finite, choice
from xai_widgets.ops.blur import gaussian
from xai_widgets.ops.perturb import Perturbation, perturb, pyramid
from xai_widgets.perturbation.areas import AreaSettings, Found, MakeMasks, Verdict
from xai_widgets.perturbation.max_convolution import ReleasedSettings

Variant = Literal["preserve", "delete", "hybrid"]


class Masked(ABC):
    """The objective of a mask: the score of the class where it is preserved, where it is deleted, or their difference.

    A subclass says what a mask does to the network, in :meth:`masked`, and sets ``end_scores``.
    """

    #: Scores (N, 2, classes) of what is wholly perturbed, and of what is not at all.
    end_scores: Tensor

    def __init__(self, model: ImageModel, target: Tensor, variant: Variant, batch_size: int) -> None:
        choice(variant, "variant", get_args(Variant))
        self.model, self.variant, self.batch_size = model, variant, batch_size
        # Inside the caller's inference_mode() nothing made could be part of a graph later.
        with outside_inference():
            self.target = target.clone()

    @abstractmethod
    def masked(self, masks: Tensor, index: Tensor, step: int | None = None) -> Tensor:
        """Scores (E, classes) of masks (E, ...) on the images of that index (E,).

        Masks of a step of the search lie in [0, 1] and gradients flow; without a step they are 0 or 1.
        """

    @abstractmethod
    def smooth(self, coarse: Tensor) -> Tensor:
        """Fields (N, A, ...) over all places of coarse ones."""

    @property
    def spread(self) -> Tensor:
        """How far the perturbation moves the score of the class, (N,)."""
        index = self.target.view(-1, 1, 1).expand(-1, 2, 1)
        ends = self.end_scores.gather(2, index)[..., 0]
        return (ends[:, 1] - ends[:, 0]).abs()

    def judge(self, masks: Tensor) -> Verdict:
        """Scores where masks (N, A, ...) of 0 and 1 are preserved or deleted, as far as the variant needs them."""
        every = torch.ones(masks.shape[:2], dtype=torch.bool, device=masks.device)
        nothing = torch.full((*masks.shape[:2], self.end_scores.shape[2]), torch.nan, device=masks.device)
        inside = nothing if self.variant == "delete" else self._of_chosen(masks, every).view_as(nothing)
        outside = (
            nothing if self.variant == "preserve" else self._of_chosen(1 - masks, every).view_as(nothing)
        )
        index = self.target.view(-1, 1, 1).expand(*masks.shape[:2], 1)
        of_target = (scores.gather(2, index)[..., 0] for scores in (inside, outside))
        return Verdict(self._value(*of_target), inside.clone(), outside.clone())

    def complete(self, found: Found) -> None:
        """Ask for the scores that the values did not need, in place, so that it is done once for each mask."""
        for scores, masks in ((found.verdict.inside, found.masks), (found.verdict.outside, 1 - found.masks)):
            missing = scores[..., 0].isnan()
            if bool(missing.any()):
                scores[missing] = self._of_chosen(masks, missing)

    def gradient(self, coarse: Tensor, make_masks: MakeMasks, step: int) -> Tensor:
        """The gradient of the values with respect to coarse fields (N, A, ...)."""
        flat, index = coarse.flatten(0, 1), _images_of(coarse)
        gradients = []
        for begin in range(0, len(flat), self.batch_size):
            some = slice(begin, begin + self.batch_size)
            with outside_inference(), torch.enable_grad():
                moved = flat[some].detach().clone().requires_grad_()
                masks = make_masks(self.smooth(moved[:, None]), some)[:, 0]
                sides = [masks] if self.variant != "delete" else []
                sides += [1 - masks] if self.variant != "preserve" else []
                scores = self.masked(torch.cat(sides), index[some].repeat(len(sides)), step)
                target = self.target[index[some], None].repeat(len(sides), 1)
                of_target = scores.gather(1, target)[:, 0].chunk(len(sides))
                gradients.append(
                    torch.autograd.grad(self._value(of_target[0], of_target[-1]).sum(), moved)[0]
                )
        return torch.cat(gradients).view_as(coarse)

    def _value(self, inside: Tensor, outside: Tensor) -> Tensor:
        """What is to be large."""
        if self.variant == "preserve":
            return inside
        return -outside if self.variant == "delete" else inside - outside

    def _of_chosen(self, masks: Tensor, which: Tensor) -> Tensor:
        """Scores (E, classes) of the masks (N, A, ...) that are chosen, (N, A) of booleans with E of them true."""
        chosen, index = masks[which], _images_of(masks)[which.flatten()]
        # In this order: the first would switch gradients on again.
        with outside_inference(), torch.no_grad():
            batches = zip(chosen.split(self.batch_size), index.split(self.batch_size), strict=True)
            return torch.cat([self.masked(some, images) for some, images in batches])


class MaskedImages(Masked):
    """Masks on images, or on the activations of a layer, all channels alike: (N, A, H, W)."""

    def __init__(
        self,
        model: ImageModel,
        x: Tensor,
        target: Tensor,
        variant: Variant,
        perturbation: Perturbation,
        layer: str | None,
        settings: AreaSettings | ReleasedSettings,
        batch_size: int,
    ) -> None:
        super().__init__(model, target, variant, batch_size)
        self.layer = layer
        with outside_inference(), torch.no_grad():
            x = x.clone()
            source = x if layer is None else _activation(model, x, layer)
            self.levels = pyramid(source, perturbation)
            self.ends = self.levels[:, [0, -1]]
            self.size = (source.shape[2], source.shape[3])
            self.end_scores = torch.stack([self._scores(self.ends[:, end]) for end in (0, 1)], dim=1)
            if isinstance(settings, AreaSettings):
                self.grid = (min(self.size[0], settings.grid), min(self.size[1], settings.grid))
                self.rows, self.columns = (
                    gaussian(extent, cells, settings.sigma * extent, source)
                    for extent, cells in zip(self.size, self.grid, strict=True)
                )

    def smooth(self, coarse: Tensor) -> Tensor:
        """Fields (N, A, H, W) of coarse ones (N, A, h, w); the published search, which makes its own, has none."""
        if not hasattr(self, "rows"):
            return coarse
        with outside_autocast(coarse):
            return self.rows @ coarse @ self.columns.T

    def masked(self, masks: Tensor, index: Tensor, step: int | None = None) -> Tensor:
        """Scores (E, classes) of masks (E, H, W); on every other step the images are mirrored."""
        levels = self.ends if step is None else self.levels
        levels = levels.expand(len(index), *levels.shape[1:]) if len(levels) == 1 else levels[index]
        shown = perturb(levels, masks[:, None])[:, 0]
        # A layer that was trained on images knows nothing of its own mirror image.
        mirrored = step is not None and step % 2 == 1 and self.layer is None
        return check_finite(self._scores(shown.flip(-1) if mirrored else shown), self.model.name)

    def _scores(self, shown: Tensor) -> Tensor:
        """Scores of all classes, (E, classes), of images or activations."""
        return self.model(shown) if self.layer is None else self.model.forward_from(self.layer, shown)


def _images_of(elements: Tensor) -> Tensor:
    """The image of each of the elements (N, A, ...), flattened."""
    return torch.arange(len(elements), device=elements.device).repeat_interleave(elements.shape[1])


def _activation(model: ImageModel, x: Tensor, layer: str) -> Tensor:
    """The activation of a layer, (N, C, h, w); ValueError if it has no places."""
    made = model.activations(x, layer)[layer].float()
    model.check_spatial(layer, made.shape[1:])
    return made.clone()
