"""docs/results/perturbation.md from the numbers of results.py, and the pictures beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageDraw

INTRODUCTION = """\
# Methods measured on generated scenes

`{command}` ({minutes:.0f} minutes on {threads} threads of {machine}), with {versions}.

{scenes} test scenes of one to three objects (split "test", seed {scene_seed}; no network was trained on them), {size}
pixels wide: {rows} maps, one for each class that is seen in a scene, {difficult} of them difficult. Seed 0 throughout.

- **all, difficult**: pointing game in percent, mean over the classes ± the standard error of as many independent maps:
  the maximum of the map is no farther from the object than 15 / {reference} of the image. Difficult: the class
  covers less than a quarter of an image with at least two classes.
- **stamp**: of the {stamped} maps for the ringed toadstool in scenes with the planted stamp, the share in percent that
  has its maximum at the stamp. There a miss is no fault of the method: the networks look at the stamp.
- **after ...**: sanity by weight randomization, cascading from the output to the input, on {sane} maps: rank
  correlation of the absolute map with that of the trained network. Near 0 is good, near 1 says that the method draws
  the image and not the network. A map that has become constant counts as 0.
- A method that explains no class but the predicted one is measured on the maps for that class, and not on randomized
  networks, which predict another.
- **s a map**: seconds, which vary by up to two times on a shared machine.
"""

MONOTONICITY = """\
**Monotonicity** (equation 8) of extremal perturbations of {areas} % of the image: in {possible} of {rows} maps
at least two areas are below the one that is enough, so that the score can fall before it; all others are monotone by
definition. Of those {possible}, the score rises with every area up to the one that is enough in {strict} %, and falls
by no more than 0.1 in {lenient} %.
"""

COVERED = """\
**Convergence of the noise mask**, with the settings of its source (Adam, learning rate 0.015, until flat, at most
{most} steps) on {rows} maps: {flat} of them became flat, after {least} to {last} steps, {seconds:.0f} s a map. They
keep {area:.2f} of the pixels, {on:.2f} on the object of the class and {off:.2f} off it; the loss is {loss} % of
that of pure noise. The table has the mask after 600 steps with the learning rate 0.1, as there is one for each map.
"""


def percent(value: float | None) -> str:
    """A share as people read it."""
    return "–" if value is None or value != value else f"{100 * value:.0f}"


def table(found: dict[str, Any], head: dict[str, Any]) -> str:
    """The methods of one network, baselines first."""
    lines = [
        "| method | all | difficult | stamp | after the output layer | after half | after all | s a map |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    low, high = found["chance"]
    lines.append(f"| *a random position* | {percent(low)} | {percent(high)} | | | | | |")
    for name, one in found["methods"].items():
        fewer = f", {one['rows']} maps" if one["rows"] < head["rows"] else ""
        cells = [f"{one['title']} (`{name}`{fewer})", f"{percent(one['all'])} ± {percent(one['error'])}"]
        cells += [percent(one["difficult"]), percent(one.get("stamp"))]
        curve = one.get("sanity", {}).get("spearman_abs")
        ends = () if curve is None else (0, len(curve) // 2, -1)
        # Plus 0: no minus before a zero.
        cells += [f"{round(curve[k], 2) + 0:.2f}" for k in ends] or ["", "", ""]
        lines.append(f"| {' | '.join(cells)} | {one['seconds']:.2f} |")
    refused = [
        f"- {one['title']} (`{name}`) refuses: {one['reason']}"
        for name, one in found.get("refused", {}).items()
    ]
    return "\n".join([*lines, *(["", *refused] if refused else [])]) + "\n"


def page(results: dict[str, Any], *, pictures: bool) -> str:
    """The whole page."""
    head = results["header"]
    versions = ", ".join(f"{name} {version}" for name, version in head["versions"].items())
    parts = [INTRODUCTION.format(**head | {"minutes": head["seconds"] / 60, "versions": versions})]
    methods = next(iter(results["networks"].values()))["methods"]
    changed = {name: one["options"] for name, one in methods.items() if one["options"]}
    if changed:
        lines = (
            f"- `{name}`: {', '.join(f'{k} = {v}' for k, v in given.items())}"
            for name, given in changed.items()
        )
        parts.append(
            "Options other than a method's own, so that the whole ends in time:\n\n" + "\n".join(lines) + "\n"
        )
    for name, found in results["networks"].items():
        parts += [f"## {name}\n", table(found, head)]
        share = found.get("monotonicity")
        if share:
            areas = ", ".join(f"{100 * area:g}" for area in share["areas"])
            strict, lenient = (percent(share["share"][slack]) for slack in ("0.0", "0.1"))
            parts.append(
                MONOTONICITY.format(**share | {"areas": areas, "strict": strict, "lenient": lenient})
            )
        if covered := found.get("covered"):
            percents = [f"{value:.0f}" for value in covered["loss_percent"]]
            steps = covered["steps"]
            words = {"least": min(steps), "last": max(steps), "loss": ", ".join(percents)}
            parts.append(COVERED.format(**covered | words))
        if pictures:
            parts.append(
                f"![The maps of every method for two classes of one scene](perturbation_{name}.png)\n"
            )
    return "\n".join(parts)


def contact_sheet(tiles: list[tuple[str, list[np.ndarray]]], columns: int = 4) -> Image.Image:
    """Titled pairs of pictures, each (H, W) or (H, W, 3) in [0, 1], row by row."""
    height, width = tiles[0][1][0].shape[:2]
    caption, gap = 14, 2
    wide, tall = 2 * (width + gap) + 12, height + caption + 6
    sheet = Image.new("RGB", (columns * wide, -(-len(tiles) // columns) * tall), "white")
    draw = ImageDraw.Draw(sheet)
    for n, (title, pictures) in enumerate(tiles):
        left, top = n % columns * wide, n // columns * tall
        draw.text((left, top), title, fill="black")
        for k, picture in enumerate(pictures):
            pixels = Image.fromarray((picture * 255).round().astype(np.uint8))
            sheet.paste(pixels.convert("RGB"), (left + k * (width + gap), top + caption))
    return sheet
