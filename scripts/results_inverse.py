"""Measure the layer-wise inverse on generated scenes, and write docs/results/inverse.

    python scripts/results_inverse.py              everything; see the page for the minutes it took
    python scripts/results_inverse.py --scenes 8   fewer scenes
    python scripts/results_inverse.py --page       the page and its curves anew, from the numbers that are there

For both bundled networks: how much of the image is left at each lambda, and whether the network still says the same
(section 5.4.3 of the source); the same for the regularizers l1 and l2 (5.4.6); deletion and insertion by lambda; and
the table of methods with all of these (table 5.1). The numbers stand in inverse.json, the page is made from them.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import xai_widgets
from xai_widgets import metrics
from xai_widgets.data import scenes
from xai_widgets.inverse import layer_wise, reidentification
from xai_widgets.methods import MethodLike, get
from xai_widgets.studies import AttributionKey, EvaluationStudy

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = ("scenes_vgg", "scenes_resnet")
SCENES = 200
LAMBDAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5)
#: Norms of another size need weights of another size: these span about the same shares of the image.
ABLATION = {"l1": (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3), "l2": (0.0, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5)}
#: The ablation, the curves and the table are made on the first scenes.
FEWER = 40
#: Scenes at once.
CHUNK = 8
#: A pixel counts as left above these shares of it.
SUPPORTS = (0.5, 0.9)
#: The methods of table 5.1 that are there, beside the inverse.
METHODS = ("guided_backprop", "gradient_x_input", "integrated_gradients", "occlusion", "grad_cam")


def images_of(model: Any, count: int) -> Tensor:
    """The first scenes of the test split, on which no network was trained, as pixels."""
    x: Tensor = model.images([scenes.scene(number, split="test").image for number in range(count)])
    return x


def by_lambda(model: Any, x: Tensor, lam: tuple[float, ...], regularizer: str) -> dict[str, Any]:
    """Means over the images for each lambda."""
    columns: dict[str, list[Tensor]] = {
        "alpha": [],
        "half": [],
        "most": [],
        "top1": [],
        "top5": [],
        "probability": [],
    }
    unconverged: dict[str, int] = {}
    for some in x.split(CHUNK):
        with warnings.catch_warnings():
            # Counted below.
            warnings.simplefilter("ignore", UserWarning)
            found = layer_wise(model, some, lam=lam, regularizer=regularizer).result(progress=False)
        assert found.output is not None
        assert found.target is not None
        columns["alpha"].append(found.mean_alpha)
        for name, share in zip(("half", "most"), SUPPORTS, strict=True):
            columns[name].append((found.alpha > share).float().mean((2, 3)))
        columns["top1"].append(found.reidentified.float())
        top = found.output.topk(min(5, found.output.shape[2]), dim=2).indices
        columns["top5"].append((top == found.target[:, None, None]).any(2).float())
        columns["probability"].append(found.probability)
        for unit in found.units:
            missed = int((~unit.converged).sum())
            if missed:
                unconverged[unit.unit] = unconverged.get(unit.unit, 0) + missed
    means = {name: torch.cat(parts).mean(0).tolist() for name, parts in columns.items()}
    return {"lam": list(lam), "images": len(x), **means, "unconverged": unconverged}


def curves(
    model: Any, x: Tensor, target: Tensor, methods: Sequence[MethodLike]
) -> tuple[dict[str, dict[str, float]], dict[str, Tensor]]:
    """Return seconds of a map and mean areas under both curves of each method, and its maps (N, H, W)."""
    study = EvaluationStudy(model, x, methods, ["deletion", "insertion"], targets=target.tolist())
    found: dict[str, dict[str, float]] = {}
    maps: dict[str, Tensor] = {}
    for name in study.maps.methods:
        keys = [AttributionKey(name, image, index) for image, index in enumerate(target.tolist())]
        start = time.perf_counter()
        results = [outcome.result for outcome in study.maps.compute(keys, progress=False).values()]
        found[name] = {"seconds": (time.perf_counter() - start) / len(x)}
        maps[name] = torch.stack(results)
    cells = study.cells()
    study.compute(cells, progress=False)
    for reason in study.failures(cells).values():
        raise RuntimeError(reason)
    for entry in study.table():
        found[entry.method][entry.metric] = entry.mean
    return found, maps


def inverse_curves(model: Any, x: Tensor, target: Tensor, lam: Sequence[float]) -> list[dict[str, float]]:
    """Return deletion and insertion by alpha for each lambda, and the seconds of an inverse."""
    names = [f"lambda {weight}" for weight in lam]
    methods = [(name, partial(inverted, lam=weight)) for name, weight in zip(names, lam, strict=True)]
    found, _ = curves(model, x, target, methods)
    return [{"lam": weight, **found[name]} for name, weight in zip(names, lam, strict=True)]


def inverted(model: Any, x: Tensor, target: Tensor, lam: float) -> Tensor:
    """Return the share that is left with one lambda, (N, H, W)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        alpha: Tensor = layer_wise(model, x, target, lam=lam).result(progress=False).alpha[:, 0]
    return alpha


def other_methods(model: Any, x: Tensor, target: Tensor) -> dict[str, dict[str, Any]]:
    """Return curves of the methods of the table, and what is left of the image times the map scaled to [0, 1]."""
    found, maps = curves(model, x, target, METHODS)
    size = (x.shape[2], x.shape[3])
    return {
        name: {
            "title": get(name).title,
            **scores,
            **reidentified(model, x, target, metrics.resize_map(maps[name], size)),
        }
        for name, scores in found.items()
    }


def reidentified(model: Any, x: Tensor, target: Tensor, saliency: Tensor) -> dict[str, float]:
    """Equation 5.13: the same class for alpha x, with alpha the map scaled linearly to [0, 1]."""
    point = reidentification(model, x, saliency, target).point()
    return dict(zip(("alpha", "top1", "top5"), point, strict=True))


def measure(count: int, say: Callable[[str], None]) -> dict[str, Any]:
    """All numbers."""
    results: dict[str, Any] = {"networks": {}}
    began = time.monotonic()
    for name in NETWORKS:
        model = xai_widgets.load(name, device="cpu")
        x = images_of(model, count)
        target = model.targets(None, x)
        some, few = x[:FEWER], target[:FEWER]
        found: dict[str, Any] = {"by_lambda": by_lambda(model, x, LAMBDAS, "activation")}
        say(f"{name}: {count} scenes inverted")
        found["ablation"] = {
            regularizer: by_lambda(model, some, lam, regularizer) for regularizer, lam in ABLATION.items()
        }
        say(f"{name}: other regularizers")
        # The table compares the inverse at its drop.
        played = sorted({*LAMBDAS[::2], LAMBDAS[drop(found["by_lambda"])]})
        found["curves"] = inverse_curves(model, some, few, played)
        found["methods"] = other_methods(model, some, few)
        say(f"{name}: curves and methods")
        results["networks"][name] = found
    results["header"] = {
        "scenes": count,
        "fewer": min(FEWER, count),
        "minutes": (time.monotonic() - began) / 60,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "torch": torch.__version__.split("+")[0],
    }
    return results


def drop(found: dict[str, Any]) -> int:
    """Index of the last lambda before the steepest fall of the share of the same class."""
    top1, lam = found["top1"], found["lam"]
    falls = [(top1[k] - top1[k + 1]) / (lam[k + 1] - lam[k]) for k in range(len(lam) - 1)]
    return falls.index(max(falls))


def page(results: dict[str, Any]) -> str:
    """docs/results/inverse.md."""
    head = results["header"]
    parts = [
        "# The layer-wise inverse on generated scenes\n",
        f"`python scripts/results_inverse.py` ({head['minutes']:.0f} minutes, threads: {head['threads']}, "
        f"{head['machine']}), with torch {head['torch']}. {head['scenes']} scenes of the test split, each inverted "
        f"from the class that the network says; ablation, curves and methods on the first {head['fewer']}.\n",
        "- **left**: mean of alpha = x^ / x; **half, most**: shares of the pixels of which more than "
        f"{100 * SUPPORTS[0]:g} %, or {100 * SUPPORTS[1]:g} %, is left: the support of alpha.\n"
        "- **same class, among five**: the network says of x^ what it says of x, or has it among its best five of "
        "twelve.\n"
        "- **deletion, insertion**: areas under the curves of RISE, in order of alpha.\n",
    ]
    for name, found in results["networks"].items():
        own = found["by_lambda"]
        at = drop(own)
        played = {one["lam"]: one for one in found["curves"]}
        rows = [
            f"## {name}\n",
            f"![Same class against what is left, and both against lambda](inverse_{name}.png)\n",
            "| lambda | left | half | most | same class | among five | probability | deletion | insertion |",
            "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for k, lam in enumerate(own["lam"]):
            scores = played.get(lam)
            curves = f"{scores['deletion']:.3f} | {scores['insertion']:.3f}" if scores else " | "
            star = "**" if k == at else ""
            rows.append(
                f"| {star}{lam:g}{star} | {own['alpha'][k]:.2f} | {own['half'][k]:.2f} | {own['most'][k]:.2f} | "
                f"{own['top1'][k]:.1%} | {own['top5'][k]:.1%} | {own['probability'][k]:.2f} | {curves} |"
            )
        rows.append(
            f"\nThe share of the same class falls most steeply after lambda {own['lam'][at]:g}. "
            + ("Every unit converged." if not own["unconverged"] else unconverged(own))
            + "\n"
        )
        rows += [
            "| method | left | same class | among five | deletion | insertion | s an image |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        scores = played[own["lam"][at]]
        rows.append(
            f"| layer-wise inverse, lambda {own['lam'][at]:g} | {own['alpha'][at]:.2f} | {own['top1'][at]:.0%} | "
            f"{own['top5'][at]:.0%} | {scores['deletion']:.3f} | {scores['insertion']:.3f} | {scores['seconds']:.2f} |"
        )
        rows += [
            f"| {one['title']} | {one['alpha']:.2f} | {one['top1']:.0%} | {one['top5']:.0%} | {one['deletion']:.3f} | "
            f"{one['insertion']:.3f} | {one['seconds']:.2f} |"
            for one in found["methods"].values()
        ]
        parts.append("\n".join([*rows, "", *otherwise(found)]) + "\n")
    return "\n".join(parts)


def otherwise(found: dict[str, Any]) -> list[str]:
    """What is otherwise than in the source, in sentences made of the numbers."""
    own, scores_by_lambda = found["by_lambda"], found["curves"]
    at = drop(own)
    played = {one["lam"]: one for one in scores_by_lambda}[own["lam"][at]]
    lowest, highest = (
        min(scores_by_lambda, key=lambda one: one["deletion"]),
        max(scores_by_lambda, key=lambda one: one["insertion"]),
    )
    better = [
        one["title"] for one in found["methods"].values()
        if one["top1"] > own["top1"][at] and one["alpha"] < own["alpha"][at]
    ]  # fmt: skip
    simplest = {
        label: min(
            (alpha for alpha, top1 in zip(one["alpha"], one["top1"], strict=True) if top1 > 0.7 - 1e-6),
            default=None,
        )
        for label, one in {"activation": own, **found["ablation"]}.items()
    }
    return [
        "Beside the source (VGG16, ImageNet, section 5.4):\n",
        f"- There the drop is at lambda 0.7, with about 30 % of the image left; here at {own['lam'][at]:g}, with "
        f"{own['alpha'][at]:.0%}, of {own['alpha'][0]:.0%} at lambda 0.",
        "- There no method of the table keeps the class more often; here "
        + (
            f"{', '.join(better)} do, with less of the image."
            if better
            else "none does with less of the image either."
        ),
        f"- There deletion and insertion are best at the drop; here they are {played['deletion']:.3f} and "
        f"{played['insertion']:.3f}, and best at lambda {lowest['lam']:g} ({lowest['deletion']:.3f}) and "
        f"{highest['lam']:g} ({highest['insertion']:.3f}).",
        "- The least that is left where the class is kept in at least 70 %: "
        + ", ".join(
            f"{label} {'none' if least is None else f'{least:.0%}'}" for label, least in simplest.items()
        )
        + ".",
    ]


def unconverged(found: dict[str, Any]) -> str:
    """How often which unit did not converge."""
    every = found["images"] * len(found["lam"])
    each = ", ".join(f"`{unit}` {count / every:.1%}" for unit, count in found["unconverged"].items())
    return f"Share of the solutions whose cost was still falling at the end, by unit: {each}."


def picture(name: str, found: dict[str, Any], path: Path) -> None:
    """The curves of figures 5.4, 5.6 and 5.7."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    own = found["by_lambda"]
    left.plot(own["lam"], own["top1"], marker="o", label="same class")
    left.plot(own["lam"], own["alpha"], marker="o", label="left of the image")
    for column, share in zip(("half", "most"), SUPPORTS, strict=True):
        left.plot(own["lam"], own[column], marker="o", label=f"more than {share:.0%} left")
    left.set(xlabel="lambda", ylim=(0, 1.02), title=name)
    for label, one in {"activation": own, **found["ablation"]}.items():
        right.plot(one["alpha"], one["top1"], marker="o", label=f"inverse, {label}")
    # By turns above and below, as neighbors would write over each other.
    for number, one in enumerate(sorted(found["methods"].values(), key=lambda each: each["alpha"])):
        right.plot(one["alpha"], one["top1"], "k.", markersize=5)
        offset = (4, 4 if number % 2 else -10)
        right.annotate(
            one["title"], (one["alpha"], one["top1"]), xytext=offset, textcoords="offset points", fontsize=8
        )
    right.set(xlabel="left of the image, mean alpha", ylabel="same class", xlim=(0, 1), ylim=(-0.02, 1.05))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    """Measure, and write inverse.json, inverse.md and a picture for each network."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenes", type=int, default=SCENES, help=f"number of scenes (default {SCENES})")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results", help="folder to write to")
    parser.add_argument("--page", action="store_true", help="the page and its curves anew, from the numbers")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    numbers = given.out / "inverse.json"
    if not given.page:
        numbers.write_text(json.dumps(measure(given.scenes, print), indent=1) + "\n")
    results = json.loads(numbers.read_text())
    (given.out / "inverse.md").write_text(page(results))
    for name, found in results["networks"].items():
        picture(name, found, given.out / f"inverse_{name}.png")


if __name__ == "__main__":
    main()
