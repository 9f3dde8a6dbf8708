"""Concepts as vectors, for results_concepts.py: neighbors, arithmetic, distances, and shares of filters."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from itertools import permutations
from statistics import mean, median
from typing import Any

import torch
from results_concepts_findings import share
from torch import Tensor

from xai_widgets.concepts import (
    Combinations,
    Descent,
    Embeddings,
    Probe,
    classification_concepts,
    compare,
    embedding_distances,
    embeddings,
    segmentation_concepts,
    single_filters,
)
from xai_widgets.data import objects

#: Concepts whose neighbors the page shows: an object, a part, a texture, a color and the stamp.
SHOWN = ("striped kite", "fins", "checkered", "red", "stamp")
#: Number of filters whose share of the weights is measured.
LARGEST = (1, 5, 10)
#: Finds the probes of a layer on both splits.
Probes = Callable[[str], tuple[Probe, Probe]]


def exchanges() -> list[tuple[str, str, str, str]]:
    """Return the sums ``object - texture + other texture`` whose result is another object of the same shape."""
    return [
        (one.name, one.texture, other.texture, other.name)
        for one, other in permutations(objects.KINDS, 2)
        if one.shape == other.shape and one.texture != other.texture and one.parts == other.parts
    ]


def vectors(
    layers: Sequence[str], probes: Probes, settings: Descent, report: Callable[[str], None]
) -> tuple[dict[str, Any], list[Embeddings]]:
    """Return the figures of the vectors of a network, and the vectors of segmentation of each layer."""
    rows, spaces = [], []
    for layer in layers:
        train, val = probes(layer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            learned = segmentation_concepts(train, val, settings=settings).result(progress=False)
        single, touched = single_filters(train, val), single_filters(train, val, cut=0)
        space = embeddings(learned)
        spaces.append(space)
        rows.append({
            "layer": layer,
            "touched": numbers(touched.iou_set),
            "combined": numbers(learned.iou_set),
            "ratio": numbers(compare(learned, single).ratio),
            "shares": largest_shares(learned),
        } | described(space))  # fmt: skip
        report(f"vectors of {layer}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        classified = classification_concepts(train, val).result(progress=False)
    return {"layers": rows, "classification": described(embeddings(classified))}, spaces


def described(space: Embeddings) -> dict[str, Any]:
    """Return neighbors, ranks of sums, and mean cosines within and between categories."""
    cosines = space.similarities
    kinds = [concept.category for concept in space.concepts]
    same = torch.tensor([[one == other for other in kinds] for one in kinds])
    apart = ~torch.eye(len(kinds), dtype=torch.bool)
    names = {concept.name for concept in space.concepts}
    return {
        "nearest": {name: [found for found, _ in space.nearest(name)] for name in SHOWN if name in names},
        "sums": [ranks(space, each) for each in exchanges() if set(each) <= names],
        "within": cosines[same & apart].mean().item(),
        "between": cosines[~same].mean().item(),
    }


def ranks(space: Embeddings, exchange: tuple[str, str, str, str]) -> dict[str, Any]:
    """Return the rank of the expected object among the results of a sum, and among the first object's neighbors."""
    first, removed, added, expected = exchange
    every = len(space.concepts)
    found = [name for name, _ in space.arithmetic([first, added], [removed], count=every)]
    alone = [name for name, _ in space.nearest(first, count=every) if name not in (removed, added)]
    return {
        "sum": f"{first} - {removed} + {added}",
        "expected": expected,
        "first": found[0],
        "rank": 1 + found.index(expected),
        "alone": 1 + alone.index(expected),
        "of": len(found),
    }


def largest_shares(learned: Combinations) -> list[float]:
    """Return the share of the filters with the largest weights in |w|_1, the mean over the trained concepts."""
    weights = learned.weights[learned.trained].abs().sort(1, descending=True).values
    parts = weights.cumsum(1) / weights.sum(1, keepdim=True)
    return [parts[:, count - 1].mean().item() for count in LARGEST if count <= weights.shape[1]]


def distances(spaces: Sequence[Embeddings]) -> dict[str, Any]:
    """Return the distances D_ij between layers of all networks, divided by the number of pairs of concepts."""
    found = embedding_distances(spaces)
    pairs = len(found.concepts) ** 2
    return {"names": [name.partition(",")[0] for name in found.names], "concepts": len(found.concepts),
            "total": [numbers(row / pairs) for row in found.total]}  # fmt: skip


def numbers(values: Tensor) -> list[float | None]:
    """Return numbers as JSON; None for NaN and infinity."""
    return [round(value, 5) if math.isfinite(value) else None for value in values.tolist()]


def vectors_section(results: dict[str, Any]) -> str:
    """Return the section of the page about vectors of concepts."""
    networks = {name: found["vectors"] for name, found in results["networks"].items() if "vectors" in found}
    if not networks:
        return ""
    parts = [
        "## Concepts as vectors\n",
        "The normalized weights of a concept are its vector in a layer (section 5.3). **within**, **between**: mean "
        "cosine of two concepts of one category, and of two categories. **share**: of the 1, 5 and 10 filters with the "
        "largest weights in the sum of the absolute weights. **filter / combined**: median of the IoU of the best "
        "filter relative to that of the combination. **touched**: mean IoU of the best filter if its mask covers all "
        "that a bit touches, as the mask of a combination without a bias does; the comparison with *combined* is like "
        "with like.\n",
    ]
    for name, found in networks.items():
        parts += [f"{name}:\n", space_table(found), neighbors_table(found)]
    parts.append(sums(networks))
    if "distances" in results:
        parts.append(distance_table(results["distances"]))
    return "\n".join(parts)


def space_table(found: dict[str, Any]) -> str:
    """Return a row for each layer: cosines, shares of filters, and the comparison of masks without a bias."""
    rows = [
        "| layer | within | between | share of 1, 5, 10 filters | filter / combined | touched | combined | "
        "combined at least touched |",
        "|---|---:|---:|---|---:|---:|---:|---:|",
    ]
    for row in found["layers"]:
        cells = [f"`{row['layer']}`", f"{row['within']:.2f}", f"{row['between']:.2f}"]
        cells.append(" ".join(f"{share:.0%}" for share in row["shares"]))
        cells.append(f"{median(known(row['ratio'])):.2f}")
        cells += [f"{mean(known(row[key])):.3f}" for key in ("touched", "combined")]
        cells.append(f"{share(row, 'combined', 'touched'):.0%}")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def known(values: Sequence[float | None]) -> list[float]:
    """Return the known values."""
    return [value for value in values if value is not None]


def neighbors_table(found: dict[str, Any]) -> str:
    """Return the five nearest concepts in the last layer, for segmentation and classification (table 2)."""
    spaces = {"segmentation": found["layers"][-1], "classification": found["classification"]}
    rows = [
        f"The five nearest concepts in `{found['layers'][-1]['layer']}` (table 2):\n",
        f"| concept | {' | '.join(spaces)} |",
        f"|---|{'---|' * len(spaces)}",
    ]
    for name in SHOWN:
        cells = [", ".join(space["nearest"].get(name, ["not trained"])) for space in spaces.values()]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def sums(networks: dict[str, Any]) -> str:
    """Return the ranks of the expected objects of all sums (table 3)."""
    rows = [
        "Sums `object - texture + other texture` in the last layer (table 3): the rank of the object of the same shape "
        "with the other texture, and its rank among the neighbors of the first object alone. A sum is of use where its "
        "rank is the better one.\n",
        "| network | vectors | sums | rank 1 | better than alone | worse | mean rank | alone | by chance |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, found in networks.items():
        for task, space in (
            ("segmentation", found["layers"][-1]),
            ("classification", found["classification"]),
        ):
            each = space["sums"]
            if not each:
                continue
            cells = [name, task, len(each), sum(one["rank"] == 1 for one in each)]
            cells += [sum(one["rank"] < one["alone"] for one in each)]
            cells += [sum(one["rank"] > one["alone"] for one in each)]
            cells += [f"{mean([one[key] for one in each]):.1f}" for key in ("rank", "alone")]
            cells.append(f"{mean([(one['of'] + 1) / 2 for one in each]):.1f}")
            rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows) + "\n"


def distance_table(found: dict[str, Any]) -> str:
    """Return the distances between layers and networks (figure 10)."""
    heads = [f"{number}" for number in range(1, 1 + len(found["names"]))]
    rows = [
        f"Distances D_ij between the {found['concepts']} concepts' cosines in two layers, divided by the number of "
        "pairs (figure 10):\n",
        f"| layer | {' | '.join(heads)} |",
        f"|---|{'---:|' * len(heads)}",
    ]
    for number, name, row in zip(heads, found["names"], found["total"], strict=True):
        rows.append(f"| {number}: {name} | {' | '.join(f'{value:.3f}' for value in row)} |")
    return "\n".join(rows) + "\n"
