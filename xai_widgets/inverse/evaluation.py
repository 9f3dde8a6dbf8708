"""Evaluation of inverses: whether the simpler input produces the same output (Kwon 2021, sections 5.4.1 and 5.5.3).

For a network from images to images, five distances (table 5.2), with g the ground truth:

    d_A (x, x^)    d_B (Phi(x), Phi(x^))    d_C (x + Phi(x), x + Phi(x^))    d_D (x + Phi(x), g)    d_E (x + Phi(x^), g)

each as MSE, PSNR = -10 log10 MSE, and SSIM, for values in [0, 1]. Values are not clipped, so the MSE of d_B and d_C are
equal. For a classifier and attributions of any kind, with m the color of a pixel of which nothing is left:

    x~ = m + alpha (x - m)                                                                     eq. 5.13
    alpha = |sum over channels of the attribution|, scaled linearly to [0, 1]                  section 3.3.2

The networks of the dissertation see normalized images, in which the mean color m is 0. Magnitudes are compared, so that
no attribution is an alpha of 0: a signed map from -1 to 1 would turn it into 0.5, and the comparison into one of faded
images. Reported are whether x~ keeps the class, and how much of x it keeps, mean(alpha). Fading the whole image by the
same alpha is the baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.precision import double
from xai_widgets.core.replica import replica
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import numbers, tensor
from xai_widgets.inverse.interval import Empty, empty_color
from xai_widgets.inverse.ranking import among_the_best
from xai_widgets.metrics.agreement import structural_similarity
from xai_widgets.ops.normalize import unit_range

#: Names of the distances, in the order of table 5.2.
DISTANCES = ("A", "B", "C", "D", "E")

#: Values of alpha of the baseline, as dense as a curve needs them.
ALPHAS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


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
        means = {name: double(getattr(self, name)).mean(0).tolist() for name in ("mse", "psnr", "ssim")}
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
    box: tuple[int, int, int, int] | None = None,
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
    box : (int, int, int, int), optional
        Top, left, height and width of the part to compare. Default: all inside the border.
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
    top, left, rows, columns = box or (border, border, height - 2 * border, width - 2 * border)
    part = (slice(None), 0, slice(top, top + rows), slice(left, left + columns))
    measured = [
        _distances(a[part], b[part])
        for a, b in (
            (x, x_hat), (residual, of_inverse), (whole, from_inverse), (whole, truth), (from_inverse, truth)
        )
    ]  # fmt: skip
    mse, ssim = (torch.stack(columns, 1) for columns in zip(*measured, strict=True))
    return Reconstruction(mse, -10 * mse.log10(), ssim, residual, of_inverse)


def _distances(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return MSE and SSIM of images (N, H, W), each (N,)."""
    mse = (double(a) - double(b)).square().mean((1, 2)).to(a.device, torch.float32)
    return mse, structural_similarity(a, b)


@dataclass(frozen=True, repr=False)
class Reidentification(ShortRepr):
    """Whether N images weighted by an attribution keep their class.

    Attributes
    ----------
    target : Tensor, (N,)
        The classes.
    alpha : Tensor, (N, H, W)
        Magnitudes of the attributions, scaled to [0, 1] and resized to the images.
    x : Tensor, (N, C, H, W)
        The weighted images x~.
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
    x: Tensor
    mean_alpha: Tensor
    probability: Tensor
    top1: Tensor
    top5: Tensor

    def point(self) -> tuple[float, float, float]:
        """Return the means of ``mean_alpha``, ``top1`` and ``top5`` over the images, a point of fig. 5.6."""
        return (
            self.mean_alpha.mean().item(),
            double(self.top1).mean().item(),
            double(self.top5).mean().item(),
        )


def magnitude(attribution: Tensor) -> Tensor:
    """Return the absolute value of the sum over the channels, (N, h, w), of maps or attributions (N, C, h, w)."""
    return (attribution if attribution.ndim == 3 else attribution.sum(1)).abs()


def scale_alpha(attribution: Tensor) -> Tensor:
    """Scale the magnitude of each map (N, h, w) linearly to [0, 1]; of constant maps, 0 stays 0 and others are 1."""
    maps = magnitude(attribution)
    constant = maps.amin((1, 2), keepdim=True) == maps.amax((1, 2), keepdim=True)
    return torch.where(constant & (maps > 0), 1.0, unit_range(maps))


def weighted(image: Tensor, alpha: Tensor | float, empty_color: Tensor) -> Tensor:
    """Return x~ = m + alpha (x - m), the images of which a share alpha of each pixel is left.

    Parameters
    ----------
    image : Tensor, (N, C, H, W)
        The images x.
    alpha : Tensor, (N, H, W), or float
        The share of each pixel, in [0, 1].
    empty_color : Tensor, (C,)
        The color m of a pixel of which nothing is left.

    Returns
    -------
    Tensor, (N, C, H, W)
    """
    color = empty_color.to(image)[:, None, None]
    share = alpha[:, None] if isinstance(alpha, Tensor) else alpha
    return color + share * (image - color)


@without_inference_mode
def reidentification(
    model: ImageModel,
    x: Any,
    alpha: Tensor,
    target: Target = None,
    *,
    empty: Empty | None = None,
    batch_size: int = 32,
) -> Reidentification:
    """Check whether images weighted by their attributions, x~ = m + alpha (x - m), keep their class.

    Parameters
    ----------
    model : ImageModel
        The network.
    x
        N images of any kind.
    alpha : Tensor, (N, C, h, w) or (N, h, w)
        Attributions of any range, as a method returns them. Channels are summed, and the absolute values (section
        3.3.2) are scaled to [0, 1] and resized to the images by nearest-neighbor interpolation (section 5.4.4). For an
        inverse, use its own ``mean_alpha``, ``reidentified`` and ``reidentified_top5``: for color images its x^ differs
        from x~.
    target : int, str, callable, sequence or Tensor, optional
        The class, or one per image. Default: the predicted class of x.
    empty : {"mean", "black"}, default "mean"
        The color m of a pixel of which nothing is left, as for the inverses.
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
    color = empty_color(model, images, empty)
    channels = ("C",) if getattr(alpha, "ndim", 3) == 4 else ()
    shape = (len(images), *channels, "h", "w")
    maps = scale_alpha(tensor(alpha, "alpha", shape, finite=True, like=images).detach())
    if maps.shape[1:] != images.shape[2:]:
        maps = F.interpolate(maps[:, None], tuple(images.shape[2:]), mode="nearest")[:, 0]
    left = weighted(images, maps, color)
    probability, top1, top5 = _kept(model, left, classes, batch_size)
    return Reidentification(classes, maps, left, maps.mean((1, 2)), probability, top1, top5)


@dataclass(frozen=True, repr=False)
class UniformFading(ShortRepr):
    """Whether N images keep their class while they fade to a color as a whole, the baseline of all attributions.

    Attributes
    ----------
    target : Tensor, (N,)
        The classes.
    alpha : Tensor, (A,)
        The share of every pixel that is left, in [0, 1].
    probability : Tensor, (N, A)
        Probability of the class; its score if the outputs are plain numbers.
    top1, top5 : Tensor, (N, A)
        Whether the class has the highest score, or one of the five highest, as in :class:`Reidentification`.
    """

    target: Tensor
    alpha: Tensor
    probability: Tensor
    top1: Tensor
    top5: Tensor


@without_inference_mode
def uniform(
    model: ImageModel,
    x: Any,
    target: Target = None,
    alphas: Sequence[float] = ALPHAS,
    *,
    empty: Empty | None = None,
    batch_size: int = 32,
) -> UniformFading:
    """Check up to where images keep their class that fade uniformly, x~ = m + alpha (x - m) with a constant alpha.

    Parameters
    ----------
    model, x, target, empty, batch_size
        See :func:`reidentification`.
    alphas : sequence of float, default (0, 0.05, ..., 1)
        The share of every pixel that is left, each in [0, 1].

    Returns
    -------
    UniformFading

    Raises
    ------
    TypeError
        If `model` is not an ImageModel.
    ValueError
        For an alpha outside [0, 1].
    """
    batch_size = check_batch_size(batch_size)
    shares = numbers(alphas, "alphas", low=0, high=1)
    model, images, classes = prepare(model, x, target)
    color = empty_color(model, images, empty)
    columns = [_kept(model, weighted(images, share, color), classes, batch_size) for share in shares]
    probability, top1, top5 = (torch.stack(column, 1) for column in zip(*columns, strict=True))
    return UniformFading(classes, torch.tensor(shares, device=images.device), probability, top1, top5)


def _kept(
    model: ImageModel, images: Tensor, classes: Tensor, batch_size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the probability of the class of each image, and whether it is the best or among the five best, (N,)."""
    scores = torch.cat([model(part) for part in images.split(batch_size)])
    probability = model.probabilities(scores).gather(1, classes[:, None])[:, 0]
    if not model.has_probabilities:
        no = torch.zeros_like(classes, dtype=torch.bool)
        return probability, no, no
    labels = model.activation == "sigmoid"
    top1 = among_the_best(scores, classes, probability, 1, labels=labels)
    return probability, top1, among_the_best(scores, classes, probability, 5, labels=labels)
