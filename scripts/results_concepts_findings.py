"""Verdicts about the findings of Fong and Vedaldi 2018 and Bau et al. 2017, from the figures of results_concepts.py.

Each function takes the figures of a network and returns a verdict that begins with "reproduced", "not reproduced" or
"reversed", with the numbers that it follows from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Set IoU above which a filter is a detector (Bau et al. 2017).
DETECTOR = 0.04
#: Difference of two IoUs or shares below which they count as equal.
EQUAL = 0.005

Figures = dict[str, Any]


def column(row: Figures, key: str) -> NDArray[np.float64]:
    """Return a column of a layer, (C,); NaN where a concept has no value."""
    return np.array([np.nan if value is None else value for value in row[key]], float)


def of_category(found: Figures, category: str) -> NDArray[np.bool_]:
    """Return which concepts are of a category, (C,)."""
    return np.array([one[1] == category for one in found["concepts"]])


def mean_of(found: Figures, row: Figures, key: str, category: str) -> float:
    """Return the mean of a column over the concepts of a category."""
    return float(np.nanmean(column(row, key)[of_category(found, category)]))


def share(row: Figures, better: str, worse: str) -> float:
    """Return the share of the concepts for which one column is equal to or above another one, as in table 1."""
    first, second = column(row, better), column(row, worse)
    known = np.isfinite(first) & np.isfinite(second)
    return float((first[known] >= second[known]).mean())


def shares(found: Figures, better: str, worse: str) -> list[float]:
    """Return :func:`share` for each layer."""
    return [share(row, better, worse) for row in found["layers"]]


def percents(values: Any) -> str:
    """Return shares as percents, separated by spaces."""
    return " ".join(f"{100 * value:.0f}" for value in values) + " %"


def verdict(reproduced: bool, numbers: str, *, reversed_: bool = False) -> str:
    """Return the verdict with its numbers."""
    return f"{'reproduced' if reproduced else 'reversed' if reversed_ else 'not reproduced'}: {numbers}"


def combination_wins(found: Figures) -> str:
    """Table 1, segmentation: in every layer the combination is at least as good for most concepts."""
    values = shares(found, "combined", "single")
    return verdict(min(values) >= 0.75, percents(values), reversed_=max(values) < 0.5)


def falls_with_depth(found: Figures) -> str:
    """Table 1, segmentation: the share falls with depth."""
    values = shares(found, "combined", "single")
    return verdict(values[-1] < values[0] - EQUAL, percents(values), reversed_=values[-1] > values[0] + EQUAL)


def classification_wins(found: Figures) -> str:
    """Table 1, classification: in every layer about 85 to 90 % of the concepts."""
    values = shares(found, "accuracy", "accuracy_one")
    return verdict(min(values) >= 0.85, percents(values), reversed_=max(values) < 0.5)


def best_ratio(row: Figures, chosen: NDArray[np.bool_]) -> float:
    """Return the largest ratio of the IoU of the combination to that of the filter over some concepts."""
    single, combined = column(row, "single"), column(row, "combined")
    known = chosen & (single > 0)
    return float((combined[known] / single[known]).max())


def colors_gain_most(found: Figures) -> str:
    """Section 4.1: even for colors, combinations are better by up to 4 times."""
    colors = of_category(found, "color")
    ratios = np.array([best_ratio(row, colors) for row in found["layers"]])
    return verdict(
        ratios.max() >= 2,
        f"up to {ratios.max():.1f} times, in the first layer {ratios[0]:.1f}",
        reversed_=ratios.max() < 1,
    )


def grows_with_depth(found: Figures) -> str:
    """Figure 2: combinations for objects and parts improve with depth, those for colors do not."""
    first, last = found["layers"][0], found["layers"][-1]
    means = {
        name: [mean_of(found, row, "combined", name) for row in (first, last)]
        for name in ("object", "part", "color")
    }
    rises = {name: last - first for name, (first, last) in means.items()}
    numbers = ", ".join(f"{name}s {first:.2f} to {last:.2f}" for name, (first, last) in means.items())
    reproduced = rises["object"] > EQUAL and rises["part"] > EQUAL and rises["color"] <= EQUAL
    return verdict(reproduced, numbers, reversed_=rises["object"] < -EQUAL and rises["color"] > EQUAL)


def saturation(found: Figures, task: str, category: str, level: float = 0.95) -> int:
    """Return the smallest number of filters with at least 95 % of the largest mean score of a category.

    Scores of classification count from chance, 0.5.
    """
    chance = 0.5 if task == "classification" else 0.0
    chosen = of_category(found, category)
    means = np.array([
        np.nanmean(column({"score": scores}, "score")[chosen]) - chance for scores in found["filters"][task]
    ])  # fmt: skip
    return int(found["filters"]["counts"][int(np.argmax(means >= level * means.max()))])


def filters_needed(found: Figures) -> str:
    """Figure 3: several filters are needed, for parts fewer than for objects, for colors most."""
    needed = {name: saturation(found, "segmentation", name) for name in ("part", "object", "color")}
    numbers = (
        ", ".join(f"{name}s {count}" for name, count in needed.items())
        + f" of {found['filters']['counts'][-1]}"
    )
    ordered = 1 < needed["part"] <= needed["object"] <= needed["color"]
    return verdict(ordered, numbers, reversed_=needed["part"] > needed["object"] > needed["color"])


def drops_after_peak(found: Figures) -> str:
    """Figure 3: the segmentation of parts is worse with all filters than with few."""
    chosen = of_category(found, "part")
    means = [float(np.nanmean(column({"s": s}, "s")[chosen])) for s in found["filters"]["segmentation"]]
    best = int(np.argmax(means))
    return verdict(
        means[best] - means[-1] > EQUAL,
        f"parts {means[best]:.3f} with {found['filters']['counts'][best]} filters, {means[-1]:.3f} with all",
    )


def filters_are_shared(found: Figures) -> str:
    """Figure 5: some filters are the best for several concepts, a substantial portion for none."""
    selected = np.array(found["layers"][-1]["selected"])
    never, most = float((selected == 0).mean()), int(selected.max())
    return verdict(never > 0.2 and most > 1, f"last layer: {never:.0%} never, at most {most} concepts")


def fewer_zeros(found: Figures) -> str:
    """Figure 7: with a single filter the IoU is 0 in many images, with a combination in fewer."""
    row = found["layers"][-1]
    single, combined = (float(np.nanmean(column(row, key))) for key in ("zeros_single", "zeros_combined"))
    return verdict(
        single > 0.1 and combined < single - EQUAL,
        f"last layer: filter {single:.0%}, combined {combined:.0%}",
        reversed_=combined > single + EQUAL,
    )


def weights_follow_ious(found: Figures) -> str:
    """Figure 9: from the third layer on, max(w, 0) and IoU are correlated for about 80 % of the concepts."""
    values = significant(found)
    return verdict(min(values[2:]) >= 0.75 and values[0] < min(values[2:]), percents(values))


def significant(found: Figures) -> list[float]:
    """Return the share of the trained concepts with a significant positive correlation, for each layer."""
    values = []
    for row in found["layers"]:
        trained = np.array(row["trained"])
        values.append(
            float((np.array(row["significant"]) & (column(row, "correlation") > 0))[trained].mean())
        )
    return values


def failures(found: Figures) -> list[tuple[str, int, float]]:
    """Return name, training images and size of the concepts of all layers whose best filter is better."""
    rows = []
    for row in found["layers"]:
        lost = column(row, "combined") < column(row, "single")
        for index in np.nonzero(lost)[0].tolist():
            rows.append(
                (found["concepts"][index][0], row["positives"][index], float(column(row, "size")[index]))
            )
    return rows


def failures_are_rare_or_small(found: Figures) -> str:
    """Section 4.1: concepts whose filter is better have at most 100 images, or less than 1 % of an image."""
    lost = failures(found)
    few = sum(count <= 100 for _, count, _ in lost)
    small = sum(size < 0.01 for _, _, size in lost)
    either = sum(count <= 100 or size < 0.01 for _, count, size in lost)
    if not lost:
        return verdict(False, "no combination is worse than the filter")
    every = np.concatenate([
        (np.array(row["positives"]) <= 100) | (column(row, "size") < 0.01) for row in found["layers"]
    ])  # fmt: skip
    more = either / len(lost) > max(0.5, float(every.mean()))
    return verdict(
        more,
        f"of {len(lost)}: {few} with few images, {small} small; of all concepts {every.mean():.0%} are either",
    )


def rotation_lowers_detectors(found: Figures) -> str:
    """Bau et al. 2017, section 3.2: a random rotation lowers the number of unique detectors."""
    rows = found["rotation"]["layers"]
    pairs = [(row["own"]["unique"], [one["unique"] for one in row["rotated"]]) for row in rows]
    numbers = ", ".join(f"{own} to {np.mean(turned):.1f}" for own, turned in pairs)
    lower = all(own > max(turned) for own, turned in pairs)
    return verdict(lower, numbers, reversed_=all(own < min(turned) for own, turned in pairs))


def above_baselines(found: Figures) -> str:
    """Baselines: the share of the concepts whose combination is above all of them in the last layer."""
    row = found["layers"][-1]
    combined = column(row, "combined")
    known = np.isfinite(combined)
    baselines = {"all pixels": column(row, "size"), "random": column(row, "random"),
                 "shuffled": column(found, "shuffled")}  # fmt: skip
    values = {name: float((combined > other)[known].mean()) for name, other in baselines.items()}
    return ", ".join(f"above {name} {value:.0%}" for name, value in values.items())


#: Words of a finding, and its judge.
FINDINGS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    (
        "The combination is at least as good as the best filter for most concepts: 92 87 84 82 76 % by layer (table 1, "
        "segmentation; here: at least 75 %)",
        combination_wins,
    ),
    ("This share falls with depth (table 1)", falls_with_depth),
    ("The same for classification: 88 90 85 88 88 % (table 1; here: at least 85 %)", classification_wins),
    ("Even colors gain, by up to 4 times (section 4.1; here: 2 times or more)", colors_gain_most),
    ("Objects and parts improve with depth, colors do not (figure 2)", grows_with_depth),
    (
        "Filters needed for 95 % of the best segmentation: parts 8, objects 16, colors 128 of 256 (figure 3; here: "
        "several, in this order)",
        filters_needed,
    ),
    ("Parts are worse with all filters than with few (figure 3, segmentation)", drops_after_peak),
    ("A filter is the best for several concepts, many for none (figure 5)", filters_are_shared),
    ("With one filter many images have an IoU of 0, fewer with the combination (figure 7)", fewer_zeros),
    (
        "Weights and IoUs are correlated for 47 69 81 79 82 % of the concepts by layer (figure 9; here: at least 75 % "
        "from the third layer on, fewer in the first)",
        weights_follow_ious,
    ),
    (
        "Where the filter is better, the concept has at most 100 images or less than 1 % of an image (section 4.1; "
        "here: most of them)",
        failures_are_rare_or_small,
    ),
    (
        "Fewer unique detectors after a random rotation (Bau et al. 2017; here: in all three layers, of all rotations)",
        rotation_lowers_detectors,
    ),
    ("(baselines) The combination, last layer", above_baselines),
)
