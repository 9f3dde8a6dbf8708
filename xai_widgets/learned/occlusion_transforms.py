"""Occlusions as transforms of torchvision v2 and as collate functions of a ``DataLoader``.

Fong 2020, appendix C.1. With X a batch, M masks, and Y the labels:

    joint training        (X, X M),  (Y, Y)             the copies are preprocessed identically, section 3
    batch augmentation    (t_1(X), ..., t_m(X))         the copies are preprocessed independently (Hoffer et al. 2020)
    duplicated baseline   (X, X),  (Y, Y)               joint training without occlusion, section 4.1

Random numbers come from torch's generator, which ``DataLoader`` seeds in each worker: ``torch.manual_seed``, or its
``generator``, makes an epoch reproducible, and no two workers draw the same masks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from xai_widgets.core.validation import brief, integer, is_tensor
from xai_widgets.learned.occlusion_masks import FillColor, cutout_masks, fill_values, hide_and_seek_masks

#: Images (N, C, H, W) -> images of the same shape.
Occlusion = Callable[[Tensor], Tensor]


class _Occlusion(nn.Module):
    """Transform of an image (C, H, W), or of images (..., C, H, W), each with a mask of its own.

    Further inputs, such as a label, are returned unchanged, as in a ``Compose`` of ``torchvision.transforms.v2``.
    """

    def __init__(self, fill: FillColor) -> None:
        super().__init__()
        self.fill = fill

    def masks(self, count: int, size: tuple[int, int]) -> Tensor:
        """Draw masks (N, 1, H, W) bool."""
        raise NotImplementedError

    def forward(self, image: Tensor, *others: Any) -> Any:
        if not is_tensor(image) or image.ndim < 3 or not image.is_floating_point():
            raise TypeError(
                f"expected images (..., C, H, W) as a tensor of floats, got {brief(image)}; convert them before, by "
                "ToImage() and ToDtype(torch.float32, scale=True)"
            )
        height, width = image.shape[-2:]
        masks = self.masks(image.shape[:-3].numel(), (height, width)).view(
            *image.shape[:-3], 1, height, width
        )
        # A tv_tensors.Image stays one.
        plain = image.as_subclass(Tensor)
        result = torch.where(masks.to(image.device), plain, fill_values(self.fill, plain)).as_subclass(
            type(image)
        )
        return (result, *others) if others else result


class HideAndSeek(_Occlusion):
    """Occlude cells of a grid at random.

    Parameters
    ----------
    grid : int, default 4
        Number of cells along each side.
    keep_patch : float, default 0.5
        Probability that a cell is kept.
    keep_image : float, default 0.0
        Probability that a whole image is kept; for training without joint batches.
    fill : float or sequence of float, default 0.0
        The mean color in the units of the images; 0 after normalization.
    """

    def __init__(
        self,
        *,
        grid: int = 4,
        keep_patch: float = 0.5,
        keep_image: float = 0.0,
        fill: FillColor = 0.0,
    ) -> None:
        super().__init__(fill)
        self.options: dict[str, Any] = {"grid": grid, "keep_patch": keep_patch, "keep_image": keep_image}
        hide_and_seek_masks(0, (2**16, 2**16), **self.options)

    def extra_repr(self) -> str:
        """Return the options for ``repr``."""
        return ", ".join(f"{name}={value}" for name, value in self.options.items())

    def masks(self, count: int, size: tuple[int, int]) -> Tensor:
        """Draw masks (N, 1, H, W) bool."""
        return hide_and_seek_masks(count, size, **self.options)


class Cutout(_Occlusion):
    """Occlude squares at random positions, which may leave the image.

    Parameters
    ----------
    patches : int, default 1
        Number of squares.
    side : int, default 16
        Side of a square in pixels.
    fill : float or sequence of float, default 0.0
        The mean color in the units of the images; 0 after normalization.
    """

    def __init__(self, *, patches: int = 1, side: int = 16, fill: FillColor = 0.0) -> None:
        super().__init__(fill)
        self.options: dict[str, Any] = {"patches": patches, "side": side}
        cutout_masks(0, (1, 1), **self.options)

    def extra_repr(self) -> str:
        """Return the options for ``repr``."""
        return ", ".join(f"{name}={value}" for name, value in self.options.items())

    def masks(self, count: int, size: tuple[int, int]) -> Tensor:
        """Draw masks (N, 1, H, W) bool."""
        return cutout_masks(count, size, **self.options)


class JointCollate:
    """Collate samples to a joint batch: each image once as it is and once occluded, identical otherwise.

    Parameters
    ----------
    occlusion : callable, optional
        Images (N, C, H, W) -> images, such as :class:`HideAndSeek`. Default: none, the duplicated baseline.
    collate : callable, default ``torch.utils.data.default_collate``
        Makes a batch of samples: a tensor of images, or a tuple or list that starts with it.

    Examples
    --------
    >>> DataLoader(dataset, batch_size=64, collate_fn=JointCollate(Cutout(patches=6, side=56)), num_workers=4)
    """

    def __init__(
        self, occlusion: Occlusion | None = None, *, collate: Callable[[Any], Any] = default_collate
    ) -> None:
        if occlusion is not None and not callable(occlusion):
            raise TypeError(f"expected occlusion as a callable on images, got {brief(occlusion)}")
        self.occlusion, self.collate = occlusion, collate

    def __call__(self, samples: Sequence[Any]) -> Any:
        """Return the batch of the samples, followed by their occluded copies."""
        batch = self.collate(samples)
        several = isinstance(batch, tuple | list)
        images, *others = batch if several else (batch,)
        if not is_tensor(images) or not all(is_tensor(each) for each in others):
            raise TypeError("expected a batch of tensors, images first, got other values; pass collate=")
        copy = images if self.occlusion is None else self.occlusion(images)
        joint = [torch.cat([images, copy]), *(torch.cat([each, each]) for each in others)]
        return type(batch)(joint) if several else joint[0]


class BatchAugmentation:
    """Collate samples to a batch that holds each of them several times, transformed independently.

    Parameters
    ----------
    transform : callable
        Transforms a sample: ``transform(image, label)`` of a dataset of pairs, as in torchvision v2, or
        ``transform(image)``.
    copies : int, default 2
        How often each sample is in the batch; 2 and 4 in the source.
    collate : callable, default ``torch.utils.data.default_collate``
        Makes a batch of samples.

    Examples
    --------
    >>> transform = v2.Compose([v2.RandomResizedCrop(224), v2.RandomHorizontalFlip(), Cutout(patches=6, side=56)])
    >>> DataLoader(dataset, batch_size=64, collate_fn=BatchAugmentation(transform, copies=4))
    """

    def __init__(
        self,
        transform: Callable[..., Any],
        *,
        copies: int = 2,
        collate: Callable[[Any], Any] = default_collate,
    ) -> None:
        if not callable(transform):
            raise TypeError(f"expected transform as a callable on samples, got {brief(transform)}")
        self.transform, self.copies, self.collate = transform, integer(copies, "copies", low=1), collate

    def __call__(self, samples: Sequence[Any]) -> Any:
        """Return the batch of the transformed copies, each copy of all samples after the other."""
        return self.collate(
            [
                self.transform(*(sample if isinstance(sample, tuple | list) else (sample,)))
                for _ in range(self.copies)
                for sample in samples
            ]
        )
