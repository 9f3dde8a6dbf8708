"""What the explainers that hide parts of an image share: fills, what is measured, and batches of masked copies.

A mask m in [0, 1] shows the image where it is 1 and the fill b where it is 0: m x + (1 - m) b.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import brief, check_finite, choice

Output = Literal["probability", "score"]

#: Masks, coalitions or draws, at most: all of them are drawn at once.
MOST_SAMPLES = 1_000_000


def check_probabilities(model: ImageModel, method: str, instead: str) -> None:
    """Refuse a network whose outputs are plain numbers, for a method that needs probabilities."""
    if not model.has_probabilities:
        raise ValueError(
            f"{method} expected a network with probabilities, got {brief(model.name)}, whose outputs are plain "
            f"numbers; use {instead}, or activation='softmax' or 'sigmoid' in ImageModel"
        )


def value_name(model: ImageModel, output: Output) -> str:
    """Return what is measured, "probability" or "score": networks without probabilities have only scores."""
    return model.value_name if output == "probability" else "score"


def check_output(output: str) -> None:
    """Refuse what is neither "probability" nor "score"."""
    choice(output, "output", get_args(Output))


class Outputs:
    """What a network says of masked copies of an image; batches share memory, in the layout that networks run in.

    Parameters
    ----------
    model : ImageModel
        The network.
    size : torch.Size, (N, C, H, W)
        Of the images.
    batch_size : int
        The most copies in a pass.
    output : {"probability", "score"}
        After or before the activation of the network, softmax or sigmoid.
    """

    def __init__(self, model: ImageModel, size: torch.Size, batch_size: int, output: Output) -> None:
        check_output(output)
        self.model, self.batch_size, self.output = model, check_batch_size(batch_size), output
        self.size = size[1:]
        self.shown: Tensor | None = None

    def of(self, images: Tensor) -> Tensor:
        """Probabilities or scores, (B, classes), of any number of images (B, C, H, W)."""
        with outside_inference(), torch.no_grad():
            made = torch.cat([self.model(some) for some in images.split(self.batch_size)])
            check_finite(made, self.model.name)
            return self.model.probabilities(made) if self.output == "probability" else made

    def masked(self, image: Tensor, fill: Tensor, masks: Tensor) -> Tensor:
        """The same, (B, classes), of one image (C, H, W) under masks (B, H, W) that show it where they are 1."""
        made = []
        with outside_inference(), torch.no_grad():
            for some in masks.split(self.batch_size):
                shown = self._buffer(len(some))
                torch.lerp(fill[None], image[None], some[:, None].to(shown.dtype), out=shown)
                made.append(self.of(shown))
            return torch.cat(made)

    def _buffer(self, count: int) -> Tensor:
        """Memory for so many images, kept for the next batch."""
        if self.shown is None or len(self.shown) < count:
            self.shown = torch.empty(
                (count, *self.size), device=self.model.device, memory_format=torch.channels_last
            )
        return self.shown[:count]
