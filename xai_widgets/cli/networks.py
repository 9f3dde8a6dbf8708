"""Networks and methods as they are named on the command line."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from xai_widgets.cli.failures import Failure, Mistake, names, sentence
from xai_widgets.core.model import ImageModel
from xai_widgets.errors import unknown_name
from xai_widgets.methods import Method, as_method, methods_by_name
from xai_widgets.studies.layers import check_layers
from xai_widgets.zoo import available, load

#: The network of generated scenes, if none is named.
OF_SCENES = "scenes_resnet"
#: What is known of a named network, and has to be told of one's own.
FACTS = ("mean", "std", "size", "labels")


def network(options: argparse.Namespace) -> ImageModel:
    """The network that ``--model`` and what belongs to it name."""
    name = options.model or (OF_SCENES if getattr(options, "scenes", None) else None)
    if name is None:
        raise Mistake("no network was named, wanted --model NAME; `list models` tells which there are")
    return _own(name, options) if ":" in name else _named(name, options)


def _named(name: str, options: argparse.Namespace) -> ImageModel:
    for fact in FACTS:
        if getattr(options, fact) is not None:
            raise Mistake(f"--{fact} was given for {name!r}, wanted it for package.module:function only")
    weights = None if options.weights.lower() == "none" else options.weights
    try:
        model: Any = load(name, weights=weights, device=options.device)
    except ValueError as error:
        if name not in available():
            raise Mistake(str(error)) from error
        raise
    except RuntimeError as error:
        # Its remedies are arguments of a function there, and options here.
        words = str(error).replace("weights=None", "--weights none").replace("weights='", "--weights '")
        raise Failure(words) from error
    if not isinstance(model, ImageModel):
        raise Mistake(f"{name!r} makes images, wanted a network that tells classes, such as {OF_SCENES!r}")
    return model


def _own(name: str, options: argparse.Namespace) -> ImageModel:
    if options.weights != "DEFAULT":
        raise Mistake(
            f"--weights was given for {name!r}, wanted it for a named network: the function loads its own"
        )
    made: Any = imported(name)
    if not isinstance(made, nn.Module):
        if not callable(made):
            raise Mistake(f"{name!r} is {type(made).__name__}, wanted a function that returns a network")
        try:
            made = made()
        except Exception as error:  # what is called is anybody's
            raise Failure(f"{name!r} raised {type(error).__name__}: {sentence(error)}") from error
    if isinstance(made, ImageModel):
        for fact in (*FACTS, "device"):
            if getattr(options, fact) is not None:
                raise Mistake(
                    f"--{fact} was given for {name!r}, which returns an ImageModel, wanted no such option"
                )
        return made
    if not isinstance(made, nn.Module):
        raise Failure(f"{name!r} returned {type(made).__name__}, wanted an ImageModel or a torch module")
    labels = None
    if options.labels is not None:
        labels = Path(options.labels).read_text(encoding="utf-8").splitlines()
    facts = {fact: getattr(options, fact) for fact in ("mean", "std", "size", "device")}
    return ImageModel(made, labels=labels, name=name.partition(":")[2], **facts)


def imported(name: str) -> Any:
    """What ``package.module:attribute`` names, with the modules of the working folder at hand."""
    module_name, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module of anybody's may raise whatever it likes
        raise Failure(f"module {module_name!r} could not be imported ({sentence(error)})") from error
    if not hasattr(module, attribute):
        known = [each for each in vars(module) if not each.startswith("_")]
        raise Mistake(f"{unknown_name(f'name in {module_name}', attribute, known)}")
    return getattr(module, attribute)


def methods(given: Sequence[str]) -> dict[str, Method]:
    """The methods, by their names."""
    with names():
        return methods_by_name([as_method(imported(name) if ":" in name else name) for name in given])


def class_of(model: ImageModel, target: str | None) -> int | None:
    """The index of a class that is given as a label, or as an index if no label is written like it."""
    if target is None:
        return None
    is_index = target.isdecimal() and target not in model.labels
    with names():
        return model.class_index(int(target) if is_index else target)


def check_layer(model: ImageModel, chosen: dict[str, Method], layer: str | None) -> None:
    """Refuse a layer that the network does not have, that has no places, or that no method takes."""
    if layer is None:
        return
    with names():
        check_layers(model, layer)
    if not any(method.takes_layer for method in chosen.values()):
        some = "takes" if len(chosen) == 1 else "take"
        raise Mistake(
            f"--layer was given, and {', '.join(chosen)} {some} none, wanted a method such as 'grad_cam'"
        )
