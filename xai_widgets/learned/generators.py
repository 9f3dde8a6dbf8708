"""Two generators whose images differ in the class: the explanation by a pair of a similar and an adversarial image.

Charachon et al. 2020, for a binary task with the probability f_c of the predicted class c, generators g_s and g_a with
parameters t_s and t_a (equation 27 of Ayyar et al. 2021):

    R(x) = |g_s(x) - g_a(x)|         g_s: the same class as x,   g_a: the other one
    L    = - log f_c(g_s(x)) - log (1 - f_c(g_a(x)))                          the classes
           + l_x (|g_s(x) - x|^2 + |g_a(x) - x|^2)                            both are similar to the image
           + l_d |g_s(x) - g_a(x)|_1                                          they differ in little
           + l_t |t_s - t_a|^2                                                least difference of the parameters

The norms of images and of parameters are means. Both generators start from the same weights, so that what they change
for other reasons than the class is alike, and cancels in R. |x - g_a(x)|, the explanation by one generator, keeps it.
The source adds discriminators, which are left out here.

A generator is a U-Net of three resolutions, g(x) = clip(x + h(x)), that is the identity at the start.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xai_widgets.core.validation import check_fields, integer, number


@dataclass(frozen=True)
class GeneratorSettings:
    """Settings of :func:`~xai_widgets.learned.adversarial_explanation`; the weights are ours.

    Attributes
    ----------
    steps : int, default 300
        Steps of Adam.
    batch : int, default 16
        Images in a step.
    learning_rate : float, default 2e-3
        Learning rate of Adam.
    similarity, difference, parameters : float, default 20.0, 2.0, 10.0
        l_x, l_d and l_t.
    width : int, default 12
        Number of channels of the generators in the resolution of the image.
    """

    steps: int = 300
    batch: int = 16
    learning_rate: float = 2e-3
    similarity: float = 20.0
    difference: float = 2.0
    parameters: float = 10.0
    width: int = 12

    def __post_init__(self) -> None:
        check_fields(self, integer, "steps", "batch", "width", low=1)
        check_fields(self, number, "similarity", "difference", "parameters", low=0)
        check_fields(self, number, "learning_rate", above=0)


class Generator(nn.Module):
    """U-Net that changes an image, (N, C, H, W) in [0, 1].

    Parameters
    ----------
    channels : int
        Number of channels of the image.
    width : int, default 12
        Number of channels in the resolution of the image; twice as many below.
    """

    def __init__(self, channels: int, *, width: int = 12) -> None:
        super().__init__()
        double = 2 * width
        self.down = nn.ModuleList(
            [
                nn.Conv2d(channels, width, 3, padding=1),
                nn.Conv2d(width, double, 3, padding=1),
                nn.Conv2d(double, double, 3, padding=1),
            ]
        )
        self.up = nn.ModuleList(
            [nn.Conv2d(2 * double, double, 3, padding=1), nn.Conv2d(double + width, width, 3, padding=1)]
        )
        self.out = nn.Conv2d(width, channels, 1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the changed images."""
        fine = self.down[0](2 * x - 1).relu()
        middle = self.down[1](F.avg_pool2d(fine, 2)).relu()
        flow = self.down[2](F.avg_pool2d(middle, 2)).relu()
        for block, side in zip(self.up, (middle, fine), strict=True):
            wide = F.interpolate(flow, side.shape[2:], mode="bilinear", align_corners=False)
            flow = block(torch.cat([wide, side], 1)).relu()
        return (x + self.out(flow)).clamp(0, 1)


def pair_loss(
    x: Tensor,
    similar: Tensor,
    adversarial: Tensor,
    margins: tuple[Tensor, Tensor],
    distance: Tensor,
    settings: GeneratorSettings,
) -> Tensor:
    """Return the loss L of a batch.

    Parameters
    ----------
    x, similar, adversarial : Tensor, (N, C, H, W)
        The images, g_s(x) and g_a(x).
    margins : (Tensor, Tensor), (N,)
        Score of the predicted class of x minus that of the other class, of g_s(x) and of g_a(x).
    distance : Tensor
        Mean squared difference of the parameters.
    settings : GeneratorSettings
        The weights.
    """
    # log f_c = log sigmoid(margin) and log (1 - f_c) = log sigmoid(-margin).
    classes = -(F.logsigmoid(margins[0]) + F.logsigmoid(-margins[1])).mean()
    similarity = (similar - x).square().mean() + (adversarial - x).square().mean()
    difference = (similar - adversarial).abs().mean()
    return (
        classes
        + settings.similarity * similarity
        + settings.difference * difference
        + settings.parameters * distance
    )


def parameter_distance(first: nn.Module, second: nn.Module) -> Tensor:
    """Return the mean squared difference of the parameters of two networks of the same structure."""
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return torch.cat([(a - b).flatten() for a, b in pairs]).square().mean()
