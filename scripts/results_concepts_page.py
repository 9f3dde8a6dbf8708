"""Page and figure of docs/results/concepts, made from the figures of results_concepts.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results_concepts_findings import (
    FINDINGS,
    column,
    failures,
    mean_of,
    of_category,
    saturation,
    share,
    significant,
)
from results_concepts_stamp import stamp_routes
from results_concepts_vectors import vectors_section

INTRODUCTION = """\
# How layers represent concepts

`python scripts/results_concepts.py`; {runs} on {threads} thread of {machine}, with torch {torch}. Each network is
probed on {train} training scenes and measured on {val} scenes of the test split, with one to three objects. 30 concepts
are known at every pixel: 12 objects, 6 parts, 4 textures, 7 colors, and the stamp, which is in a quarter of the scenes,
independent of the objects. The layers are the last ReLU of each stage, or its pool. Label masks have
{labels} x {labels} pixels, half the side of the images, as in Broden. Settings are the published ones (thresholds at
the quantile 0.005, weighted cross entropy, 30 epochs of descent with momentum 0.9 and batches of 64) but for the
learning rate, {rate:g} in place of 1e-4: a concept has fewer images here, and so fewer steps. Figures of the published
rate stand beside those in the last three layers.

- **IoU**: set IoU over the test scenes that contain the concept (equation 1 of Fong and Vedaldi 2018). **filter**: of
  the filter that is best on the training scenes. **combined**: of the learned combination of all filters.
- **accuracy**: of the classification of scenes with and without the concept, balanced; with the averaged activations of
  all filters, or of the one filter with the largest weight. Its weights are the optimum of the logistic regression.
- Baselines: *all pixels*: the IoU of a mask of the whole image, which is the mean size of the concept. *random*: mean
  of {draws} combinations with normally distributed weights. *shuffled*: combinations learned with the masks of other
  scenes, for the last layer.
"""

#: Training scenes of a run with the defaults of the command.
DEFAULT = 3000
FEW = """\
**This is a short run**: {train} training scenes, not the {default} of the command by default. A concept has as few as
{fewest} of them, and those with fewer than ten are not trained. The verdicts hold for this run and may differ with more
scenes.
"""
CATEGORIES = ("object", "part", "texture", "color", "mark")


def page(results: dict[str, Any]) -> str:
    """Return docs/results/concepts.md."""
    networks = results["networks"]
    first = next(iter(networks.values()))
    runs = ", ".join(
        f"{name}: {sum(found['minutes'].values()):.0f} minutes" for name, found in networks.items()
    )
    parts = [INTRODUCTION.format(runs=runs, **first["run"])]
    if first["run"]["train"] < DEFAULT:
        parts.append(FEW.format(default=DEFAULT, **first["run"], fewest=min(first["layers"][0]["positives"])))
    parts += ["![Filters and combinations by layer, and over the number of filters](concepts.png)\n"]
    parts += [findings(networks), about(networks)]
    for name, found in networks.items():
        parts += [
            f"## {name}\n",
            layers_table(found),
            category_table(found),
            filters_table(found),
            rotation_table(found),
            stamp_table(found),
        ]
    parts.append(vectors_section(results))
    if "photographs" in results:
        parts.append(photographs_table(results["photographs"]))
    return "\n".join(parts)


def findings(networks: dict[str, Any]) -> str:
    """Return the table of the findings of the sources, with a verdict for each network."""
    rows = [
        "## Findings of the sources\n",
        f"| finding (AlexNet, Broden, except where named) | {' | '.join(networks)} |",
        f"|---|{'---|' * len(networks)}",
    ]
    rows += [
        f"| {words} | {' | '.join(judge(found) for found in networks.values())} |"
        for words, judge in FINDINGS
    ]
    return "\n".join(rows) + "\n"


def about(networks: dict[str, Any]) -> str:
    """Return the reasons of the findings that are not reproduced, with the figures that they follow from."""
    reasons = ["About these findings:\n"]
    for name, found in networks.items():
        lost = failures(found)
        counts = [count for _, count, _ in lost] or [0]
        reasons.append(
            f"- {name}: the fewest training scenes of any concept are {min(found['layers'][0]['positives'])}. The "
            "concepts whose filter is better, over all layers: "
            + (", ".join(f"{concept} {number}x" for concept, number in counted(lost)) or "none")
            + f"; they have {min(counts)} to {max(counts)} training scenes and a mean size of "
            f"{np.mean([size for *_, size in lost] or [0]):.1%} of an image."
        )
        reasons.append(f"- {name}: {capacity(found)}")
        own = [row["own"]["detectors"] / row["channels"] for row in found["rotation"]["layers"]]
        if "vectors" in found:
            touched = [share(row, "combined", "touched") for row in found["vectors"]["layers"]]
            reasons.append(
                f"- {name}: a part of the gain of combinations is that their masks, without a bias, cover all that a "
                "bit touches. With such masks for the best filters, too, the combination is at least as good for "
                f"{' '.join(f'{value:.0%}' for value in touched)} of the concepts by layer."
            )
        reasons.append(
            f"- {name}: {' '.join(f'{value:.0%}' for value in own)} of the filters of the three layers are detectors "
            "before the rotation, so that the threshold of 0.04 hardly separates filters here."
        )
    reasons += [
        "- The networks know 12 classes and have 16 to 128 channels in a layer, the AlexNet of the source 96 to 384 "
        "and 1000 classes. There are fewer concepts (30, not 682) than channels in most layers, so that figures 3 and "
        "5 have another range. Whether that is the cause of a difference was not tested.",
        "- Materials and scenes are missing: the generated images have none.",
    ]
    return "\n".join(reasons) + "\n"


def counted(lost: list[tuple[str, int, float]]) -> list[tuple[str, int]]:
    """Return the concepts of failures with their numbers of layers, the most frequent first."""
    names = [concept for concept, *_ in lost]
    return sorted(((name, names.count(name)) for name in dict.fromkeys(names)), key=lambda each: -each[1])


def capacity(found: dict[str, Any]) -> str:
    """Return how much of the gain of the combination is over the mask of all pixels."""
    row = found["layers"][-1]
    grid = " x ".join(map(str, row["grid"]))
    small = column(row, "size") < 0.02
    single, combined = (float(np.nanmean(column(row, key)[small])) for key in ("single", "combined"))
    return (
        f"the last layer has {grid} positions for {found['run']['labels']} x {found['run']['labels']} label pixels; "
        f"the {int(small.sum())} concepts smaller than 2 % of an image have a mean IoU of {combined:.3f} there, "
        f"combined, and {single:.3f} with the best filter."
    )


def number(value: float | None, digits: int = 3) -> str:
    """Return a number, or a dash for none."""
    return "–" if value is None or value != value else f"{value:.{digits}f}"


def layers_table(found: dict[str, Any]) -> str:
    """Return table 1 with figures 5, 7 and 9 by layer."""
    rows = [
        "| layer | positions | channels | combined at least filter | published rate | accuracy, the same | "
        "mean IoU filter | combined | random | all pixels | IoU 0, filter | combined | correlated | never best |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row, correlated in zip(found["layers"], significant(found), strict=True):
        cells = [f"`{row['layer']}`", " x ".join(map(str, row["grid"])), f"{row['channels']}"]
        cells.append(f"{share(row, 'combined', 'single'):.0%}")
        cells.append(f"{share(row, 'published', 'single'):.0%}" if row["published"] else "")
        cells.append(f"{share(row, 'accuracy', 'accuracy_one'):.0%}")
        cells += [
            number(float(np.nanmean(column(row, key)))) for key in ("single", "combined", "random", "size")
        ]
        cells += [f"{np.nanmean(column(row, key)):.0%}" for key in ("zeros_single", "zeros_combined")]
        cells += [f"{correlated:.0%}", f"{np.mean(np.array(row['selected']) == 0):.0%}"]
        rows.append(f"| {' | '.join(cells)} |")
    last = column(found["layers"][-1], "combined")
    words = (
        f"The combinations of shuffled labels have a mean IoU of {np.nanmean(column(found, 'shuffled')):.3f} in the "
        f"last layer, those of the true labels {np.nanmean(last):.3f}."
    )
    return "\n".join([*rows, "", words, ""])


def category_table(found: dict[str, Any]) -> str:
    """Return figure 2: means and standard errors by category, and the accuracies."""
    rows = [
        "| layer | category | concepts | IoU filter | combined | all pixels | accuracy, one filter | all filters |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in (found["layers"][0], found["layers"][-1]):
        for category in CATEGORIES:
            chosen = of_category(found, category) & np.array(row["trained"])
            cells = [spread(column(row, key)[chosen]) for key in ("single", "combined")]
            cells.append(number(float(np.nanmean(column(row, "size")[chosen]))))
            cells += [spread(column(row, key)[chosen]) for key in ("accuracy_one", "accuracy")]
            rows.append(f"| `{row['layer']}` | {category} | {chosen.sum()} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def spread(values: NDArray[np.float64]) -> str:
    """Return a mean with its standard error."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return number(float(known.mean()) if len(known) else None)
    return f"{known.mean():.3f} ± {known.std(ddof=1) / len(known) ** 0.5:.3f}"


def filters_table(found: dict[str, Any]) -> str:
    """Return figure 3: the mean score of each category over the number of filters."""
    counts = found["filters"]["counts"]
    rows = [
        f"Scores with the F filters of the largest weights, refitted, in `{found['filters']['layer']}` (figure 3):\n",
        f"| category | task | {' | '.join(map(str, counts))} | filters for 95 % |",
        f"|---|---|{'---:|' * (len(counts) + 1)}",
    ]
    for task in ("segmentation", "classification"):
        for category in CATEGORIES:
            means = by_count(found, task, category)
            needed = saturation(found, task, category)
            rows.append(f"| {category} | {task} | {' | '.join(number(one) for one in means)} | {needed} |")
    return "\n".join(rows) + "\n"


def by_count(found: dict[str, Any], task: str, category: str) -> list[float]:
    """Return the mean score of a category for each number of filters."""
    chosen = of_category(found, category)
    return [float(np.nanmean(column({"s": scores}, "s")[chosen])) for scores in found["filters"][task]]


def rotation_table(found: dict[str, Any]) -> str:
    """Return the detectors before and after rotations."""
    rows = [
        "Detectors, filters with an IoU above 0.04 over all training scenes, before and after random rotations:\n",
        "| layer | channels | unique detectors | rotated | detectors | rotated | of objects, unique | rotated |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in found["rotation"]["layers"]:
        cells = [f"`{row['layer']}`", str(row["channels"])]
        for key in ("unique", "detectors"):
            cells += [str(row["own"][key]), " ".join(str(one[key]) for one in row["rotated"])]
        cells += [str(row["own"]["categories"]["object"][0])]
        cells += [" ".join(str(one["categories"]["object"][0]) for one in row["rotated"])]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def stamp_table(found: dict[str, Any]) -> str:
    """Return the stamp by every route."""
    rows = [
        "The planted stamp, by every route:\n",
        "| route | found | figures |",
        "|---|---|---|",
    ]
    rows += [f"| {route} | {'yes' if yes else 'no'} | {words} |" for route, yes, words in stamp_routes(found)]
    return "\n".join(rows) + "\n"


def photographs_table(found: dict[str, Any]) -> str:
    """Return the concepts of the classes of photographs."""
    rows = [
        "## Concepts of ImageNet classes, EfficientNet-Lite0\n",
        f"The photographs that come with scikit-image show {len(found['rows'])} objects of ImageNet, with "
        f"{found['images_per_class']} photograph of each. That is not enough for concepts of a *class*: they are the "
        "concepts of one photograph, from its crops, and twenty classes with enough photographs are not at hand. "
        f"{found['count']} concepts each; importances are total Sobol indices.\n",
        "| class | predicted | factors | relative error | largest importance | the score without that concept | "
        "without a random direction: mean, lowest | importance against gradient x activation |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in found["rows"]:
        rows.append(
            f"| {row['label']} ({row['photograph']}) | {row['predicted']} | {row['kind']} | {row['map_error']:.2f} | "
            f"{row['importance'][0]:.2f} | {row['effect'][0]:+.2f} | {np.mean(row['random']):+.2f}, "
            f"{min(row['random']):+.2f} | {row['agreement']:.2f} |"
        )
    stronger = sum(row["effect"][0] < min(row["random"]) for row in found["rows"])
    rows += [
        "",
        f"The most important concept lowers the score more than each of {len(found['rows'][0]['random'])} random "
        f"directions in {stronger} of {len(found['rows'])} photographs. The last column is Spearman's correlation over "
        "the concepts.",
    ]
    return "\n".join(rows) + "\n"


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw the mean IoU by layer and the mean score over the number of filters, by category."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    networks = results["networks"]
    figure, axes = pyplot.subplots(len(networks), 3, figsize=(13, 3.6 * len(networks)), squeeze=False)
    for (name, found), (by_layer, segmented, classified) in zip(networks.items(), axes, strict=True):
        layers = range(1, len(found["layers"]) + 1)
        for color, category in enumerate(CATEGORIES):
            label = "stamp" if category == "mark" else f"{category}s"
            for key, style in (("combined", "-o"), ("single", "--o")):
                means = [mean_of(found, row, key, category) for row in found["layers"]]
                by_layer.plot(
                    layers,
                    means,
                    style,
                    color=f"C{color}",
                    markersize=3,
                    label=label if style == "-o" else None,
                )
            for axis, task in ((segmented, "segmentation"), (classified, "classification")):
                axis.plot(
                    found["filters"]["counts"],
                    by_count(found, task, category),
                    "-o",
                    color=f"C{color}",
                    markersize=3,
                )
        by_layer.set(
            title=f"{name}: combined (solid), best filter (dashed)", xlabel="layer", ylabel="mean set IoU"
        )
        by_layer.set_xticks(list(layers))
        segmented.set(title="last layer, segmentation", xlabel="filters", ylabel="mean set IoU", xscale="log")
        classified.set(
            title="last layer, classification",
            xlabel="filters",
            ylabel="mean balanced accuracy",
            xscale="log",
        )
        for axis in (segmented, classified):
            axis.set_xticks(found["filters"]["counts"], [str(count) for count in found["filters"]["counts"]])
            axis.minorticks_off()
    # Below the panels, where it covers no point.
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    figure.legend(*by_layer.get_legend_handles_labels(), loc="lower center", ncols=5)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
