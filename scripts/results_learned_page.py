"""docs/results/learned.md from the numbers of results_learned.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from results_learned_pair_page import pair_section, pixels_section

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
share of the maxima on the object, within the tolerance. Deleted pixels are black; insertion starts from the blurred
image. Seconds vary on a shared machine.

{table}

{verdict}
"""

PROBES = """\
## Adversarial probes

Change of the maps under a probe, means over the images whose class has changed. *noise*: the perturbation with its
pixels in random order. Dice of the highest 10 % of the values; maps without anything in common have about 0.1. The
class after the probe is explained in the changed image. L-inf: the largest change of a pixel, of 1; the networks of
scenes change their class only under changes that are visible. The photographs are those of scikit-image and
scikit-learn whose predicted class is in the image: tripod, cat, espresso, moped, missile, palace and daisy.

{table}

{verdict}
"""

RECOVERY = """\
## Recovery of the label by the meaningful mask

Masks that delete the new class in {steps} steps, on test scenes of one object and on photographs, for the images whose
class changes. *probability*: of the predicted class, before and after the probe. Share of the images whose class is the
old one again under the mask; in parentheses, is among the best five. *turned*: the same mask turned by 180 degrees;
*blurred*: the whole image blurred. The networks classify all of these scenes correctly, so the old class is the true
one.

{table}

{verdict}

Fong and Vedaldi 2017 recover the predicted label of 40.64 % and the true one of 37.32 % of 5000 images of ImageNet, and
find the old class among the best five always, under iterated FGSM with a bound of 8 gray levels. The bound is 16 on
scenes, where few classes change within 8, and five of twelve classes are a weaker test than five of a thousand.

## Detection by maps

Accuracy of a small classifier of clean and adversarial maps in five folds, mean ± standard error; chance is 50 %.
*probability*: that of the best threshold of the predicted class's probability, chosen on the same images. Fewer than 20
images are too few.

{detected}

{other}

Fong and Vedaldi 2017 detect 93.6 % with an AlexNet and 4000 images, more than with any other map.
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
    if one := found.get("pair"):
        parts.append(pair_section(one))
    if cases := found.get("probes"):
        parts.append(PROBES.format(table="\n\n".join(probe(one) for one in cases), verdict=maps(cases)))
    if one := found.get("pixels"):
        parts.append(pixels_section(one, probe))
    if one := found.get("recovery"):
        few = [row for row in one if row.get("detection")]
        parts.append(
            RECOVERY.format(
                table=recovery(one),
                verdict=recovered(one),
                detected=detection(few),
                other=detected(few),
                steps=one[0]["steps"],
            )
        )
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
    factor = float(f"{slow['seconds'] / fast['seconds']:.1g}")
    parts = []
    for metric, sign in (("deletion", -1), ("insertion", 1), ("pointing", 1)):
        gap = sign * (fast[metric][0] - slow[metric][0])
        error = float(np.hypot(fast[metric][1], slow[metric][1]))
        word = "as good" if abs(gap) <= 2 * error else "better" if gap > 0 else "worse"
        parts.append(f"{word} in {metric}")
    return (
        f"Real-time saliency takes about 1/{factor:.0f} of the time of extremal perturbations and is "
        f"{', '.join(parts)} (within two standard errors counts as as good)." + weaker(named)
    )


def weaker(named: dict[str, dict[str, Any]]) -> str:
    """Return the note on Grad-CAM where it points to fewer objects than the center of the image."""
    if "Grad-CAM" not in named or named["Grad-CAM"]["pointing"][0] >= named["center"]["pointing"][0]:
        return ""
    return (
        " Grad-CAM points to fewer objects than the center: the linear layers of scenes_vgg have "
        "weights for each of 6 x 6 positions, so that the evidence may be at other positions than the object. On "
        "scenes_resnet, with global average pooling, it points to nine of ten objects "
        "([perturbations](perturbation.md))."
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
    """Return how similar the maps of each method stay, and how much is lost beyond noise."""
    after: dict[str, list[float]] = {}
    losses: dict[str, list[float]] = {}
    for one in cases:
        for row in one["table"]:
            if row["dice"] == row["dice"] and row["noise_dice"] == row["noise_dice"]:
                after.setdefault(row["method"], []).append(row["dice"])
                losses.setdefault(row["method"], []).append(row["noise_dice"] - row["dice"])
    order = sorted(after, key=lambda name: -float(np.mean(after[name])))
    listed = ", ".join(f"`{name}` {np.mean(after[name]):.2f} ({np.mean(losses[name]):.2f})" for name in order)
    return (
        "Dice after the probe, highest first, and in parentheses what is lost beyond noise, means over the cases "
        f"above: {listed}. A map that noise alone changes has little left to lose, so both numbers count. Galli et al. "
        "2021 measured that Guided Grad-CAM changes; Ayyar et al. 2021 conclude that LRP, DeepLIFT and FEM do not, as "
        "they use no gradients of the class. Here they change, too: the probe changes the activations that they read."
    )


def recovery(rows: list[dict[str, Any]]) -> str:
    """Return the table of recovered labels."""
    lines = [
        "| network | probe | class changed | probability | mask | turned | blurred |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        shares = [f"{percent(first)} ({percent(five)})" for first, five in row["shares"].values()]
        before, after = row["probability"]
        lines.append(
            f"| {row['network']} | {row['probe']} | {row['reached']} of {row['images']} | {before:.2f}, {after:.2f} | "
            f"{' | '.join(shares)} |"
        )
    return "\n".join(lines)


def recovered(rows: list[dict[str, Any]]) -> str:
    """Return where the masks recover more labels than their baselines."""
    words: dict[str, list[str]] = {"more": [], "not more": []}
    for row in rows:
        mask, *others = (first for first, _ in row["shares"].values())
        best = max(others)
        error = float(np.sqrt((mask * (1 - mask) + best * (1 - best)) / row["reached"]))
        words["more" if mask - best > 2 * error else "not more"].append(named(row))
    parts = [
        f"{word} labels than both baselines for {', '.join(names)}" for word, names in words.items() if names
    ]
    return (
        f"The masks recover, by two standard errors, {'; '.join(parts)}. Where the turned mask does as well, any "
        "change of the image destroys the perturbation, and the position of the mask explains nothing."
    )


def named(row: dict[str, Any]) -> str:
    """Return the probe and the network of a row."""
    return f"{row['probe']} on {row['network']}"


def detection(rows: list[dict[str, Any]]) -> str:
    """Return the table of detected images."""
    names = list(rows[0]["detection"])
    lines = [
        f"| network | probe | images | {' | '.join(names)} | probability |",
        f"|---|---|---:|{'---:|' * len(names)}---:|",
    ]
    for row in rows:
        folds = [
            f"{100 * np.mean(each):.0f} ± {100 * np.std(each, ddof=1) / len(each) ** 0.5:.0f} %"
            for each in row["detection"].values()
        ]
        lines.append(
            f"| {row['network']} | {row['probe']} | {row['reached']} | {' | '.join(folds)} | "
            f"{percent(row['by_probability'])} |"
        )
    return "\n".join(lines)


def detected(rows: list[dict[str, Any]]) -> str:
    """Return which maps detect the most, and whether the probability alone does better."""
    best = []
    for row in rows:
        means = {name: float(np.mean(folds)) for name, folds in row["detection"].items()}
        name = max(means, key=means.__getitem__)
        word = "less" if means[name] < row["by_probability"] else "more"
        best.append(f"{named(row)} the {name}, {word} than the probability alone")
    return f"The best map is, for {'; for '.join(best)}."
