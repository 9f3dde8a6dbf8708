"""Networks of timm, with their pixels and labels."""

from __future__ import annotations

from typing import Any

from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.core.optional import optional
from xai_widgets.core.replica import unwrapped
from xai_widgets.errors import checked_keywords, keywords, unknown_name
from xai_widgets.zoo.imagenet import labels
from xai_widgets.zoo.presets import preset_of
from xai_widgets.zoo.wrapping import DOWNLOAD_ERRORS, not_downloaded, wrap

_PURPOSE = "networks by name of timm"


@checked_keywords
def from_timm(model: str | nn.Module, *, pretrained: bool = True, **options: Any) -> ImageModel:
    """Wrap a network of timm with the pixels and labels that it was trained with.

    Parameters
    ----------
    model : str or nn.Module
        A name of ``timm.list_models()``, with or without a tag, such as "vit_small_patch14_dinov2"; or a network that
        ``timm.create_model`` returned.
    pretrained : bool, default True
        Whether a network that is created by its name gets its published weights, which are downloaded once.
    **options
        Keyword arguments of :class:`~xai_widgets.core.model.ImageModel`, which take precedence over those of timm, such
        as ``device`` and ``targets``; all others are passed to ``timm.create_model``, such as ``img_size``.

    Returns
    -------
    ImageModel
        Size, crop, interpolation and normalization are those of ``timm.data.resolve_model_data_config``; labels those
        of the ImageNet variant with this number of classes. The outputs of a network without a classifier are
        "feature 0", "feature 1", ..., without probabilities.

    Raises
    ------
    ValueError
        For an unknown name, with the nearest one; for a module that is not from timm; if the number of channels is not
        that of the published normalization and ``mean`` and ``std`` are not given.
    RuntimeError
        If the weights cannot be downloaded.
    ImportError
        If timm is missing, with the extra that installs it.

    Examples
    --------
    >>> model = from_timm("vit_small_patch14_dinov2", img_size=224)
    >>> model = from_timm(timm.create_model("resnet18", pretrained=True), device="cpu")
    """
    own = [name for name in keywords(ImageModel)[0] if name != "module"]
    given = {name: options.pop(name) for name in own if name in options}
    if isinstance(model, str):
        network, name = _created(model, pretrained, options), model
    else:
        if options:
            raise TypeError(
                f"expected {', '.join(map(repr, options))} only for the name of a network, got a module; "
                "pass it to timm.create_model"
            )
        network = unwrapped(model) if isinstance(model, nn.Module) else model
        name = type(network).__name__
    published = getattr(network, "pretrained_cfg", None)
    if not isinstance(published, dict):
        raise ValueError(
            f"expected a name or a network of timm, with a pretrained_cfg, got {name}; "
            "ImageModel(network, mean=, std=) takes any other"
        )
    if not isinstance(model, str):
        name = published.get("architecture") or name
    return _wrapped(network, published, {"name": name, **given})


def _created(name: str, pretrained: bool, options: dict[str, Any]) -> nn.Module:
    timm = optional("timm", _PURPOSE)
    # Names with a source, such as "hf-hub:user/name", are not in the list.
    if ":" not in name and not timm.is_model(name):
        raise ValueError(unknown_name("network of timm", name, timm.list_models()))
    errors = DOWNLOAD_ERRORS if pretrained or ":" in name else ()
    try:
        network: nn.Module = timm.create_model(name, pretrained=pretrained, **options)
    except errors as error:
        raise RuntimeError(not_downloaded(name, error, "pretrained=False gives random weights")) from error
    return network.eval()


def _wrapped(network: nn.Module, published: dict[str, Any], given: dict[str, Any]) -> ImageModel:
    facts: dict[str, Any] = {}
    if not {"mean", "std", "size"} <= given.keys():
        facts = _preset(network, given.get("size"))
        channels = given.get("channels") or _input_channels(network, published)
        if channels != len(facts["mean"]) and not {"mean", "std"} <= given.keys():
            raise ValueError(
                f"expected mean= and std= for a network with {channels} channels, got those of timm for "
                f"{len(facts['mean'])}; mean=[0] * {channels}, std=[1] * {channels} leaves pixels as they are"
            )
    features = _is_headless(network, published)
    if not features and "targets" not in given:
        facts["labels"] = _labels(network, published)
    return wrap(network, {**facts, **given}, features=features)


def _preset(network: nn.Module, size: Any) -> dict[str, Any]:
    """Return mean, std, size, resize and interpolation of timm, for the input size of this network."""
    data = optional("timm.data", _PURPOSE)
    config = data.resolve_model_data_config(network)
    # The size for which a transformer was created differs from the published one with `img_size`.
    size = size or getattr(getattr(network, "patch_embed", None), "img_size", None)
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
        config["input_size"] = (config["input_size"][0], height, width)
    return preset_of(data.create_transform(**config))


def _input_channels(network: nn.Module, published: dict[str, Any]) -> int:
    """Return the number of channels of the first convolution, which timm names."""
    first = published.get("first_conv")
    names = [first] if isinstance(first, str) else list(first or ())
    parts = dict(network.named_modules())
    found = [getattr(parts.get(name), "in_channels", None) for name in names]
    return next((count for count in found if count), 3)


def _is_headless(network: nn.Module, published: dict[str, Any]) -> bool:
    """Return whether the outputs are features: without a classifier, or the embeddings of an image tower of CLIP."""
    classes = getattr(network, "num_classes", None)
    image_tower = "clip" in str(published.get("architecture")) and classes == published.get("num_classes")
    return classes == 0 or (
        image_tower and optional("timm.data", _PURPOSE).infer_imagenet_subset(network) is None
    )


def _labels(network: nn.Module, published: dict[str, Any]) -> list[str] | None:
    """Return the labels that timm lists for this number of classes, or None."""
    classes = getattr(network, "num_classes", None)
    names = published.get("label_names")
    if names is not None and len(names) == classes:
        return list(names)
    subset = optional("timm.data", _PURPOSE).infer_imagenet_subset(network)
    return None if subset is None else labels(subset)
