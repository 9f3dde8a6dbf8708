"""How noisy a map is, and how much it looks like the image.

Document 004 of the sources, section 4.2: the size of the map as a grayscale PNG file (table 1), small for a map without
scattered spots, and the structural similarity of the map and the grayscale image (table 2). Both describe
how a map looks, not whether it is right.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xai_widgets.core.validation import tensor
from xai_widgets.errors import checked_keywords
from xai_widgets.metrics.agreement import structural_similarity
from xai_widgets.metrics.base import Explanation, metric
from xai_widgets.ops.normalize import unit_range
from xai_widgets.ops.png import png_size
from xai_widgets.ops.resize import resize_map

#: Weights of red, green and blue in the gray value of an image (ITU-R BT.601).
GRAY = (0.299, 0.587, 0.114)


@checked_keywords
def png_bytes(saliency: Tensor) -> Tensor:
    """Return the size of each map (N, H, W) as an 8-bit grayscale PNG file, each map scaled to [0, 255] first, (N,).

    Sizes of one resolution can be compared. They depend a little on the version of the compression library.
    """
    maps = unit_range(tensor(saliency, "saliency", ("N", "H", "W"), finite=True).float())
    return torch.tensor([png_size(pixels) for pixels in (maps * 255).round().byte().cpu().numpy()])


@checked_keywords
def image_similarity(saliency: Tensor, x: Tensor) -> Tensor:
    """Return the structural similarity of maps and the gray values of images.

    Parameters
    ----------
    saliency : Tensor, (N, h, w)
        Maps, resized to the images, each scaled to [0, 1].
    x : Tensor, (N, C, H, W)
        Images in [0, 1]. Three channels are red, green and blue; of others the mean is taken.

    Returns
    -------
    Tensor, (N,)
        At most 1.
    """
    saliency = tensor(saliency, "saliency", ("N", "h", "w"))
    x = tensor(x, "x", (len(saliency), "C", "H", "W"))
    gray = (x * torch.tensor(GRAY).to(x).view(-1, 1, 1)).sum(1) if x.shape[1] == 3 else x.mean(1)
    maps = unit_range(resize_map(saliency, (x.shape[2], x.shape[3])).to(x))
    return structural_similarity(maps, gray)


@metric(
    "png_size",
    title="PNG size",
    category="complexity",
    direction="lower",
    measures="kilobytes of the map, in the size of the image, as a grayscale PNG file: its noise",
    source="Noise Mask",
    bounds=(0.0, float("inf")),
)
def map_png_size(explanation: Explanation) -> float:
    """Return the size of the map in kB."""
    size = (explanation.x.shape[2], explanation.x.shape[3])
    return png_bytes(resize_map(explanation.saliency.float(), size)).item() / 1000


@metric(
    "image_ssim",
    title="Similarity to the image",
    category="complexity",
    direction="higher",
    measures="structural similarity of the map and the grayscale image",
    source="Wang et al. 2004",
    bounds=(-1.0, 1.0),
)
def image_ssim(explanation: Explanation) -> float:
    """Return the structural similarity of the map and the image."""
    return image_similarity(explanation.saliency, explanation.x).item()
