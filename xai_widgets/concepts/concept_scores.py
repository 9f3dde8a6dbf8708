"""The score of one image as a function of the concepts that are kept in the activation of a layer."""

from __future__ import annotations

import torch
from torch import Tensor

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.validation import check_finite
from xai_widgets.features import LayerScores


class ConceptScores:
    """The scores of one image whose concepts are multiplied by a mask, f(m) = S(a - sum_k (1 - m_k) u_k w_k).

    Parameters
    ----------
    of_layer : LayerScores
        The layer on one image.
    directions : Tensor, (M, C)
        w, the bank of concepts.
    coefficients : Tensor, (M, h, w)
        u, the concepts at each position of the image.
    """

    def __init__(self, of_layer: LayerScores, directions: Tensor, coefficients: Tensor) -> None:
        like = of_layer.activation
        self.of_layer = of_layer
        self.directions, self.coefficients = directions.to(like), coefficients.to(like)

    def scores(self, masks: Tensor, batch_size: int = 32) -> Tensor:
        """Return the scores of masks (E, M), (E, classes), on the CPU."""
        with torch.no_grad():
            parts = [self._scores(part).float().cpu() for part in masks.split(batch_size)]
        return check_finite(torch.cat(parts), self.of_layer.model.name)

    def gradient(self, target: int) -> Tensor:
        """Return gradient x activation of each concept, (M,): the gradient of the score with respect to m at m = 1."""
        with outside_inference(), torch.enable_grad():
            mask = self.directions.new_ones(1, len(self.directions)).requires_grad_()
            score = self._scores(mask)[0, target]
            gradient = torch.autograd.grad(score, mask, allow_unused=True)[0] if score.requires_grad else None
        return torch.zeros(len(self.directions)) if gradient is None else gradient[0].float().cpu()

    def _scores(self, masks: Tensor) -> Tensor:
        masks = masks.to(self.directions)
        index = torch.zeros(len(masks), dtype=torch.long, device=masks.device)
        return self.of_layer.scores(lambda output: self._changed(output, masks), index)

    def _changed(self, output: Tensor, masks: Tensor) -> Tensor:
        """Return outputs (E, ...) of the layer whose concepts are multiplied by masks (E, M)."""
        model, layer = self.of_layer.model, self.of_layer.layer
        kept = torch.einsum("em,mhw,mc->echw", masks - 1, self.coefficients, self.directions)
        spatial = model.spatial(layer, output)
        return model.with_spatial(layer, output, spatial + kept.to(spatial.dtype))
