"""Objective of a masking network: the smallest region that is sufficient for a class and destroys it when removed.

Dabkowski and Gal 2017, with f_c the probability and A an image without information:

    L(M) = l1 TV(M) + l2 AV(M) - log f_c(X M + A (1 - M)) + l3 f_c(X (1 - M) + A M)^l4

    TV   sum of squared differences of neighbors / 2        the region is connected
    AV   mean of (M + 0.0005)^0.3                           the region is small (the power is that of the authors' code)
    - log f_c(X M ...)      smallest sufficient region, SSR: it preserves the class
    f_c(X (1 - M) ...)      smallest destroying region, SDR: without it the class is gone

A is the blurred image or a random color with noise, each for half of the images, so that no one fill is exploited. For
a class that is absent from the image only the first two terms count: its mask is to be empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import check_fields, integer, number
from xai_widgets.ops.blur import gaussian_blur

#: Standard deviation of the blur at 224 pixels, of the noise, and range of random colors, as in the authors' code.
BLUR, NOISE, COLORS = 11.0, 0.055, (0.33, 0.67)


@dataclass(frozen=True)
class MaskingSettings:
    """Settings of :func:`~xai_widgets.learned.real_time_saliency`.

    The weights are ours, for networks of 12 classes: the published ones are for ImageNet.

    Attributes
    ----------
    steps : int, default 400
        Steps of Adam on the whole masking network.
    selector_steps : int, default 150
        Steps before, on the vectors of the classes only, which learn whether a class is present.
    batch : int, default 16
        Images in a step.
    learning_rate : float, default 3e-3
        Learning rate of Adam.
    smoothness, area, destroy : float, default 0.002, 3.0, 5.0
        l1, l2 and l3.
    power : float, default 0.3
        l4.
    absent : float, default 0.3
        Share of the images whose class is replaced by an absent one; half in the first steps.
    width : int, default 32
        Number of channels of the decoder.
    """

    steps: int = 400
    selector_steps: int = 150
    batch: int = 16
    learning_rate: float = 3e-3
    smoothness: float = 0.002
    area: float = 3.0
    destroy: float = 5.0
    power: float = 0.3
    absent: float = 0.3
    width: int = 32

    def __post_init__(self) -> None:
        check_fields(self, integer, "steps", "batch", "width", low=1)
        check_fields(self, integer, "selector_steps", low=0)
        check_fields(self, number, "smoothness", "area", "destroy", low=0)
        check_fields(self, number, "learning_rate", "power", above=0)
        check_fields(self, number, "absent", low=0, below=1)


def total_variation(masks: Tensor) -> Tensor:
    """Return the sum of the squared differences of neighbors of masks (N, H, W), halved: (N,)."""
    return sum(masks.diff(dim=dim).square().sum((1, 2)) for dim in (1, 2)) / 2  # type: ignore[return-value]


def area_value(masks: Tensor) -> Tensor:
    """Return the mean of (M + 0.0005)^0.3 of masks (N, H, W): (N,)."""
    return (masks + 5e-4).pow(0.3).mean((1, 2))


def empty_images(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return an image without information for each image (N, C, H, W): blurred, or a random color with noise."""
    blurred = gaussian_blur(x, BLUR * min(x.shape[2:]) / 224)
    low, high = COLORS
    colors = low + (high - low) * torch.rand(*x.shape[:2], 1, 1, generator=generator)
    plain = (colors + NOISE * torch.randn(x.shape, generator=generator)).clamp(0, 1).to(x)
    chosen = torch.rand(len(x), 1, 1, 1, generator=generator).to(x) < 0.5
    return torch.where(chosen, blurred, plain)


def masking_loss(
    model: ImageModel,
    x: Tensor,
    masks: Tensor,
    target: Tensor,
    present: Tensor,
    settings: MaskingSettings,
    empty: Tensor,
) -> Tensor:
    """Return the loss of masks (N, h, w) of classes (N,) for images (N, C, H, W): (N,).

    ``present`` (N,) bool states which classes are in the images, ``empty`` holds the images A.
    """
    wide = F.interpolate(masks[:, None], x.shape[2:], mode="bilinear", align_corners=False)
    loss = settings.smoothness * total_variation(wide[:, 0]) + settings.area * area_value(wide[:, 0])
    if not present.any():
        return loss
    some, mask, nothing = x[present], wide[present], empty[present]
    both = torch.cat([some * mask + nothing * (1 - mask), some * (1 - mask) + nothing * mask])
    logs = log_probabilities(model, both).gather(1, target[present].repeat(2)[:, None])[:, 0]
    preserved, destroyed = logs.chunk(2)
    # The power of a probability by its logarithm: that of 0 would have no gradient.
    terms = -preserved + settings.destroy * (settings.power * destroyed).exp()
    return loss.index_add(0, present.nonzero().flatten(), terms)


def log_probabilities(model: ImageModel, x: Tensor) -> Tensor:
    """Return the logarithms of the probabilities of images, (N, classes)."""
    scores = model(x, frozen=True)
    return F.logsigmoid(scores) if model.activation == "sigmoid" else scores.log_softmax(1)
