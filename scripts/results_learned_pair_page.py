"""Sections of docs/results/learned.md on the pair of generators and on the one-pixel probe."""

from __future__ import annotations

from typing import Any

#: File of the figure, beside the page.
FIGURE = "learned_pair.png"

PAIR = """\
## Adversarial explanation by two generators

Two generators on scenes_vgg for the binary task {classes}, trained on scenes of one object, and measured on {images}
held-out ones. g_s keeps the class of the two in {kept} of the images, g_a changes it in {changed}; the root mean square
change of the pixels is {similar:.3f} and {adversarial:.3f}. FGSM of 16 gray levels toward the other class reaches it in
{fgsm}, iterated FGSM in {iterated}.

*on the object*: share of the map on the pixels of the object, which cover {area}; *pointing*: share of the maxima on
the object; *variation*: mean difference of neighbors relative to the mean of the map; *PNG*: bytes per pixel of the map
in 256 gray levels. Mean ± standard error.

{table}

{verdict}

![Scenes, what the generators make of them, and the maps]({figure})

Rows: image, g_s(x), g_a(x), |x - x_a| of FGSM and of iterated FGSM, |x - g_a(x)|, |g_s(x) - g_a(x)|; each map is
divided by its maximum.
"""

PIXELS = """\
## One-pixel probe

On {images} test scenes of one object, with a population of {population} and at most {generations} generations, far
fewer than the 400 and 100 of the source; on images of 96 x 96 pixels instead of 32 x 32.

{text}
"""


def percent(value: float) -> str:
    """Return a share in percent."""
    return f"{100 * value:.0f} %"


def pair_section(found: dict[str, Any]) -> str:
    """Return the section of the two generators."""
    return PAIR.format(
        classes=" against ".join(found["classes"]),
        images=found["images"],
        **{key: percent(found[key]) for key in ("kept", "changed", "fgsm", "iterated", "area")},
        similar=found["distance"][0],
        adversarial=found["distance"][1],
        table=table(found["rows"]),
        verdict=verdict(found),
        figure=FIGURE,
    )


def table(rows: list[dict[str, Any]]) -> str:
    """Return the table of maps."""
    lines = [
        "| map | on the object | pointing | variation (low is smooth) | PNG |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['name'].replace('|', chr(92) + '|')} | "
        + " | ".join(
            f"{row[key][0]:.2f} ± {row[key][1]:.2f}" for key in ("mass", "pointing", "variation", "png")
        )
        + " |"
        for row in rows
    ]
    return "\n".join(lines)


def verdict(found: dict[str, Any]) -> str:
    """Return the comparison of the pair with one generator and with FGSM in words."""
    named = {row["name"]: row for row in found["rows"]}
    both, single = named["|g_s(x) - g_a(x)|"], named["|x - g_a(x)|"]
    parts = [
        f"{word(both[key], single[key], sign, better, worse)}"
        for key, sign, better, worse in (
            ("mass", 1, "lies more on the object", "lies less on the object"),
            ("variation", -1, "is smoother", "is rougher"),
            ("png", -1, "is shorter as PNG", "is longer as PNG"),
        )
    ]
    text = f"Against |x - g_a(x)|, |g_s(x) - g_a(x)| {', '.join(parts[:-1])} and {parts[-1]}"
    text += " (within two standard errors counts as equal)."
    works = found["kept"] >= 0.9 and found["changed"] >= 0.9
    if not works:
        text += " The generators do not solve their task: g_s keeps, or g_a changes, fewer than nine of ten images."
    iterated = named["|x - x_a|, iterated FGSM"]
    share, size = (both[key][0] / iterated[key][0] for key in ("mass", "png"))
    return (
        f"{text} Its share on the object is {share:.1f} times that of iterated FGSM, and its PNG {size:.2f} times as "
        "long. FGSM changes all pixels alike, so that its map is constant where no pixel is clipped."
    )


def word(first: list[float], second: list[float], sign: int, better: str, worse: str) -> str:
    """Return which of two means with standard errors is better; "equal" within two standard errors."""
    gap = sign * (first[0] - second[0])
    if abs(gap) <= 2 * (first[1] ** 2 + second[1] ** 2) ** 0.5:
        return {"lies more on the object": "lies as much on the object", "is smoother": "is as smooth"}.get(
            better, "is as long as PNG"
        )
    return better if gap > 0 else worse


def pixels_section(found: dict[str, Any], probe: Any) -> str:
    """Return the section of the one-pixel probe; ``probe`` draws the table of one case."""
    text = []
    for one in found["cases"]:
        before, after = one["probabilities"]
        head = f"Mean probability of the old class: {before:.2f} before, {after:.2f} after."
        if one["reached"]:
            text.append(f"{probe(one)}\n\n{head}")
        else:
            text.append(
                f"**{one['probe']} on {one['network']}**: 0 of {one['images']} images changed class. {head}"
            )
    return PIXELS.format(
        images=found["cases"][0]["images"],
        population=found["population"],
        generations=found["generations"],
        text="\n\n".join(text),
    )
