"""Write docs/methods: what every method is, from the registry, and what it draws.

    python scripts/methods.py                      the page and every picture; some minutes on two cores
    python scripts/methods.py --only gradient lrp  the page, and these pictures
    python scripts/methods.py --text               the page alone

The page says nothing that the registry does not. The pictures show one generated scene of two objects, and the map of
the method for one of them, by a bundled network.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from PIL import Image
from results import OPTIONS
from torch import Tensor

import xai_widgets
from xai_widgets import attribution
from xai_widgets.data import scenes
from xai_widgets.errors import unknown_name
from xai_widgets.methods import Method, family
from xai_widgets.methods.registry import abs_sum
from xai_widgets.ops.resize import resize_map

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "methods"
NETWORK = "scenes_resnet"
#: The first so many scenes of two objects of the test split, of which the last is shown.
SCENES, SCENE_SEED = 18, 1
LABEL = "dotted mushroom"
#: Pixels of a side in the pictures, and colors.
SIDE, COLORS = 144, 192
#: Images from which patterns are estimated.
LEARNT = 200

INTRODUCTION = """\
# Methods

Made by `python scripts/methods.py` from the registry: `help(method)` says more of each.

A method is called as `method(model, x, target)` for an `ImageModel`, images of any kind and classes; `target=None` is
the predicted class. `method.saliency(...)` is the map of its source, one number a place. In the formulas x are the
pixels, S_c is the score of the class before softmax, x' a baseline, a the activation of a layer and g the gradient of
S_c there; k counts channels and u places. Costs are passes of one image through the network, with the default options
and for a class that is given.

The pictures show where the `{network}` network finds the {label} of a scene with two objects: blue speaks for it and
red against it, or where a map has no sign, the brighter the more.

![The scene](scene.png)

{contents}
"""

GROUPS: dict[str, tuple[str, str, dict[str, Method]]] = {
    "attribution": (
        "Attribution",
        "They ask the network a few times: `from xai_widgets import attribution`. Each returns a tensor, signed, in "
        "the resolution of the pixels or of a layer.",
        family("attribution"),
    ),
    "perturbation": (
        "Perturbation",
        "They try many changed images: `from xai_widgets import perturbation`. Each returns a `Run`, whose snapshots "
        "have a `saliency()`.",
        family("perturbation"),
    ),
}


# -- the page -------------------------------------------------------------------------------------------------


def call(group: str, method: Method) -> str:
    """How a method is called, with its options and their defaults."""
    function = getattr(xai_widgets, group).__dict__[method.name]
    parameters = inspect.signature(function).parameters.values()
    shown = ["model", "x", "target"]
    for each in list(parameters)[3:]:
        if each.kind is each.VAR_KEYWORD:
            shown.append("**options")
        else:
            shown.append(f"{each.name}={default(each.default)}")
    return f"{group}.{method.name}({', '.join(shown)})"


def default(value: Any) -> str:
    """A default as people would type it."""
    return str(value) if isinstance(value, int | float | tuple) else repr(value)


def first_sentence(text: str | None) -> str:
    """Of a docstring, on one line."""
    return " ".join((text or "").strip().partition("\n\n")[0].split())


def section(group: str, method: Method) -> str:
    """What the page says of a method."""
    drawn = {
        True: "the absolute value of the sum over channels",
        False: first_sentence(method.reduce.__doc__),
    }
    map_ = drawn[method.reduce is abs_sum].rstrip(".")
    cost = str(method.cost) if method.cost else "unknown"
    lines = [
        f"### {method.title}",
        f"![{method.title}]({method.name}.png)",
        first_sentence(method.__doc__),
        "\n".join(
            [
                f"- call: `{call(group, method)}`",
                f"- formula: `{method.formula}`",
                f"- map: {map_[0].lower()}{map_[1:]}",
                f"- source: {method.source}",
                f"- cost: {cost}",
                f"- guarantees: {method.guarantees}",
                f"- limits: {method.limits}",
            ]
        ),
    ]
    return "\n\n".join(lines)


def page() -> str:
    """The whole page."""
    links = anchors([method.title for method in every().values()])
    contents = "\n".join(
        f"- {title}: " + ", ".join(f"[{each.title}](#{links[each.title]})" for each in methods.values())
        for title, _, methods in GROUPS.values()
    )
    parts = [INTRODUCTION.format(network=NETWORK, label=LABEL, contents=contents).strip()]
    for group, (title, about, methods) in GROUPS.items():
        parts += [f"## {title}", about, *(section(group, method) for method in methods.values())]
    return "\n\n".join(parts) + "\n"


def anchors(titles: list[str]) -> dict[str, str]:
    """The names of headings in links, as GitHub makes them: those that are alike are numbered."""
    made, met = {}, Counter[str]()
    for title in titles:
        kept = "".join(each for each in title.lower() if each.isalnum() or each in " -_").replace(" ", "-")
        made[title] = f"{kept}-{met[kept]}" if met[kept] else kept
        met[kept] += 1
    return made


# -- the pictures ---------------------------------------------------------------------------------------------


def picture(values: Tensor) -> Image.Image:
    """A map (H, W) in colors: signed ones from red over white to blue, others from black to white."""
    # A few pixels may be cut so that one does not pale all others.
    largest = values.abs().flatten().quantile(0.995).clamp(min=1e-12)
    low = values.min()
    if low < 0:
        units, table = values / largest / 2 + 0.5, "RdBu"
    else:
        units, table = (values - low) / (largest - low).clamp(min=1e-12), "magma"
    return tile(matplotlib.colormaps[table](units.clamp(0, 1).numpy())[..., :3])


def tile(pixels: np.ndarray) -> Image.Image:
    """Pixels (H, W, 3) in [0, 1] as a picture of the size of all."""
    made = Image.fromarray((pixels * 255).round().astype(np.uint8)).resize(
        (SIDE, SIDE), Image.Resampling.BICUBIC
    )
    return made


def side_by_side(*tiles: Image.Image) -> Image.Image:
    """Pictures in a row, with few colors."""
    gap = 4
    row = Image.new("RGB", (len(tiles) * (SIDE + gap) - gap, SIDE), "white")
    for k, each in enumerate(tiles):
        row.paste(each, (k * (SIDE + gap), 0))
    return row.quantize(COLORS, dither=Image.Dither.NONE)


def options_of(model: Any, method: Method) -> dict[str, Any]:
    """Those with which a method ends in time, or that it cannot do without."""
    wanted = inspect.signature(method).parameters
    if "patterns" in wanted:
        some = scenes.generate(LEARNT, objects=(1, 3), seed=SCENE_SEED)
        images = [each.image for each in some]
        return {"patterns": attribution.estimate_patterns(model, images).result(progress=False)}
    return OPTIONS.get(method.name, {})


def draw(names: list[str], folder: Path) -> list[str]:
    """The pictures of these methods; what went wrong with some."""
    model = xai_widgets.load(NETWORK, device="cpu")
    shown = scenes.generate(SCENES, objects=(2, 2), split="test", seed=SCENE_SEED)[-1]
    x, target = model.prepare(shown.image)
    if (label := model.labels[int(target)]) != LABEL:
        sys.exit(f"the network finds the {label}, wanted the {LABEL} that the page names")
    scene = tile(x[0].permute(1, 2, 0).numpy())
    side_by_side(scene).save(folder / "scene.png", optimize=True)
    failed = []
    for name in names:
        method = every()[name]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                values = method.saliency(model, x, target, **options_of(model, method)).detach().float()
        except Exception as error:  # one method is not to keep the others from the page
            failed.append(f"{name}: {type(error).__name__}: {error}")
            continue
        drawn = picture(resize_map(values, (x.shape[2], x.shape[3]))[0].cpu())
        side_by_side(scene, drawn).save(folder / f"{name}.png", optimize=True)
        print(name, flush=True)
    return failed


def every() -> dict[str, Method]:
    """All methods by name."""
    return {name: method for _, _, methods in GROUPS.values() for name, method in methods.items()}


def main() -> None:
    """Write the page and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="pictures of these methods alone")
    parser.add_argument("--text", action="store_true", help="no pictures")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write to")
    given = parser.parse_args()
    for name in given.only or ():
        if name not in every():
            parser.error(unknown_name("method", name, every()))
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "README.md").write_text(page())
    torch.manual_seed(0)
    failed = [] if given.text else draw(given.only or list(every()), given.out)
    if failed:
        sys.exit("\n".join(["these failed, and keep the picture that they had:", *failed]))


if __name__ == "__main__":
    main()
