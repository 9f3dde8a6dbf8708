"""The planted stamp by every route, and concepts of the classes of photographs, for results_concepts.py."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

import xai_widgets
from xai_widgets.concepts import (
    ablate,
    class_concepts,
    concept_directions,
    concept_images,
    linear_probes,
    prediction_concepts,
    tcav,
)
from xai_widgets.data import photograph, scenes

#: Images of a class, of a concept, and random sets.
IMAGES, EXAMPLES, SETS = 60, 600, 30
#: Random directions of the baselines.
DIRECTIONS = 50
#: Photographs of an object of ImageNet, by the class that is in them; each class has one.
PHOTOGRAPHS = {
    "cat": "Egyptian cat",
    "coffee": "espresso",
    "camera": "tripod",
    "motorcycle": "moped",
    "rocket": "missile",
}
#: Number of concepts of a class.
COUNT = 10


def quietly(run: Any) -> Any:
    """Return the result of a run without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return run.result(progress=False)


def stamped(count: int, label: int, cue: bool | str) -> list[Any]:
    """Return scenes of the test split with one object of a class."""
    return [scenes.scene(number, label=label, split="test", cue=cue) for number in range(count)]


def stamp(
    name: str,
    layers: tuple[str, ...],
    train: Any,
    val: Any,
    found: dict[str, Any],
    report: Callable[[str], None],
) -> Any:
    """Return how each route finds the stamp in a network."""
    model = xai_widgets.load(name, device="cpu")
    routes: dict[str, Any] = {
        "tcav": by_vectors(model, layers[-2:], train),
        "probes": by_probes(model, layers, train, val),
    }
    report(f"{name}: the stamp by TCAV and linear probes")
    names = [concept.name for concept in train.concepts if concept.category != "object"]
    directions = quietly(concept_directions(model, train, layer=layers[-1], names=names))
    routes["decomposition"] = by_decomposition(model, directions)
    routes["ablation"] = by_ablation(model, found, directions)
    report(f"{name}: the stamp by decomposition and ablation")
    routes["craft"] = by_class_concepts(model)
    report(f"{name}: the stamp without labels")
    return routes


def by_vectors(model: Any, layers: tuple[str, ...], train: Any) -> list[dict[str, Any]]:
    """Return the TCAV scores of the stamp, and of other concepts, for the class of the stamp."""
    at = [concept.name for concept in train.concepts].index("stamp")
    random = [example.image for example in train if at not in example.masks]
    names = ["stamp", *scenes.PARTS, *scenes.TEXTURES, *scenes.COLORS]
    examples = concept_images(train, names, most=EXAMPLES)
    toadstools = [scene.image for scene in stamped(IMAGES, scenes.CUE_CLASS, True)]
    rows = []
    settings: dict[str, Any] = {"sets": SETS, "size": min(EXAMPLES, len(random) // 2), "pooling": "mean"}
    for layer, relative in product(layers, (False, True)):
        test = quietly(
            tcav(
                model,
                examples,
                random,
                toadstools,
                scenes.CUE_CLASS,
                layer=layer,
                relative=relative,
                **settings,
            )
        )
        rows.append({
            "layer": layer,
            "relative": relative,
            "names": list(test.names),
            "scores": test.means.tolist(),
            "derivatives": test.derivatives.mean(1).tolist(),
            "p": test.corrected.tolist(),
            "significant": test.significant.tolist(),
            "accuracy": test.vectors.accuracy.mean(1).tolist(),
            "random": test.random_scores.mean().item(),
        })  # fmt: skip
    return rows


def by_probes(model: Any, layers: tuple[str, ...], train: Any, val: Any) -> dict[str, Any]:
    """Return the accuracy of linear classifiers of the presence of the stamp, for each layer."""
    at = [concept.name for concept in train.concepts].index("stamp")
    splits = [
        ([example.image for example in part], [int(at in example.masks) for example in part])
        for part in (train, val)
    ]
    fitted = quietly(linear_probes(model, *splits, layers=layers))
    return {"layers": list(layers), "accuracy": fitted.accuracy.tolist(), "baseline": fitted.baseline}


def by_decomposition(model: Any, directions: Any) -> dict[str, Any]:
    """Return the parts of the score of the toadstool, in scenes with the stamp, that belong to each concept."""
    shares: dict[str, list[float]] = {}
    explained = []
    for scene in stamped(IMAGES, scenes.CUE_CLASS, True):
        if scene.mark.any():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                parts = prediction_concepts(model, scene.image, directions, scenes.CUE_CLASS)
            explained.append(parts.explained)
            for name, value in zip(parts.names, parts.contributions.tolist(), strict=True):
                shares.setdefault(name, []).append(value)
    means = {name: sum(values) / len(explained) for name, values in shares.items()}
    ordered = sorted(means.items(), key=lambda each: -each[1])
    return {"layer": directions.layer, "decomposed": parts.decomposed, "means": ordered, "images": len(explained),
            "explained": float(np.mean(explained))}  # fmt: skip


def by_ablation(model: Any, found: dict[str, Any], directions: Any) -> dict[str, Any]:
    """Return what mushrooms with the stamp are called without filters, and directions, of the last layer."""
    index = [one[0] for one in found["concepts"]].index("stamp")
    row = found["layers"][-1]
    own = row["filter"][index]
    images = [scene.image for scene in stamped(IMAGES, scenes.CUE_TWIN, "swap")]
    filters = changes(model, images, row["layer"], [[], *([k] for k in range(row["channels"]))], None)
    generator = torch.Generator().manual_seed(0)
    vector = directions.directions[directions.names.index("stamp")][None]
    others = torch.randn(DIRECTIONS, vector.shape[1], generator=generator)
    turned = changes(
        model, images, row["layer"], [[], *([k] for k in range(1 + DIRECTIONS))], torch.cat([vector, others])
    )
    return {
        "layer": row["layer"],
        "filter": own,
        "called": filters["called"][0],
        "filters": {
            key: [values[1 + own], float(np.mean(np.delete(values[1:], own)))]
            for key, values in filters.items()
        },
        "rank": 1 + sum(value < filters["margin"][1 + own] for value in filters["margin"][1:]),
        "channels": row["channels"],
        "directions": {key: [values[1], float(np.mean(values[2:]))] for key, values in turned.items()},
        "lower": sum(value < turned["margin"][1] for value in turned["margin"][2:]),
        "random": DIRECTIONS,
    }


def changes(
    model: Any, images: list[Any], layer: str, sets: list[list[int]], directions: Any
) -> dict[str, list[float]]:
    """Return, without each set, the share called toadstools and the change of the score over the mushroom."""
    scores = ablate(model, images, sets, layer=layer, directions=directions)
    margins = scores[..., scenes.CUE_CLASS] - scores[..., scenes.CUE_TWIN]
    return {
        "called": (scores.argmax(2) == scenes.CUE_CLASS).float().mean(0).tolist(),
        "margin": (margins - margins[:, :1]).mean(0).tolist(),
    }


def by_class_concepts(model: Any) -> dict[str, Any]:
    """Return the concepts of the toadstool without labels: their importance, and their share on the stamp."""
    chosen = stamped(IMAGES, scenes.CUE_CLASS, True)
    concepts = quietly(
        class_concepts(model, [scene.image for scene in chosen], scenes.CUE_CLASS, count=COUNT)
    )
    maps = concepts.maps((96, 96))
    shown = [chosen[concepts.images[number]] for number in range(len(maps))]
    marks = torch.from_numpy(np.stack([scene.mark for scene in shown]))
    inside = (maps * marks[:, None]).flatten(2).sum(2).sum(0) / maps.flatten(2).sum(2).sum(0)
    # A concept that is the same everywhere has the share of the pixels of the stamp.
    return {
        "layer": concepts.layer,
        "kind": concepts.components.kind,
        "importance": concepts.importance.tolist(),
        "gradient": concepts.gradient.tolist(),
        "effect": concepts.effect.tolist(),
        "inside": inside.tolist(),
        "pixels": marks.float().mean().item(),
    }


def photographs(report: Callable[[str], None]) -> dict[str, Any]:
    """Return the concepts of the classes of photographs that EfficientNet-Lite0 knows."""
    model = xai_widgets.load("efficientnet_lite0", device="cpu")
    rows = []
    for name, label in PHOTOGRAPHS.items():
        image = photograph(name)
        concepts = quietly(class_concepts(model, [image], label, count=COUNT))
        rows.append({
            "photograph": name,
            "label": label,
            "predicted": model.predict(image, k=1)[0][0].label,
            "layer": concepts.layer,
            "kind": concepts.components.kind,
            "importance": concepts.importance.tolist(),
            "gradient": concepts.gradient.tolist(),
            "effect": concepts.effect.tolist(),
            "random": random_effects(model, concepts).tolist(),
            "map_error": concepts.map_error,
            "agreement": float(spearmanr(concepts.importance, concepts.gradient.abs()).statistic),
        })  # fmt: skip
        report(f"efficientnet_lite0: {label}")
    return {"rows": rows, "images_per_class": 1, "count": COUNT}


def random_effects(model: Any, concepts: Any) -> Tensor:
    """Return the changes of the score where random directions of the layer are removed from the first image."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(DIRECTIONS, concepts.directions.shape[1], generator=generator)
    scores = ablate(
        model,
        concepts.image(0)[None],
        [[], *([k] for k in range(DIRECTIONS))],
        layer=concepts.layer,
        directions=directions,
    )
    return scores[0, 1:, concepts.target] - scores[0, 0, concepts.target]
