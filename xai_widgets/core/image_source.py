"""Images that are read one batch at a time."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.batching import pass_batch_size
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.validation import dense


class ImageSource:
    """Images of any kind, read and converted one batch at a time, as not all of them may fit into memory.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind; each entry of a list is one image, which is read whenever a batch contains it.

    Raises
    ------
    ValueError
        If there is no image.
    """

    def __init__(self, model: ImageModel, images: Any) -> None:
        self._model = model
        check_model(model)
        many = isinstance(images, list | tuple) or (
            isinstance(images, Tensor) and dense(images) and images.ndim == 4
        )
        self._images = images if many else model.images(images)
        if len(self._images) == 0:
            raise ValueError("expected at least one image, got an empty batch")

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, begin: int, end: int) -> Tensor:
        """Return the images with indices from ``begin`` up to ``end``, (N, C, H, W)."""
        return self._model.images(self._images[begin:end])

    def batch_size(self, given: int | None) -> int:
        """Return the given batch size, or the best one for images of the size of the first, without gradients."""
        if given is not None:
            return check_batch_size(given)
        return pass_batch_size(self._model, self.batch(0, 1).shape[2:])
