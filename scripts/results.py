"""Measure every method on generated scenes, where the truth is known, and write docs/results.

    python scripts/results.py                     everything; an hour or more on two cores
    python scripts/results.py --only rise lime    these methods anew, the rest as it stands
    python scripts/results.py --quick             a few scenes, printed and not written

Three questions, for both bundled networks: does the highest place of the map lie on the object of its class (pointing
game); does the map change when the network forgets its weights (sanity); and does the score rise with the area that an
extremal perturbation shows (monotonicity). The numbers stand in perturbation.json, perturbation.md is made from them.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from results_page import contact_sheet, page, percent
from scipy import ndimage
from torch import Tensor

import xai_widgets
from xai_widgets import metrics, perturbation
from xai_widgets.data import scenes
from xai_widgets.errors import unknown_name
from xai_widgets.methods import METHODS, Method, as_method
from xai_widgets.perturbation.meaningful import MeaningfulSettings
from xai_widgets.perturbation.noise_mask import NoiseMaskSettings
from xai_widgets.studies import Cell, EvaluationStudy

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = ("scenes_vgg", "scenes_resnet")
#: Of the test split, whose scenes no network was trained on. One object or more: with two, all rows are difficult.
SCENES, SCENE_SEED = 16, 1
#: Rows on which weights are randomized.
SANE = 3
#: What is randomized, from the output to the input: the parts that people name.
CASCADE = {
    "scenes_vgg": ("head", "stage5", "stage4", "stage3", "stage2", "stage1"),
    "scenes_resnet": ("head", "stage4", "stage3", "stage2", "stage1", "stem"),
}
#: The protocol's tolerance is 15 pixels at 224; the scenes have 96.
REFERENCE = 224
#: Areas of the monotonicity test, and the rows it is made on.
AREAS, MONOTONE = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4), 24
#: Rows on which the noise mask runs with the settings of its source until it is flat, and the maximum of its steps.
COVERED, STEPS = 4, 15_000
#: Scenes of the training split that patterns are estimated from.
ESTIMATED = 64

#: Options that make a method quicker than its own, so that the whole ends in time. Others run by their defaults.
OPTIONS: dict[str, dict[str, Any]] = {
    "extremal": {"areas": (0.025, 0.05, 0.1, 0.2), "variant": "hybrid"},
    "kernel_shap": {"samples": 400},
    "lime": {"samples": 400},
    "meaningful_perturbation": {"settings": MeaningfulSettings(steps=150)},
    "noise_mask": {"settings": NoiseMaskSettings.within(600)},
    "pattern_attribution": {"patterns": ESTIMATED},
    "pattern_net": {"patterns": ESTIMATED},
    "prediction_difference": {"stride": 7, "samples": 6},
    "rise": {"masks": 1000},
}

#: Methods of the predicted class alone: fewer rows, and no sanity, as randomized networks predict other classes.
PREDICTED = {name for name, method in METHODS.items() if "predicted_class" in method.requires}


@dataclass(frozen=True)
class Explainer:
    """One line of the tables: a method with its options set."""

    method: Method
    group: str
    options: dict[str, Any]


def explainers() -> dict[str, Explainer]:
    """Return every method, and the center as a baseline without a network."""
    found = {"center": Explainer(replace(as_method(("Center", center)), name="center"), "baseline", {})}
    for name, method in METHODS.items():
        options = OPTIONS.get(name, {})
        given = options | ({"patterns": training(ESTIMATED)} if "patterns" in options else {})
        function = partial(method.function, **given) if given else method.function
        found[name] = Explainer(replace(method, function=function), method.family, options)
    return found


@cache
def training(count: int) -> list[Image.Image]:
    """Return scenes of the training split, for patterns."""
    return [scenes.scene(number).image for number in range(count)]


def center(model: Any, x: Tensor, target: Tensor) -> Tensor:
    """Return a map with its maximum in the center of the image."""
    rows, columns = (torch.arange(n) - (n - 1) / 2 for n in x.shape[2:])
    return -(rows[:, None] ** 2 + columns**2).expand(len(x), -1, -1)


@dataclass(frozen=True)
class Bench:
    """One network, and the rows on which everything is measured: one for each scene and class that is visible in it."""

    name: str
    model: Any
    study: EvaluationStudy
    task: metrics.PointingTask
    x: Tensor
    stamped: Tensor
    marks: Tensor
    sane: int

    @classmethod
    def of(cls, name: str, count: int, sane: int) -> Bench:
        """Return the network on the first `count` scenes; weights are randomized on the first `sane` rows."""
        model = xai_widgets.load(name, device="cpu")
        some = scenes.generate(count, objects=(1, 3), split="test", seed=SCENE_SEED)
        visible = [{k: mask for k, mask in each.masks.items() if mask.any()} for each in some]
        task = metrics.PointingTask.from_masks(visible)
        images = model.images([each.image for each in some])
        study = EvaluationStudy(
            model,
            images,
            [one.method for one in explainers().values()],
            "pointing",
            masks=visible,
        )
        # Not part of the seconds of a map.
        study.maps.all_scores()
        marks = torch.from_numpy(np.stack([each.mark for each in some]))[task.image]
        stamped = (task.target == scenes.CUE_CLASS) & marks.flatten(1).any(1)
        return cls(name, model, study, task, images[task.image], stamped, marks, min(sane, len(task)))

    def rows(self, name: str) -> Tensor:
        """Return the rows that a method is measured on."""
        if name not in PREDICTED:
            return torch.arange(len(self.task))
        return (self.model.targets(None, self.x) == self.task.target).nonzero()[:, 0]

    def cells(self, name: str, rows: Tensor) -> list[Cell]:
        """Return the cells of some rows."""
        pairs = zip(self.task.image[rows].tolist(), self.task.target[rows].tolist(), strict=True)
        return [Cell(name, None, image, target, "pointing") for image, target in pairs]

    def maps(self, cells: list[Cell]) -> Tensor:
        """Return the maps of some cells."""
        keys = [self.study.map_key(cell) for cell in cells]
        outcomes = self.study.maps.compute(keys, progress=False)
        return torch.stack([outcome.result for outcome in outcomes.values()])


def measured(bench: Bench, explainer: Explainer) -> dict[str, Any]:
    """Return pointing game and sanity of one method on one network."""
    name, study = explainer.method.name, bench.study
    rows = bench.rows(name)
    if not len(rows):
        raise ValueError("expected rows of the class that the network predicts, got none; use more scenes")
    cells = bench.cells(name, rows)
    began = time.monotonic()
    outcomes = study.compute(cells, progress=False)
    seconds = (time.monotonic() - began) / len(rows)
    if failures := study.failures(cells):
        raise ValueError(next(iter(failures.values())))
    hits = torch.tensor([outcome.result[0] for outcome in outcomes.values() if outcome.result])
    pointing, target, difficult = (
        study.metrics["pointing"],
        bench.task.target[rows],
        bench.task.difficult[rows],
    )
    found: dict[str, Any] = {
        "title": explainer.method.title,
        "group": explainer.group,
        "options": {key: shown(value) for key, value in explainer.options.items()},
        "all": pointing.summarize(hits.tolist(), target.tolist()).mean,
        "difficult": pointing.summarize(hits[difficult].tolist(), target[difficult].tolist()).mean,
        "error": standard_error(hits),
        "rows": len(rows),
        "seconds": seconds,
    }
    stamped = bench.stamped[rows]
    if stamped.any():
        maps = bench.maps([cell for cell, chosen in zip(cells, stamped.tolist(), strict=True) if chosen])
        stamps = metrics.PointingTask.from_masks([{0: mark} for mark in bench.marks[rows][stamped]])
        found["stamp"] = metrics.pointing_game(maps, stamps, reference=REFERENCE).accuracy
    if explainer.group != "baseline" and name not in PREDICTED:
        found["sanity"] = sanity(bench, explainer.method)
    return found


def shown(value: Any) -> str:
    """An option as text; of settings, what is not the default."""
    if not is_dataclass(value):
        return str(value)
    changed = [f for f in fields(value) if getattr(value, f.name) != f.default]
    return f"{type(value).__name__}({', '.join(f'{f.name}={getattr(value, f.name)}' for f in changed)})"


def standard_error(hits: Tensor) -> float:
    """Of a share of independent hits; one more hit and one more miss keep it above 0 (Laplace)."""
    p = (hits.sum().item() + 1) / (len(hits) + 2)
    return (p * (1 - p) / len(hits)) ** 0.5


def sanity(bench: Bench, method: Method) -> dict[str, Any]:
    """Return the mean agreement with the map of the trained network after each part of the cascade."""
    run = metrics.weight_randomization(
        bench.model,
        bench.x[: bench.sane],
        bench.task.target[: bench.sane],
        explain=method,
        layers=CASCADE[bench.name],
    )
    found = run.result(progress=False)
    # No correlation with a map that has become constant: it says nothing, and agrees with nothing.
    columns = {key: getattr(found, key).nan_to_num(0).mean(0).tolist() for key in ("spearman_abs", "ssim")}
    return {"layers": list(found.layers), **columns}


def monotone(bench: Bench) -> dict[str, Any]:
    """Equation 8 for extremal perturbations, in scores before softmax."""
    x, target = bench.x[:MONOTONE], bench.task.target[:MONOTONE]
    found = perturbation.extremal(bench.model, x, target, areas=AREAS).result(progress=False)
    tests = {
        str(slack): metrics.monotonicity(found.areas, found.scores, found.whole, tolerance=slack)
        for slack in (0.0, 0.1)
    }
    possible = int(tests["0.0"].can_fail.sum())
    shares = {slack: test.share_of_possible if possible else None for slack, test in tests.items()}
    return {"areas": list(AREAS), "rows": len(x), "possible": possible, "share": shares}


def covered(bench: Bench) -> dict[str, Any]:
    """Return whether the noise mask becomes flat with the settings of its source, and where it keeps pixels."""
    x, target = bench.x[:COVERED], bench.task.target[:COVERED]
    settings = NoiseMaskSettings(max_steps=STEPS)
    began = time.monotonic()
    found = perturbation.noise_mask(bench.model, x, target, settings=settings).result(progress=False)
    seconds = (time.monotonic() - began) / len(x)
    masks, objects = found.masks[:, 0], bench.task.masks[:COVERED]
    steps = (~found.areas.isnan()).sum(0)
    on, off = (
        torch.stack([mask[where].mean() for mask, where in zip(masks, regions, strict=True)]).mean().item()
        for regions in (objects, ~objects)
    )
    return {
        "rows": len(x),
        "flat": int(found.flat.sum()),
        "most": STEPS,
        "steps": steps.tolist(),
        "area": masks.mean().item(),
        "on": on,
        "off": off,
        "loss_percent": found.loss_percent.tolist(),
        "seconds": seconds,
    }


def chance(task: metrics.PointingTask) -> tuple[float, float]:
    """What a place drawn at random hits, in all and in the difficult rows."""
    reach = 15 * min(task.masks.shape[1:]) / REFERENCE
    shares = [float((ndimage.distance_transform_edt(~mask) <= reach).mean()) for mask in task.masks.numpy()]
    every, kept = torch.tensor(shares), task.difficult
    means = []
    for rows in (torch.ones_like(kept), kept):
        classes = task.target[rows].unique()
        means.append(float(np.mean([every[rows & (task.target == k)].mean().item() for k in classes])))
    return means[0], means[1]


def picture(bench: Bench, chosen: dict[str, Explainer]) -> Image.Image:
    """The maps of every method for two classes of the first scene that has them, white being high."""
    pairs = (bench.task.image[1:] == bench.task.image[:-1]).nonzero().flatten().tolist() or [0]
    rows = torch.arange(pairs[0], min(pairs[0] + 2, len(bench.task)))
    size = (bench.x.shape[2], bench.x.shape[3])
    tiles = [
        (", ".join(bench.model.labels[k] for k in bench.task.target[rows]), bench.x[rows].permute(0, 2, 3, 1))
    ]
    for explainer in chosen.values():
        if explainer.group == "baseline" or explainer.method.name in PREDICTED:
            continue
        maps = metrics.resize_map(bench.maps(bench.cells(explainer.method.name, rows)), size)
        # Signed maps by what speaks for the class; a few pixels may be cut so that one does not darken all others.
        low, high = maps.amin((1, 2)).clamp(min=0), maps.flatten(1).quantile(0.999, dim=1)
        units = (maps - low[:, None, None]) / (high - low).clamp(min=1e-12)[:, None, None]
        tiles.append((explainer.method.title, units.clamp(0, 1)))
    return contact_sheet([(title, [part.numpy() for part in parts]) for title, parts in tiles])


def header(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    """What the numbers were made with."""
    return {
        "command": "python scripts/results.py",
        "scenes": options.scenes,
        "scene_seed": SCENE_SEED,
        "size": bench.x.shape[-1],
        "rows": len(bench.task),
        "difficult": int(bench.task.difficult.sum()),
        "stamped": int(bench.stamped.sum()),
        "reference": REFERENCE,
        "sane": bench.sane,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "versions": {
            "xai_widgets": xai_widgets.__version__,
            "torch": torch.__version__.split("+")[0],
            "Python": platform.python_version(),
        },
        "seconds": 0.0,
    }


def fill(
    bench: Bench, chosen: dict[str, Explainer], found: dict[str, Any], save: Callable[[], None]
) -> list[str]:
    """Measure methods on one network into `found`; the names of those that failed."""
    found["chance"] = chance(bench.task)
    found["refused"] = {name: one for name, one in found.get("refused", {}).items() if name not in chosen}
    failed = []
    for name, explainer in chosen.items():
        try:
            one = measured(bench, explainer)
        except Exception as error:  # minutes of other methods' work are not to be lost with it
            title, _, reason = str(error).partition(": ")
            if title == explainer.method.title and reason.startswith("expected "):
                found["refused"][name] = {"title": title, "reason": reason.partition(" (and ")[0]}
                print(f"{bench.name:14} {name:24} refused: {reason}", flush=True)
                continue
            failed.append(f"{name} on {bench.name}: {type(error).__name__}: {error}")
            print(f"{bench.name:14} {name:24} FAILED: {error}", flush=True)
            continue
        found["methods"][name] = one
        save()
        print(
            f"{bench.name:14} {name:24} all {percent(one['all']):>3}  difficult {percent(one['difficult']):>3}  "
            f"{one['seconds']:.2f} s a map",
            flush=True,
        )
    # Methods that are measured anew keep their place in the tables.
    found["methods"] = {name: found["methods"][name] for name in explainers() if name in found["methods"]}
    if "extremal" in chosen:
        found["monotonicity"] = monotone(bench)
    if "noise_mask" in chosen:
        found["covered"] = covered(bench)
    save()
    return failed


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two scenes, printed and not written")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="these methods; what is written keeps the others"
    )
    parser.add_argument("--scenes", type=int, help=f"number of scenes (default {SCENES}, --quick 2)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results", help="folder to write to")
    given = parser.parse_args()
    for name in given.only or ():
        if name not in explainers():
            parser.error(unknown_name("method", name, explainers()))
    if given.scenes is None:
        given.scenes = 2 if given.quick else SCENES
    return given


def main() -> None:
    """Measure, and write perturbation.json, perturbation.md and a picture for each network."""
    began, given = time.monotonic(), arguments()
    chosen = {name: one for name, one in explainers().items() if not given.only or name in given.only}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if given.quick else given.out
        folder.mkdir(parents=True, exist_ok=True)
        numbers = folder / "perturbation.json"
        benches = [Bench.of(name, given.scenes, 1 if given.quick else SANE) for name in NETWORKS]
        results: dict[str, Any] = {"header": header(benches[0], given), "networks": {}}
        if given.only and numbers.exists():
            earlier = json.loads(numbers.read_text())
            same = ("scenes", "scene_seed", "size", "rows", "sane")
            if any(earlier["header"][key] != results["header"][key] for key in same):
                sys.exit(f"{numbers.name} is of other scenes, wanted the same ones: run without --only")
            results["networks"] = earlier["networks"]
            results["header"]["seconds"] = earlier["header"]["seconds"]
        before, failed = results["header"]["seconds"], []

        def save() -> None:
            results["header"]["seconds"] = round(before + time.monotonic() - began, 1)
            numbers.write_text(json.dumps(results, indent=1) + "\n")

        for bench in benches:
            found = results["networks"].setdefault(bench.name, {"methods": {}})
            failed += fill(bench, chosen, found, save)
            if not given.quick:
                everything = {name: one for name, one in explainers().items() if name in found["methods"]}
                picture(bench, everything).save(folder / f"perturbation_{bench.name}.png", optimize=True)
        text = page(results, pictures=not given.quick)
        (folder / "perturbation.md").write_text(text)
        if given.quick:
            print(text)
    if failed:
        sys.exit("\n".join(["these failed:", *failed]))


if __name__ == "__main__":
    main()
