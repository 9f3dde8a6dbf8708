"""Page and drawing helpers of docs/results/settings, for the figures of results_settings.py."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def figure_of(rows: int, columns: int, side: float) -> tuple[Any, Any, Any]:
    """A figure of square pictures without axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        rows, columns, figsize=(columns * side, rows * side + 0.5), squeeze=False, constrained_layout=True
    )
    for each in axes.flat:
        each.set(xticks=[], yticks=[])
        for spine in each.spines.values():
            spine.set_visible(False)
    return pyplot, figure, axes


def tiled(nine: Tensor) -> Tensor:
    """Nine pictures (9, C, side, side) as three rows of three, with white between them."""
    framed = torch.nn.functional.pad(nine, (1, 1, 1, 1), value=1.0)
    rows = [torch.cat(list(framed[at : at + 3]), 2) for at in range(0, len(framed), 3)]
    return torch.cat(rows, 1).permute(1, 2, 0).clamp(0, 1)


def page(results: dict[str, Any]) -> str:
    """Return docs/results/settings.md."""
    head = results["header"]
    sigmas = [f"blurred, sigma {sigma:g}" if sigma else "as they are" for sigma in head["sigmas"]]
    parts = [
        INTRODUCTION.format(**head | {"minutes": f"{head['minutes']:.0f}"}),
    ]
    for name, found in results["networks"].items():
        columns = " | ".join(f"{each} | class-blind" for each in sigmas)
        lines = [
            f"| setting | positions | {columns} |",
            f"|---|---:|{'---:|' * (2 * len(sigmas))}",
            *(settings_row(one) for one in found["settings"].values()),
        ]
        parts += [
            f"## {name}\n",
            conclusion(found["settings"]),
            f"![Each setting beside its original](settings_{name}.png)\n",
            "\n".join(lines) + "\n",
            negative_text(found["negative"]),
        ]
        if "readings" in found:
            parts += [
                readings_table(found["readings"], sigmas),
                f"![Patterns above the patches that they are from](settings_patterns_{name}.png)\n",
                patterns_text(found["patterns"]),
            ]
    return "\n".join(parts)


#: Correlation from which a setting counts as reproduced, and how far it must be above the class-blind map.
REPRODUCED, MARGIN = 0.5, 0.05

INTRODUCTION = """\
# Settings of the operation-wise inverse that reproduce other methods

`python scripts/results_settings.py` ({minutes} minutes, threads: {threads}, {machine}), with torch {torch}. Pearson's
correlation of the map of each setting (section 4.4.1 of the source) with the absolute map of the original: mean over
{scenes} scenes of the test split from number {first} on, or {photographs} photographs for EfficientNet-Lite0 with
ImageNet weights, in brackets the 10th and the 90th percentile. The class is the predicted one. Both maps are compared
as they are, and blurred alike (in positions of the map), which is nearer to what one sees: the source compares by eye
alone.

**class-blind** is the baseline: the correlation of the original with the sum of the activations over the channels at
the same layer (for the image, of |x - m|), which is the same for every class. A setting reproduces its original only as
far as it is above this.
"""


def conclusion(settings: dict[str, Any]) -> str:
    """Return which settings reproduce their originals better than the class-blind map, as they are."""
    better, other = [], []
    for one in settings.values():
        mean, blind = one["by_sigma"][0]["mean"], one["class_blind"][0]
        if mean is not None:
            reproduced = mean >= REPRODUCED and (blind is None or mean > blind + MARGIN)
            (better if reproduced else other).append(one["title"])
    return (
        f"Reproduced, with a correlation of at least {REPRODUCED:g} and more than {MARGIN:g} above the class-blind "
        f"map: {', '.join(better) or 'none'}. Not reproduced, or no better than that map: "
        f"{', '.join(other) or 'none'}.\n"
    )


def settings_row(one: dict[str, Any]) -> str:
    """Return the row of a setting, with the baseline beside each correlation."""
    cells = [
        f"{cell(found)} | {'none' if blind is None else f'{blind:.2f}'}"
        for found, blind in zip(one["by_sigma"], one["class_blind"], strict=True)
    ]
    return f"| {one['title']} | {one['positions'][0]} x {one['positions'][1]} | {' | '.join(cells)} |"


def negative_text(found: dict[str, float]) -> str:
    """Return why Grad-CAM is reproduced as far as it is."""
    return (
        f"{found['share']:.0%} of the weights of Grad-CAM are below 0, which those of the setting, means of x^, cannot "
        f"be. Grad-CAM with its positive weights alone has a correlation of {found['positive_alone']:.2f} with the "
        f"whole, and the setting one of {found['setting']:.2f} with it.\n"
    )


def cell(one: dict[str, Any]) -> str:
    """Return the mean and the percentiles."""
    return "none" if one["mean"] is None else f"{one['mean']:.2f} ({one['low']:.2f} to {one['high']:.2f})"


def patterns_text(found: dict[str, Any]) -> str:
    """Return the description of the patterns."""
    return (
        f"Patterns of {len(found['channels'])} channels of `{found['unit']}` from their nine largest activations in "
        f"{found['images']} scenes, one from each (figure 4.2), above the same patches of the images, {found['side']} "
        f"pixels wide. {found['left']:.1%} of |x - m| is left; each pattern is drawn with as much contrast as "
        "possible.\n"
    )


def readings_table(found: dict[str, Any], sigmas: list[str]) -> str:
    """Return the table of other readings of the source."""
    lines = [
        f"Other readings of details that the source leaves open, one change at a time (scenes: {found['images']}; "
        f"DeconvNet: channel {found['channel']} of `{found['unit']}`). Left is the share of |x - m| in the inverse.\n",
        f"| reading | {' | '.join(f'IG, {each}' for each in sigmas)} | left | "
        f"{' | '.join(f'DeconvNet, {each}' for each in sigmas)} | left |",
        f"|---|{'---:|' * (2 * len(sigmas) + 2)}",
    ]
    for words, one in found["readings"].items():
        cells = []
        for method in ("integrated_gradients", "deconvnet"):
            cells += [f"{value:.2f}" for value in one[method]["by_sigma"]] + [f"{one[method]['left']:.1%}"]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
