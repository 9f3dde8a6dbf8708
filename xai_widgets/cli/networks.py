"""Networks, methods, classes and layers that are named on the command line."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from xai_widgets.cli.errors import CommandError, UsageError, message, usage_errors
from xai_widgets.core.model import ImageModel
from xai_widgets.errors import unknown_name
from xai_widgets.methods import Method, as_method, methods_by_name
from xai_widgets.studies.layers import check_layers
from xai_widgets.studies.scoring import seeded_method
from xai_widgets.zoo import available, from_hugging_face, from_timm, load

#: The network for generated scenes if none is named.
DEFAULT_NETWORK = "scenes_resnet"
#: Options of a torch module of the user; a named network has its own.
MODULE_OPTIONS = ("mean", "std", "size", "labels")
#: Prefix of a network of a library -> name of the library, and the function that loads it.
LIBRARIES: dict[str, tuple[str, Callable[..., ImageModel]]] = {
    "timm": ("timm", from_timm),
    "hf": ("Hugging Face", from_hugging_face),
}


def read_network(options: argparse.Namespace) -> ImageModel:
    """Return the network of ``--model`` and the options that belong to it."""
    name = options.model or (DEFAULT_NETWORK if getattr(options, "scenes", None) else None)
    if name is None:
        raise UsageError("expected --model NAME, got none; `list models` lists the networks")
    library, _, rest = name.partition(":")
    if library in LIBRARIES:
        return _of_library(library, rest, options)
    return _own(name, options) if ":" in name else _named(name, options)


def _of_library(library: str, name: str, options: argparse.Namespace) -> ImageModel:
    """Return a network of timm or Hugging Face; the options of a module replace those of the library."""
    title, load_from = LIBRARIES[library]
    given = _module_options(options)
    weights = options.weights.lower()
    if weights not in ("default", "none") or (weights == "none" and library != "timm"):
        choices = "DEFAULT or none" if library == "timm" else "DEFAULT"
        raise UsageError(f"expected --weights {choices} for a network of {title}, got {options.weights!r}")
    if weights == "none":
        given["pretrained"] = False
    try:
        return load_from(name, **given)
    except ValueError as error:
        raise UsageError(str(error)) from error
    except RuntimeError as error:
        raise CommandError(str(error).replace("pretrained=False gives", "--weights none gives")) from error


def _module_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the given ones of the options for a module, and the device."""
    given = {option: getattr(options, option) for option in ("mean", "std", "size", "device")}
    if options.labels is not None:
        given["labels"] = Path(options.labels).read_text(encoding="utf-8").splitlines()
    return {option: value for option, value in given.items() if value is not None}


def _named(name: str, options: argparse.Namespace) -> ImageModel:
    for option in MODULE_OPTIONS:
        if getattr(options, option) is not None:
            raise UsageError(f"expected --{option} only for package.module:function, got it for {name!r}")
    weights = None if options.weights.lower() == "none" else options.weights
    try:
        model: Any = load(name, weights=weights, device=options.device)
    except ValueError as error:
        if name not in available():
            raise UsageError(str(error)) from error
        raise
    except RuntimeError as error:
        # The message suggests arguments of the function, which are options here.
        text = str(error).replace("weights=None", "--weights none").replace("weights='", "--weights '")
        raise CommandError(text) from error
    if not isinstance(model, ImageModel):
        raise UsageError(
            f"expected a network that classifies, such as {DEFAULT_NETWORK!r}, got {name!r}, which makes images"
        )
    return model


def _own(name: str, options: argparse.Namespace) -> ImageModel:
    if options.weights != "DEFAULT":
        raise UsageError(
            f"expected --weights for a named network, got it for {name!r}: the function loads its own"
        )
    network: Any = import_attribute(name)
    if not isinstance(network, nn.Module):
        if not callable(network):
            raise UsageError(
                f"expected a function that returns a network, got {name!r} of type {type(network).__name__}"
            )
        try:
            network = network()
        except Exception as error:  # a function of the user may raise anything
            raise CommandError(f"{name!r} raised {type(error).__name__}: {message(error)}") from error
    if isinstance(network, ImageModel):
        for option in (*MODULE_OPTIONS, "device"):
            if getattr(options, option) is not None:
                raise UsageError(f"expected no --{option} for {name!r}, which returns an ImageModel, got one")
        return network
    if not isinstance(network, nn.Module):
        raise CommandError(
            f"expected {name!r} to return an ImageModel or a torch module, got {type(network).__name__}"
        )
    return ImageModel(network, name=name.partition(":")[2], **_module_options(options))


def import_attribute(name: str) -> Any:
    """Import ``package.module:attribute``; modules of the working folder are found, too."""
    module_name, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module of the user may raise anything
        raise CommandError(f"module {module_name!r} could not be imported ({message(error)})") from error
    if not hasattr(module, attribute):
        known = [name for name in vars(module) if not name.startswith("_")]
        raise UsageError(unknown_name(f"name in {module_name}", attribute, known))
    return getattr(module, attribute)


def read_methods(names: Sequence[str], seed: int = 0) -> dict[str, Method]:
    """Return the methods of ``--methods`` by name; those that draw random numbers have the seed."""
    with usage_errors():
        methods = [as_method(import_attribute(name) if ":" in name else name) for name in names]
        return methods_by_name([seeded_method(method, seed) for method in methods])


def class_index(model: ImageModel, target: str | None) -> int | None:
    """Return the index of a class: a label, or an index unless there is such a label."""
    if target is None:
        return None
    is_index = target.isdecimal() and target not in model.labels
    with usage_errors():
        return model.class_index(int(target) if is_index else target)


def check_layer(model: ImageModel, methods: dict[str, Method], layer: str | None) -> None:
    """Raise UsageError for a layer that the network does not have, that is not spatial, or that no method takes."""
    if layer is None:
        return
    with usage_errors():
        check_layers(model, layer)
    if not any(method.takes_layer for method in methods.values()):
        raise UsageError(
            f"expected a method that takes a layer, such as 'grad_cam', for --layer, got {', '.join(methods)}"
        )
