"""SmoothGrad: the mean of any method, or of its square, over noisy copies of the image.

    SmoothGrad           1/n sum_k A(x + e_k),   e_k ~ N(0, sigma^2)                Smilkov et al. 2017
    SmoothGrad-Squared   1/n sum_k A(x + e_k)^2                                     Hooker et al. 2019

Published is a sigma of 10 to 20 % of (max x - min x), with which a network may no longer recognize its class: the noise
must leave the image plausible. The default is 5 %, and there is a warning if the probability of the class falls below
half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.batching import scores_of
from xai_widgets.core.drawing import drawn
from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import integer, number
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.errors import warn
from xai_widgets.methods.gradients import score_gradient
from xai_widgets.methods.path_points import Point, last, weighted_sums
from xai_widgets.methods.registry import Cost, Method, as_method, channel_sum, max_abs, method

#: Default standard deviation of the noise, relative to the range of the image.
SIGMA = 0.05
#: Number of noisy copies whose scores are compared with that of the image.
COMPARED = 3


@method(
    title="SmoothGrad",
    reduce=max_abs,
    source="Smilkov et al. 2017",
    formula="mean_k A(x + e_k), e_k ~ N(0, sigma^2), A another method",
    cost=Cost(4, 0, "samples", 1, 1, note="for the gradient, otherwise samples times the cost of the method"),
    limits="Smooths the map, not the network: errors of the method remain; in much noise the class is lost, which is "
    "measured.",
    quick={"samples": 4},
)
def smoothgrad(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    method: str | Method | Callable[..., Any] = "gradient",
    samples: int = 25,
    sigma: float = SIGMA,
    seed: int = 0,
    batch_size: int | None = None,
    **options: Any,
) -> Tensor:
    """SmoothGrad: mean of a method over noisy copies of each image.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`. The default target is the predicted class of the clean image.
    method : str, Method or callable, default "gradient"
        The method that is averaged.
    samples : int, default 25
        n, the number of noisy copies.
    sigma : float, default 0.05
        Standard deviation of the noise relative to the range of the image (max x - min x); at least 0. If the mean
        probability of the class, or its score in a network without probabilities, is less than half of that of the
        image, there is a warning.
    seed : int, default 0
        Seed of the noise, which is drawn on the CPU: the same for each image, on every device and in every batch.
    batch_size : int, optional
        Copies per pass, of all images. Default: as many as fit into memory.
    **options
        Options of the method.

    Returns
    -------
    Tensor, (N, C, H, W)
        Mean attribution. Noisy pixels may lie outside [0, 1], as published.
    """
    explain = _function(method, options)
    return _smoothed("SmoothGrad", model, x, target, explain, samples, sigma, seed, batch_size)


@method(
    title="SmoothGrad-Squared",
    reduce=channel_sum,
    source="Hooker et al. 2019",
    formula="mean_k A(x + e_k)^2, e_k ~ N(0, sigma^2), A another method",
    cost=Cost(4, 0, "samples", 1, 1, note="for the gradient, otherwise samples times the cost of the method"),
    guarantees="at least 0",
    limits="Unsigned: evidence for and against the class look the same; in much noise the class is lost, which is "
    "measured.",
    quick={"samples": 4},
    signed=False,
)
def smoothgrad_squared(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    method: str | Method | Callable[..., Any] = "gradient",
    samples: int = 25,
    sigma: float = SIGMA,
    seed: int = 0,
    batch_size: int | None = None,
    **options: Any,
) -> Tensor:
    """SmoothGrad-Squared: mean of the square of a method over noisy copies of each image.

    Gradients of noisy copies have random signs, which cancel in their mean, but not in that of their squares: the map
    is less noisy than that of :data:`smoothgrad`.

    Parameters
    ----------
    model, x, target, method, samples, sigma, seed, batch_size, **options
        See :data:`smoothgrad`.

    Returns
    -------
    Tensor, (N, C, H, W)
        At least 0, in units of the squared attribution. Its saliency map is the sum over channels.
    """
    explain = _function(method, options)

    def squared(model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
        return explain(model, x, target).square()

    return _smoothed("SmoothGrad-Squared", model, x, target, squared, samples, sigma, seed, batch_size)


def _function(
    method: str | Method | Callable[..., Any], options: dict[str, Any]
) -> Callable[[ImageModel, Tensor, Tensor], Tensor]:
    """Return the function of a method with its options; that of the gradient for many images."""
    wrapped = as_method(method)
    if wrapped is as_method("gradient") and not options:
        return partial(score_gradient, folded=True)
    return partial(wrapped.function, **options)


def _smoothed(
    title: str,
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    explain: Callable[[ImageModel, Tensor, Tensor], Tensor],
    samples: int,
    sigma: float,
    seed: int,
    batch_size: int | None,
) -> Tensor:
    """Return the mean of a method over noisy copies, and warn if the class is lost in the noise."""
    copies = noisy_copies(x, samples, sigma, seed)
    result = last(weighted_sums(model, x, target, copies, explain, batch_size))
    first = noisy_copies(x, min(samples, COMPARED), sigma, seed)
    noisy = torch.stack([point.pixels for point in first])
    scores = model.probabilities(scores_of(model, torch.cat([x, noisy]), batch_size))
    clean, *others = (part.gather(1, target[:, None])[:, 0] for part in scores.split(len(x)))
    mean = torch.stack(others).mean(0)
    lost = ((mean < clean / 2) & (clean > 0)).nonzero().flatten().tolist()
    if lost:
        warn(
            f"in the noise of {title} with sigma={sigma:g}, the {model.value_name} of the target for {model.name} "
            f"falls from {clean[lost[0]].item():.2g} to {mean[lost[0]].item():.2g}: the map explains images without "
            "the target; decrease sigma"
        )
    return result


def noisy_copies(x: Tensor, samples: int, sigma: float, seed: int) -> Iterator[Point]:
    """Yield noisy copies of images (N, C, H, W) with weight 1/n; see :func:`smoothgrad` for the parameters."""
    samples, sigma, seed = check_sampling(samples, sigma, seed)
    weight = x.new_full((), 1 / samples)
    spreads = sigma * (x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True))
    for noise in normals(x[0], samples, torch.Generator().manual_seed(seed)):
        for n, (image, spread) in enumerate(zip(x, spreads, strict=True)):
            yield Point(n, image + spread * noise, weight)


def check_sampling(samples: int, sigma: float, seed: int) -> tuple[int, float, int]:
    """Validate a number of samples, a standard deviation and a seed."""
    most = 10**6
    return integer(samples, "samples", low=1, high=most), number(sigma, "sigma", low=0), check_seed(seed)


def normals(image: Tensor, count: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield standard normal noise of the shape of an image, drawn on the CPU."""
    return drawn(
        lambda: torch.randn(image.shape, generator=generator, dtype=image.dtype, device="cpu"),
        count,
        image.device,
    )
