"""Whether each route finds the planted stamp, from the figures of results_concepts.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from results_concepts_findings import DETECTOR, column

#: Balanced accuracy from which a classifier knows the stamp; half is chance.
KNOWS = 0.75
#: How many times more of a concept lies on the stamp than of one that is equal everywhere.
TIMES = 5


def stamp_routes(found: dict[str, Any]) -> list[tuple[str, bool, str]]:
    """Return the routes to the stamp: name, whether it is found, and the figures that decide it."""
    index = [one[0] for one in found["concepts"]].index("stamp")
    return [*by_pixels(found, index), *by_images(found, index), *by_effect(found["stamp"])]


def by_pixels(found: dict[str, Any], index: int) -> list[tuple[str, bool, str]]:
    """Return the routes that use the pixels of the stamp."""
    rows = found["layers"]
    single, combined = (np.array([column(row, key)[index] for row in rows]) for key in ("single", "combined"))
    size = column(rows[-1], "size")[index]
    at, best = int(np.nanargmax(single)), int(np.nanargmax(combined))
    counts = [row["own"]["stamp"] for row in found["rotation"]["layers"]]
    turned = [np.mean([one["stamp"] for one in row["rotated"]]) for row in found["rotation"]["layers"]]
    return [
        (
            "best filter",
            bool(single[at] > DETECTOR),
            f"IoU {single[at]:.3f} of filter {rows[at]['filter'][index]} in `{rows[at]['layer']}`; all pixels "
            f"{size:.3f}",
        ),
        (
            "combination of filters",
            bool(combined[best] > max(DETECTOR, single[best])),
            f"IoU {combined[best]:.3f} in `{rows[best]['layer']}`, best filter there {single[best]:.3f}; shuffled "
            f"labels in the last layer {column(found, 'shuffled')[index]:.3f}",
        ),
        (
            "dissection",
            sum(counts) > 0,
            f"detectors of the stamp in the last three layers: {', '.join(map(str, counts))}; rotated "
            f"{', '.join(f'{mean:.1f}' for mean in turned)}",
        ),
    ]


def by_images(found: dict[str, Any], index: int) -> list[tuple[str, bool, str]]:
    """Return the routes that know only which images have the stamp."""
    rows = found["layers"]
    accuracy = [column(row, "accuracy")[index] for row in rows]
    routes = [
        (
            "classification by averaged activations",
            bool(max(accuracy) >= KNOWS),
            f"accuracy by layer {' '.join(f'{value:.2f}' for value in accuracy)}",
        )
    ]
    for test in found["stamp"]["tcav"]:
        at = test["names"].index("stamp")
        rank = 1 + sum(value > test["derivatives"][at] for value in test["derivatives"])
        routes.append(
            (
                f"TCAV for the toadstool in `{test['layer']}`"
                + (", against the other concepts" if test["relative"] else ""),
                bool(test["significant"][at] and test["scores"][at] > test["random"]),
                f"score {test['scores'][at]:.2f}, random concepts {test['random']:.2f}, p {test['p'][at]:.2g}, "
                f"accuracy {test['accuracy'][at]:.0%}; rank {rank} of {len(test['names'])} concepts by the derivative",
            )
        )
    return routes


def by_effect(routes: dict[str, Any]) -> list[tuple[str, bool, str]]:
    """Return the routes that divide or change the score, or find concepts without labels."""
    probes, parts = routes["probes"], routes["decomposition"]
    names = [name for name, _ in parts["means"]]
    shown = ", ".join(f"{name} {value:+.2f}" for name, value in parts["means"][:4])
    return [
        (
            "linear probes of the presence",
            max(probes["accuracy"]) > (1 + probes["baseline"]) / 2,
            f"accuracy by layer {' '.join(f'{value:.2f}' for value in probes['accuracy'])}, most frequent answer "
            f"{probes['baseline']:.2f}",
        ),
        (
            f"decomposition of the score of the toadstool in `{parts['layer']}`",
            names[0] == "stamp",
            f"mean contributions to the {parts['images']} scenes: {shown}; the concepts explain "
            f"{parts['explained']:.0%} of the {parts['decomposed']}",
        ),
        *by_removal(routes["ablation"]),
        without_labels(routes["craft"]),
    ]


def by_removal(found: dict[str, Any]) -> list[tuple[str, bool, str]]:
    """Return the routes that remove a filter or a direction of the last layer."""
    rows = []
    for key, title, others, rank in (
        ("filters", f"ablation of filter {found['filter']}, the best one for the stamp", "another filter",
         f"rank {found['rank']} of {found['channels']} filters"),
        ("directions", "ablation of the direction of the stamp", "a random direction",
         f"{found['lower']} of {found['random']} random directions lower it more"),
    ):  # fmt: skip
        (called, others_called), (change, others_change) = found[key]["called"], found[key]["margin"]
        first = found["rank"] <= found["channels"] / 20 if key == "filters" else found["lower"] == 0
        rows.append(
            (
                title,
                bool(first and change < 0),
                f"mushrooms with the stamp called toadstools: {found['called']:.0%}, without it {called:.0%}, without "
                f"{others} {others_called:.0%}; score of the toadstool less that of the mushroom {change:+.2f}, "
                f"{others_change:+.2f}; {rank}",
            )
        )
    return rows


def without_labels(craft: dict[str, Any]) -> tuple[str, bool, str]:
    """Return the route of concepts that are found without labels."""
    inside = np.array(craft["inside"])
    at = int(inside.argmax())
    rank = 1 + int((np.array(craft["importance"]) > craft["importance"][at]).sum())
    return (
        "concepts of the toadstool without labels",
        bool(inside[at] >= TIMES * craft["pixels"]),
        f"{inside[at]:.0%} of a concept lies on the stamp, {craft['pixels']:.1%} of the pixels; rank {rank} of "
        f"{len(inside)} by importance ({craft['importance'][at]:.2f}), score {craft['effect'][at]:+.2f} without it",
    )
