"""The perturbation operator m (x) x: a mask in [0, 1] takes an image from fully perturbed (0) to unperturbed (1).

Fong, Patrick and Vedaldi 2019, section 3.4 and its footnotes. With g_s a Gaussian of standard deviation s pixels over
the pixels v of the image:

    blur    (m (x) x)(u) = sum_v g_s(u - v) x(v) / sum_v g_s(u - v),   s = s_max (1 - m(u))
    fade    (m (x) x)(u) = m(u) x(u)

The blur is interpolated linearly in a pyramid of L + 1 images blurred by s_max (1 - l / L).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from xai_widgets.core.validation import choice, integer
from xai_widgets.ops.blur import gaussian_blurs

Perturbation = Literal["blur", "fade"]

#: The strongest blur as a share of the short side: 20 pixels at 224.
SIGMA = 20 / 224


def pyramid(
    x: Tensor, perturbation: Perturbation = "blur", *, levels: int = 8, sigma: float | None = None
) -> Tensor:
    """Return the images at each level from fully perturbed to unperturbed.

    Parameters
    ----------
    x : Tensor, (N, C, H, W)
        Images in [0, 1].
    perturbation : {"blur", "fade"}, default "blur"
        Blurred, or faded to black, which is linear in the mask and needs two levels.
    levels : int, default 8
        Number of levels of the blur, at least 2.
    sigma : float, optional
        Standard deviation of the strongest blur in pixels. Default: 20 / 224 of the short side.

    Returns
    -------
    Tensor, (N, levels, C, H, W)
        ``[:, 0]`` is fully perturbed, ``[:, -1]`` the images themselves.

    Raises
    ------
    ValueError
        For an unknown perturbation, fewer than two levels or a sigma below 0.
    """
    choice(perturbation, "perturbation", get_args(Perturbation))
    levels = integer(levels, "levels", low=2, hint="the perturbed image and the image itself")
    if perturbation == "fade":
        return torch.stack([torch.zeros_like(x), x], dim=1)
    strongest = SIGMA * min(x.shape[-2:]) if sigma is None else sigma
    last = levels - 1
    sigmas = [strongest * (1 - level / last) for level in range(levels)]
    return torch.stack(gaussian_blurs(x, sigmas), dim=1)


def perturb(levels: Tensor, masks: Tensor) -> Tensor:
    """Apply masks to images: m (x) x.

    Parameters
    ----------
    levels : Tensor, (N, L, C, H, W)
        Levels from :func:`pyramid`.
    masks : Tensor, (N, A, H, W)
        A masks in [0, 1] for each image; gradients flow to them.

    Returns
    -------
    Tensor, (N, A, C, H, W)
        The masked images.
    """
    last = levels.shape[1] - 1
    if last == 1:
        return levels[:, :1] + masks.unsqueeze(2) * (levels[:, 1:] - levels[:, :1])
    position = masks.unsqueeze(2) * last
    below = position.detach().floor().clamp(0, last - 1)
    index = below.long().expand(-1, -1, levels.shape[2], -1, -1)
    lower, upper = levels.gather(1, index), levels.gather(1, index + 1)
    return lower + (position - below) * (upper - lower)
