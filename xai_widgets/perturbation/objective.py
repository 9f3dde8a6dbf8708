"""What a network says of images, or of the activations of a layer, under masks: what extremal perturbations maximise.

Fong, Patrick and Vedaldi 2019, section 3.2; the formulas are in :mod:`~xai_widgets.perturbation.extremal`.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from xai_widgets.errors import unknown
from xai_widgets.model import ImageModel
from xai_widgets.perturbation.areas import AreaSettings, Found, MakeMasks, Verdict
from xai_widgets.perturbation.max_convolution import ReleasedSettings
from xai_widgets.perturbation.perturb import Perturbation, gaussian, perturb, pyramid

Variant = Literal["preserve", "delete", "hybrid"]


class MaskedImages:
    """The objective: what a network says of images, or of the activations of a layer, under masks."""

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
        if variant not in get_args(Variant):
            raise ValueError(unknown("variant", variant, get_args(Variant)))
        # Inside the caller's inference_mode() nothing made could be part of a graph later.
        with torch.inference_mode(False), torch.no_grad():
            x = x.clone()
            self.model, self.layer, self.target = model, layer, target.clone()
            self.variant, self.batch_size = variant, batch_size
            source = x if layer is None else _activation(model, x, layer)
            self.levels = pyramid(source, perturbation)
            self.ends = self.levels[:, [0, -1]]
            self.size = (source.shape[2], source.shape[3])
            ends = [self.classes(self.ends[:, end]).gather(1, self.target[:, None])[:, 0] for end in (0, 1)]
            self.perturbed, self.whole = ends
            self.spread = (self.whole - self.perturbed).abs()
            if isinstance(settings, AreaSettings):
                self.grid = (min(self.size[0], settings.grid), min(self.size[1], settings.grid))
                self.rows, self.columns = (
                    gaussian(extent, cells, settings.sigma * extent, source)
                    for extent, cells in zip(self.size, self.grid, strict=True)
                )

    def classes(self, images: Tensor) -> Tensor:
        """Scores of all classes, (E, classes), of images or activations."""
        return self.model(images) if self.layer is None else self.model.forward_from(self.layer, images)

    def smooth(self, coarse: Tensor) -> Tensor:
        """Fields (N, A, H, W) of coarse ones (N, A, h, w)."""
        return self.rows @ coarse @ self.columns.T

    def judge(self, masks: Tensor) -> Verdict:
        """Scores where masks (N, A, H, W) of 0 and 1 are preserved or deleted, as far as the variant needs them."""
        every = torch.ones(masks.shape[:2], dtype=torch.bool, device=masks.device)
        nothing = torch.full((*masks.shape[:2], len(self.model.labels)), torch.nan, device=masks.device)
        inside = nothing if self.variant == "delete" else self._masked(masks, every).view_as(nothing)
        outside = nothing if self.variant == "preserve" else self._masked(1 - masks, every).view_as(nothing)
        index = self.target.view(-1, 1, 1).expand(*masks.shape[:2], 1)
        of_target = (scores.gather(2, index)[..., 0] for scores in (inside, outside))
        return Verdict(self._value(*of_target), inside.clone(), outside.clone())

    def complete(self, found: Found) -> None:
        """Ask for the scores that the values did not need, in place, so that it is done once for each mask."""
        for scores, masks in ((found.verdict.inside, found.masks), (found.verdict.outside, 1 - found.masks)):
            missing = scores[..., 0].isnan()
            if bool(missing.any()):
                scores[missing] = self._masked(masks, missing)

    def gradient(self, coarse: Tensor, make_masks: MakeMasks, step: int) -> Tensor:
        """The gradient of the values with respect to coarse fields (N, A, h, w), every other one on mirrored images."""
        flat, index = coarse.flatten(0, 1), self._index(coarse)
        # A layer that was trained on images knows nothing of its own mirror image.
        mirrored = step % 2 == 1 and self.layer is None
        gradients = []
        for begin in range(0, len(flat), self.batch_size):
            some = slice(begin, begin + self.batch_size)
            with torch.inference_mode(False), torch.enable_grad():
                moved = flat[some].detach().clone().requires_grad_()
                masks = make_masks(self._smooth_any(moved[:, None]), some)
                levels, target = self._of(self.levels, index[some]), self.target[index[some], None]
                sides = [masks] if self.variant != "delete" else []
                sides += [1 - masks] if self.variant != "preserve" else []
                shown = torch.cat([perturb(levels, side)[:, 0] for side in sides])
                scores = self.classes(shown.flip(-1) if mirrored else shown)
                of_target = scores.gather(1, target.repeat(len(sides), 1))[:, 0].chunk(len(sides))
                gradients.append(
                    torch.autograd.grad(self._value(of_target[0], of_target[-1]).sum(), moved)[0]
                )
        return torch.cat(gradients).view_as(coarse)

    def _smooth_any(self, coarse: Tensor) -> Tensor:
        return self.smooth(coarse) if hasattr(self, "rows") else coarse

    def _value(self, inside: Tensor, outside: Tensor) -> Tensor:
        """What is to be large."""
        if self.variant == "preserve":
            return inside
        return -outside if self.variant == "delete" else inside - outside

    def _index(self, elements: Tensor) -> Tensor:
        """The image of each of the elements (N, A, ...), flattened."""
        images = torch.arange(len(elements), device=elements.device)
        return images.repeat_interleave(elements.shape[1])

    def _of(self, levels: Tensor, index: Tensor) -> Tensor:
        return levels.expand(len(index), *levels.shape[1:]) if len(levels) == 1 else levels[index]

    @torch.no_grad()
    def _masked(self, masks: Tensor, which: Tensor) -> Tensor:
        """Scores (E, classes) of the masks (N, A, H, W) that are chosen, (N, A) of booleans with E of them true."""
        chosen, index = masks[which], self._index(masks)[which.flatten()]
        made = []
        with torch.inference_mode(False):
            for some in torch.arange(len(chosen), device=masks.device).split(self.batch_size):
                shown = perturb(self._of(self.ends, index[some]), chosen[some, None])[:, 0]
                made.append(self.classes(shown))
        return torch.cat(made)


def _activation(model: ImageModel, x: Tensor, layer: str) -> Tensor:
    """The activation of a layer, (N, C, h, w); ValueError if it has no places."""
    made = model.activations(x, layer)[layer].float()
    if made.ndim != 4:
        raise ValueError(
            f"layer {layer!r} has an output of shape {tuple(made.shape[1:])}, wanted (C, h, w), such as that of "
            f"{model.default_layer()!r}"
        )
    return made.clone()
