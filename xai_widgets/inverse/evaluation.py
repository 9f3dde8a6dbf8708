"""Evaluation of inverses: whether the simpler input produces the same output (Kwon 2021, sections 5.4.1 and 5.5.3).

For a network from images to images, five distances (table 5.2), with g the ground truth:

    d_A (x, x^)    d_B (Phi(x), Phi(x^))    d_C (x + Phi(x), x + Phi(x^))    d_D (x + Phi(x), g)    d_E (x + Phi(x^), g)

each as MSE, PSNR = -10 log10 MSE, and SSIM, for values in [0, 1]. Values are not clipped, so the MSE of d_B and d_C are
equal. For a classifier and attributions of any kind, with alpha scaled linearly to [0, 1] (eq. 5.13):

    x~ = alpha x

Reported are whether x~ keeps the class, and how much of x it keeps, mean(alpha).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.replica import replica
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import tensor
from xai_widgets.metrics.agreement import structural_similarity
from xai_widgets.ops.normalize import unit_range

#: Names of the distances, in the order of table 5.2.
DISTANCES = ("A", "B", "C", "D", "E")


@dataclass(frozen=True, repr=False)
class Reconstruction(ShortRepr):
    """The five distances of table 5.2 for each of N images.

    Attributes
    ----------
    mse : Tensor, (N, 5)
        Mean squared error; the columns are d_A ... d_E.
    psnr : Tensor, (N, 5)
        Peak signal-to-noise ratio in dB; infinite for equal images.
    ssim : Tensor, (N, 5)
        Structural similarity, at most 1.
    residual : Tensor, (N, 1, H, W)
        Output Phi(x) for the image.
    residual_of_inverse : Tensor, (N, 1, H, W)
        Output Phi(x^) for the inverse.
    """

    mse: Tensor
    psnr: Tensor
    ssim: Tensor
    residual: Tensor
    residual_of_inverse: Tensor

    def table(self) -> dict[str, dict[str, float]]:
        """Return the means over the images (table 5.3), for instance ``table()["A"]["psnr"]``."""
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
    """Compare the output for the inverse with the output for the image, and both with the ground truth.

    Parameters
    ----------
    phi : nn.Module or callable
        Network from luminance (B, 1, H, W) to a residual of the same shape; a module is run in eval mode.
    x : Tensor, (N, 1, H, W)
        Luminance in [0, 1], upsampled from low resolution.
    x_hat : Tensor, (N, 1, H, W)
        Inverse of x.
    truth : Tensor, (N, 1, H, W)
        Luminance at high resolution.
    border : int, default 0
        Number of pixels to exclude at each side of the compared images.
    batch_size : int, default 8
        Images per pass.

    Returns
    -------
    Reconstruction

    Raises
    ------
    ValueError
        For images or residuals of another shape, or a border that leaves no pixels.
    """
    batch_size = check_batch_size(batch_size)
    for name, image in (("x", x), ("x_hat", x_hat), ("truth", truth)):
        if image.ndim != 4 or image.shape[1] != 1 or image.shape != x.shape:
            raise ValueError(
                f"expected x, x_hat and truth as luminance of one shape (N, 1, H, W), got {name} of shape "
                f"{tuple(image.shape)}"
            )
    height, width = x.shape[2:]
    if border < 0 or 2 * border >= min(height, width):
        raise ValueError(f"expected a border from 0 to less than half of {height} x {width}, got {border}")
    run = replica(phi) if isinstance(phi, nn.Module) else phi
    residual, of_inverse = (
        torch.cat([run(part) for part in images.split(batch_size)]) for images in (x, x_hat)
    )
    if residual.shape != x.shape:
        raise ValueError(
            f"expected phi to return the shape of x, {tuple(x.shape)}, got {tuple(residual.shape)}"
        )
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
    """Return MSE and SSIM of images (N, H, W), each (N,)."""
    mse = (a.double() - b.double()).square().mean((1, 2)).float()
    return mse, structural_similarity(a, b)


@dataclass(frozen=True, repr=False)
class Reidentification(ShortRepr):
    """Whether N images weighted by an attribution keep their class.

    Attributes
    ----------
    target : Tensor, (N,)
        The classes.
    alpha : Tensor, (N, H, W)
        The attributions, scaled to [0, 1] and resized to the images.
    mean_alpha : Tensor, (N,)
        Share of the image that is kept, in [0, 1].
    probability : Tensor, (N,)
        Probability of the class for x~; its score if the outputs are plain numbers.
    top1, top5 : Tensor, (N,)
        Whether the class has the highest score for x~, or one of the five highest; for independent labels whether its
        probability is above 0.5. False for plain numbers.
    """

    target: Tensor
    alpha: Tensor
    mean_alpha: Tensor
    probability: Tensor
    top1: Tensor
    top5: Tensor

    def point(self) -> tuple[float, float, float]:
        """Return the means of ``mean_alpha``, ``top1`` and ``top5`` over the images, a point of fig. 5.6."""
        return (
            self.mean_alpha.mean().item(),
            self.top1.double().mean().item(),
            self.top5.double().mean().item(),
        )


def scale_alpha(attribution: Tensor) -> Tensor:
    """Scale each map (N, h, w) linearly to [0, 1]; a constant map becomes 1 if it is above 0, and else 0."""
    low, high = attribution.amin((1, 2), keepdim=True), attribution.amax((1, 2), keepdim=True)
    return torch.where((low == high) & (high > 0), 1.0, unit_range(attribution))


@without_inference_mode
def reidentification(
    model: ImageModel, x: Any, alpha: Tensor, target: Target = None, *, batch_size: int = 32
) -> Reidentification:
    """Check whether images weighted by their attributions, x~ = alpha x, keep their class.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        N images of any kind.
    alpha : Tensor, (N, h, w)
        Attributions of any range. Each is resized to the images by nearest-neighbor interpolation (section 5.4.4) and
        scaled to [0, 1]. For an inverse, use its own ``mean_alpha`` and ``reidentified``: for color images its x^
        differs from alpha x.
    target : int, str, callable, sequence or Tensor, optional
        The class, or one per image. Default: the predicted class of x.
    batch_size : int, default 32
        Images per pass.

    Returns
    -------
    Reidentification

    Raises
    ------
    TypeError
        If `model` is not an ImageModel.
    ValueError
        For attributions of another shape, or values that are not finite.
    """
    batch_size = check_batch_size(batch_size)
    model, images, classes = prepare(model, x, target)
    maps = tensor(alpha, "alpha", (len(images), "h", "w"), finite=True, like=images).detach()
    if maps.shape[1:] != images.shape[2:]:
        maps = F.interpolate(maps[:, None], tuple(images.shape[2:]), mode="nearest")[:, 0]
    maps = scale_alpha(maps)
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
    """Return whether each class has the highest score, and whether it has one of the five highest."""
    if not model.has_probabilities:
        return torch.zeros_like(classes, dtype=torch.bool), torch.zeros_like(classes, dtype=torch.bool)
    if model.activation == "sigmoid" or scores.shape[1] == 1:
        # Independent labels.
        return probability > 0.5, probability > 0.5
    own = scores.gather(1, classes[:, None])
    # Like argmax: among equal scores, the first class ranks first.
    earlier = torch.arange(scores.shape[1], device=scores.device) < classes[:, None]
    better = ((scores > own) | ((scores == own) & earlier)).sum(1)
    return better < 1, better < 5
