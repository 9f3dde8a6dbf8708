"""The input side of an image model: normalization, channels, resizing, and their display."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xai_widgets.core.arguments import check_normalization, dtype_of
from xai_widgets.core.fixed_inputs import FixedInputs
from xai_widgets.core.folding import folded_pass
from xai_widgets.core.guard import guarded, outside_inference
from xai_widgets.core.images import convert, to_uint8
from xai_widgets.core.layered import Layered
from xai_widgets.core.replica import check_private, initialize, replica
from xai_widgets.core.resizing import Resizing
from xai_widgets.core.scheduler import check_cancelled
from xai_widgets.core.validation import brief, integers
from xai_widgets.errors import warn

#: Three channels by index, or a function from images (N, C, H, W) to (N, 3, H, W), both in [0, 1].
Display = Sequence[int] | Callable[[Tensor], Tensor]


class PixelInput(Layered):
    """Base class of :class:`~xai_widgets.core.model.ImageModel` with the methods that concern its input."""

    mean: Tensor
    std: Tensor
    resizing: Resizing

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return self.mean.device

    @property
    def channels(self) -> int:
        """Number of channels of the network's input."""
        return self.mean.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return self.resizing.size

    @property
    def resize(self) -> int | tuple[int, int] | None:
        """Short side, or height and width, of resized images before ``size`` is cropped; None: they cover ``size``."""
        return self.resizing.resize

    @property
    def interpolation(self) -> str:
        """Interpolation of the resizing."""
        return self.resizing.interpolation

    @property
    def preprocessing(self) -> str:
        """Description of the resizing and cropping of images, such as for a caption."""
        return f"{self.resizing} ({self.interpolation})"

    @guarded
    def images(self, images: Any) -> Tensor:
        """Convert images of any kind to (N, C, H, W) in [0, 1] on the network's device.

        See :func:`xai_widgets.core.images.to_images` for the accepted kinds. Raises ValueError, too, for tensors of a
        size that the network does not accept.
        """
        x = convert(images, self.resizing, self.channels).to(self.device)
        size = (x.shape[2], x.shape[3])
        if size not in self._sizes:
            self._try(
                size,
                f"expected images of a size that {self.name} accepts, such as {self.size[0]} x {self.size[1]}, got "
                f"{size[0]} x {size[1]}",
            )
            self._sizes.add(size)
        return x

    def to_rgb(self, x: Tensor) -> NDArray[np.uint8]:
        """Return images (..., C, H, W) in [0, 1] as they are displayed, (..., H, W, 3) uint8.

        See ``display`` of :class:`~xai_widgets.core.model.ImageModel`.
        """
        if self._display is None:
            return to_uint8(x)
        if not callable(self._display):
            return to_uint8(x[..., list(self._display), :, :])
        with torch.no_grad():
            shown = self._display(x.detach().reshape(-1, *x.shape[-3:]))
        return to_uint8(shown.reshape(*x.shape[:-3], *shown.shape[-3:]))

    def _configure_input(
        self,
        resizing: Resizing,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        channels: int | None,
        display: Display | None,
        device: torch.device,
    ) -> None:
        """Set the attributes of the input, and initialize lazy modules."""
        self.resizing = resizing
        self._sizes = {self.size}
        self._format = torch.channels_last
        self._set_normalization(mean, std, channels, device)
        initialize(self.module, self._blank(1))
        if mean is None and std is None:
            _warn_of_published(self.module, self.name)
            if channels is None:
                self._find_channels()
        self._display = self._check_display(display)

    def _set_normalization(
        self,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        channels: int | None,
        device: torch.device,
    ) -> None:
        # Created in the caller's inference_mode(), these could not be used in a backward pass.
        with outside_inference():
            means, stds = (part.to(device) for part in check_normalization(mean, std, channels))
        self.register_buffer("mean", means, persistent=False)
        self.register_buffer("std", stds, persistent=False)

    def _find_channels(self) -> None:
        """Take the number of channels of the first convolution if the network does not accept three."""
        convolutions = (part for part in self.module.modules() if isinstance(part, nn.Conv2d))
        first = next((part.in_channels for part in convolutions), 3)
        if first == 3 or self._accepts_blank():
            return
        self._set_normalization(None, None, first, self.device)
        if not self._accepts_blank():
            self._set_normalization(None, None, 3, self.device)

    def _accepts_blank(self) -> bool:
        memory_format = self._format
        try:
            check_private(self.module, lambda: self._try(self.size, ""))
        except ValueError:
            self._format = memory_format
            return False
        return True

    def _check_display(self, display: Display | None) -> Display | None:
        """Return the display of images; ValueError for channels that do not exist or for another shape."""
        if display is None:
            return None
        if callable(display):
            blank = self._blank(2)
            shown = display(blank)
            expected = (2, 3, *blank.shape[2:])
            if not isinstance(shown, Tensor) or tuple(shown.shape) != expected:
                found = tuple(shown.shape) if isinstance(shown, Tensor) else type(shown).__name__
                raise ValueError(
                    f"expected display to map images {tuple(blank.shape)} to {expected}, got {found}"
                )
            return display
        try:
            return tuple(integers(display, "display", length=3, low=0, high=self.channels - 1))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"expected display as three channels from 0 to {self.channels - 1}, or a function, got {brief(display)}"
            ) from error

    def _blank(self, n: int) -> Tensor:
        return torch.zeros(n, self.channels, *self.size, device=self.device)

    def normalized(self, x: Tensor) -> Tensor:
        """Return (x - mean) / std, which the network takes in place of pixels (N, C, H, W)."""
        return (x - self.mean) / self.std

    def _run(
        self,
        x: Tensor,
        *,
        frozen: bool = False,
        folded: Callable[[Any], Tensor] | None = None,
        normalized: bool = False,
    ) -> Any:
        """Return the network's output for a batch of pixels, or of normalized ones.

        With ``folded``, which returns the scores in the output for the first image, batch norm is folded.
        """
        check_cancelled()
        # channels_last was at least as fast on every measured device, up to twice as fast for batch 16 on a CPU.
        x = x.contiguous(memory_format=self._format)
        inputs = (x if normalized else self.normalized(x)).to(dtype_of(self.module))
        if folded is not None:
            return folded_pass(self.module, inputs, folded, frozen=frozen)
        return replica(self.module, frozen=frozen)(inputs)

    def _try(self, size: tuple[int, int], refusal: str) -> Any:
        """Return the network's output for a blank image of this size; ValueError with ``refusal`` if it fails."""
        blank = torch.zeros(1, self.channels, *size, device=self.device)
        try:
            with torch.no_grad():
                try:
                    return self._run(blank)
                except RuntimeError:
                    if self._format == torch.contiguous_format:
                        raise
                    # For instance, view() cannot flatten the channels-last output of a convolution.
                    self._format = torch.contiguous_format
                    return self._run(blank)
        except Exception as error:  # a network may raise any exception
            reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
            raise ValueError(f"{refusal} ({reason})") from error


def _warn_of_published(module: nn.Module, name: str) -> None:
    """Warn about a network of timm or Hugging Face without the normalization that it was trained with."""
    network = module.network if isinstance(module, FixedInputs) else module
    published = getattr(network, "pretrained_cfg", None)
    config = getattr(network, "config", None)
    if isinstance(published, dict) and published.get("mean"):
        source = "xai_widgets.from_timm(network) uses that of timm"
    elif hasattr(config, "id2label") and hasattr(config, "model_type"):
        source = "xai_widgets.from_hugging_face(network, processor) uses that of the image processor"
    else:
        return
    warn(
        f"{name} gets pixels in [0, 1], without the normalization of its training, as mean= and std= are not given; "
        f"{source}, and mean=(0, 0, 0), std=(1, 1, 1) leaves pixels as they are"
    )
