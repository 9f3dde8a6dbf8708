"""``xai-widgets list``: which methods and networks there are, and which layers a network has."""

from __future__ import annotations

import argparse
import shutil
import sys

from xai_widgets.cli import outputs
from xai_widgets.cli.failures import DONE, Mistake
from xai_widgets.cli.networks import network
from xai_widgets.errors import unknown_name
from xai_widgets.methods import METHODS, Method
from xai_widgets.zoo import available
from xai_widgets.zoo.networks import BUILDERS


def run(options: argparse.Namespace) -> int:
    """Print a table; the exit code."""
    lists = {"methods": list_methods, "models": list_models, "layers": list_layers}
    if options.what not in lists:
        raise Mistake(unknown_name("list", options.what, lists))
    outputs.check_open()
    # A line longer than the terminal would break the columns; a file keeps all of it.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(outputs.table(lists[options.what](options), width))
    return DONE


def list_methods(options: argparse.Namespace) -> list[list[str]]:
    """Name, title, cost and a line of each method."""
    rows = [["name", "title", "forward", "backward", "what n counts", "what it is"]]
    for method in METHODS.values():
        cost = method.cost
        passes = ["?", "?", ""]
        if cost is not None:
            passes = [
                counted(cost.forward, cost.forward_each),
                counted(cost.backward, cost.backward_each),
                cost.each,
            ]
        rows.append([method.name, method.title, *passes, first_sentence(method)])
    return rows


def counted(once: int, each: int) -> str:
    """Passes through the network, of which some are made n times: "1", "n", "2n + 1"."""
    many = "n" if each == 1 else f"{each}n"
    return " + ".join(part for part, there in ((many, each), (str(once), once or not each)) if there)


def first_sentence(method: Method) -> str:
    """Of its documentation, on one line."""
    return " ".join((method.__doc__ or "").strip().partition("\n\n")[0].split())


def list_models(options: argparse.Namespace) -> list[list[str]]:
    """Name and origin of each network."""
    rows = [["name", "where its weights are from"]]
    for name in available():
        if name in BUILDERS:
            rows.append([name, "bundled: knows the twelve classes of generated scenes"])
        elif name != "scenes_sr":
            rows.append([name, "torchvision: downloaded once"])
    return rows


def list_layers(options: argparse.Namespace) -> list[list[str]]:
    """Name, type and shape of each layer of a network."""
    model = network(options)
    rows = [["layer", "type", "shape"]]
    for layer in model.layers():
        shape = " x ".join(map(str, layer.shape))
        rows.append([layer.name, layer.type, shape])
    return rows
