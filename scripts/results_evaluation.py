"""Score methods by every metric on generated scenes and on photographs, and write docs/results/evaluation.

    python scripts/results_evaluation.py                         everything: some hours on two cores
    python scripts/results_evaluation.py --networks scenes_vgg   one network anew, the others as they stand
    python scripts/results_evaluation.py --scenes 100            of each bundled network: a fifth of the time
    python scripts/results_evaluation.py --page                  the page anew, from evaluation.json
    python scripts/results_evaluation.py --quick                 every part in a minute, in build/evaluation_quick

Scores are written to build/evaluation when they are finished, and never computed twice: an interrupted command, or one
with fewer scenes, continues when it is run again.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results_evaluation_page import page

import xai_widgets
from xai_widgets.data import Example, photograph, photographs, scenes
from xai_widgets.methods import METHODS, Method
from xai_widgets.metrics import METRICS, Metric
from xai_widgets.studies import Evaluation, evaluate
from xai_widgets.studies.paired import paired_intervals
from xai_widgets.studies.reference_maps import reference_methods
from xai_widgets.studies.sanity import randomized_blocks

ROOT = Path(__file__).resolve().parent.parent
SCENES, SCENE_SEED = 500, 20
#: Scenes in one file of scores, so that the scores of a short run count in a longer one.
CHUNK = 25
#: Scenes for methods of many passes.
SLOW_SCENES = 25
BUNDLED = ("scenes_vgg", "scenes_resnet")
PRETRAINED = "efficientnet_lite0"

#: Methods of at most three passes, on all scenes.
QUICK = (
    "gradient",
    "gradient_x_input",
    "deconvnet",
    "guided_backprop",
    "guided_grad_cam",
    "grad_cam",
    "grad_cam_plus_plus",
    "linear_approximation",
    "norm_grad",
    "excitation_backprop",
    "contrastive_excitation_backprop",
    "lrp",
    "deep_lift",
)
#: Methods of many passes, with the options that bound them.
SLOW: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"steps": 25},
    "smoothgrad": {"samples": 15},
    "gradient_shap": {"samples": 25},
    "occlusion": {},
    "rise": {"masks": 400},
    "lime": {"samples": 300},
    "extremal": {"areas": (0.05, 0.1, 0.2)},
}

#: Metrics, with options that bound their passes.
OPTIONS: dict[str, dict[str, Any]] = {
    "deletion": {"steps": 24},
    "insertion": {"steps": 24},
    "morf": {"steps": 20},
    "lerf": {"steps": 20},
    "abpc": {"steps": 20},
    "sensitivity_n": {"sets": 10},
    "infidelity": {"squares": 60},
}
#: Metrics that compute a map again and again, or measure the network alone, which methods of many passes are spared.
REPEATED = (
    "randomization",
    "data_randomization",
    "class_sensitivity",
    "constant_shift",
    "megabytes",
    "virtual_identity",
)
#: Metrics that compare with a second map or need parts, and the halves of ABPC.
LEFT_OUT = {name for name, one in METRICS.items() if {"reference", "parts"} & set(one.needs)} | {
    "morf",
    "lerf",
}
#: Draws of the bootstrap.
RESAMPLES = 1000
#: Photographs are those in which the network gives one class at least this probability.
RECOGNIZED = 0.2


@dataclass(frozen=True)
class Part:
    """One evaluation: methods by metrics on images, in files of their own."""

    network: str
    name: str
    images: Sequence[Any]
    targets: Sequence[int] | None
    methods: Sequence[Method]
    metrics: Sequence[Metric]
    permuted: str | None = None

    def evaluation(self, folder: Path) -> Evaluation:
        """Return the scores; those in the folder are not computed again."""
        model = xai_widgets.load(self.network)
        permuted = xai_widgets.load(self.permuted) if self.permuted else None
        outcomes = {}
        for first in range(0, len(self.images), CHUNK):
            until = min(first + CHUNK, len(self.images))
            found = evaluate(
                {self.network: model},
                list(self.images[first:until]),
                list(self.methods),
                list(self.metrics),
                targets=None if self.targets is None else list(self.targets[first:until]),
                permuted=permuted,
                path=folder / f"{self.network}_{self.name}_{first}_{until}.sqlite",
                progress=False,
            )
            print(f"{self.network}, {self.name}: {until} of {len(self.images)} images", flush=True)
            for cell, outcome in found.outcomes[self.network].items():
                outcomes[cell._replace(image=cell.image + first)] = outcome
        return Evaluation(found.metrics, {self.network: outcomes})


def metrics(names: Sequence[str], network: str) -> list[Metric]:
    """Return metrics with their options."""
    blocks = {"randomization": {"layers": randomized_blocks(xai_widgets.load(network))}}
    return [METRICS[name].with_options(**{**OPTIONS, **blocks}.get(name, {})) for name in names]


def method(name: str) -> Method:
    """Return a method with its options."""
    options = SLOW.get(name)
    if not options:
        return METHODS[name]
    return replace(METHODS[name], function=partial(METHODS[name].function, **options))


def recognized(network: str) -> list[str]:
    """Return the names of the photographs in which a network recognizes something."""
    model = xai_widgets.load(network)
    return [name for name in photographs() if model.probs(photograph(name)).max() >= RECOGNIZED]


def parts(network: str, count: int, quick: Sequence[str], slow: Sequence[str]) -> Iterator[Part]:
    """Yield the evaluations of a network."""
    if network in BUNDLED:
        made = scenes.generate(count, objects=(1, 3), split="test", seed=SCENE_SEED)
        images: list[Any] = [Example(one.image, one.name, one.masks) for one in made]
        # One class of each scene, so that each scene counts once.
        generator = np.random.default_rng(SCENE_SEED)
        targets = [int(generator.choice(sorted(one.masks))) for one in made]
        names = [name for name in METRICS if name not in LEFT_OUT]
    else:
        images = [photograph(name) for name in recognized(network)][:count]
        targets = None
        names = [
            name
            for name in METRICS
            if name not in LEFT_OUT and not {"mask", "permuted"} & set(METRICS[name].needs)
        ]
    permuted = f"{network}_permuted" if network in BUNDLED else None
    yield Part(
        network, "quick", images, targets, [method(name) for name in quick], metrics(names, network), permuted
    )
    few = [name for name in names if name not in REPEATED]
    some = slice(SLOW_SCENES)
    yield Part(
        network,
        "slow",
        images[some],
        targets and targets[some],
        [method(name) for name in slow],
        metrics(few, network),
    )


def summary(evaluation: Evaluation, references: Sequence[str]) -> dict[str, Any]:
    """Return means with intervals by metric and method, and whether a method is separated from others.

    ``behind`` is True if the best method is better, by the interval of the paired difference; ``above`` is True if the
    method is better than every reference map. Fewer than :func:`~xai_widgets.studies.paired.least_images` common
    images separate nothing.
    """
    found: dict[str, Any] = {}
    for row in evaluation.intervals(resamples=RESAMPLES):
        figures = {"mean": row.mean, "low": row.low, "high": row.high}
        own = {name: None if value != value else float(f"{value:.4g}") for name, value in figures.items()}
        found.setdefault(row.metric, {})[row.method] = own | {
            "n": row.n,
            "missed": row.missed,
            "failed": row.failed,
            "error": "",
        }
    known: dict[str, dict[str, dict[tuple[int, int], float]]] = {}
    for cells in evaluation.outcomes.values():
        for cell, outcome in cells.items():
            if outcome.error:
                found[cell.metric][cell.method]["error"] = outcome.error
            elif outcome.result is not None and outcome.result.value == outcome.result.value:
                value, target = outcome.result
                scores = known.setdefault(cell.metric, {}).setdefault(cell.method, {})
                scores[cell.image, target] = value
    draws = evaluation.draws(resamples=RESAMPLES)
    for name, rows in known.items():
        _compare(found[name], rows, draws, evaluation.metrics[name], references)
    return found


def _compare(
    rows: dict[str, Any],
    known: dict[str, dict[tuple[int, int], float]],
    draws: Any,
    metric: Metric,
    references: Sequence[str],
) -> None:
    """Add ``behind`` and ``above`` to the methods of a metric; ``known`` has the score of each image and class."""
    sign = 1 if metric.direction == "higher" else -1
    items = sorted({item for scores in known.values() for item in scores})
    images, classes = np.array(items).T
    scores = np.array([[sign * each.get(item, np.nan) for item in items] for each in known.values()])
    ends = paired_intervals(scores, images, classes if metric.average == "classes" else None, draws)
    # NaN, for too few images, is not above 0.
    better = ends[..., 0] > 0
    names = list(known)
    best = max(range(len(names)), key=lambda row: sign * rows[names[row]]["mean"])
    others = [names.index(name) for name in references if name in known]
    for row, name in enumerate(names):
        rows[name]["behind"] = bool(better[best, row])
        rows[name]["above"] = bool(better[row, others].all())


def measured(
    network: str, count: int, folder: Path, quick: Sequence[str], slow: Sequence[str]
) -> dict[str, Any]:
    """Return the scores of a network by part, metric and method."""
    found: dict[str, Any] = {}
    for part in parts(network, count, quick, slow):
        found[part.name] = {
            "images": len(part.images),
            "metrics": summary(part.evaluation(folder), list(reference_methods())),
        }
    if network == PRETRAINED:
        found["photographs"] = recognized(network)[:count]
    return found


def facts() -> dict[str, Any]:
    """Return titles, directions and bounds of the metrics and titles of the methods, as the page names them."""
    named = {**reference_methods(), **{name: METHODS[name] for name in (*QUICK, *SLOW)}}
    fields = ("title", "category", "direction", "measures", "average")
    return {
        "methods": {name: each.title for name, each in named.items()},
        "metrics": {
            name: {field: getattr(METRICS[name], field) for field in fields}
            | {"options": OPTIONS.get(name, {})}
            for name in METRICS
            if name not in LEFT_OUT
        },
        "settings": {
            name: {key: repr(value) for key, value in given.items()} for name, given in SLOW.items()
        },
        "references": list(reference_methods()),
        "machine": platform.machine(),
        "torch": torch.__version__.split("+")[0],
    }


def main() -> None:
    """Score, and write evaluation.json and evaluation.md."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--networks", nargs="+", choices=[*BUNDLED, PRETRAINED], default=[*BUNDLED, PRETRAINED]
    )
    parser.add_argument("--scenes", type=int, default=SCENES, help="of each bundled network")
    parser.add_argument("--page", action="store_true", help="only the page, from evaluation.json")
    parser.add_argument("--quick", action="store_true", help="a few scenes, methods and metrics")
    parser.add_argument("--out", type=Path, help="folder to write to")
    given = parser.parse_args()
    build = ROOT / "build" / ("evaluation_quick" if given.quick else "evaluation")
    out = given.out or (build if given.quick else ROOT / "docs" / "results")
    for folder in (build, out):
        folder.mkdir(parents=True, exist_ok=True)
    numbers = out / "evaluation.json"
    found = json.loads(numbers.read_text()) if numbers.exists() else {"networks": {}}
    found["facts"] = facts()
    if not given.page:
        torch.set_num_threads(1)
        quick, slow, count = (
            (QUICK[:2], ("occlusion",), 3) if given.quick else (QUICK, tuple(SLOW), given.scenes)
        )
        for network in given.networks:
            found["networks"][network] = measured(network, count, build, quick, slow)
            numbers.write_text(json.dumps(found, indent=1) + "\n")
    (out / "evaluation.md").write_text(page(found))


if __name__ == "__main__":
    main()
