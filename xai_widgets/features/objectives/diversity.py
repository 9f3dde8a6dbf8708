"""Diversity of the images of a batch, so that together they show all that a channel responds to.

With G_n = a a^T the correlations of the K channels of a layer over its positions, for image n (Olah, Mordvintsev and
Schubert 2017, appendix):

    d_n = - 1 / (N - 1) sum over m != n of <G_n, G_m> / (|G_n| |G_m|)

from -1, for images of the same textures, up.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.features.objectives.base import LayerObjective, Seen


@dataclass(frozen=True, repr=False)
class Diversity(LayerObjective):
    """Negative mean similarity of each image to the others of the batch; 0 for one image.

    Parameters
    ----------
    layer : str
        A layer with spatial positions, by its name in ``model.layers()``: usually the one that is visualized, or one
        before it.
    """

    layer: str

    def bind(self, model: ImageModel) -> Diversity:
        """Return the objective with valid arguments for a network; ValueError if it does not fit."""
        model.grid(self.layer)
        return self

    def values(self, seen: Seen) -> Tensor:
        """Return d_n, (N,)."""
        a = seen.channels(self.layer).flatten(2)
        grams = F.normalize((a @ a.mT).flatten(1), dim=1)
        similar = grams @ grams.T
        return -(similar.sum(1) - similar.diagonal()) / max(len(a) - 1, 1)
