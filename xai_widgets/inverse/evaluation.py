"""What an inverse is worth: whether the simpler input gives the same output.

Of a network from images to images, section 5.5.3 of the source, in five distances (table 5.2) with g the ground truth:

    d_A (x, x^)    d_B (Phi(x), Phi(x^))    d_C (x + Phi(x), x + Phi(x^))    d_D (x + Phi(x), g)    d_E (x + Phi(x^), g)

each as MSE, PSNR = -10 log10 MSE, and SSIM, for values in [0, 1]. Nothing is cut to [0, 1], so that the MSE of d_B and
d_C is the same. Of a classifier, section 5.4.1, for attributions of any kind:

    x~ = alpha x                                                                              equation 5.13

with alpha scaled linearly to [0, 1]: whether x~ is still of the class, against how much of x it keeps, mean(alpha).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, Target, check_model
from xai_widgets.core.replica import replica
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.validation import tensor
from xai_widgets.metrics.agreement import structural_similarity

#: The distances of table 5.2 in their order.
DISTANCES = ("A", "B", "C", "D", "E")


@dataclass(frozen=True)
class Reconstruction:
    """The five distances of table 5.2, for each of N images.

    Attributes
    ----------
    mse : Tensor, (N, 5)
        Mean squared difference; the columns are d_A ... d_E.
    psnr : Tensor, (N, 5)
        In dB; infinite where there is no difference.
    ssim : Tensor, (N, 5)
        Structural similarity, at most 1.
    residual : Tensor, (N, 1, H, W)
        Phi(x).
    residual_of_inverse : Tensor, (N, 1, H, W)
        Phi(x^).
    """

    mse: Tensor
    psnr: Tensor
    ssim: Tensor
    residual: Tensor
    residual_of_inverse: Tensor

    def table(self) -> dict[str, dict[str, float]]:
        """Means over the images, as in table 5.3: ``table()["A"]["psnr"]``."""
        means = {name: getattr(self, name).double().mean(0).tolist() for name in ("mse", "psnr", "ssim")}
        return {
            distance: {name: values[i] for name, values in means.items()}
            for i, distance in enumerate(DISTANCES)
        }


@without_inference_mode
def reconstruction(
    phi: Callable[[Tensor], Tensor],
    x: Tensor,
    x_hat: Tensor,
    truth: Tensor,
    *,
    border: int = 0,
    batch_size: int = 8,
) -> Reconstruction:
    """How near the output of the inverse is to that of the image, and both to the ground truth.

    Parameters
    ----------
    phi : nn.Module or callable
        From luminance (B, 1, H, W) to the residual, of the same shape; a module is run in eval mode.
    x : Tensor, (N, 1, H, W)
        Luminance at low resolution, enlarged, in [0, 1].
    x_hat : Tensor, (N, 1, H, W)
        Its inverse.
    truth : Tensor, (N, 1, H, W)
        What it was at high resolution.
    border : int, default 0
        How many pixels are left out at each side of every image that is compared.
    batch_size : int, default 8
        Images per pass.

    Returns
    -------
    Reconstruction

    Raises
    ------
    ValueError
        For images, or residuals, of another shape, or a border that leaves nothing.
    """
    batch_size = check_batch_size(batch_size)
    for name, given in (("x", x), ("x_hat", x_hat), ("truth", truth)):
        if given.ndim != 4 or given.shape[1] != 1 or given.shape != x.shape:
            raise ValueError(
                f"{name} has shape {tuple(given.shape)}, wanted luminance (N, 1, H, W), the same for all three"
            )
    height, width = x.shape[2:]
    if border < 0 or 2 * border >= min(height, width):
        raise ValueError(f"border is {border}, wanted 0 or more and less than half of {height} x {width}")
    run = replica(phi) if isinstance(phi, nn.Module) else phi
    residual, of_inverse = (
        torch.cat([run(part) for part in images.split(batch_size)]) for images in (x, x_hat)
    )
    if residual.shape != x.shape:
        raise ValueError(f"phi returns shape {tuple(residual.shape)}, wanted that of x, {tuple(x.shape)}")
    whole, from_inverse = x + residual, x + of_inverse
    measured = [
        _distances(a[:, 0, border : height - border, border : width - border],
                   b[:, 0, border : height - border, border : width - border])
        for a, b in (
            (x, x_hat), (residual, of_inverse), (whole, from_inverse), (whole, truth), (from_inverse, truth)
        )
    ]  # fmt: skip
    mse, ssim = (torch.stack(columns, 1) for columns in zip(*measured, strict=True))
    return Reconstruction(mse, -10 * mse.log10(), ssim, residual, of_inverse)


def _distances(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """MSE and SSIM of (N, H, W), each (N,)."""
    mse = (a.double() - b.double()).square().mean((1, 2)).float()
    return mse, structural_similarity(a, b)


@dataclass(frozen=True)
class Reidentification:
    """Whether what an attribution keeps of N images is still of their class.

    Attributes
    ----------
    target : Tensor, (N,)
        The class.
    alpha : Tensor, (N, H, W)
        The attribution, scaled to [0, 1], in the size of the images.
    mean_alpha : Tensor, (N,)
        How much of the image is kept, in [0, 1].
    probability : Tensor, (N,)
        Probability of the class for x~; its score where outputs are plain numbers.
    top1, top5 : Tensor, (N,)
        Whether the class is the best one of x~, or one of the five best; of labels whether it has a probability
        above 0.5. Plain numbers have no best one.
    """

    target: Tensor
    alpha: Tensor
    mean_alpha: Tensor
    probability: Tensor
    top1: Tensor
    top5: Tensor

    def point(self) -> tuple[float, float, float]:
        """Means over the images of ``mean_alpha``, ``top1`` and ``top5``: where a method stands in figure 5.6."""
        return (
            self.mean_alpha.mean().item(),
            self.top1.double().mean().item(),
            self.top5.double().mean().item(),
        )


def scaled(attribution: Tensor) -> Tensor:
    """Maps (N, h, w) scaled linearly so that each runs from 0 to 1.

    A constant map tells no pixel from another: it keeps all of them if it is above 0, and none otherwise.
    """
    low, high = (attribution.flatten(1).aminmax(dim=1)[i].view(-1, 1, 1) for i in (0, 1))
    constant = (high > 0).to(attribution.dtype).expand_as(attribution)
    return torch.where(high > low, (attribution - low) / (high - low), constant).clamp(0, 1)


@without_inference_mode
def reidentification(
    model: ImageModel, x: Any, alpha: Tensor, target: Target = None, *, batch_size: int = 32
) -> Reidentification:
    """Whether an image weighted by its attribution, x~ = alpha x, is still of its class.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        Images of any kind, N of them.
    alpha : Tensor, (N, h, w)
        Attributions of any range; brought to the size of the images by the nearest neighbor, as in section 5.4.4,
        and scaled to [0, 1] each. For an inverse take its own ``mean_alpha`` and ``reidentified``, whose x^ is no
        alpha x for images in color.
    target : int, str, sequence or Tensor, optional
        The class, or one per image. Default: the predicted class of x.
    batch_size : int, default 32
        Images per pass.

    Returns
    -------
    Reidentification

    Raises
    ------
    TypeError
        For what is no ImageModel.
    ValueError
        For attributions of another shape, or that are not finite.
    """
    check_model(model)
    batch_size = check_batch_size(batch_size)
    images, classes = model.prepare(x, target)
    maps = tensor(alpha, "alpha", (len(images), "h", "w"), finite=True, like=images).detach()
    if maps.shape[1:] != images.shape[2:]:
        maps = F.interpolate(maps[:, None], tuple(images.shape[2:]), mode="nearest")[:, 0]
    maps = scaled(maps)
    weighted = maps[:, None] * images
    scores = torch.cat([model(part) for part in weighted.split(batch_size)])
    probability = model.probabilities(scores).gather(1, classes[:, None])[:, 0]
    top1, top5 = _among_the_best(model, scores, classes, probability)
    return Reidentification(
        target=classes,
        alpha=maps,
        mean_alpha=maps.mean((1, 2)),
        probability=probability,
        top1=top1,
        top5=top5,
    )


def _among_the_best(
    model: ImageModel, scores: Tensor, classes: Tensor, probability: Tensor
) -> tuple[Tensor, Tensor]:
    """Return whether each class is the best one, and whether it is among the five best ones."""
    if not model.has_probabilities:
        return torch.zeros_like(classes, dtype=torch.bool), torch.zeros_like(classes, dtype=torch.bool)
    if model.activation == "sigmoid" or scores.shape[1] == 1:
        # Labels do not exclude each other.
        return probability > 0.5, probability > 0.5
    own = scores.gather(1, classes[:, None])
    # As argmax breaks ties: of equal scores the first class is the better one.
    earlier = torch.arange(scores.shape[1], device=scores.device) < classes[:, None]
    better = ((scores > own) | ((scores == own) & earlier)).sum(1)
    return better < 1, better < 5
