"""Segments: regions of an image that are hidden or shown as a whole.

They are superpixels by SLIC (Achanta et al. 2012), regions of several sizes by Felzenszwalb and Huttenlocher (2004),
both from scikit-image, or your own.
"""

from __future__ import annotations

import numbers
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.optional import optional
from xai_widgets.core.validation import dimensions, integer, number, tensor

#: Felzenszwalb's scales, pixels of the smallest segment and margin by which a region is grown, at 224 x 224 pixels, as
#: in XRAI (Kapishnikov et al. 2019).
SCALES = (50, 100, 150, 250, 500, 1200)
SMALLEST = 150
MARGIN = 5
#: Approximate number of superpixels by default.
COUNT = 50


def _segmentation() -> Any:
    return optional("skimage.segmentation", "superpixels", alternative="pass your own segments")


def superpixels(x: Tensor, count: int = COUNT, *, compactness: float = 10.0) -> Tensor:
    """Compute superpixels of each image by SLIC.

    Parameters
    ----------
    x : Tensor, (N, C, H, W)
        Images in [0, 1].
    count : int, default 50
        Approximate number, at least 1; there may be fewer.
    compactness : float, default 10.0
        Above 0; higher values make squarer superpixels.

    Returns
    -------
    Tensor, (N, H, W)
        Labels 0, 1, ... of each image without a gap, int64, on the device of the images.

    Raises
    ------
    ImportError
        Without scikit-image.
    """
    count = integer(count, "segments", low=1, high=x.shape[2] * x.shape[3], hint="the number of pixels")
    compactness = number(compactness, "compactness", above=0)
    slic = _segmentation().slic
    maps = []
    for image in x.detach().cpu():
        # SLIC compares colors in Lab, which ranges to 100, but gray values as they are.
        gray = image.shape[0] == 1
        pixels = image[0].numpy() if gray else image.permute(1, 2, 0).numpy()
        labels = slic(
            pixels, n_segments=count, compactness=compactness / 100 if gray else compactness,
            start_label=0, channel_axis=None if gray else -1,
        )  # fmt: skip
        maps.append(torch.as_tensor(labels, dtype=torch.int64))
    return as_segments(torch.stack(maps), x)


def as_segments(segments: Any, x: Tensor) -> Tensor:
    """Return segments of any kind as one map of labels for each image.

    Parameters
    ----------
    segments : int, Tensor, ndarray or None
        Approximate number of superpixels, 50 for None; or your own labels, integers of shape (H, W) for all images or
        (N, H, W).
    x : Tensor, (N, C, H, W)
        Images.

    Returns
    -------
    Tensor, (N, H, W)
        Labels 0, 1, ... of each image in the order of your labels, int64, on the device of the images.

    Raises
    ------
    TypeError
        For labels that are not integers.
    ValueError
        For labels that do not fit the images.
    """
    if segments is None:
        return superpixels(x, min(COUNT, x.shape[2] * x.shape[3]))
    # Labels have at least two dimensions.
    if isinstance(segments, numbers.Number) or dimensions(segments, 3) < 2:
        return superpixels(x, segments)
    expected = (len(x), *x.shape[2:])
    shape = expected[1:] if dimensions(segments, 3) == 2 else ("N", *expected[1:])
    labels = tensor(segments, "segments", shape).cpu()
    if labels.is_floating_point():
        raise TypeError(
            f"expected segments as integers (N, H, W), one label for each pixel, got {labels.dtype}"
        )
    if labels.ndim == 3 and len(labels) not in (1, len(x)):
        raise ValueError(f"expected segments of shape (N, H, W), {expected}, got {tuple(labels.shape)}")
    numbered = [image.unique(return_inverse=True)[1] for image in labels.long().expand(expected)]
    return torch.stack(numbered).to(x.device)


def segment_counts(segments: Tensor) -> list[int]:
    """Return the number of segments of each image."""
    return [last + 1 for last in segments.flatten(1).amax(1).tolist()]


def segment_means(x: Tensor, segments: Tensor) -> Tensor:
    """Return the images with every segment in its mean color, (N, C, H, W)."""
    labels = segments.flatten(1)[:, None].expand(-1, x.shape[1], -1)
    sums = x.new_zeros(*x.shape[:2], int(segments.max()) + 1)
    area = sums.scatter_add(2, labels, torch.ones_like(x).flatten(2))
    means = sums.scatter_add(2, labels, x.flatten(2)) / area.clamp(min=1)
    return means.gather(2, labels).view_as(x)


def paint(values: Tensor, segments: Tensor) -> Tensor:
    """Return the map (N, H, W) that has the value (N, S) of its segment in each pixel."""
    return values.gather(1, segments.flatten(1)).view(segments.shape)


def oversegmentations(image: Tensor) -> Tensor:
    """Compute overlapping regions of several sizes that together cover an image, as in XRAI.

    They are Felzenszwalb's segments at six scales, without duplicates, each grown by a margin. Sizes scale with the
    image; the margin is 5 pixels at 224.

    Parameters
    ----------
    image : Tensor, (C, H, W)
        Pixels in [0, 1].

    Returns
    -------
    Tensor, (R, H, W)
        Boolean regions, on the device of the image.
    """
    felzenszwalb = _segmentation().felzenszwalb
    height, width = image.shape[1:]
    share = height * width / 224**2
    pixels = image.detach().cpu().permute(1, 2, 0).squeeze(2).numpy()
    regions = []
    for scale in SCALES:
        labels = felzenszwalb(
            pixels, scale=scale * share, sigma=0.8, min_size=max(1, round(SMALLEST * share)),
            channel_axis=-1 if pixels.ndim == 3 else None,
        )  # fmt: skip
        regions.append(F.one_hot(torch.as_tensor(labels, dtype=torch.int64)).permute(2, 0, 1))
    distinct = torch.cat(regions).unique(dim=0).float()
    margin = round(MARGIN * min(height, width) / 224)
    grown = F.max_pool2d(distinct[:, None], 2 * margin + 1, stride=1, padding=margin)[:, 0]
    return (grown > 0).to(image.device)
