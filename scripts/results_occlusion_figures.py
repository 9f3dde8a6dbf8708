"""Figures of docs/results/occlusion, in the shape of table 1 and figures 4 and 5 of the source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from results_occlusion_findings import BASELINE, HIDDEN, SINGLE, deviation, values_of
from results_occlusion_training import CONDITIONS, NETWORKS, PLAN, Recipe, held_out, maps
from torch import Tensor, nn

from xai_widgets.data import scenes
from xai_widgets.zoo.train import normalized

#: Trainings of the wide network whose saliency is shown, and the number of scenes.
SHOWN = (BASELINE, "joint_hs_0.5")
ROWS, COLUMNS = 3, 2


def curves(found: dict[str, Any], path: Path) -> None:
    """Draw accuracy over keep_patch and over keep_image, and the coverage of the object."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, center, right) = pyplot.subplots(1, 3, figsize=(13, 4.2), constrained_layout=True)
    for number, name in enumerate(("narrow", "wide")):
        _line(left, found, name, HIDDEN, label=name, color=f"C{number}")
        _level(left, found, name, BASELINE, color=f"C{number}", style=":")
    left.set(title="Joint Hide-and-Seek", xlabel="keep_patch", ylabel="top-1, %")
    _line(center, found, "wide", SINGLE, label="not joint", color="C2")
    _level(center, found, "wide", SHOWN[1], color="C3", style="-", label="joint")
    _level(center, found, "wide", BASELINE, color="black", style=":", label="duplicated baseline")
    _level(center, found, "wide", "baseline", color="gray", style="--", label="baseline")
    center.set(title="Joint and non-joint, wide", xlabel="keep_image", ylabel="top-1, %")
    _bars(right, found)
    for axes in (left, center, right):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, **({"loc": "upper right", "ncols": 2} if axes is right else {}))
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _line(axes: Any, found: dict[str, Any], name: str, conditions: tuple[str, ...], **style: Any) -> None:
    """Draw means with standard deviations over the last number in the names of the conditions."""
    rows = [(float(each.rpartition("_")[2]), values_of(found, name, each, "top1")) for each in conditions]
    rows = [row for row in rows if row[1]]
    if rows:
        x, values = zip(*rows, strict=True)
        axes.errorbar(
            x, list(map(np.mean, values)), list(map(deviation, values)), fmt="-o", capsize=3, **style
        )


def _level(
    axes: Any, found: dict[str, Any], name: str, condition: str, *, color: str, style: str, label: str = ""
) -> None:
    if values := values_of(found, name, condition, "top1"):
        axes.axhline(np.mean(values), color=color, linestyle=style, label=label or None)


def _bars(axes: Any, found: dict[str, Any]) -> None:
    """Draw the parts of the object and of the rest that saliency covers."""
    known = [each for each in PLAN["wide"] if values_of(found, "wide", each, "top1")]
    for shift, key, color, label in ((-0.2, "on", "C0", "object"), (0.2, "off", "C1", "rest")):
        each = [values_of(found, "wide", condition, f"maps.saliency.{key}") for condition in known]
        axes.barh(
            np.arange(len(known)) + shift, list(map(np.mean, each)), 0.4, xerr=list(map(deviation, each)),
            color=color, label=label,
        )  # fmt: skip
    axes.set_yticks(np.arange(len(known)), [_short(each) for each in known], fontsize=7)
    # From the top down, with room for the legend.
    axes.set_ylim(len(known) - 0.4, -2.2)
    axes.set(title="Covered by saliency, wide", xlabel="% of the pixels")


#: Shorter words for the labels of an axis.
SHORTER = {
    "Hide-and-Seek": "H&S",
    "keep_": "",
    "batch augmentation": "BA",
    "duplicated baseline": "duplicated",
    " pixels": "",
    "most salient patch": "saliency",
}


def _short(condition: str) -> str:
    title = CONDITIONS[condition].title
    for words, shorter in SHORTER.items():
        title = title.replace(words, shorter)
    return title


def map_sheet(weights: dict[str, Path], recipe: Recipe, path: Path) -> bool:
    """Draw saliency without and with occlusions on scenes that only the second network recognizes.

    ``weights`` are the files of `SHOWN`; without one of them nothing is drawn, and False is returned.
    """
    if not all(file.exists() for file in weights.values()):
        return False
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    x, y, _ = held_out(recipe)
    networks = [_loaded(weights[each]) for each in SHOWN]
    chosen = [_predicted(net, x) for net in networks]
    gained = torch.nonzero((chosen[0] != y) & (chosen[1] == y))[:, 0][: ROWS * COLUMNS]
    # Too few of them: any scenes, so that tiny settings draw something.
    shown = gained if len(gained) else torch.arange(min(len(x), ROWS * COLUMNS))
    found = [maps(net, x[shown], y[shown])["saliency"] for net in networks]
    figure, grid = pyplot.subplots(ROWS, 3 * COLUMNS, figsize=(10.5, 6), constrained_layout=True)
    for axes in grid.flat:
        axes.axis("off")
    for k, index in enumerate(shown.tolist()):
        row, column = k // COLUMNS, 3 * (k % COLUMNS)
        image = x[index].permute(1, 2, 0).numpy()
        _draw(grid[row, column], image, None, scenes.CLASSES[int(y[index])])
        for n, title in enumerate(("without", "with")):
            name = scenes.CLASSES[int(chosen[n][index])]
            _draw(grid[row, column + 1 + n], image, found[n][k], f"{title}: {name}")
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    return True


def _draw(axes: Any, image: Any, saliency: Tensor | None, title: str) -> None:
    axes.imshow(image if saliency is None else image.mean(2), cmap="gray")
    if saliency is not None:
        axes.imshow(saliency.numpy(), cmap="magma", alpha=0.65)
    axes.set_title(title, fontsize=8)


def _loaded(file: Path) -> nn.Module:
    net = NETWORKS["wide"]().eval()
    net.load_state_dict(torch.load(file, weights_only=True))
    return net


@torch.inference_mode()
def _predicted(net: nn.Module, x: Tensor) -> Tensor:
    return torch.cat([net(normalized(each)).argmax(1) for each in x.split(200)])
