"""Measure the layer-wise inverse of the super-resolution network, and write docs/results/super_resolution.

    python scripts/results_super_resolution.py                 everything; see the page for the minutes it took
    python scripts/results_super_resolution.py --photographs 1 fewer photographs
    python scripts/results_super_resolution.py --page          the page and its curves anew, from the numbers

On photographs that the network was never trained on: its gain over bicubic interpolation; the distances d_A ... d_E of
the inverse (tables 5.2 and 5.3 of the source) at each lambda and scale; of which frequencies the focused patches have
more power (figure 5.13); and the image sin(x^2 y^2 / 1024) (figure 5.14). The numbers stand in super_resolution.json.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from results_super_resolution_page import (
    COARSEST,
    LOST,
    MEASURES,
    PUBLISHED,
    READINGS,
    curves,
    matched,
    more,
    page,
    sheet,
    spectra_curves,
)
from torch import Tensor

import xai_widgets
from xai_widgets.data import low_resolution as data
from xai_widgets.inverse import LayerWise, SolverSettings, layer_wise
from xai_widgets.inverse import frequency as spectral
from xai_widgets.inverse.evaluation import reconstruction
from xai_widgets.ops import color
from xai_widgets.zoo import train_sr

ROOT = Path(__file__).resolve().parent.parent
#: By photograph x and its inverses.
Inverses = dict[str, tuple[Tensor, LayerWise]]
LAMBDAS = (0.0, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
#: The middle of each photograph, pixels each way.
SIZE = 128


def crop(name: str, size: int) -> Tensor:
    """The luminance of the middle of a photograph, (1, 1, size, size)."""
    y = color.luminance(data.load_photograph(name))
    top, left = ((extent - size) // 2 for extent in y.shape[2:])
    return y[:, :, top : top + size, left : left + size]


def invert(network: Any, x: Tensor, settings: SolverSettings, *, from_zero: bool = False) -> LayerWise:
    """Return the inverses of Phi(x) for all lambda; the solver begins at the blurred activation, or at 0."""
    module = importlib.import_module("xai_widgets.inverse.layer_wise")
    start = (lambda _unit, x_bar: torch.zeros_like(x_bar)) if from_zero else module.starting_point
    with warnings.catch_warnings(), mock.patch.object(module, "starting_point", start):
        # Units that did not converge are counted on the page.
        warnings.simplefilter("ignore", UserWarning)
        found: LayerWise = layer_wise(network, x, lam=LAMBDAS, settings=settings).result(progress=False)
    return found


def distances(network: Any, x: Tensor, g: Tensor, found: LayerWise) -> dict[str, Any]:
    """The five distances, what is kept, and what did not converge; a row for each lambda."""
    count = len(LAMBDAS)
    made = reconstruction(network, x.expand(count, -1, -1, -1), found.x[0], g.expand(count, -1, -1, -1))
    return {
        **{name: getattr(made, name).tolist() for name in MEASURES},
        "alpha": found.mean_alpha[0].tolist(),
        "unconverged": [sum(not unit.converged[0, k] for unit in found.units) for k in range(count)],
        "units": len(found.units),
    }


def spectra(x: list[Tensor], scores: list[Tensor]) -> dict[str, Any]:
    """Mean power of the focused patches, of the others and of all, for the patches of all photographs together."""
    found = spectral.spectra(x, scores)
    names = ("focused", "unfocused", "every")
    return {name: getattr(found, name).tolist() for name in names} | {"patches": found.patches}


def scores(x: Tensor, found: LayerWise, k: int) -> dict[str, Tensor]:
    """By both readings, how much each pixel's patch is focused, (1, H, W)."""
    return {"alpha": found.alpha[:, k], "light": spectral.kept_brightness(x, found.x[:, k])}


def together(inverses: Inverses, reading: str, k: int) -> dict[str, Any]:
    """The spectra for the patches of all photographs together."""
    pairs = [(x, scores(x, found, k)[reading]) for x, found in inverses.values()]
    return spectra([x for x, _ in pairs], [one for _, one in pairs])


def frequencies(inverses: Inverses) -> dict[str, list[dict[str, Any]]]:
    """For both readings and each lambda what all photographs say together, and each by itself."""
    return {
        reading: [
            {
                "together": more(together(inverses, reading, k)),
                "alone": {name: more(together({name: one}, reading, k)) for name, one in inverses.items()},
            }
            for k in range(len(LAMBDAS))
        ]
        for reading in READINGS
    }


def homogeneous(inverses: Inverses) -> dict[str, list[float]]:
    """Return, for each lambda, mean alpha in the half of the patches with less contrast, and in the other half."""
    made: dict[str, list[float]] = {"smooth": [], "detailed": []}
    for k in range(len(LAMBDAS)):
        rows = []
        for x, one in inverses.values():
            deviation = spectral.patches(x[:, 0]).std((1, 2))
            shares = spectral.patches(one.alpha[:, k]).mean((1, 2))
            smooth = deviation <= deviation.median()
            rows.append((shares[smooth].mean().item(), shares[~smooth].mean().item()))
        for name, values in zip(made, zip(*rows, strict=True), strict=True):
            made[name].append(sum(values) / len(values))
    return made


def starts(network: Any, inverses: Inverses, settings: SolverSettings) -> dict[str, Any]:
    """Return what the solver finds from 0 instead of the blurred activation: other minima, and their costs."""
    zero = {name: (x, invert(network, x, settings, from_zero=True)) for name, (x, _) in inverses.items()}
    at = LAMBDAS.index(PUBLISHED)
    cost = [
        sum(found.units[-1].cost[0, at].item() for _, found in each.values()) / len(each)
        for each in (inverses, zero)
    ]
    return {
        "more": {
            reading: [more(together(zero, reading, k)) for k in range(len(LAMBDAS))] for reading in READINGS
        },
        "cost": cost,
    }


def edges(inverses: Inverses) -> list[float]:
    """For each lambda how alpha goes with the brightness inside of detailed patches: their mean correlation."""
    made = []
    for k in range(len(LAMBDAS)):
        found = []
        for x, one in inverses.values():
            pixels, shares = (spectral.patches(image) for image in (x[:, 0], one.alpha[:, k]))
            deviation = pixels.std((1, 2))
            pairs = torch.stack([pixels.flatten(1), shares.flatten(1)], 1)[deviation > deviation.median()]
            found += [float(torch.corrcoef(pair)[0, 1]) for pair in pairs if pair[1].std() > 0]
        made.append(sum(found) / max(len(found), 1))
    return made


def chirp(network: Any, size: int, settings: SolverSettings, at: int, path: Path) -> dict[str, Any]:
    """Where the network looks in an image of all frequencies; and the picture of it."""
    x, g = data.blurred_pair(spectral.chirp(size), COARSEST)
    found = invert(network, x, settings)
    result = network.enhance(x)

    def power(image: Tensor) -> Tensor:
        patches = spectral.dct(spectral.patches(image[:, 0])).square()
        return patches.sum((1, 2)) - patches[:, 0, 0]

    left, whole = power(x), power(g)
    detailed = whole > whole.median()
    groups = {
        "kept": detailed & (left > LOST * whole),
        "lost": detailed & (left <= LOST * whole),
        "smooth": ~detailed,
    }
    shares = torch.stack([spectral.patches(alpha[None]).mean((1, 2)) for alpha in found.alpha[0]])
    errors = [spectral.patches((image - g)[:, 0]).square().mean((1, 2)) for image in (x, result)]
    shown = {"g": g, "x": x, "x + Phi(x)": result, "x^": found.x[:, at], "alpha": found.alpha[:, at][None]}
    sheet([shown], path)
    return {
        name: {
            "patches": int(group.sum()),
            "alpha": shares[:, group].mean(1).tolist(),
            "psnr": [float(-10 * error[group].mean().log10()) for error in errors],
        }
        for name, group in groups.items()
    }


def measure(
    names: tuple[str, ...], size: int, settings: SolverSettings, folder: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """All numbers, and the pictures that are made of pixels."""
    network = xai_widgets.load("scenes_sr", device="cpu")
    began = time.monotonic()
    results: dict[str, Any] = {"gain": train_sr.measure(network, names), "distances": {}, "frequencies": {}}
    shown = []
    for scale in data.SCALES:
        rows, inverses = {}, {}
        for name in names:
            x, g = data.blurred_pair(crop(name, size), scale)
            found = invert(network, x, settings)
            rows[name], inverses[name] = distances(network, x, g, found), (x, found)
            say(f"x{scale}: {name} inverted")
        results["distances"][f"x{scale}"] = rows
        results["frequencies"][f"x{scale}"] = frequencies(inverses) | {
            "edges": edges(inverses),
            "homogeneous": homogeneous(inverses),
        }
        shown.append(inverses)
    results["spectra"] = {
        reading: together(shown[-1], reading, LAMBDAS.index(PUBLISHED)) for reading in READINGS
    }
    results["from_zero"] = starts(network, shown[-1], settings)
    say("inverted from 0")
    at = matched(results)
    # As figure 5.12, at the finest scale.
    tiles = [tiles_of(network, x, found, at) for x, found in shown[0].values()]
    sheet(tiles, folder / "super_resolution_inverses.png")
    results["chirp"] = chirp(network, size, settings, at, folder / "super_resolution_chirp.png")
    say("the chirp inverted")
    results["header"] = {
        "photographs": list(names),
        "size": size,
        "lam": list(LAMBDAS),
        "minutes": (time.monotonic() - began) / 60,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "torch": torch.__version__.split("+")[0],
    }
    return results


def tiles_of(network: Any, x: Tensor, found: LayerWise, at: int) -> dict[str, Tensor]:
    """A row of figure 5.12, with alpha."""
    inverse = found.x[:, at]
    with torch.no_grad():
        residual, of_inverse = network(x), network(inverse)
    return {
        "x": x,
        "x^": inverse,
        "alpha": found.alpha[:, at][None],
        "Phi(x)": residual,
        "Phi(x^)": of_inverse,
        "x + Phi(x)": x + residual,
        "x + Phi(x^)": x + of_inverse,
    }


def draw(results: dict[str, Any], folder: Path) -> None:
    """The page, and what is drawn from the numbers."""
    (folder / "super_resolution.md").write_text(page(results))
    curves(results, folder / "super_resolution_curves.png")
    spectra_curves(results, folder / "super_resolution_spectra.png")


def main() -> None:
    """Measure, and write super_resolution.json, super_resolution.md and their pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    count = len(data.TEST)
    parser.add_argument(
        "--photographs", type=int, default=count, help=f"number of photographs (default {count})"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results", help="folder to write to")
    parser.add_argument("--page", action="store_true", help="the page and its curves anew, from the numbers")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    numbers = given.out / "super_resolution.json"
    if not given.page:
        found = measure(data.TEST[: given.photographs], SIZE, SolverSettings(), given.out, print)
        numbers.write_text(json.dumps(found, indent=1) + "\n")
    draw(json.loads(numbers.read_text()), given.out)


if __name__ == "__main__":
    main()
