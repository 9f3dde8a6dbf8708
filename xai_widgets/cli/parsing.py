"""The commands, their options and their help. Imports nothing that takes time."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from xai_widgets._version import __version__
from xai_widgets.cli.errors import UsageError
from xai_widgets.errors import unknown_name

if TYPE_CHECKING:
    from xai_widgets.metrics import Metric

PROGRAM = "xai-widgets"

#: Methods if none are named.
METHODS = "gradient,guided_backprop,integrated_gradients,grad_cam"

TOP = """\
Explain image networks from the command line. To try it without an image:

  xai-widgets explain --scenes 2 --methods gradient,grad_cam -o page.html
  xai-widgets evaluate --scenes 2 --methods gradient,grad_cam
"""
TOP_END = """\
`xai-widgets COMMAND --help` explains each command.

exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted
"""

EXPLAIN = """\
Compute the saliency maps of methods for images, and write them to a file.
The name after -o chooses the format:

  page.html    a page with all maps, to open from disk: hover, enlarge,
               compare, change the colors
  map.png      the maps on the images, methods in rows, images in columns
  maps.npy     the raw maps of one method: (images, height, width)
  maps.npz     the raw maps of several methods, an array for each
  folder/      one PNG file for each image and method
"""
EXPLAIN_END = """\
examples:
  xai-widgets explain photo.jpg --model resnet50 --methods grad_cam,lrp -o page.html
  xai-widgets explain --scenes 2 --methods gradient,grad_cam -o page.html
  xai-widgets explain --scenes 1 --methods lrp --target "dotted mushroom" -o map.png
  xai-widgets explain --scenes 3 --methods grad_cam --layer stage3 -o maps.npy

An existing file is replaced only when the new one is complete.
`xai-widgets list methods` lists the methods, `list models` the networks, and
`list layers --model NAME` the layers of a network.
"""

EVALUATE = """\
Score the saliency maps of methods by metrics: mean and standard deviation
over the images, in a table, and with --csv the scores of each image. The
metrics:

"""
EVALUATE_END = """\
examples:
  xai-widgets evaluate photos/ --model resnet50 --methods grad_cam,gradient --csv out.csv
  xai-widgets evaluate --scenes 2 --methods gradient,grad_cam --steps 24
  xai-widgets evaluate --scenes 2 --methods grad_cam --metrics insertion,pointing

If an image or a method fails, its error is printed, the others continue, and
the exit code is 1.
"""

LIST = "List the methods, the networks, or the layers of a network."
LIST_END = """\
examples:
  xai-widgets list methods
  xai-widgets list models
  xai-widgets list layers --model scenes_resnet

Methods are listed with the forward and backward passes of one image through
the network, where n is the value of an option of the method.
"""

LAB = """\
Copy the notebooks of the package into a folder, and open JupyterLab there.
Existing files are not changed. Arguments after -- are passed to JupyterLab.
"""
LAB_END = """\
examples:
  xai-widgets lab
  xai-widgets lab my_notebooks -- --no-browser --port 8899
"""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence.

    Attributes
    ----------
    details : callable or None
        Returns text after the description; called when the help is shown, as it may import much.
    """

    details: Callable[[], str] | None = None

    def __init__(self, **options: Any) -> None:
        raw = argparse.RawDescriptionHelpFormatter
        super().__init__(formatter_class=raw, allow_abbrev=False, **options)

    def format_help(self) -> str:
        """Return the help."""
        if self.details is not None:
            self.description, self.details = f"{self.description}{self.details()}", None
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Raise a :class:`UsageError`."""
        raise UsageError(f"{message} (see {self.prog} --help)")

    def options(self) -> list[str]:
        """Return the names of the options."""
        return [name for name in self._option_string_actions if name.startswith("--")]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments; :class:`UsageError` for wrong ones."""
    parser, commands = make_parser()
    own, passed = list(arguments), list[str]()
    if "--" in own:
        at = own.index("--")
        own, passed = own[:at], own[at + 1 :]
    if not own:
        own = ["--help"]
    if not own[0].startswith("-") and own[0] not in commands:
        parser.error(unknown_name("command", own[0], commands))
    options, rest = parser.parse_known_args(own)
    if getattr(options, "module", None) is None:
        parser.error(
            unknown_name("option", rest[0], parser.options()) if rest else "expected a command, got none"
        )
    command = commands.get(own[0], parser)
    if passed and options.module != "lab":
        command.error(f"expected arguments after -- only for JupyterLab, got {passed[0]!r}")
    for argument in rest:
        if argument.startswith("-"):
            command.error(unknown_name("option", argument, command.options()))
        if not hasattr(options, "images"):
            command.error(f"expected no further argument, got {argument!r}")
    if rest:
        # Images after or between options, which argparse does not find.
        options.images += rest
    options.passed = passed
    return options


def make_parser() -> tuple[Parser, dict[str, Parser]]:
    """Return the parser, and the parsers of its commands by name."""
    parser = Parser(prog=PROGRAM, description=TOP, epilog=TOP_END)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    commands: dict[str, Parser] = {}

    def command(name: str, module: str, help: str, description: str, epilog: str) -> Parser:
        subparser: Parser = subparsers.add_parser(name, help=help, description=description, epilog=epilog)
        subparser.set_defaults(module=module)
        commands[name] = subparser
        return subparser

    _explain(
        command("explain", "explain", "maps of images as a page, images or arrays", EXPLAIN, EXPLAIN_END)
    )
    _evaluate(command("evaluate", "evaluate", "scores of methods by metrics", EVALUATE, EVALUATE_END))
    _list(command("list", "listing", "methods, networks and layers", LIST, LIST_END))
    _lab(command("lab", "lab", "the notebooks in JupyterLab", LAB, LAB_END))
    for subparser in commands.values():
        subparser.add_argument(
            "--debug", action="store_true", help="show where in the program an error was raised"
        )
    return parser, commands


def metrics_of_one_map() -> dict[str, Metric]:
    """Return the metrics that `evaluate` offers; they are imported when they are first needed."""
    from xai_widgets.metrics import METRICS

    return {name: metric for name, metric in METRICS.items() if "reference" not in metric.needs}


def _describe_metrics() -> str:
    lines = []
    for name, metric in metrics_of_one_map().items():
        text = metric.measures + ("; for --scenes" if "mask" in metric.needs else "")
        lines.append(textwrap.fill(text, 78, initial_indent=f"  {name:14s}", subsequent_indent=" " * 16))
    return "\n".join(lines) + "\n"


def _explain(parser: Parser) -> None:
    _images(parser)
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the output, see above")
    _network(parser)
    _methods(parser)
    parser.add_argument("--title", default="", help="title of the page")
    _quiet(parser)


def _evaluate(parser: Parser) -> None:
    parser.details = _describe_metrics
    _images(parser)
    _network(parser)
    _methods(parser)
    parser.add_argument(
        "--metrics",
        metavar="a,b",
        type=metric_names,
        help="metrics, see above (deletion,insertion, and pointing for --scenes)",
    )
    parser.add_argument(
        "--steps", metavar="N", type=at_least(1), help="steps of the curves (224, as in RISE)"
    )
    parser.add_argument("--csv", metavar="FILE", help="write the scores of each image and method")
    parser.add_argument(
        "--store", metavar="FILE", help="keep each score in this SQLite file, and continue there after a kill"
    )
    parser.add_argument(
        "--permuted", metavar="NAME", help="a network trained on permuted labels, for data_randomization"
    )
    _quiet(parser)


def _list(parser: Parser) -> None:
    parser.add_argument("what", metavar="methods|models|layers", help="what to list")
    _network(parser)


def _lab(parser: Parser) -> None:
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        default="xai_widgets_notebooks",
        help="folder of the notebooks (xai_widgets_notebooks)",
    )


def _images(parser: Parser) -> None:
    parser.add_argument("images", metavar="IMAGE", nargs="*", help="image files, and folders of them")
    parser.add_argument(
        "--scenes",
        metavar="N",
        type=at_least(1),
        help="N generated images with two known objects each, in place of files",
    )
    parser.add_argument(
        "--seed",
        metavar="S",
        type=at_least(0),
        default=0,
        help="seed of the generated images, and of methods and metrics that draw random numbers (0)",
    )


def _network(parser: Parser) -> None:
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="a network of `list models`, such as efficientnet_lite0, timm:NAME or hf:NAME, or your own, "
        "package.module:function, which returns an ImageModel or a torch module (for --scenes: scenes_resnet)",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        default="DEFAULT",
        help="a state dict for a named network, the name of torchvision weights, or none for random weights",
    )
    own = parser.add_argument_group("a torch module of your own")
    own.add_argument("--mean", metavar="r,g,b", type=numbers, help="mean of its normalization (0,0,0)")
    own.add_argument(
        "--std", metavar="r,g,b", type=numbers, help="standard deviation of its normalization (1,1,1)"
    )
    own.add_argument("--size", metavar="H[xW]", type=extent, help="its image size in pixels (224)")
    own.add_argument("--labels", metavar="FILE", help="a text file with one class name per line")
    parser.add_argument("--device", help="auto, cpu, cuda or mps (auto)")


def _methods(parser: Parser) -> None:
    parser.add_argument(
        "--methods",
        metavar="a,b",
        type=comma_separated,
        default=METHODS.split(","),
        help="methods of `list methods`, or your own, package.module:function, called as "
        f"function(model, x, target) ({METHODS})",
    )
    parser.add_argument("--target", metavar="CLASS", help="a label or an index (the predicted class)")
    parser.add_argument("--layer", help="layer of methods that take one (the default of each method)")


def _quiet(parser: Parser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar and no warnings")


# -- values -----------------------------------------------------------------------------------------------------


def comma_separated(text: str) -> list[str]:
    """Return names that are separated by commas."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("expected one or several names, separated by commas, got none")
    for name in names:
        if names.count(name) > 1:
            raise argparse.ArgumentTypeError(f"expected different names, got {name!r} twice")
    return names


def metric_names(text: str) -> list[str]:
    """Return names of metrics that are separated by commas."""
    names, known = comma_separated(text), metrics_of_one_map()
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(unknown_name("metric", name, known))
    return names


def numbers(text: str) -> list[float]:
    """Return numbers that are separated by commas."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers such as 0.5,0.5,0.5, got {text!r}") from None


def extent(text: str) -> tuple[int, int]:
    """Return height and width, given as 224 or 200x300."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected a size such as 224 or 200x300, got {text!r}")
    height, width = match.groups()
    return int(height), int(width or height)


def at_least(least: int) -> Callable[[str], int]:
    """Return a parser of integers of at least ``least``."""

    def read(text: str) -> int:
        if not re.fullmatch(r"\d+", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected an integer of at least {least}, got {text!r}")
        return int(text)

    return read
