"""SmoothGrad: the mean of any method over noisy copies of the image.

Smilkov et al. 2017: A~(x) = 1/n sum_k A(x + N(0, sigma^2)), sigma 10 to 20 % of (max x - min x).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from xai_widgets.arguments import check_batch_size
from xai_widgets.attribution.registry import Method, as_method, max_abs, method
from xai_widgets.model import ImageModel


@method(title="SmoothGrad", reduce=max_abs, source="Smilkov et al. 2017")
def smoothgrad(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    method: str | Method | Callable[..., Any] = "gradient",
    samples: int = 25,
    sigma: float = 0.15,
    seed: int = 0,
    batch_size: int = 16,
    **options: Any,
) -> Tensor:
    """Mean of a method over noisy copies of each image.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.attribution.Method`. The default target is the predicted class
        of the clean image.
    method : str, Method or callable, default "gradient"
        What is averaged.
    samples : int, default 25
        n, the number of noisy copies.
    sigma : float, default 0.15
        At least 0; standard deviation of the noise, as a share of the image's own range (max x - min x).
    seed : int, default 0
        Of the noise, which is drawn on the CPU and anew for each image: the same on every device and in every batch.
    batch_size : int, default 16
        Copies per pass.
    **options
        Passed on to the method.

    Returns
    -------
    Tensor, (N, C, H, W)
        What the method returns, averaged. Noisy pixels may leave [0, 1], as published.
    """
    check_batch_size(batch_size)
    wrapped = as_method(method)
    means = []
    for image, label in zip(x, target, strict=True):
        total = torch.zeros((), device=image.device)
        for copies in noisy_copies(image, samples, sigma, seed, batch_size):
            total = total + wrapped.function(model, copies, label.expand(len(copies)), **options).sum(0)
        means.append(total / samples)
    return torch.stack(means)


def noisy_copies(image: Tensor, samples: int, sigma: float, seed: int, batch_size: int) -> Iterator[Tensor]:
    """Copies of an image (C, H, W) with noise, so many at a time; parameters as for :func:`smoothgrad`."""
    if samples < 1 or sigma < 0:
        raise ValueError(f"samples is {samples} and sigma {sigma}, wanted samples >= 1 and sigma >= 0")
    spread = sigma * (image.max() - image.min())
    generator = torch.Generator().manual_seed(seed)
    for at in range(0, samples, batch_size):
        # Copy by copy, so that the noise does not hang on the batch size.
        noise = [_normal(image, generator) for _ in range(min(batch_size, samples - at))]
        yield image + spread * torch.stack(noise)


def _normal(image: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(image.shape, generator=generator, dtype=image.dtype, device="cpu").to(image.device)
