"""Classification networks of torchvision, with downloaded, local or random weights."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from enum import Enum
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from xai_widgets.core.optional import optional
from xai_widgets.errors import unknown_name
from xai_widgets.zoo import files

#: Attributes of the auxiliary heads of two networks, which are used in training only.
_AUXILIARY = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}


def models() -> Any:
    """Return ``torchvision.models``; an ImportError names the extra if torchvision is not installed."""
    return optional("torchvision.models", "other networks than the bundled ones")


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """Return the names of torchvision's classification networks; none if it is not installed."""
    try:
        return tuple(models().list_models(module=models()))
    except ImportError:
        return ()


def build(name: str, weights: Any) -> tuple[nn.Module, dict[str, Any]]:
    """Build a network of torchvision in eval mode, with keyword arguments for `ImageModel`.

    Parameters
    ----------
    name : str
        One of `names()`.
    weights : str, path, torchvision weights or None
        See `xai_widgets.zoo.load`.

    Returns
    -------
    (torch.nn.Module, dict)
        The network, which returns a tensor of scores, and ``labels``, ``mean``, ``std``, ``size``, ``resize`` and
        ``interpolation`` of the published weights.
    """
    choices = models().get_model_weights(name)
    published = _published(weights, choices)
    if published is not None:
        network = _downloaded(name, published)
        return network, _facts(published, published.meta["categories"])
    recommended = choices.DEFAULT
    if weights is None:
        network = _bare(name, 1000, auxiliary=False)
        return network.eval(), _facts(recommended, None)
    if isinstance(weights, str) and not os.path.exists(weights) and not re.search(r"[./\\]", weights):
        # Not an existing file and not spelled like a path: probably a misspelled name.
        raise ValueError(unknown_name(f"weights of {name}", weights, ["DEFAULT", *choices.__members__]))
    network, classes = _from_file(name, weights)
    categories = recommended.meta["categories"]
    return network, _facts(recommended, categories if len(categories) == classes else None)


def _published(weights: Any, choices: Any) -> Any:
    """Return the member of torchvision's enumeration for these weights, or None for a path or None."""
    if isinstance(weights, Enum):
        if weights not in list(choices):
            raise ValueError(f"expected a member of {choices.__name__}, got {weights} of another network")
        return weights
    if weights == "DEFAULT":
        return choices.DEFAULT
    return choices.__members__.get(weights) if isinstance(weights, str) else None


def _facts(published: Any, labels: list[str] | None) -> dict[str, Any]:
    """Return keyword arguments for `ImageModel` from the preset of published weights."""
    preset = published.transforms()
    return {
        "labels": labels,
        "mean": tuple(preset.mean),
        "std": tuple(preset.std),
        "size": int(preset.crop_size[0]),
        "resize": int(preset.resize_size[0]),
        "interpolation": preset.interpolation.value,
    }


def _downloaded(name: str, published: Any) -> nn.Module:
    """Return the network with published weights, which are downloaded if necessary."""
    try:
        network: nn.Module = models().get_model(name, weights=published)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        cached = os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(published.url))
        remedy = f"delete the damaged file {cached!r}, or " if os.path.exists(cached) else ""
        reason = (str(error).splitlines() or [""])[0].rstrip(".")
        raise RuntimeError(
            f"expected to download the weights of {name!r}, got {type(error).__name__} ({reason}); {remedy}use the "
            "bundled network 'scenes_resnet', weights=None for random weights, or "
            f"weights='path/to/{os.path.basename(published.url)}'"
        ) from error
    return _without_auxiliary(name, network).eval()


def _bare(name: str, classes: int, *, auxiliary: bool) -> nn.Module:
    """Return the network with random weights, with or without its auxiliary heads."""
    options: dict[str, Any] = {}
    if name in _AUXILIARY:
        # The options for torchvision's weights, which match the normalization of `_facts`.
        options = {"aux_logits": auxiliary, "transform_input": True, "init_weights": True}
    network: nn.Module = models().get_model(name, weights=None, num_classes=classes, **options)
    return network


def _without_auxiliary(name: str, network: nn.Module) -> nn.Module:
    """Remove the auxiliary heads of a network in place."""
    for head in _AUXILIARY.get(name, ()):
        setattr(network, head, None)
        network.aux_logits = False  # type: ignore[assignment]
    return network


def _from_file(name: str, path: Any) -> tuple[nn.Module, int]:
    """Return the network with the weights of a local file, and the number of classes of the file."""
    state = files.read_state(path)
    if name.startswith("densenet"):
        state = _modern_densenet(state)
    auxiliary = any(key.startswith(f"{head}.") for key in state for head in _AUXILIARY.get(name, ()))
    with torch.device("meta"):
        plain = _bare(name, 1000, auxiliary=False).state_dict()
    # The bias of the last layer has an entry for each class.
    last = [key for key, value in plain.items() if key.endswith("bias") and value.shape == (1000,)][-1]
    classes = len(state[last]) if last in state and state[last].ndim == 1 else 1000
    network = _bare(name, classes, auxiliary=auxiliary)
    files.load_state(network, state, source=path, name=name)
    return _without_auxiliary(name, network).eval(), classes


def _modern_densenet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the entries ``norm.1`` of torchvision's DenseNet files to ``norm1``, their name in its code."""
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)")
    return {old.sub(r"\1", key): value for key, value in state.items()}
