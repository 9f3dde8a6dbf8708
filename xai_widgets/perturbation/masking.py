"""What the explainers that hide parts of an image share: fills, what is measured, and batches of masked copies.

A mask m in [0, 1] shows the image where it is 1 and the fill b where it is 0: m x + (1 - m) b.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from xai_widgets.arguments import check_batch_size
from xai_widgets.guard import outside_inference
from xai_widgets.images import check_baseline
from xai_widgets.model import ImageModel, Target, check_model
from xai_widgets.perturbation.perturb import gaussian_blur
from xai_widgets.validation import brief, check_finite, choice

Output = Literal["probability", "score"]

#: Masks, coalitions or draws, at most: all of them are drawn at once.
MOST_SAMPLES = 1_000_000

#: What a fill may be called.
FillName = Literal["grey", "mean", "blur"]

#: Or it is a grey value in [0, 1], an image (C, H, W), or one per image (N, C, H, W).
Fill = FillName | float | Tensor

#: Blur of the fill "blur" as a share of the image's short side: 10 pixels at 224 (Fong, thesis, table 2 of chapter 3).
FILL_SIGMA = 10 / 224


def prepare(model: ImageModel, x: Any, target: Target) -> tuple[Tensor, Tensor]:
    """The images (N, C, H, W) and their classes (N,); TypeError for what is no ImageModel."""
    check_model(model)
    x, target = model.prepare(x, target)
    # Of a caller in inference mode: no graph could be made of them.
    return (x.clone() if x.is_inference() else x), (target.clone() if target.is_inference() else target)


def fill_image(fill: Fill, x: Tensor, *, sigma: float | None = None) -> Tensor:
    """What shows where an image is hidden, (N, C, H, W).

    Parameters
    ----------
    fill : {"grey", "mean", "blur"}, float or Tensor
        0.5; the mean colour of each image; the blurred image; a grey value; or an image, or one per image.
    x : Tensor, (N, C, H, W)
        Images.
    sigma : float, optional
        Of the blur, in pixels. Default: 10 / 224 of the short side.

    Raises
    ------
    ValueError
        For an unknown name, or what does not fit the images.
    """
    if not isinstance(fill, str):
        return check_baseline(fill, x, "fill")
    choice(fill, "fill", get_args(FillName))
    if fill == "grey":
        return torch.full_like(x, 0.5)
    if fill == "mean":
        return x.mean((2, 3), keepdim=True).expand_as(x)
    return gaussian_blur(x, FILL_SIGMA * min(x.shape[2:]) if sigma is None else sigma)


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
