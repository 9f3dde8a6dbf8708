"""From a name to an `ImageModel`: the bundled networks, and the way to torchvision's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, overload

from xai_widgets.errors import checked_keywords, unknown_name
from xai_widgets.zoo import files, networks, super_resolution
from xai_widgets.zoo import torchvision as tv

if TYPE_CHECKING:
    import torch

    from xai_widgets.core.model import ImageModel
    from xai_widgets.zoo.super_resolution import SuperResolution


def available() -> list[str]:
    """Names that `load` knows: the bundled networks first, then torchvision's if it is installed."""
    return [*networks.BUILDERS, "scenes_sr", *tv.names()]


# One literal name among all strings: that is what the type checker finds to overlap.
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
    """A network by its name, from pixels in [0, 1] to scores.

    Parameters
    ----------
    name : str
        "scenes_vgg", "scenes_resnet" or "scenes_sr", which are part of the package, or any classification network
        of torchvision; `available()` lists them all.
    weights : str, path, torchvision weights or None, default "DEFAULT"
        "DEFAULT": the bundled weights, or those torchvision recommends, downloaded once; another of
        torchvision's names ("IMAGENET1K_V1") or enumeration members is understood too. A path: a state dict in
        a .pth or .safetensors file, of as many classes as the file has. None: random.
    device : str or torch.device, optional
        Where the model runs; the default is that of `ImageModel`.

    Returns
    -------
    ImageModel
        In eval mode, with labels (when the weights come with some) and the preprocessing of the weights: short side of
        resized pictures, center crop, interpolation and normalization. "scenes_sr", which
        raises the resolution of luminance and is no classifier, comes as a plain module, a
        :class:`xai_widgets.zoo.super_resolution.SuperResolution`.

    Raises
    ------
    ValueError
        If there is no such network, no such weights, or the file does not fit the network.
    RuntimeError
        If torchvision's weights cannot be downloaded or their file is damaged.
    ImportError
        If torchvision is needed and missing.

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
    if name in networks.BUILDERS:
        module, facts = _bundled(name, weights)
    elif name in tv.names():
        module, facts = tv.build(name, weights)
    else:
        tv.models()
        raise ValueError(unknown_name("network", name, available()))
    return ImageModel(module, device=device, name=name, **facts)


def _bundled(name: str, weights: Any) -> tuple[torch.nn.Module, dict[str, Any]]:
    """A bundled network in eval mode, and what `ImageModel` is to know about it."""
    from xai_widgets.data.objects import CLASSES

    network = networks.build(name)
    facts = {"labels": list(CLASSES), "mean": networks.MEAN, "std": networks.STD, "size": networks.SIZE}
    if weights is None:
        return network, facts
    path = files.weights_path(name) if weights == "DEFAULT" else weights
    if weights == "DEFAULT" and not os.path.exists(path):
        raise RuntimeError(
            f"The weights of {name!r} are missing from this installation: install the package again, or train "
            f"them with python -m xai_widgets.zoo.train {name}."
        )
    files.fill(network, files.read_state(path), source=path, name=name)
    return network, facts
