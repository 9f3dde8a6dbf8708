"""Measure how layers represent concepts, and write docs/results/concepts.

    python scripts/results_concepts.py              everything; see the page for the minutes it took
    python scripts/results_concepts.py --train 600 --val 300            fewer scenes
    python scripts/results_concepts.py --only layers --networks scenes_vgg    one part again, the others remain
    python scripts/results_concepts.py --page       only the page and its figure, from concepts.json

For both bundled networks on generated scenes (Fong and Vedaldi 2018): single filters against learned combinations for
each concept and layer, the number of filters that a concept needs, the correlation of weights with IoUs, detectors
before and after random rotations (Bau et al. 2017), the planted stamp by every route, and concepts as vectors. For
EfficientNet-Lite0 with ImageNet weights: the concepts of the classes of the photographs at hand.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results_concepts_page import DEFAULT, draw, page
from results_concepts_routes import photographs, stamp
from results_concepts_vectors import distances, numbers, vectors
from torch import Tensor

import xai_widgets
from xai_widgets import data
from xai_widgets.concepts import (
    Descent,
    Embeddings,
    Probe,
    classification_concepts,
    dissect,
    probe,
    random_rotation,
    segmentation_concepts,
    single_filters,
    top_filters,
    weight_correlation,
)
from xai_widgets.concepts.segmentation import evaluate

ROOT = Path(__file__).resolve().parent.parent
TRAIN, VAL = DEFAULT, 1000
#: Ten times the published learning rate: with the published one, the combinations are still improving at the end.
SETTINGS = Descent(learning_rate=1e-3)
#: Side of the label masks: half of that of the images, as in Broden.
LABELS = 48
#: The layers that are probed: the last ReLU of each stage, or, where its positions are as many as the pixels, its pool.
LAYERS = {
    "scenes_vgg": ("stage1.pool", "stage2.relu2", "stage3.relu2", "stage4.relu2", "stage5.relu1"),
    "scenes_resnet": (
        "stem.relu",
        "stage1.0.relu:1",
        "stage2.1.relu:1",
        "stage3.1.relu:1",
        "stage4.0.relu:1",
    ),
}
#: Numbers of filters of figure 3.
FILTERS = (1, 2, 4, 8, 16, 64)
#: Random rotations, and random combinations for each concept.
ROTATIONS, DRAWS = 3, 5
#: The parts of the computation.
PARTS = ("layers", "rotation", "stamp", "vectors", "photographs")
#: Significance level of figure 9.
LEVEL = 0.01


class Kept(list[Any]):
    """Examples in memory, since each layer reads all of them."""

    def __init__(self, examples: Any, concepts: tuple[data.Concept, ...]) -> None:
        super().__init__(examples)
        self.concepts = concepts


def kept(count: int, split: str) -> Kept:
    """Return scenes in memory."""
    found = data.scene_concepts(count, split)
    return Kept(found, found.concepts)


def shuffled(examples: Kept) -> Kept:
    """Return images with the masks of other images."""
    order = np.random.default_rng(0).permutation(len(examples))
    pairs = zip(examples, order, strict=True)
    return Kept([data.Example(one.image, one.name, examples[k].masks) for one, k in pairs], examples.concepts)


def result(run: Any) -> Any:
    """Return the result of a run without a progress bar and without warnings about rare concepts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return run.result(progress=False)


def probes(model: Any, layer: str, train: Kept, val: Kept) -> tuple[Probe, Probe]:
    """Return the probes of a layer on both splits, with the thresholds of the first."""
    first = result(probe(model, train, layer=layer, label_size=LABELS))
    second = probe(model, val, layer=layer, label_size=LABELS, thresholds=first.thresholds)
    return first, result(second)


def everything(val: Probe) -> Tensor:
    """Return the set IoU of the mask of all pixels, the mean size of each concept, (C,)."""
    pixels = torch.zeros(len(val.concepts), dtype=torch.double)
    pixels.index_add_(0, val.pairs[:, 1], val.pixels.double())
    return (pixels / val.segmented / (val.label_size[0] * val.label_size[1])).float()


def measured_layer(train: Probe, val: Probe, published: bool) -> dict[str, Any]:
    """Return the figures of a layer: table 1, figures 2, 5, 7 and 9."""
    single = single_filters(train, val)
    learned = result(segmentation_concepts(train, val, settings=SETTINGS))
    classified = result(classification_concepts(train, val))
    one = result(top_filters(train, val, classified, [1])).fits[0]
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(DRAWS, *learned.weights.shape, generator=generator)
    correlation = weight_correlation(learned, single)
    every = range(len(train.concepts))
    zeros = [[each.per_image.deciles(c).zeros for c in every] for each in (single, learned)]
    return {
        "layer": train.layer,
        "grid": list(train.grid),
        "channels": train.channels,
        "trained": learned.trained.tolist(),
        "positives": learned.positives.tolist(),
        "size": numbers(everything(val)),
        "single": numbers(single.iou_set),
        "combined": numbers(learned.iou_set),
        "published": numbers(result(segmentation_concepts(train, val)).iou_set) if published else None,
        "random": numbers(evaluate(val, directions, learned.trained)[0].mean(0)),
        "zeros_single": numbers(torch.tensor(zeros[0])),
        "zeros_combined": numbers(torch.tensor(zeros[1])),
        "accuracy": numbers(classified.accuracy),
        "accuracy_one": numbers(one.accuracy),
        "correlation": numbers(correlation.coefficient),
        "significant": (correlation.p < LEVEL).tolist(),
        "selected": single.concepts_per_filter().tolist(),
        "filter": single.best.tolist(),
    }


def layers(name: str, train: Kept, val: Kept, report: Callable[[str], None]) -> dict[str, Any]:
    """Return the figures of all layers of a network, those of figure 3, and the baseline of shuffled labels."""
    model = xai_widgets.load(name, device="cpu")
    found: dict[str, Any] = {"concepts": [[one.name, one.category] for one in train.concepts], "layers": []}
    for number, layer in enumerate(LAYERS[name]):
        pair = probes(model, layer, train, val)
        found["layers"].append(measured_layer(*pair, published=number >= 2))
        report(f"{name}: {layer}")
    counts = [*(count for count in FILTERS if count < pair[0].channels), pair[0].channels]
    found["filters"] = {"layer": layer, "counts": counts}
    learned = {
        "segmentation": result(segmentation_concepts(*pair, settings=SETTINGS)),
        "classification": result(classification_concepts(*pair)),
    }
    for task, fitted in learned.items():
        refits = result(
            top_filters(*pair, fitted, counts, solver=SETTINGS if task == "segmentation" else None)
        )
        found["filters"][task] = [numbers(score) for score in refits.scores]
        report(f"{name}: top filters, {task}")
    wrong = probes(model, layer, shuffled(train), val)[0]
    found["shuffled"] = numbers(result(segmentation_concepts(wrong, pair[1], settings=SETTINGS)).iou_set)
    return found


def rotation(name: str, train: Kept, val: Kept, report: Callable[[str], None]) -> dict[str, Any]:
    """Return the detectors of layers, with their own filters and with randomly rotated ones (Bau et al. 2017)."""
    model = xai_widgets.load(name, device="cpu")
    rows = []
    for layer in LAYERS[name][2:]:
        own = dissected(model, layer, train, None)
        channels = own.iou.shape[1]
        turned = [
            dissected(model, layer, train, random_rotation(channels, 1.0, seed)) for seed in range(ROTATIONS)
        ]
        rows.append({"layer": layer, "channels": channels, "own": counted(own),
                     "rotated": [counted(one) for one in turned]})  # fmt: skip
        report(f"{name}: rotations of {layer}")
    return {"layers": rows}


def dissected(model: Any, layer: str, train: Kept, turned: Tensor | None) -> Any:
    """Return the dissection of a layer whose activations are rotated."""
    return dissect(
        result(probe(model, train, layer=layer, label_size=LABELS, rotation=turned)), complete=True
    )


def counted(found: Any) -> dict[str, Any]:
    """Return the number of unique detectors and of detectors, by category, and the detectors of the stamp."""
    stamps = found.filters_of("stamp")
    return {
        "unique": len(found.unique),
        "detectors": int(found.detectors.sum()),
        "categories": found.by_category(),
        "stamp": len(stamps),
        "stamp_iou": found.best_iou[stamps].max().item() if len(stamps) else None,
    }


def run_facts(train: Kept, val: Kept) -> dict[str, Any]:
    """Return the settings of a run, for the page."""
    return {
        "train": len(train),
        "val": len(val),
        "labels": LABELS,
        "draws": DRAWS,
        "rate": SETTINGS.learning_rate,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "torch": torch.__version__.split("+")[0],
    }


def report(words: str) -> None:
    """Print what is measured."""
    print(words, flush=True)


def measured(given: argparse.Namespace, results: dict[str, Any]) -> Iterator[str]:
    """Measure part by part, and yield the name of each when its figures are in `results`."""
    train, val = kept(given.train, "train"), kept(given.val, "test")
    spaces: list[Embeddings] = []
    for name in given.networks:
        found = results["networks"].setdefault(name, {"minutes": {}})
        for part in [part for part in PARTS[:-1] if part in given.only]:
            began = time.process_time()
            if part == "layers":
                found |= layers(name, train, val, report) | {"run": run_facts(train, val)}
            elif part == "rotation":
                found["rotation"] = rotation(name, train, val, report)
            elif part == "stamp":
                found["stamp"] = stamp(name, LAYERS[name], train, val, found, report)
            else:
                model = xai_widgets.load(name, device="cpu")
                pairs = partial(probes, model, train=train, val=val)
                found["vectors"], own = vectors(LAYERS[name], pairs, SETTINGS, report)
                spaces += own
            found["minutes"][part] = (time.process_time() - began) / 60
            yield part
    if len(spaces) == sum(map(len, LAYERS.values())):
        results["distances"] = distances(spaces)
        yield "distances"
    if "photographs" in given.only:
        results["photographs"] = photographs(report)
        yield "photographs"


def main() -> None:
    """Measure, and write concepts.json, concepts.md and concepts.png."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", type=int, default=TRAIN, help=f"training scenes (default {TRAIN})")
    parser.add_argument("--val", type=int, default=VAL, help=f"test scenes (default {VAL})")
    parser.add_argument("--networks", nargs="+", choices=list(LAYERS), default=list(LAYERS), help="networks")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results", help="folder to write to")
    parser.add_argument(
        "--page", action="store_true", help="only the page and its figure, from concepts.json"
    )
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / "concepts.json"
    results = json.loads(file.read_text()) if file.exists() else {"networks": {}}

    if not given.page:
        for _ in measured(given, results):
            file.write_text(json.dumps(results, indent=1) + "\n")
    missing = [
        f"{part} of {name}"
        for name, found in results["networks"].items()
        for part in PARTS[:-1]
        if part not in found
    ]
    if missing:
        print(f"no page yet: {', '.join(missing)} are not measured")
        return
    (given.out / "concepts.md").write_text(page(results))
    draw(results, given.out / "concepts.png")


if __name__ == "__main__":
    main()
