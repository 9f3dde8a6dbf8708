"""SmoothGrad: the mean of any method over noisy copies of the image.

Smilkov et al. 2017: A~(x) = 1/n sum_k A(x + N(0, sigma^2)), sigma 10 to 20 % of (max x - min x).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import integer, number
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.methods.path_points import Point, last, weighted_sums
from xai_widgets.methods.registry import Cost, Method, as_method, max_abs, method


@method(
    title="SmoothGrad",
    reduce=max_abs,
    source="Smilkov et al. 2017",
    formula="mean_k A(x + e_k), e_k ~ N(0, sigma^2), A another method",
    cost=Cost(0, 0, "samples", 1, 1, note="for the gradient, otherwise samples times the cost of the method"),
    limits="Smooths the map, not the network: errors of the method remain, and the network was not trained on "
    "noisy images.",
    quick={"samples": 4},
)
def smoothgrad(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    method: str | Method | Callable[..., Any] = "gradient",
    samples: int = 25,
    sigma: float = 0.15,
    seed: int = 0,
    batch_size: int | None = None,
    **options: Any,
) -> Tensor:
    """SmoothGrad: mean of a method over noisy copies of each image.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`. The default target is the predicted class
        of the clean image.
    method : str, Method or callable, default "gradient"
        The method that is averaged.
    samples : int, default 25
        n, the number of noisy copies.
    sigma : float, default 0.15
        Standard deviation of the noise relative to the range of the image (max x - min x); at least 0.
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
    wrapped = as_method(method)
    copies = noisy_copies(x, samples, sigma, seed)
    explain = partial(wrapped.function, **options)
    return last(weighted_sums(model, x, target, copies, explain, batch_size))


def noisy_copies(x: Tensor, samples: int, sigma: float, seed: int) -> Iterator[Point]:
    """Yield noisy copies of images (N, C, H, W) with weight 1/n; see :func:`smoothgrad` for the parameters."""
    samples, sigma, seed = check_sampling(samples, sigma, seed)
    weight = torch.tensor(1 / samples, device=x.device)
    spreads = sigma * (x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True))
    generator = torch.Generator().manual_seed(seed)
    for _ in range(samples):
        noise = normal(x[0], generator)
        for n, (image, spread) in enumerate(zip(x, spreads, strict=True)):
            yield Point(n, image + spread * noise, weight)


def check_sampling(samples: int, sigma: float, seed: int) -> tuple[int, float, int]:
    """Validate a number of samples, a standard deviation and a seed."""
    most = 10**6
    return integer(samples, "samples", low=1, high=most), number(sigma, "sigma", low=0), check_seed(seed)


def normal(image: Tensor, generator: torch.Generator) -> Tensor:
    """Draw standard normal noise of the shape of an image, on the CPU."""
    return torch.randn(image.shape, generator=generator, dtype=image.dtype, device="cpu").to(image.device)
