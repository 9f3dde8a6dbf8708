"""docs/results/occlusion.md from the numbers of results_occlusion.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from results_occlusion_findings import (
    BASELINE,
    FINDINGS,
    SOURCE,
    Difference,
    deviation,
    difference,
    seeds_of,
    values_of,
)
from results_occlusion_training import CONDITIONS, CROP, LAYER, NETWORKS, PLAN, SIDE

#: Percent of the training scenes below which a network does not fit them.
UNDERFIT = 97

HEAD = """\
# Training with occlusions

`python scripts/results_occlusion.py`; seeds {seeds}, torch {torch}, {machine}, {threads} thread, {minutes:.0f} minutes
of training. `--seeds 7` adds another seed to this page.

The study of appendix C.1 of Fong 2020 at a small scale: does a network classify *unoccluded* images better if it was
trained with occlusions? The networks have four convolutions with batch norm, of 8 to 32 channels (narrow) or 16 to 64
(wide). They are trained on {scenes} generated scenes of 11 classes, cropped at random from {side} to {crop} pixels and
flipped; the twelfth class differs from another by a ring that is too small at this size. As in the source, the learning
rate is 0.1 for batches of 256, in proportion {learning_rate:g} for {batch}, and falls to a tenth after 30, 60 and 90 %
of {epochs} epochs; momentum {momentum:g}, weight decay {weight_decay:g}. Every training takes the same {total} steps;
a joint batch has {joint} images. Squares and cells have a seventh of their published sides, as the images do.

- **top-1**: percent of {tested} held-out scenes. **occluded**: the same scenes with half of the cells of a 4 x 4 grid
  hidden. **shifted**: scenes of the test split, with other photographs as backgrounds. **train**: training scenes.
- **seed**: of the training scenes, the initial weights, the order of the scenes, the crops and the masks. The
  held-out scenes are the same for all.
- **±** after an accuracy: standard deviation over the seeds. After a difference: half the 95 % interval of the paired
  t-test over the seeds. An interval that contains 0 bears no conclusion. Of twenty intervals without a true
  difference, one would miss 0 by chance; there are more than twenty on this page.
"""

FIGURES = """\
![Accuracy over keep_patch, joint and non-joint training, and coverage of the object](occlusion.png)

Left: joint Hide-and-Seek by capacity; dotted: the duplicated baselines (table 1). Center: figure 5 of the source for
keep_patch 0.5. Right: how the saliency of the wide network covers the object (figure 4). Bars: standard deviation over
the seeds.
"""

MAPS = """\
## Coverage of the object

Figure 4 of the source in numbers, for the wide network: maps of the true class on {mapped} held-out scenes, whether or
not the network recognizes them. Saliency is that of equation 1, |g| |a| at `{layer}`; Grad-CAM is at the last layer;
both layers have 8 x 8 positions. **on, off**: percent of the object, and of the rest, with at least half of the largest
value. **top**: percent of the object among as many highest values as the object has pixels.

{table}

![Saliency without and with occlusions](occlusion_maps.png)

Saliency of the duplicated baseline and of joint Hide-and-Seek (keep_patch 0.5), both of the first seed, on the first
held-out scenes that only the latter recognizes, as in figure 4. Chosen like this they illustrate; the table has all
scenes.
"""

ABOUT = """\
## About these findings

- Noise. In a network without dropout the duplicated batch (X, X) has the gradient of X, so that the baseline and the
  duplicated baseline differ by rounding, which training amplifies (and by the unbiased variance in the running
  statistics of batch norm). Such equal trainings ended apart by {noise} percent, seed by seed: a smaller difference
  means nothing. In trials, residual networks and four times the learning rate ended further apart.
- The source has a duplicated baseline above the other for AlexNet and both VGG16, which have dropout, and not for
  ResNet50; *wide, dropout* tests whether dropout, which draws other units for each copy, is enough.
- {robust}
- {room}
- The trainings have {total} steps on {scenes} scenes, those of the source 100 epochs on ImageNet. Whether longer ones,
  larger networks or images whose objects have more parts would gain more was not tested; nor were AlexNet, VGG16 and
  ResNet50 themselves, all five values of keep_patch, Cutout with 1, 2, 4 and 8 squares, four copies, and the
  comparison with dropout, DropBlock and label smoothing (table 6).
"""


def page(found: dict[str, Any]) -> str:
    """Return docs/results/occlusion.md, with the networks and conditions that are measured."""
    recipe = found["recipe"]
    steps = recipe["epochs"] * (recipe["scenes"] // recipe["batch"])
    head = HEAD.format(
        **found["header"], **recipe, seeds=", ".join(map(str, all_seeds(found))), minutes=minutes(found),
        total=steps, joint=2 * recipe["batch"], side=SIDE, crop=CROP,
    )  # fmt: skip
    parts = [head, summary(found), findings(found), FIGURES]
    parts += [network_table(found, name) for name in NETWORKS if found["runs"].get(name)]
    parts.append(MAPS.format(layer=LAYER, mapped=recipe["mapped"], table=maps_table(found)))
    parts.append(
        ABOUT.format(
            noise=noise(found), robust=robust(found), room=room(found), total=steps, scenes=recipe["scenes"]
        )
    )
    return "\n".join(parts)


def all_seeds(found: dict[str, Any]) -> list[int]:
    """Return every seed of a training."""
    return sorted({int(seed) for runs in found["runs"].values() for each in runs.values() for seed in each})


def minutes(found: dict[str, Any]) -> float:
    """Return the duration of all trainings."""
    return sum(
        run["seconds"] for runs in found["runs"].values() for each in runs.values() for run in each.values()
    ) / 60  # fmt: skip


def summary(found: dict[str, Any]) -> str:
    """Return whether occlusions helped the wide network, counted over its conditions."""
    counted: dict[int, list[str]] = {1: [], 0: [], -1: []}
    for condition in PLAN["wide"]:
        against = difference(found, "wide", condition)
        if against is not None and occludes(condition):
            counted[against.sign].append(condition)
    total = sum(map(len, counted.values()))
    if not total:
        return ""
    one = " One seed has no interval, so that nothing is above or below." if len(all_seeds(found)) < 2 else ""
    lines = [
        f"**Did it help here?** Of {total} trainings of the wide network with occlusions, {len(counted[1])} are above "
        f"the duplicated baseline, {len(counted[-1])} below it, and for {len(counted[0])} the spread over the seeds "
        f"covers the difference.{one}"
    ]
    for sign, word in ((1, "Above"), (-1, "Below"), (0, "Not decided")):
        if counted[sign]:
            each = (f"{CONDITIONS[name].title} ({difference(found, 'wide', name)})" for name in counted[sign])
            lines.append(f"- {word}: {'; '.join(each)}.")
    return f"{lines[0]}\n\n" + "\n".join(lines[1:]) + "\n"


def occludes(condition: str) -> bool:
    """Return whether images are occluded in a condition."""
    return CONDITIONS[condition].occlusion is not None or CONDITIONS[condition].guided


def findings(found: dict[str, Any]) -> str:
    """Return the findings of the source beside those here."""
    rows = [
        "## Findings of the source\n",
        "Accuracies of the source are top-1 in percent on ImageNet; figures here are differences in percent.\n",
        "| finding | here |",
        "|---|---|",
        *(f"| {words} | {judge(found)} |" for words, judge in FINDINGS),
    ]
    return "\n".join([*rows, ""])


def network_table(found: dict[str, Any], name: str) -> str:
    """Return accuracies of a network, and differences to the duplicated baseline seed by seed."""
    seeds = all_seeds(found)
    wide = name == "wide"
    rows = [
        f"## {name[0].upper()}{name[1:]}\n",
        f"| training | top-1 | occluded | shifted | train | {' | '.join(f'seed {seed}' for seed in seeds)} | "
        f"difference |{' source |' if wide else ''}",
        f"|---|---:|---:|---:|---:|{'---:|' * len(seeds)}---:|" + ("---:|" if wide else ""),
    ]
    for condition in PLAN[name]:
        if not seeds_of(found, name, condition):
            continue
        cells = [CONDITIONS[condition].title]
        cells += [
            spread(values_of(found, name, condition, key)) for key in ("top1", "occluded", "shifted", "train")
        ]
        cells += differences(difference(found, name, condition), seeds, is_base=condition == BASELINE)
        if wide:
            cells.append(f"{SOURCE[condition]:+.2f}" if condition in SOURCE else "")
        rows.append(f"| {' | '.join(cells)} |")
    words = "The columns of seeds and the difference are against the duplicated baseline of the same seed"
    words += ", for the source ResNet50 on ImageNet." if wide else "."
    return "\n".join([*rows, "", words, ""])


def differences(against: Difference | None, seeds: list[int], *, is_base: bool) -> list[str]:
    """Return cells of a difference, seed by seed and on average."""
    if against is None or is_base:
        return [""] * (len(seeds) + 1)
    by_seed = dict(zip(against.seeds, against.values, strict=True))
    each = [f"{by_seed[seed]:+.1f}" if seed in by_seed else "" for seed in seeds]
    return [*each, f"**{against}**" if against.sign else str(against)]


def maps_table(found: dict[str, Any]) -> str:
    """Return how maps cover the object."""
    rows = [
        "| training | saliency on | off | top | on, difference | top, difference | Grad-CAM on | off | top | "
        "on, difference |",
        f"|---|{'---:|' * 9}",
    ]
    for condition in PLAN["wide"]:
        if not seeds_of(found, "wide", condition):
            continue
        against = [
            "" if each is None or condition == BASELINE else f"**{each}**" if each.sign else str(each)
            for key in ("saliency.on", "saliency.top", "grad_cam.on")
            for each in (difference(found, "wide", condition, key=f"maps.{key}"),)
        ]
        own = [
            spread(values_of(found, "wide", condition, f"maps.{kind}.{key}"))
            for kind in ("saliency", "grad_cam")
            for key in ("on", "off", "top")
        ]
        cells = [CONDITIONS[condition].title, *own[:3], *against[:2], *own[3:], against[2]]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def noise(found: dict[str, Any]) -> str:
    """Return the differences between baselines that are equal but for rounding."""
    each = {name: difference(found, name, BASELINE, "baseline") for name in NETWORKS if "dropout" not in name}
    known = {name: one for name, one in each.items() if one is not None}
    return "; ".join(f"{name} {' '.join(f'{v:+.1f}' for v in one.values)}" for name, one in known.items())


def robust(found: dict[str, Any]) -> str:
    """Return the accuracy on occluded scenes without and with occlusions in training."""
    against = difference(found, "wide", "joint_hs_0.5", key="occluded")
    if against is None:
        return "The accuracy on occluded scenes was not measured."
    low, high = (
        np.mean(values_of(found, "wide", condition, "occluded")) for condition in (BASELINE, "joint_hs_0.5")
    )
    return (
        "Robustness to occlusions: joint Hide-and-Seek (keep_patch 0.5) changes the accuracy of the wide network on "
        f"*occluded* scenes from {low:.1f} to {high:.1f} ({against}), whatever it does to that on whole scenes."
    )


def room(found: dict[str, Any]) -> str:
    """Return the accuracy on training scenes beside that on held-out ones, the gap that a regularizer could close."""
    gaps, underfit = [], True
    for name in ("narrow", "wide"):
        train, own = (values_of(found, name, BASELINE, key) for key in ("train", "top1"))
        if own:
            gaps.append(f"{name} {np.mean(train):.1f} and {np.mean(own):.1f}")
            underfit &= bool(np.mean(train) < UNDERFIT)
    why = (
        " The trainings end before they fit all of their scenes, so that there is little overfitting that occlusions "
        "could prevent, while they make the task harder. Whether this is the cause was not tested."
    )
    return (
        "Room for a regularizer: the duplicated baselines recognize, of their training and of the held-out scenes, "
        f"{', '.join(gaps) or 'nothing measured'} percent.{why if gaps and underfit else ''}"
    )


def spread(values: list[float]) -> str:
    """Return the mean with the standard deviation, which one value does not have."""
    scatter = f" ± {deviation(values):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{scatter}"
