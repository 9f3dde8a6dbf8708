"""What can be asked for: commands, their options and their help. Imports nothing that takes time."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from xai_widgets._version import __version__
from xai_widgets.cli.failures import Mistake
from xai_widgets.errors import unknown_name

PROGRAM = "xai-widgets"

#: The measures of `evaluate`, and what each says.
METRICS = {
    "deletion": "area under the curve of the probability while the highest pixels go; low is good",
    "insertion": "the same while they come, to the blurred image; high is good",
    "monotonicity": "share of the images whose probability never falls on that way, in twenty steps, before it "
    "has reached that of the whole image",
    "pointing": "share of the maps whose highest place lies on the object, mean over the classes; for --scenes",
}
METHODS = "gradient,guided_backprop,integrated_gradients,grad_cam"

TOP = """\
Take a network apart from the command line. Try it without any file of your own:

  xai-widgets explain --scenes 2 --methods gradient,grad_cam -o page.html
  xai-widgets evaluate --scenes 2 --methods gradient,grad_cam
"""
TOP_END = """\
`xai-widgets COMMAND --help` teaches each command.

exit codes: 0 done, 1 could not be done, 2 wrong usage, 130 interrupted
"""

EXPLAIN = """\
Compute the maps of methods for pictures, and write them down. What -o is
called decides how:

  page.html    a page with all maps, to be opened from disk: hover, enlarge,
               compare, change the colors
  map.png      the maps on the pictures, methods in rows, pictures in columns
  maps.npy     the raw maps of one method: (pictures, height, width)
  maps.npz     the raw maps of several methods, an array of each
  folder/      one PNG file for each picture and method
"""
EXPLAIN_END = """\
examples:
  xai-widgets explain photo.jpg --model resnet50 --methods grad_cam,lrp -o page.html
  xai-widgets explain --scenes 2 --methods gradient,grad_cam -o page.html
  xai-widgets explain --scenes 1 --methods lrp --target "dotted mushroom" -o map.png
  xai-widgets explain --scenes 3 --methods grad_cam --layer stage3 -o maps.npy

A file that is there already is replaced, and only when the new one is
complete. `xai-widgets list methods` names the methods, `list models` the
networks, and `list layers --model NAME` the layers of one.
"""

EVALUATE = """\
Measure how well the maps of methods tell what a network looks at: mean and
standard deviation over the pictures, in a table, and with --csv the values of
each. The measures:

"""
EVALUATE_END = """\
examples:
  xai-widgets evaluate photos/ --model resnet50 --methods grad_cam,gradient --csv out.csv
  xai-widgets evaluate --scenes 2 --methods gradient,grad_cam --steps 24
  xai-widgets evaluate --scenes 2 --methods grad_cam --metrics insertion,pointing

A picture or a method that fails is named, the others are measured, and the
exit code is 1.
"""

LIST = "Tell which methods there are, which networks, or which layers a network has."
LIST_END = """\
examples:
  xai-widgets list methods
  xai-widgets list models
  xai-widgets list layers --model scenes_resnet

Methods are listed with the passes of one picture through the network, forward
and backward. Where they say n, an option of the method says how many.
"""

LAB = """\
Copy the notebooks of the package into a folder, and open JupyterLab there.
Files that are there already are left as they are. What follows -- goes on to
JupyterLab.
"""
LAB_END = """\
examples:
  xai-widgets lab
  xai-widgets lab my_notebooks -- --no-browser --port 8899
"""


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one sentence, and where help is."""

    def __init__(self, **options: Any) -> None:
        raw = argparse.RawDescriptionHelpFormatter
        super().__init__(formatter_class=raw, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raise a :class:`Mistake`."""
        raise Mistake(f"{message} ({self.prog} --help tells more)")

    def options(self) -> list[str]:
        """The names of its options, as its help shows them."""
        return re.findall(r"(?<![\w-])--[a-z]+", self.format_help())


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the arguments; :class:`Mistake` for what cannot be understood."""
    parser, commands = make_parser()
    given, passed = list(arguments), list[str]()
    if "--" in given:
        at = given.index("--")
        given, passed = given[:at], given[at + 1 :]
    if not given:
        given = ["--help"]
    if not given[0].startswith("-") and given[0] not in commands:
        parser.error(unknown_name("command", given[0], commands))
    options, rest = parser.parse_known_args(given)
    if getattr(options, "module", None) is None:
        parser.error(unknown_name("option", rest[0], parser.options()) if rest else "a command is missing")
    command = commands.get(given[0], parser)
    if passed and options.module != "lab":
        command.error(f"{passed[0]!r} stands behind --, which is for what goes on to JupyterLab")
    for word in rest:
        if word.startswith("-"):
            command.error(unknown_name("option", word, command.options()))
        if not hasattr(options, "images"):
            command.error(f"{word!r} is one word too many")
    if rest:
        # Pictures that stand behind or between options, which argparse does not find.
        options.images += rest
    options.passed = passed
    return options


def make_parser() -> tuple[Parser, dict[str, Parser]]:
    """The parser, and those of its commands by their names."""
    parser = Parser(prog=PROGRAM, description=TOP, epilog=TOP_END)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    among = parser.add_subparsers(title="commands", metavar="COMMAND")
    commands: dict[str, Parser] = {}

    def command(name: str, module: str, words: str, description: str, epilog: str) -> Parser:
        made: Parser = among.add_parser(name, help=words, description=description, epilog=epilog)
        made.set_defaults(module=module)
        commands[name] = made
        return made

    _explain(
        command("explain", "explain", "maps of pictures as a page, pictures or arrays", EXPLAIN, EXPLAIN_END)
    )
    measures = "".join(f"  {name:14s}{_wrapped(words, 14)}\n" for name, words in METRICS.items())
    _evaluate(command("evaluate", "evaluate", "measures of methods", EVALUATE + measures, EVALUATE_END))
    _list(command("list", "listing", "methods, networks and layers", LIST, LIST_END))
    _lab(command("lab", "lab", "the notebooks in JupyterLab", LAB, LAB_END))
    for each in commands.values():
        each.add_argument(
            "--debug", action="store_true", help="show where in the program an error was raised"
        )
    return parser, commands


def _wrapped(words: str, indent: int) -> str:
    """Words in lines of at most 78 letters, those after the first indented."""
    return textwrap.fill(words, 76 - indent, subsequent_indent=" " * (indent + 2))


def _explain(parser: Parser) -> None:
    _pictures(parser)
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="what to write, see above")
    _network(parser)
    _methods(parser)
    parser.add_argument("--title", default="", help="the title of the page")
    _quiet(parser)


def _evaluate(parser: Parser) -> None:
    _pictures(parser)
    _network(parser)
    _methods(parser)
    parser.add_argument(
        "--metrics",
        metavar="a,b",
        type=measures,
        help="measures, see above (deletion,insertion, and pointing for --scenes)",
    )
    parser.add_argument(
        "--steps", metavar="N", type=at_least(1), help="steps of the curves (224, those of the source)"
    )
    parser.add_argument("--csv", metavar="FILE", help="write the values of each picture and method")
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
        help="where the notebooks go (xai_widgets_notebooks)",
    )


def _pictures(parser: Parser) -> None:
    parser.add_argument("images", metavar="IMAGE", nargs="*", help="picture files, and folders of them")
    parser.add_argument(
        "--scenes",
        metavar="N",
        type=at_least(1),
        help="N generated pictures with two known objects each, in place of files",
    )
    parser.add_argument(
        "--seed", metavar="S", type=at_least(0), default=0, help="which generated pictures (0)"
    )


def _network(parser: Parser) -> None:
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="a network that `list models` names, or your own, package.module:function, which returns an ImageModel or "
        "a torch module (for --scenes: scenes_resnet)",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        default="DEFAULT",
        help="a state dict for a named network, a name of torchvision's, or none for random numbers",
    )
    own = parser.add_argument_group("a torch module of your own")
    own.add_argument("--mean", metavar="r,g,b", type=numbers, help="of its normalization (0,0,0)")
    own.add_argument("--std", metavar="r,g,b", type=numbers, help="of its normalization (1,1,1)")
    own.add_argument("--size", metavar="H[xW]", type=extent, help="its picture size in pixels (224)")
    own.add_argument("--labels", metavar="FILE", help="a text file with the name of a class in each line")
    parser.add_argument("--device", help="where to compute: auto, cpu, cuda, mps (auto)")


def _methods(parser: Parser) -> None:
    parser.add_argument(
        "--methods",
        metavar="a,b",
        type=comma_separated,
        default=METHODS.split(","),
        help="methods that `list methods` names, or your own, package.module:function, called as "
        f"function(model, x, target) ({METHODS})",
    )
    parser.add_argument("--target", metavar="CLASS", help="a label or an index (what the network predicts)")
    parser.add_argument("--layer", help="the layer of methods that take one (the choice of each method)")


def _quiet(parser: Parser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress and no notes")


# -- values -----------------------------------------------------------------------------------------------------


def comma_separated(text: str) -> list[str]:
    """Names with commas between them."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("no name was given, wanted one or several with commas between them")
    for name in names:
        if names.count(name) > 1:
            raise argparse.ArgumentTypeError(f"{name!r} was given twice")
    return names


def measures(text: str) -> list[str]:
    """Names of measures."""
    names = comma_separated(text)
    for name in names:
        if name not in METRICS:
            raise argparse.ArgumentTypeError(unknown_name("measure", name, METRICS))
    return names


def numbers(text: str) -> list[float]:
    """Numbers with commas between them."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers such as 0.5,0.5,0.5") from None


def extent(text: str) -> tuple[int, int]:
    """Height and width: 224, or 200x300."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 224 or 200x300")
    height, width = found.groups()
    return int(height), int(width or height)


def at_least(least: int) -> Callable[[str], int]:
    """Reads a whole number that is not smaller."""

    def read(text: str) -> int:
        if not re.fullmatch(r"\d+", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
        return int(text)

    return read
