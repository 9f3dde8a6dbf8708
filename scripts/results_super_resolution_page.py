"""docs/results/super_resolution.md from the numbers of results_super_resolution.py, and the pictures beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from xai_widgets.data import low_resolution as data
from xai_widgets.inverse.evaluation import DISTANCES

#: The lambda of the source, and how alike x^ and x are there: the SSIM of d_A, the mean of table 5.3.
PUBLISHED, PUBLISHED_SSIM = 0.15, 0.79
#: The scale of figures 5.13 and 5.14.
COARSEST = max(data.SCALES)
MEASURES = ("mse", "psnr", "ssim")
PAIRS = ("x, x^", "Phi(x), Phi(x^)", "x + Phi(x), x + Phi(x^)", "x + Phi(x), g", "x + Phi(x^), g")
#: What makes a patch focused: the mean of alpha, as in the source, or the share of its light that is kept.
READINGS = ("alpha", "light")
#: The colors of the source.
GROUPS = {"focused": "tab:red", "unfocused": "tab:green"}
#: At so many of 63 frequencies or more a photograph shows what figure 5.13 shows.
MOST = 50
#: A place of the chirp has lost its details where this share of their power, or less, is left in x.
LOST = 0.1


def matched(results: dict[str, Any]) -> int:
    """Index of the lambda at which x^ is about as unlike x as in the source, over all scales and photographs."""
    rows = [one["ssim"] for found in results["distances"].values() for one in found.values()]
    similar = torch.tensor(rows)[:, :, 0].mean(0)
    return int((similar - PUBLISHED_SSIM).abs().argmin())


def more(found: dict[str, Any]) -> tuple[int, float]:
    """Of how many of the 63 frequencies the focused patches have more power, and of the constant part how much, dB."""
    focused, others = (torch.tensor(found[name]) for name in ("focused", "unfocused"))
    constant = 10 * (focused[0] / others[0]).log10()
    return int((focused[1:] > others[1:]).sum()), float(constant)


def page(results: dict[str, Any]) -> str:
    """docs/results/super_resolution.md."""
    head, at = results["header"], matched(results)
    parts = [
        "# The layer-wise inverse of a super-resolution network\n",
        f"`python scripts/results_super_resolution.py` ({head['minutes']:.0f} minutes on {head['threads']} threads of "
        f"{head['machine']}), with torch {head['torch']}. Photographs that `scenes_sr` was never trained on: "
        f"{', '.join(head['photographs'])}; of each the luminance, and for the inverses the middle, {head['size']} "
        "pixels each way.\n",
        "## Gain over bicubic interpolation\n",
        gain_table(results["gain"]),
        "## The five distances\n",
        DISTANCES_TEXT.format(published=PUBLISHED, matched=head["lam"][at], ssim=PUBLISHED_SSIM),
        distance_table(results, head["lam"].index(PUBLISHED)),
        distance_table(results, at),
        "![PSNR, similarity and what is kept, over lambda](super_resolution_curves.png)\n",
        convergence(results),
        "![x, x^, alpha, both residuals and both results](super_resolution_inverses.png)\n",
        homogeneous_table(results),
        "## Of which frequencies the focused patches have more power\n",
        frequency_text(results),
        frequency_table(results),
        starts_text(results),
        "![Power of focused, other and all patches](super_resolution_spectra.png)\n",
        "## An image of all frequencies\n",
        chirp_text(results["chirp"], at, head["lam"]),
        "![The chirp, its inverse and alpha](super_resolution_chirp.png)\n",
    ]
    return "\n".join(parts)


DISTANCES_TEXT = """\
As in tables 5.2 and 5.3 of the source: d_A (x, x^), d_B (Phi(x), Phi(x^)), d_C (x + Phi(x), x + Phi(x^)),
d_D (x + Phi(x), g), d_E (x + Phi(x^), g), each as MSE / PSNR in dB / SSIM, means over the photographs. First at
lambda {published:g}, the choice of the source for a network of twenty layers; then at {matched:g}, where x^ of this
network of eight is about as unlike x as x^ of the source is there (SSIM {ssim:g}).
"""


def gain_table(gain: dict[str, Any]) -> str:
    """PSNR by scale."""
    rows = ["| scale | bicubic, dB | network, dB | gain, dB |", "|---:|---:|---:|---:|"]
    rows += [f"| {s} | {f['bicubic']:.2f} | {f['network']:.2f} | {f['gain']:+.2f} |" for s, f in gain.items()]
    return "\n".join(rows) + "\n"


def means(results: dict[str, Any], scale: str, measure: str) -> Tensor:
    """(lambda, 5), over the photographs."""
    return torch.tensor([one[measure] for one in results["distances"][scale].values()]).mean(0)


def kept(results: dict[str, Any], scale: str) -> Tensor:
    """Mean alpha for each lambda."""
    return torch.tensor([one["alpha"] for one in results["distances"][scale].values()]).mean(0)


def distance_table(results: dict[str, Any], at: int) -> str:
    """One lambda, in the form of table 5.3."""
    heads = " | ".join(f"d_{name}" for name in DISTANCES)
    rows = [
        f"| lambda {results['header']['lam'][at]:g} | kept, mean alpha | {heads} |",
        "|---:|---:|" + "---:|" * len(DISTANCES),
    ]
    for scale in results["distances"]:
        mse, psnr, ssim = (means(results, scale, name)[at].tolist() for name in MEASURES)
        cells = " | ".join(f"{a:.5f} / {b:.1f} / {c:.3f}" for a, b, c in zip(mse, psnr, ssim, strict=True))
        rows.append(f"| {scale} | {kept(results, scale)[at]:.2f} | {cells} |")
    return "\n".join(rows) + "\n"


def convergence(results: dict[str, Any]) -> str:
    """How many solutions were still falling."""
    every = [one for found in results["distances"].values() for one in found.values()]
    missed = sum(sum(one["unconverged"]) for one in every)
    total = sum(one["units"] * len(one["unconverged"]) for one in every)
    return f"Of {total} solutions of a unit, {missed} were still falling when they were ended.\n"


def frequency_table(results: dict[str, Any]) -> str:
    """At how many frequencies focused patches have more power, for both readings."""
    scales = list(results["frequencies"])
    heads = [f"{scale}, {reading}" for reading in READINGS for scale in scales]
    rows = [f"| lambda | {' | '.join(heads)} |", "|---:|" + "---:|" * len(heads)]
    for k, lam in enumerate(results["header"]["lam"]):
        found = [
            results["frequencies"][scale][reading][k]["together"] for reading in READINGS for scale in scales
        ]
        cells = " | ".join(f"{count} ({constant:+.1f} dB)" for count, constant in found)
        rows.append(f"| {lam:g} | {cells} |")
    return "\n".join(rows) + "\n"


def frequency_text(results: dict[str, Any]) -> str:
    """What the source says of figure 5.13, and what is found here."""
    found, at = results["frequencies"][f"x{COARSEST}"], results["header"]["lam"].index(PUBLISHED)
    counts = {reading: found[reading][at]["together"][0] for reading in READINGS}
    alone = {
        f"{reading}_alone": ", ".join(
            f"{name} {count}" for name, (count, _) in found[reading][at]["alone"].items()
        )
        for reading in READINGS
    }
    where = {
        f"{reading}_where": " and ".join(
            name for name, (count, _) in found[reading][at]["alone"].items() if count >= MOST
        )
        or "none"
        for reading in READINGS
    }
    return FREQUENCY_TEXT.format(
        scale=COARSEST,
        published=PUBLISHED,
        edges=found["edges"][at],
        most=MOST,
        **counts,
        **alone,
        **where,
    )


FREQUENCY_TEXT = """\
The table counts at how many of 63 frequencies focused patches of 8 x 8 have more power than the others, patches of all
photographs together; in brackets by how much their constant part is above that of the others. The source says of its
figure 5.13 (scale {scale}) that they have more at all frequencies, with the exception of the constant part.

- **alpha**: focused is a patch in which the mean of alpha = x^ / x is above the mean, as the text of the source says.
  That gives {alpha} of 63 at its lambda of {published:g} and scale {scale} (by themselves: {alpha_alone}).
- **light**: focused is a patch that keeps more of its light, sum x^ / sum x, than the mean. That gives {light} of 63
  (by themselves: {light_alone}).

So of these photographs together the figure is not reproduced by alpha, and by light it is in part. By themselves the
photographs that show it, at {most} frequencies or more, are: by alpha {alpha_where}; by light {light_where}.

What makes the difference: inside of the half of the patches with more contrast alpha goes with the brightness (mean
correlation {edges:.2f}). The dark side of an edge has a small alpha though it holds next to none of the light; the mean
of alpha counts it as much as the bright side, and so takes an edge for less focused.
"""


def homogeneous_table(results: dict[str, Any]) -> str:
    """Return mean alpha of smooth and detailed patches for each lambda."""
    scales = list(results["frequencies"])
    rows = [
        "Homogeneous regions fade in the source (figure 5.11). Mean alpha of the half of the patches with less "
        "contrast / of the other half:\n",
        f"| lambda | {' | '.join(scales)} |",
        "|---:|" + "---:|" * len(scales),
    ]
    for k, lam in enumerate(results["header"]["lam"]):
        pairs = (results["frequencies"][scale]["homogeneous"] for scale in scales)
        cells = " | ".join(f"{found['smooth'][k]:.2f} / {found['detailed'][k]:.2f}" for found in pairs)
        rows.append(f"| {lam:g} | {cells} |")
    return "\n".join(rows) + "\n"


def starts_text(results: dict[str, Any]) -> str:
    """Return what a start at 0 finds."""
    found, lam = results["from_zero"], results["header"]["lam"]
    counts = {
        reading: ", ".join(f"{rows[k][0]} at {value:g}" for k, value in enumerate(lam) if value >= PUBLISHED)
        for reading, rows in found["more"].items()
    }
    blurred, zero = found["cost"]
    better = "lower" if zero < blurred else "higher"
    return (
        "The minimum that is found depends on where the solver begins. From 0 instead of the blurred activation, "
        f"x{COARSEST}: by alpha {counts['alpha']}; by light {counts['light']}. The cost of the unit that sees the "
        f"image is then {zero:.2f} instead of {blurred:.2f} at lambda {PUBLISHED:g}, which is {better}.\n"
    )


def chirp_text(found: dict[str, Any], at: int, lam: list[float]) -> str:
    """A row for each kind of patch."""
    rows = [
        CHIRP_TEXT.format(scale=COARSEST, lost=100 * LOST, **conclusion(found, at, lam)),
        f"| patches | number | kept, lambda {PUBLISHED:g} | kept, lambda {lam[at]:g} | x, dB | x + Phi(x), dB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, one in found.items():
        shares = [one["alpha"][lam.index(PUBLISHED)], one["alpha"][at]]
        cells = [*(f"{share:.2f}" for share in shares), *(f"{value:.1f}" for value in one["psnr"])]
        rows.append(f"| {CHIRP_ROWS[name]} | {one['patches']} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def conclusion(found: dict[str, Any], at: int, lam: list[float]) -> dict[str, Any]:
    """Return the figures of the text about patches in which details are left, and of those that have lost them."""
    first = lam.index(PUBLISHED)
    numbers: dict[str, Any] = {"lam": lam[at], "published": PUBLISHED}
    for name in ("kept", "lost"):
        before, after = found[name]["psnr"]
        shares = found[name]["alpha"]
        numbers |= {
            f"{name}_alpha": shares[at],
            f"{name}_first": shares[first],
            f"{name}_gain": after - before,
        }
    for key, k in (("verdict", at), ("verdict_first", first)):
        holds = found["lost"]["alpha"][k] < found["kept"]["alpha"][k]
        numbers[key] = "as in figure 5.14" if holds else "the reverse of figure 5.14"
    return numbers


CHIRP_ROWS = {"kept": "details left", "lost": "details lost", "smooth": "smooth"}
CHIRP_TEXT = """\
sin(x^2 y^2 / 1024), brought down and up again by {scale}. Of the half of the patches with more details, those are
called lost of which at most {lost:g} % of the power is left in x, the constant part apart.
Where details are left the network gains {kept_gain:+.1f} dB, and where they are lost {lost_gain:+.1f} dB. It keeps
{kept_alpha:.2f} of the first and {lost_alpha:.2f} of the second at lambda {lam:g}, {verdict}, and {kept_first:.2f} and
{lost_first:.2f} at {published:g}, {verdict_first}.
"""


def curves(results: dict[str, Any], path: Path) -> None:
    """PSNR and SSIM over lambda, as figure 5.10."""
    pyplot = plotting()
    lam = results["header"]["lam"]
    scales = list(results["distances"])
    figure, rows = pyplot.subplots(2, len(scales), figsize=(11, 6), sharex=True, constrained_layout=True)
    for column, scale in enumerate(scales):
        for axes, name in zip(rows[:, column], ("psnr", "ssim"), strict=True):
            values = means(results, scale, name)
            for k, distance in enumerate(DISTANCES):
                axes.plot(lam, values[:, k], marker="o", markersize=3, label=f"d_{distance}  {PAIRS[k]}")
            axes.grid(alpha=0.3)
        rows[1, column].plot(lam, kept(results, scale), "k--", label="kept: mean alpha")
        rows[0, column].set_title(scale)
        rows[1, column].set(xlabel="lambda", ylim=(0, 1.02))
    rows[0, 0].set_ylabel("PSNR, dB")
    rows[1, 0].set_ylabel("SSIM, share")
    rows[1, 0].legend(fontsize=7)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def spectra_curves(results: dict[str, Any], path: Path) -> None:
    """Figure 5.13 by both readings, as what focused and other patches have more than all."""
    pyplot = plotting()
    figure, columns = pyplot.subplots(1, 2, figsize=(11, 4), sharey=True, constrained_layout=True)
    titles = ("mean of alpha above the mean", "more of its light kept than the mean")
    for axes, reading, title in zip(columns, READINGS, titles, strict=True):
        power = {name: torch.tensor(results["spectra"][reading][name]) for name in (*GROUPS, "every")}
        for name, color in GROUPS.items():
            ratio = 10 * (power[name] / power["every"]).log10()
            axes.plot(range(1, 65), ratio, color=color, marker=".", label=name)
        axes.axhline(0, color="black", linewidth=1, label="all")
        axes.set_title(f"focused: {title} (x{COARSEST}, lambda {PUBLISHED:g})", fontsize=10)
        axes.set(xlabel="frequency, in zigzag order", ylim=(-6, 6))
        axes.grid(alpha=0.3)
    columns[0].set_ylabel("mean power over that of all patches, dB")
    columns[0].legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def sheet(rows: list[dict[str, Tensor]], path: Path) -> None:
    """Rows of titled pictures (1, 1, H, W)."""
    pyplot = plotting()
    height, width = len(rows), len(rows[0])
    figure, grid = pyplot.subplots(
        height, width, figsize=(1.7 * width, 1.7 * height + 0.3), squeeze=False, constrained_layout=True
    )
    for line, tiles in zip(grid, rows, strict=True):
        limit = max(
            (float(tile.abs().max()) for name, tile in tiles.items() if name.startswith("Phi")), default=1
        )
        for axes, (name, tile) in zip(line, tiles.items(), strict=True):
            look = {"cmap": "gray", "vmin": 0, "vmax": 1}
            if name.startswith("Phi"):
                look = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
            elif name == "alpha":
                look |= {"cmap": "inferno"}
            axes.imshow(tile[0, 0].numpy(), interpolation="nearest", **look)
            axes.set_axis_off()
    for axes, name in zip(grid[0], rows[0], strict=True):
        axes.set_title(name, fontsize=9)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)
    # As many colors as the eye needs, in a third of the bytes.
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


def plotting() -> Any:
    """Matplotlib without a window."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
