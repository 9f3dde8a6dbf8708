"""docs/results/learned.md from the numbers of results_learned.py."""

from __future__ import annotations

from typing import Any

import numpy as np

HEAD = """\
# Learned explainers and adversarial probes

`python scripts/results_learned.py`, torch {torch}, {machine}, number of threads {threads}; seed 0 throughout.
"""

DOMAIN = """\
## Real-time saliency outside its domain

The masking network of scenes_vgg, which was trained on generated scenes, draws the masks of the predicted class. They
keep, or remove, their region; the rest has the mean color. *turned*: the same mask turned by 180 degrees, so that the
same area is elsewhere. *presence*: the probability of the class as the masking network sees it.

{table}

{verdict}
"""

METHODS = """\
## Real-time saliency beside extremal perturbations

On {images} test scenes of one and two objects; the class is that of the first object. Mean ± standard error; pointing:
share of the maxima on the object, within the tolerance. Seconds vary on a shared machine.

{table}

{verdict}
"""

PROBES = """\
## Adversarial probes

Change of the maps under a probe, means over the images whose class has changed. *noise*: the perturbation with its
pixels in random order. Dice of the highest 10 % of the values; maps without anything in common have about 0.1. The
class after the probe is explained in the changed image.

{table}

{verdict}
"""

RECOVERY = """\
## Recovery and detection by the meaningful mask

DeepFool on test scenes of one object, and masks that delete the new class. *turned*: the same mask turned by 180
degrees; *blurred*: the whole image blurred. Detection: accuracy of a small classifier of clean and adversarial maps in
five folds, mean ± standard error; chance is 50 %.

{table}

The source recovers 40.64 % of the labels and detects 93.6 % on ImageNet, under an iterated gradient step of 8 gray
levels and with 5000 images: the conditions differ.
"""


def percent(value: float) -> str:
    """Return a share in percent; a dash for NaN."""
    return "–" if value is None or value != value else f"{100 * value:.0f} %"


def spread(pair: list[float], digits: int = 2) -> str:
    """Return a mean with its standard error."""
    return f"{pair[0]:.{digits}f} ± {pair[1]:.{digits}f}"


def page(found: dict[str, Any]) -> str:
    """Return the page, with the sections that are measured."""
    parts = [HEAD.format(**found["header"])]
    if one := found.get("domain"):
        parts.append(DOMAIN.format(table=domain(one), verdict=outside(one)))
    if rows := found.get("methods"):
        parts.append(METHODS.format(table=methods(rows), verdict=verdict(rows), images=rows[0]["images"]))
    if cases := found.get("probes"):
        parts.append(PROBES.format(table="\n\n".join(probe(one) for one in cases), verdict=maps(cases)))
    if one := found.get("recovery"):
        parts.append(RECOVERY.format(table=recovery(one)))
    return "\n".join(parts)


def methods(rows: list[dict[str, Any]]) -> str:
    """Return the table of explainers."""
    lines = [
        "| map | deletion (low is good) | insertion | pointing | s an image |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['name']} | {spread(row['deletion'])} | {spread(row['insertion'])} | {percent(row['pointing'][0])} | "
        f"{row['seconds']:.3f} |"
        for row in rows
    ]
    return "\n".join(lines)


def verdict(rows: list[dict[str, Any]]) -> str:
    """Return the comparison with extremal perturbations in one sentence."""
    named = {row["name"]: row for row in rows}
    fast, slow = named["real-time saliency"], named["extremal perturbations"]
    factor = slow["seconds"] / fast["seconds"]
    parts = []
    for metric, sign in (("deletion", -1), ("insertion", 1), ("pointing", 1)):
        gap = sign * (fast[metric][0] - slow[metric][0])
        error = float(np.hypot(fast[metric][1], slow[metric][1]))
        word = "as good" if abs(gap) <= 2 * error else "better" if gap > 0 else "worse"
        parts.append(f"{word} in {metric}")
    return (
        f"Real-time saliency takes 1/{factor:.0f} of the time of extremal perturbations and is {', '.join(parts)} "
        "(within two standard errors counts as as good)."
    )


def domain(found: dict[str, Any]) -> str:
    """Return the table of scenes and photographs."""
    lines = [
        "| images | probability | area | kept | kept, turned | removed | removed, turned | presence |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    keys = ("predicted", "area", "preserved", "preserved_turned", "destroyed", "destroyed_turned", "presence")
    lines += [
        f"| {one['images']:.0f} {name} | " + " | ".join(f"{one[key]:.2f}" for key in keys) + " |"
        for name, one in found.items()
    ]
    return "\n".join(lines)


def outside(found: dict[str, Any]) -> str:
    """Return the difference between scenes and photographs in words."""
    gains = {
        name: (one["preserved"] - one["preserved_turned"], one["destroyed_turned"] - one["destroyed"])
        for name, one in found.items()
    }
    inside, out = gains["scenes"], gains["photographs"]
    holds = "fails" if out[0] < inside[0] / 2 or out[1] < inside[1] / 2 else "still works"
    return (
        f"On scenes the region keeps {inside[0]:+.2f} and removes {inside[1]:+.2f} of the probability beyond the "
        f"turned one; on photographs, on which the network still predicts one of the twelve classes, {out[0]:+.2f} and "
        f"{out[1]:+.2f}: outside its domain the explainer {holds} (less than half of either gain counts as a failure)."
    )


def probe(one: dict[str, Any]) -> str:
    """Return the table of one probe."""
    size = f", mean L2 {one['l2']:.2f}, L-inf {one['linf']:.3f}" if one["reached"] else ""
    lines = [
        f"**{one['probe']} on {one['network']}**: {one['reached']} of {one['images']} images changed class{size}.",
        "",
        "| map | Dice | noise | correlation | noise |",
        "|---|---:|---:|---:|---:|",
    ]
    keys = ("dice", "noise_dice", "correlation", "noise_correlation")
    lines += [
        f"| `{row['method']}` | " + " | ".join(f"{row[key]:.2f}" for key in keys) + " |"
        for row in one["table"]
    ]
    lines += [f"| `{name}` | {message} | | | |" for name, message in one["errors"].items()]
    return "\n".join(lines)


def maps(cases: list[dict[str, Any]]) -> str:
    """Return which maps change least beyond noise."""
    losses: dict[str, list[float]] = {}
    for one in cases:
        for row in one["table"]:
            loss = row["noise_dice"] - row["dice"]
            if loss == loss:
                losses.setdefault(row["method"], []).append(loss)
    order = sorted(losses, key=lambda name: float(np.mean(losses[name])))
    listed = ", ".join(f"`{name}` {np.mean(losses[name]):.2f}" for name in order)
    return (
        f"Loss of Dice beyond that under noise, mean over the cases above, least first: {listed}. Galli et al. 2021 "
        "found LRP, DeepLIFT and FEM less sensitive than maps of gradients."
    )


def recovery(found: dict[str, Any]) -> str:
    """Return the table of recovered labels."""
    lines = [
        "| network | images | recovered | among the best 3 | turned | blurred | detected by masks | by gradients |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, one in found.items():
        shares = " | ".join(percent(one[key]) for key in ("recovered", "three", "turned", "blurred"))
        folds = [
            f"{100 * np.mean(one[key]):.0f} ± {100 * np.std(one[key], ddof=1) / len(one[key]) ** 0.5:.0f} %"
            for key in ("detection", "detection_gradient")
        ]
        lines.append(f"| {name} | {one['images']} | {shares} | {' | '.join(folds)} |")
    return "\n".join(lines)
