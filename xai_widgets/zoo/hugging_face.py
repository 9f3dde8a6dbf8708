"""Networks of Hugging Face, with the pixels of their image processors and their labels."""

from __future__ import annotations

import inspect
from typing import Any

from PIL import Image
from torch import Tensor, nn

from xai_widgets.core.fixed_inputs import FixedInputs
from xai_widgets.core.model import ImageModel
from xai_widgets.core.optional import optional
from xai_widgets.core.replica import unwrapped
from xai_widgets.errors import checked_keywords
from xai_widgets.zoo.presets import Preset, measure
from xai_widgets.zoo.wrapping import DOWNLOAD_ERRORS, not_downloaded, wrap

_PURPOSE = "networks by name of Hugging Face"
_RESIZING = {"size", "resize", "interpolation"}


@checked_keywords
def from_hugging_face(model: str | nn.Module, processor: Any = None, **options: Any) -> ImageModel:
    """Wrap a network of Hugging Face with the pixels of its image processor and its labels.

    Parameters
    ----------
    model : str or nn.Module
        A network of ``transformers``; or the name, or the folder, of one for image classification, which is downloaded
        once.
    processor : image processor, str or None
        The image processor, a processor that holds one, or the name of one. Default: that of the name of the network.
        Its resizing, crop, rescaling and normalization are measured, see :func:`xai_widgets.zoo.preset_of`.
    **options
        Keyword arguments of :class:`~xai_widgets.core.model.ImageModel`, which take precedence, such as ``device``,
        ``targets``, or ``size`` for a processor that keeps the aspect ratio of each image.

    Returns
    -------
    ImageModel
        With the labels ``config.id2label``. The outputs of a network that is not for classification are "feature 0",
        "feature 1", ..., without probabilities.

    Raises
    ------
    ValueError
        If the processor is missing, or does more than resizing, cropping and normalizing.
    RuntimeError
        If the network cannot be downloaded.
    ImportError
        If transformers is missing, with the extra that installs it.

    Examples
    --------
    >>> model = from_hugging_face("google/vit-base-patch16-224")
    >>> model = from_hugging_face(network, AutoImageProcessor.from_pretrained("facebook/dinov2-small"))
    """
    name = model if isinstance(model, str) else type(unwrapped(model)).__name__
    if processor is None and isinstance(model, str):
        processor = model
    if isinstance(processor, str):
        processor = _downloaded("AutoImageProcessor", processor)
    network: nn.Module = unwrapped(
        _downloaded("AutoModelForImageClassification", model) if isinstance(model, str) else model
    )
    config = getattr(network, "config", None)
    classifies = "Classification" in type(network).__name__
    facts: dict[str, Any] = {"name": name}
    if classifies and config is not None and "targets" not in options:
        facts["labels"] = [label for _, label in sorted(config.id2label.items())]
    # CLIP takes texts first.
    arguments = list(inspect.signature(network.forward).parameters)
    if "pixel_values" in arguments[1:]:
        facts["image_argument"] = "pixel_values"
    preset = None
    if not {"mean", "std", "size"} <= options.keys():
        preset = _measured(processor, name)
        if preset.resizing is None and "size" not in options:
            raise ValueError(
                f"expected size= for {type(processor).__name__}, which keeps the aspect ratio of each image, got none"
            )
        # Another size is covered by the whole image.
        facts |= {**preset.options, "resize": None} if "size" in options else preset.options
        if preset.reversed:
            network = ReversedColors(network)
    wrapped = wrap(network, {**facts, **options}, features=not classifies)
    if preset is not None and preset.resizing is not None and not _RESIZING & options.keys():
        wrapped.resizing = preset.resizing
    return wrapped


class ReversedColors(FixedInputs):
    """A network that takes blue, green and red, for images with red, green and blue."""

    def forward(self, x: Tensor) -> Any:
        """Return the output of the network."""
        return super().forward(x.flip(1))


def _downloaded(kind: str, name: str) -> Any:
    loader = getattr(optional("transformers", _PURPOSE), kind)
    try:
        return loader.from_pretrained(name)
    except DOWNLOAD_ERRORS as error:
        raise RuntimeError(
            not_downloaded(name, error, "a folder with the files of a network is accepted, too")
        ) from error


def _measured(processor: Any, name: str) -> Preset:
    """Return the preset of an image processor, or of the one that a processor of images and texts holds."""
    processor = getattr(processor, "image_processor", processor)
    if not callable(processor):
        raise ValueError(
            f"expected the image processor of {name}, got {type(processor).__name__}; "
            "transformers.AutoImageProcessor.from_pretrained(name) loads it"
        )

    def transform(image: Image.Image) -> Tensor:
        made = processor(images=image, return_tensors="pt")
        if "pixel_values" not in made:
            kind = type(processor).__name__
            raise ValueError(
                f"expected an image processor that returns pixel_values, got {kind} with {', '.join(made)}"
            )
        pixels: Tensor = made["pixel_values"]
        return pixels

    return measure(transform)
