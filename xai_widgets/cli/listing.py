"""``xai-widgets list``: the methods, the networks, and the layers of a network."""

from __future__ import annotations

import argparse
import shutil
import sys

from xai_widgets.cli import outputs
from xai_widgets.cli.errors import DONE, UsageError
from xai_widgets.cli.networks import LIBRARIES, read_network
from xai_widgets.errors import unknown_name
from xai_widgets.methods import METHODS, Method
from xai_widgets.zoo import available, imagenet
from xai_widgets.zoo.networks import BUILDERS


def run(options: argparse.Namespace) -> int:
    """Print a table and return the exit code."""
    lists = {"methods": list_methods, "models": list_models, "layers": list_layers}
    if options.what not in lists:
        raise UsageError(unknown_name("list", options.what, lists))
    outputs.check_open()
    # A line longer than the terminal would break the columns.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(outputs.table(lists[options.what](options), width))
    return DONE


def list_methods(options: argparse.Namespace) -> list[list[str]]:
    """Return name, title, cost and first sentence of each method."""
    rows = [["name", "title", "forward", "backward", "n", "description"]]
    for method in METHODS.values():
        cost = method.cost
        passes = ["?", "?", ""]
        if cost is not None:
            passes = [
                pass_count(cost.forward, cost.forward_each),
                pass_count(cost.backward, cost.backward_each),
                cost.each,
            ]
        rows.append([method.name, method.title, *passes, first_sentence(method)])
    return rows


def pass_count(once: int, each: int) -> str:
    """Return a number of passes through the network, some of them n times: "1", "n", "2n + 1"."""
    repeated = "n" if each == 1 else f"{each}n"
    return " + ".join(part for part, shown in ((repeated, each), (str(once), once or not each)) if shown)


def first_sentence(method: Method) -> str:
    """Return the first sentence of the docstring of a method on one line."""
    return " ".join((method.__doc__ or "").strip().partition("\n\n")[0].split())


def list_models(options: argparse.Namespace) -> list[list[str]]:
    """Return name and origin of each network."""
    rows = [["name", "weights"]]
    for name in available():
        if name in BUILDERS:
            rows.append([name, "bundled, for the twelve classes of generated scenes"])
        elif name == imagenet.NAME:
            rows.append([name, "installed, for the 1000 classes of ImageNet"])
        elif name != "scenes_sr":
            rows.append([name, "torchvision, downloaded once"])
    rows += [
        [f"{prefix}:NAME", f"any of {title}, downloaded once"] for prefix, (title, _) in LIBRARIES.items()
    ]
    return rows


def list_layers(options: argparse.Namespace) -> list[list[str]]:
    """Return name, type and shape of each layer of a network."""
    model = read_network(options)
    rows = [["layer", "type", "shape"]]
    for layer in model.layers():
        shape = " x ".join(map(str, layer.shape))
        rows.append([layer.name, layer.type, shape])
    return rows
