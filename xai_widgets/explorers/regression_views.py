"""The views of the explorer of a network that makes images, and how they draw a result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import torch
from torch import Tensor

from xai_widgets.data.low_resolution import SCALES
from xai_widgets.explorers.parts import dropdown
from xai_widgets.inverse import Reconstruction
from xai_widgets.inverse.evaluation import DISTANCES
from xai_widgets.inverse.frequency import Spectra, kept_brightness, spectra
from xai_widgets.ops.color import recolor
from xai_widgets.studies.regression import Pair, RegressionInverseStudy, RegressionResult
from xai_widgets.views import CurveView, HeatmapView, SelectView

#: Titles of the images.
TITLES = {
    "x": "Image x",
    "x^": "Inverse x̂ at λ",
    "alpha": "Kept: α = x̂ / x",
    "residual": "Residual Φ(x)",
    "residual of x^": "Residual Φ(x̂)",
    "result": "Result x + Φ(x)",
    "result of x^": "Result x + Φ(x̂)",
    "truth": "Truth g",
}
#: The images in rows of four, each beside that of the inverse: input and result, then residual; no bars in the first.
ORDER = ("x", "x^", "result", "result of x^", "residual", "residual of x^", "alpha", "truth")
#: The images that have the colors of x.
COLORED = ("x", "x^", "result", "result of x^", "truth")
#: The pairs of table 5.2; those with the truth come last.
PAIRS = ("x, x̂", "Φ(x), Φ(x̂)", "x + Φ(x), x + Φ(x̂)", "x + Φ(x), g", "x + Φ(x̂), g")
#: The readings of how far a patch is focused: the mean of alpha, as in the source, or the share of its light.
READINGS = {"alpha": "mean α", "light": "kept light"}

#: Sides of the boxes to choose from, in pixels.
SIDES = (8, 16, 32)
#: Names of the choices of the scale and of the box that stand for a number.
AS_GIVEN, WHOLE, GIVEN = "as given", "whole", "given"


def scale_dropdown(scale: int | None) -> SelectView:
    """Return the list of scales."""
    names = {AS_GIVEN: "as given", **{str(each): f"× {each}" for each in SCALES}}
    picker = dropdown("Scale", names, str(scale or AS_GIVEN), names)
    picker.help = "The factor by which the image is scaled down and up again before the network"
    return picker


def box_dropdown(side: int, *, given: bool) -> SelectView:
    """Return the list of the parts of an output, for an image whose smallest side is `side`."""
    names = {WHOLE: "whole output", **({GIVEN: "given box"} if given else {})}
    names |= {str(each): f"box of {each} px" for each in SIDES if each < side}
    picker = dropdown("Invert", names, GIVEN if given else WHOLE, names)
    picker.help = "The part of the output that is inverted: all of it, or a box around the marked position"
    return picker


def image_view(name: str) -> HeatmapView:
    """Return the view of one of the images."""
    signed = name.startswith("residual")
    return HeatmapView(
        title=TITLES[name],
        colormap="blue_orange" if signed else "inferno" if name == "alpha" else "gray",
        sign="both" if signed else "positive",
        limit=None if signed else 1.0,
        opacity=1.0,
        gray=False,
        fade=False,
        interpolation="pixelated",
        color_bar=signed or name in ("alpha", "truth"),
        controls=False,
        width=0,
    )


def show(view: HeatmapView, maps: Tensor) -> None:
    """Show luminance, residuals or shares (F, 1, H, W)."""
    view.maps = maps[:, 0].detach().float().cpu().numpy()


def show_colored(view: HeatmapView, maps: Tensor, color: Tensor) -> None:
    """Show luminance (F, 1, H, W), below it with the chrominance of an image (1, C, H, W) if that has colors."""
    with view.hold_sync():
        show(view, maps)
        view.images = None
        if color.shape[1] == 3:
            pixels = recolor(maps.detach(), color.expand(len(maps), -1, -1, -1)).movedim(1, 3)
            view.images = (255 * pixels).round().byte().cpu().numpy()


def pair_label(index: int) -> dict[str, Any]:
    """Return the entry of a pair in a legend; its color is the same in all plots."""
    return {"label": PAIRS[index], "note": f"d_{DISTANCES[index]}", "frame": index}


def draw_curves(
    view: CurveView, lam: Sequence[float], rows: list[Tensor], series: list[dict[str, Any]]
) -> None:
    """Draw rows over lambda."""
    y = torch.stack(rows).float()
    with view.hold_sync():
        # A pair without a difference has no dB.
        view.x, view.y = lam, y.where(y.isfinite(), torch.nan)
        view.series, view.steps = series, lam


def draw_distances(
    views: Mapping[str, CurveView], lam: Sequence[float], result: RegressionResult, *, known: bool
) -> None:
    """Draw the distances of the pairs, those to the truth if it is known, and the share of x that is kept."""
    found = result.reconstruction
    assert found is not None
    pairs = range(len(DISTANCES) if known else 3)
    kept = {"label": "kept of x: mean α", "frame": len(DISTANCES)}
    draw_curves(
        views["ssim"],
        lam,
        [*found.ssim.T[: len(pairs)], result.inverse.mean_alpha[0]],
        [*map(pair_label, pairs), kept],
    )
    # The images beside the residuals are the same, so is their difference.
    rows = [pair for pair in pairs if DISTANCES[pair] != "C"]
    series = [pair_label(pair) for pair in rows]
    draw_curves(views["mse"], lam, list(1000 * found.mse.T[rows]), series)
    draw_curves(views["psnr"], lam, list(found.psnr.T[rows]), series)


def draw_spectra(
    view: CurveView, lam: Sequence[float], results: Sequence[tuple[Pair, RegressionResult]]
) -> None:
    """Draw figure 5.13 for each lambda and reading: the power of the focused, the other and all patches, in dB."""
    rows, series = [], []
    for frame in range(len(lam)):
        for mode in READINGS:
            found = _spectra(mode, frame, results)
            for look, (label, power) in enumerate(
                (("focused", found.focused), ("unfocused", found.unfocused), ("all", found.every))
            ):
                rows.append(10 * power.clamp(min=1e-20).log10())
                series.append({"label": label, "frame": frame, "mode": mode, "look": look})
    with view.hold_sync():
        view.x, view.y, view.series = torch.arange(len(rows[0])), torch.stack(rows).float(), series


def _spectra(mode: str, frame: int, results: Sequence[tuple[Pair, RegressionResult]]) -> Spectra:
    focus = []
    for pair, result in results:
        if mode == "alpha":
            focus.append(result.inverse.alpha[:, frame])
        else:
            focus.append(kept_brightness(pair.x, result.inverse.x[:, frame]))
    return spectra([pair.x for pair, _ in results], focus)


def mean_distances(results: Sequence[RegressionResult], frame: int) -> dict[str, dict[str, float]]:
    """Return table 5.3: the mean distances of results at a lambda, with the names of its columns."""
    found = [result.reconstruction for result in results if result.reconstruction is not None]
    mse, psnr, ssim = (
        torch.stack([getattr(one, name)[frame] for one in found]) for name in ("mse", "psnr", "ssim")
    )
    empty = torch.empty(0)
    return Reconstruction(mse, psnr, ssim, empty, empty).table()


def table_html(
    results: Sequence[tuple[Pair, RegressionResult]], lam: Sequence[float], frame: int, *, inside: bool
) -> str:
    """Return table 5.3 as HTML; rows of pairs with the truth are left out if it is not known."""
    if not results:
        return "<p>The table is not computed yet.</p>"
    means = mean_distances([result for _, result in results], frame)
    known = all(pair.truth is not None for pair, _ in results)
    count = len(results)
    caption = (
        f"{'Mean of ' if count > 1 else ''}{count} image{'s' if count > 1 else ''} at λ = {lam[frame]:g}"
    )
    caption += ", inside the box" if inside else ""
    cell = "padding:1px 0 1px 10px;text-align:right;white-space:nowrap"
    rows = []
    for index, (name, values) in enumerate(means.items()):
        if known or index < 3:
            numbers = (f"{1000 * values['mse']:.3f}", _decibel(values["psnr"]), f"{values['ssim']:.4f}")
            cells = "".join(f"<td style='{cell}'>{number}</td>" for number in numbers)
            rows.append(f"<tr><td style='text-align:left'>d<sub>{name}</sub> {PAIRS[index]}</td>{cells}</tr>")
    heads = "".join(f"<th style='{cell}'>{head}</th>" for head in ("MSE, 10⁻³", "PSNR, dB", "SSIM"))
    return (
        f"<table style='line-height:1.4;border-collapse:collapse'><caption style='text-align:left'>{caption}</caption>"
        f"<tr><th style='text-align:left'>pair</th>{heads}</tr>{''.join(rows)}</table>"
    )


def _decibel(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "∞"


def masked(residual: Tensor, box: tuple[int, int, int, int] | None) -> Tensor:
    """Return residuals (F, 1, H, W) that are NaN, and so transparent, outside of a box."""
    if box is None:
        return residual
    top, left, height, width = box
    shown = torch.full_like(residual, torch.nan)
    part = (..., slice(top, top + height), slice(left, left + width))
    shown[part] = residual[part]
    return shown


def box_around(position: Sequence[float] | None, side: int, size: Sequence[int]) -> tuple[int, int, int, int]:
    """Return the box of a side around a position (x, y) from 0 to 1, moved inside an image of a size (H, W)."""
    x, y = position or (0.5, 0.5)
    height, width = size
    top, left = (
        min(max(0, round(share * extent - side / 2)), extent - side)
        for share, extent in ((y, height), (x, width))
    )
    return top, left, side, side


#: The fact about the output of a network, by the kind of its output and by whether it adds a residual to its input.
_RETURNS: Mapping[tuple[str, bool], str] = {
    ("residual", False): "The network returns the residual Φ(x).",
    ("image", True): "The network returns the image x + Φ(x), and its residual is inverted.",
    ("image", False): "The network returns the image x + Φ(x), which is inverted as a whole.",
}


def facts_html(study: RegressionInverseStudy, result: RegressionResult | None) -> str:
    """Return what the network returns, and the limits of the inverse, as HTML."""
    facts = [_RETURNS[study.returns or "residual", study.relation is not None]]
    if study.units == 1:
        facts.append("It is one unit: the whole network is inverted in one step.")
    if result is not None:
        facts += [f"Note: {note}." for note in result.inverse.notes]
    names = ", ".join(result.unconverged) if result is not None else ""
    if result is not None and names:
        facts.append(
            f"{len(result.unconverged)} of {result.units} units did not converge; more steps are needed."
        )
    style = "margin:0;line-height:1.4"
    return f"<p style='{style}' title=\"{escape(names)}\"><small>{escape(' '.join(facts))}</small></p>"


def distinct_names(names: Sequence[str]) -> list[str]:
    """Return names that differ, repeated ones with their number."""
    return [
        name if names.index(name) == index else f"{name} ({index + 1})" for index, name in enumerate(names)
    ]
