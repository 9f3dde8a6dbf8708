"""docs/results/evaluation.md from the numbers of results_evaluation.py."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from scipy.stats import spearmanr

HEAD = """\
# Every metric, on scenes and on photographs

`{command}`; torch {torch}, {machine}, one thread.

{images}. One class is explained in each scene, drawn at random from those that it shows, and the predicted class in
each photograph. All scores are those of `studies.evaluate`; a constant map, or one with a NaN, has the worst score.

- **mean ± half the 95 % bootstrap interval** over the images. ↑: higher is better, ↓: lower is better.
- **Bold**: the best method, and each that it is not better than, by the 95 % bootstrap interval of the paired
  difference.
- *Italic*: not better than every reference map by such an interval. `random`, `center` and `class_blind` are maps
  without an explanation: noise, the distance from the center, and activations without a class.
- Of many intervals of 95 % without a true difference, one of twenty misses 0 by chance.
- Options that bound the passes: {options}. MoRF and LeRF are the halves of ABPC.
"""

CANNOT = """\
## Limits of these tables

- **No method is the best.** Metrics ask different questions; the agreement above is the reason not to add them up.
- **Localization asks about the network, too.** A faithful map of a network that looks at the planted stamp, or at the
  background, has a poor localization.
- **Changed images differ from photographs.** Deletion, ABPC, sensitivity-n, ROAD and infidelity score images that no
  network was trained on; how much of a score is the damage by itself is not separated here.
- **Few images.** {photographs}Intervals that contain 0 do not show equality.
- **Few networks.** Two small networks with 12 classes of drawn objects and one pretrained network; vision transformers
  are not among them.
- **Bounded options.** Methods of many passes ran with few samples, which makes some of them worse than they can be.
- `seconds` and `megabytes` are of one machine, on which other work ran.
"""

#: Categories in the order of their tables, with the most columns that a page of usual width shows.
CATEGORIES = ("faithfulness", "localization", "randomization", "robustness", "complexity", "cost")
COLUMNS = 6


def page(found: dict[str, Any]) -> str:
    """Return the whole page."""
    facts, networks = found["facts"], found["networks"]
    given = [
        f"`{name}({', '.join(f'{key}={value}' for key, value in options.items())})`"
        for name, options in [
            *((name, one["options"]) for name, one in facts["metrics"].items()),
            *facts["settings"].items(),
        ]
        if options
    ]
    counted = [
        f"{name}: {own['quick']['images']} {'photographs' if 'photographs' in own else 'held-out scenes'}, "
        f"methods of many passes on {own['slow']['images']}"
        for name, own in networks.items()
    ]
    photos = [own["quick"]["images"] for own in networks.values() if "photographs" in own]
    parts = [
        HEAD.format(
            images="; ".join(counted),
            options=", ".join(given),
            torch=facts["torch"],
            machine=facts["machine"],
            command=command(networks),
        ),
        findings(found),
        CANNOT.format(photographs=f"There are {photos[0]} photographs. " if photos else ""),
    ]
    for name, own in networks.items():
        parts.append(f"## {name}\n")
        if "photographs" in own:
            parts.append(
                "The photographs of scikit-image in which the network gives one class a probability of at least 0.2: "
                f"{', '.join(own['photographs'])}.\n"
            )
        for part in ("quick", "slow"):
            few = "Methods of at most three passes" if part == "quick" else "Methods of many passes"
            parts.append(f"### {few}, {own[part]['images']} images\n")
            parts += tables(own[part]["metrics"], facts)
    return "\n".join(parts)


def command(networks: dict[str, Any]) -> str:
    """Return the command that computes the scores of the page."""
    scenes = {own["quick"]["images"] for own in networks.values() if "photographs" not in own}
    return "python scripts/results_evaluation.py" + "".join(f" --scenes {count}" for count in sorted(scenes))


def tables(scores: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """Return the tables of a part, one or more for each category, with failures below."""
    out = []
    for category in CATEGORIES:
        names = [name for name in scores if facts["metrics"][name]["category"] == category]
        for first in range(0, len(names), COLUMNS):
            out.append(table(scores, names[first : first + COLUMNS], facts))
    failed = {
        f"- {facts['methods'][method]}, {facts['metrics'][metric]['title']}: no score for {one['failed']} images, "
        f"{one['error']}"
        for metric, rows in scores.items()
        for method, one in rows.items()
        if one["failed"]
    }
    return [*out, *(["\n".join(sorted(failed)) + "\n"] if failed else [])]


def table(scores: dict[str, Any], names: list[str], facts: dict[str, Any]) -> str:
    """Return methods x metrics, with the reference maps first."""
    arrows = {"higher": "↑", "lower": "↓"}
    titles = [
        f"{facts['metrics'][name]['title']} {arrows[facts['metrics'][name]['direction']]}" for name in names
    ]
    lines = [f"| method | {' | '.join(titles)} |", f"|---|{'---:|' * len(names)}"]
    for method in facts["methods"]:
        if any(method in scores[name] for name in names):
            cells = [cell(scores[name].get(method), method in facts["references"]) for name in names]
            lines.append(f"| {facts['methods'][method]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cell(one: dict[str, Any] | None, reference: bool) -> str:
    """Return a mean with its interval, marked."""
    if one is None or one["mean"] is None:
        return "–"
    text = rounded(one["mean"])
    if one["low"] is not None and one["high"] > one["low"]:
        text += f" ± {rounded((one['high'] - one['low']) / 2)}"
    if one["missed"]:
        text += f", {one['missed']} missed"
    if not one.get("behind", True):
        return f"**{text}**"
    return text if reference or one.get("above") else f"*{text}*"


def rounded(value: float) -> str:
    """Return a value with as many digits as a table needs; never "-0"."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{round(value, digits) + 0.0:.{digits}f}"


# -- findings ------------------------------------------------------------------------------------


def findings(found: dict[str, Any]) -> str:
    """Return sentences that follow from the figures, each with them."""
    facts = found["facts"]
    lines = ["## Findings\n"]
    for name, own in found["networks"].items():
        scores, blind = own["quick"]["metrics"], set(facts["references"])
        # Metrics of other categories do not depend on the map.
        judged = {
            metric
            for metric in scores
            if facts["metrics"][metric]["category"] in CATEGORIES
            and facts["metrics"][metric]["category"] not in ("cost", "complexity")
        }
        counts = {
            metric: sum(
                bool(one.get("above")) for method, one in scores[metric].items() if method not in blind
            )
            for metric in judged
        }
        total = max(len(set(rows) - blind) for rows in scores.values())
        lines.append(
            f"- **{name}: methods that are better than every reference map**, of {total}: "
            + ", ".join(
                f"{facts['metrics'][metric]['title']} {count}"
                for metric, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
            )
            + "."
        )
        passed = {
            method: [metric for metric in judged if scores[metric].get(method, {}).get("above")]
            for method in facts["methods"]
            if method not in blind and any(method in scores[metric] for metric in judged)
        }
        most = sorted(passed, key=lambda each: -len(passed[each]))
        lines.append(
            f"- {name}: of these {len(judged)} metrics, a method is better than every reference map in: "
            + ", ".join(f"{facts['methods'][method]} {len(passed[method])}" for method in most)
            + "."
        )
        identity = scores.get("virtual_identity", {}).get("gradient")
        if identity:
            half = (identity["high"] - identity["low"]) / 2
            lines.append(
                f"- {name}: virtual identity, which measures the network and not a map, is {identity['mean']:.3f} ± "
                f"{half:.3f} in the mean over the convolutions; Rebuffi et al. 2020 find more than 0.95 at every layer "
                "of two other networks."
            )
        within, between, pair = agreement(scores, facts)
        if pair:
            lines.append(
                f"- {name}: rank correlation of the order of the methods between two metrics, median of all pairs: "
                f"{within:.2f} within faithfulness, {between:.2f} between faithfulness and localization or "
                f"randomization. The lowest within faithfulness is {pair[0]:.2f}, of {pair[1]} and {pair[2]}."
            )
    lines += networks_agree(found)
    return "\n".join(lines) + "\n"


def order(scores: dict[str, Any], metric: str, facts: dict[str, Any], methods: list[str]) -> list[float]:
    """Return the means of methods, higher for the better."""
    sign = 1 if facts["metrics"][metric]["direction"] == "higher" else -1
    return [sign * scores[metric][method]["mean"] for method in methods]


def correlation(
    one: tuple[dict[str, Any], str], other: tuple[dict[str, Any], str], facts: dict[str, Any]
) -> float | None:
    """Return the rank correlation of the methods by two metrics or on two networks; None without an order."""
    rows = [scores[metric] for scores, metric in (one, other)]
    methods = [
        method
        for method in rows[0]
        if method not in facts["references"]
        and all(method in each and each[method]["mean"] is not None for each in rows)
    ]
    orders = [order(scores, metric, facts, methods) for scores, metric in (one, other)]
    if len(methods) < 3 or any(len(set(each)) < 2 for each in orders):
        return None
    return float(spearmanr(*orders).statistic)


def agreement(
    scores: dict[str, Any], facts: dict[str, Any]
) -> tuple[float, float, tuple[float, str, str] | None]:
    """Return the median agreement within faithfulness, that with other categories, and the pair that agrees least."""
    groups = {name: facts["metrics"][name]["category"] for name in scores}
    faithful = [name for name in scores if groups[name] == "faithfulness"]
    others = [name for name in scores if groups[name] in ("localization", "randomization")]
    inner = [
        (value, *(facts["metrics"][each]["title"] for each in pair))
        for pair in itertools.combinations(faithful, 2)
        if (value := correlation((scores, pair[0]), (scores, pair[1]), facts)) is not None
    ]
    outer = [
        value
        for pair in itertools.product(faithful, others)
        if (value := correlation((scores, pair[0]), (scores, pair[1]), facts)) is not None
    ]
    if not inner or not outer:
        return 0.0, 0.0, None
    return float(np.median([each[0] for each in inner])), float(np.median(outer)), min(inner)


def networks_agree(found: dict[str, Any]) -> list[str]:
    """Return how far two networks order the methods alike, by metric."""
    facts, lines = found["facts"], []
    for one, other in itertools.combinations(found["networks"], 2):
        pair = [found["networks"][name]["quick"]["metrics"] for name in (one, other)]
        values = {
            metric: value
            for metric in pair[0]
            if metric in pair[1]
            and facts["metrics"][metric]["category"] != "cost"
            and (value := correlation((pair[0], metric), (pair[1], metric), facts)) is not None
        }
        if values:
            ordered = sorted(values, key=lambda each: -values[each])
            lines.append(
                f"- {one} and {other} order the methods alike (rank correlation): "
                + ", ".join(f"{facts['metrics'][each]['title']} {values[each]:.2f}" for each in ordered)
                + "."
            )
    return lines
