"""Measure how well the operation-wise inverse reproduces other methods, and write docs/results/settings.

    python scripts/results_settings.py              everything; see the page for the minutes it took
    python scripts/results_settings.py --scenes 4   fewer scenes
    python scripts/results_settings.py --page       only the page, from settings.json

For both bundled networks, and for EfficientNet-Lite0 with ImageNet weights on photographs: the correlation of each
setting of section 4.4.1 of the source with the method that it reproduces, with a class-blind baseline, and a picture of
both side by side. For the bundled ones also other readings of what the source leaves open, and feature patterns of some
channels beside the patches that they are from (figure 4.2). The figures are in settings.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from results_settings_page import figure_of, page, tiled
from torch import Tensor

import xai_widgets
from xai_widgets import inverse
from xai_widgets.data import photograph, scenes
from xai_widgets.inverse.chain import EXACT, Chain, exact_step, norms, solve, starting_point
from xai_widgets.inverse.interval import Interval, empty_color
from xai_widgets.inverse.operation_wise import _derivative, _squares
from xai_widgets.inverse.reproduction import Reproduction
from xai_widgets.inverse.reproductions import one_hot
from xai_widgets.inverse.solver import Cost
from xai_widgets.inverse.units import Unit
from xai_widgets.methods.gradients import layer_gradient
from xai_widgets.metrics import pearson
from xai_widgets.ops.blur import gaussian_blur
from xai_widgets.ops.resize import resize_map

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = ("scenes_vgg", "scenes_resnet", "efficientnet_lite0")
#: Photographs for the network with ImageNet weights.
PHOTOGRAPHS = ("cat", "coffee", "rocket", "motorcycle")
SCENES = 16
#: The first of them: what the source leaves open was chosen by looking at those before.
FIRST = 100
#: Scenes of the picture and of the other readings.
SHOWN, FEW = (0, 1, 3), 3
#: Scenes among which the largest activations are looked for, and how many channels are shown.
SEARCHED, CHANNELS = 150, 3
#: Of the Gaussian by which both maps are blurred, in places; 0 is as they are.
SIGMAS = (0.0, 1.0, 3.0)
#: When an operation is done.
SOLVER = inverse.SolverSettings()
#: A unit in the middle, of whose channels patterns are shown, and the last one with places.
MIDDLE = {
    "scenes_vgg": "stage3.relu2",
    "scenes_resnet": "stage2.1",
    "efficientnet_lite0": "blocks.2.0.bn2.act",
}
LAST = {"scenes_vgg": "stage5.relu1", "scenes_resnet": "stage4", "efficientnet_lite0": "bn2.act"}
#: Where the picture shows excitation backprop.
EXCITED = {
    "scenes_vgg": "stage3.pool",
    "scenes_resnet": "stage3.0",
    "efficientnet_lite0": "blocks.3.0.bn2.act",
}


@dataclass(frozen=True)
class Reading:
    """What the source leaves open, and how it is read here."""

    #: With the constant of equation 4.3, or A x alone.
    constant: bool = False
    #: With the neurons of a convolution that were off.
    off: bool = False
    #: Norms as they are, or squared.
    plain: bool = False
    #: With y as near to the forward activation as a factor can bring it.
    nearest: bool = True


READINGS = {
    "as it is": Reading(),
    "with the constant of equation 4.3": Reading(constant=True),
    "with neurons that were off": Reading(off=True),
    "plain norms": Reading(plain=True),
    "y as it comes": Reading(nearest=False),
    "all four": Reading(constant=True, off=True, plain=True, nearest=False),
}


def images_of(model: Any, count: int) -> Tensor:
    """Return scenes of the test split, on which no network was trained, or photographs for a larger network."""
    if model.size[0] > scenes.scene().image.shape[0]:
        photos: Tensor = model.images([photograph(name) for name in PHOTOGRAPHS[:count]])
        return photos
    numbers = range(FIRST, FIRST + count)
    x: Tensor = model.images([scenes.scene(number, split="test").image for number in numbers])
    return x


def quietly(run: Any) -> Any:
    """The result of a run, without the warning that a unit did not converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return run.result(progress=False)


def strongest(model: Any, x: Tensor, unit: str, count: int) -> list[int]:
    """The channels of a unit whose largest activation is largest in the scene where it is least."""
    largest = model.activations(x, unit)[unit].amax((2, 3)).amin(0)
    return largest.argsort(descending=True)[:count].tolist()


# -- how alike --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """A map of the inverse, that of its original and the class-blind one, (N, h, w) each, with a title."""

    title: str
    own: Tensor
    original: Tensor
    class_blind: Tensor

    def correlation(self, sigma: float = 0.0) -> Tensor:
        """Pearson's correlation of the inverse with the original, (N,), as :meth:`Reproduction.correlation` has it."""
        return alike(self.own, self.original, sigma)

    def baseline(self, sigma: float = 0.0) -> Tensor:
        """Pearson's correlation of the class-blind map with the original, (N,)."""
        return alike(self.class_blind, self.original, sigma)


def alike(one: Tensor, other: Tensor, sigma: float) -> Tensor:
    """Pearson's correlation of maps, (N,), at the resolution of the finer one and after a Gaussian."""
    size = max(tuple(one.shape[1:]), tuple(other.shape[1:]))
    return pearson(*(blurred(resize_map(each, size), sigma) for each in (one, other)))


def pair(title: str, found: Reproduction, at: str) -> Pair:
    """One of the maps of a reproduction."""
    return Pair(title, found.maps[at], found.original_map(at), found.class_blind_map(at))


def negative_weights(model: Any, x: Tensor, layer: str, own: Tensor) -> dict[str, float]:
    """Share of the weights of Grad-CAM below 0, which the inverse cannot have, and how alike maps without them are."""
    activation, gradient = layer_gradient(model, x, model.targets(None, x), layer)
    weights = gradient.mean((2, 3), keepdim=True)
    whole, positive = ((each * activation).sum(1).clamp(min=0) for each in (weights, weights.clamp(min=0)))
    return {
        "share": (weights < 0).float().mean().item(),
        "positive_alone": alike(positive, whole, 0.0).nanmean().item(),
        "setting": alike(own, positive, 0.0).nanmean().item(),
    }


def reproductions(name: str, model: Any, x: Tensor) -> dict[str, Pair]:
    """Every setting, by its name and where it is."""
    cam = quietly(inverse.reproduce_grad_cam(model, x, settings=SOLVER))
    made = {"grad_cam": pair("Grad-CAM", cam, next(iter(cam.maps)))}
    excited = quietly(inverse.reproduce_excitation_backprop(model, x, settings=SOLVER))
    for at in excited.maps:
        title = f"Excitation backprop at `{at}`"
        made[f"excitation_backprop {at}"] = pair(title, excited, at)
    integrated = quietly(inverse.reproduce_integrated_gradients(model, x, settings=SOLVER))
    made["integrated_gradients"] = pair("Integrated gradients", integrated, "image")
    for unit in (MIDDLE[name], LAST[name]):
        channel = strongest(model, x, unit, 1)[0]
        found = quietly(inverse.reproduce_deconvnet(model, x, channel, unit=unit, settings=SOLVER))
        made[f"deconvnet {unit}"] = pair(f"DeconvNet, channel {channel} of `{unit}`", found, "image")
    return made


def spread(values: Tensor) -> dict[str, Any]:
    """Mean and 10th and 90th percentile over the scenes; of those where neither map is constant."""
    there = values[~values.isnan()]
    if not len(there):
        return {"images": 0, "mean": None, "low": None, "high": None}
    low, high = there.quantile(torch.tensor([0.1, 0.9])).tolist()
    return {"images": len(there), "mean": there.mean().item(), "low": low, "high": high}


def correlations(made: dict[str, Pair]) -> dict[str, Any]:
    """Of every setting, at every sigma."""
    return {
        key: {
            "title": each.title,
            "positions": list(each.own.shape[1:]),
            "by_sigma": [spread(each.correlation(sigma)) for sigma in SIGMAS],
            "class_blind": [spread(each.baseline(sigma))["mean"] for sigma in SIGMAS],
        }
        for key, each in made.items()
    }


# -- other readings ---------------------------------------------------------------------------------------


def inverted(
    chain: Chain, color: Tensor, first: int, y: Tensor, reading: Reading, l1: float, l2: float
) -> Tensor:
    """Return |x^ - m| summed over channels, for the output y of a unit, in one reading."""
    every = torch.arange(len(y), device=y.device)
    for index in reversed(range(first + 1)):
        unit, x_bar, empty = chain.units[index], chain.inputs[index], chain.empty(color, index)
        interval = Interval(x_bar, empty)
        if unit.kind in EXACT:
            y = exact_step(unit, x_bar, empty, every, y)
            continue
        placed = unit.kind == "convolution"
        activation = unit.run(x_bar).detach()
        y = y * (activation > 0) if unit.relu else y
        if placed and reading.nearest:
            factor = (activation * y).flatten(1).sum(1) / _squares(y).clamp(min=1e-24)
            y = y * factor.view(-1, 1, 1, 1)
        counts = activation > 0 if placed and not reading.off else torch.ones_like(activation)
        cost = cost_of(unit, x_bar, interval, y, counts, reading, *((l1, l2) if placed else (0.0, 0.0)))
        # Plain norms have no gradient at 0: there they begin as algorithm 1 does.
        start = interval.z(starting_point(unit, x_bar)) if reading.plain else torch.zeros_like(x_bar)
        for solution in solve(cost, start, interval.upper, SOLVER, 64):
            if solution is not None:
                y = interval.x(solution.x, every)
    return (y - color[:, None, None]).abs().sum(1)


def cost_of(
    unit: Unit,
    x_bar: Tensor,
    interval: Interval,
    y: Tensor,
    counts: Tensor,
    reading: Reading,
    l1: float,
    l2: float,
) -> Cost:
    """Return the objective that a reading minimizes, of x - m for the empty activation m."""
    size = norms if reading.plain else _squares
    every = torch.arange(len(x_bar), device=x_bar.device)
    with torch.no_grad():
        if unit.affine:
            constant = unit.before_relu(interval.x(torch.zeros_like(x_bar), every))
        else:
            whole = interval.direction(interval.upper, every)
            constant = unit.before_relu(x_bar) - _derivative(unit, x_bar, whole)

    def cost(z: Tensor, index: Tensor) -> Tensor:
        if unit.affine:
            made = unit.before_relu(interval.x(z, index)) - constant[index]
        else:
            made = _derivative(unit, x_bar[index], interval.direction(z, index))
        made = made + constant[index] if reading.constant else made
        off = (made - y[index]) * counts[index]
        return size(off) + l1 * z.flatten(1).abs().sum(1) + l2 * size(z)

    return cost


def by_reading(name: str, model: Any, x: Tensor) -> dict[str, Any]:
    """Correlations with integrated gradients and with DeconvNet, and how much of the image is left."""
    chain, color = Chain.of(model, x), empty_color(model, x, None)
    target = model.targets(None, x)[:, None]
    scores = torch.zeros_like(chain.output).scatter(1, target, chain.output.gather(1, target))
    names = [unit.name for unit in chain.units]
    middle = names.index(MIDDLE[name])
    channel = strongest(model, x, MIDDLE[name], 1)[0]
    quick = inverse.SolverSettings(steps=1)
    originals = {
        "integrated_gradients": quietly(inverse.reproduce_integrated_gradients(model, x, settings=quick)),
        "deconvnet": quietly(
            inverse.reproduce_deconvnet(model, x, channel, unit=MIDDLE[name], settings=quick)
        ),
    }
    activation = one_hot(chain.inputs[middle + 1], channel, MIDDLE[name])
    starts = {
        "integrated_gradients": (len(names) - 1, scores, 0.1, 0.9),
        "deconvnet": (middle, activation, 0.0, 0.9),
    }
    found: dict[str, Any] = {}
    for words, reading in READINGS.items():
        found[words] = {}
        for method, (first, y, l1, l2) in starts.items():
            own = inverted(chain, color, first, y, reading, l1, l2)
            other = originals[method].original_map()
            found[words][method] = {
                "left": (own.sum() / (x - color[:, None, None]).abs().sum()).item(),
                "by_sigma": [
                    pearson(blurred(own, sigma), blurred(other, sigma)).nan_to_num(0).mean().item()
                    for sigma in SIGMAS
                ],
            }
    return {"channel": channel, "unit": MIDDLE[name], "images": len(x), "readings": found}


def blurred(maps: Tensor, sigma: float) -> Tensor:
    """Maps (N, H, W) after a Gaussian."""
    return maps if sigma == 0 else gaussian_blur(maps[:, None], sigma)[:, 0]


# -- pictures ---------------------------------------------------------------------------------------------


def pairs(name: str, x: Tensor, made: dict[str, Pair], path: Path) -> None:
    """Scenes by settings: each map of the inverse beside that of the original."""
    keys = ["grad_cam", f"excitation_backprop {EXCITED[name]}", "integrated_gradients"]
    keys += [f"deconvnet {MIDDLE[name]}"]
    shown = [number for number in SHOWN if number < len(x)]
    pyplot, figure, axes = figure_of(len(shown), 1 + 2 * len(keys), 1.5)
    for row, number in enumerate(shown):
        axes[row, 0].imshow(x[number].permute(1, 2, 0).numpy())
        for index, key in enumerate(keys):
            one = made[key]
            r = one.correlation()[number].item()
            for side, values in enumerate((one.own[number], one.original[number])):
                at = axes[row, 1 + 2 * index + side]
                # A few pixels of a gradient are many times as large as all the others.
                top = values.quantile(0.995).clamp(min=1e-12).item()
                pixels = resize_map(values[None], (x.shape[2], x.shape[3]))[0].numpy()
                at.imshow(pixels, cmap="inferno", vmin=0, vmax=top)
                words = "original" if side else "inverse"
                if row == 0:
                    title = one.title.replace("`", "").replace(", ", "\n").replace(" at ", "\nat ")
                    at.set_title(words if side else f"{title}\n{words}", fontsize=8)
                if side:
                    at.set_xlabel(f"r = {r:.2f}", fontsize=8, labelpad=2)
    axes[0, 0].set_title(name, fontsize=9)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def patterns(name: str, model: Any, count: int, path: Path) -> dict[str, Any]:
    """Figure 4.2: nine patterns of each channel beside the nine patches."""
    x = images_of(model, count)
    unit = MIDDLE[name]
    channels = spaced(strongest(model, x[:32], unit, 10_000), CHANNELS)
    found = quietly(inverse.feature_patterns(model, x, unit, channels, settings=SOLVER))
    color = model.mean.view(-1, 1, 1)
    pyplot, figure, axes = figure_of(2, len(channels), 2.1)
    for column, channel in enumerate(channels):
        kept = (found.patterns[column] - color).nan_to_num(0)
        # Each with as much contrast as it can have: how much is left of a patch differs from one to the next.
        most = kept.abs().flatten(1).quantile(0.98, 1).clamp(min=1e-12).view(-1, 1, 1, 1)
        bright = (color + kept / most * torch.minimum(color, 1 - color).min()).clamp(0, 1)
        axes[0, column].imshow(tiled(bright).numpy())
        axes[1, column].imshow(tiled(found.patches[column].nan_to_num(0)).numpy())
        axes[0, column].set_title(f"channel {channel}", fontsize=9)
    axes[0, 0].set_ylabel("patterns", fontsize=9)
    axes[1, 0].set_ylabel("patches", fontsize=9)
    figure.suptitle(f"{name}, {unit}", fontsize=10)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    kept, whole = (
        (each - color).abs().nan_to_num(0).sum().item() for each in (found.patterns, found.patches)
    )
    left = kept / whole
    return {"unit": unit, "channels": channels, "images": count, "side": found.top.side, "left": left}


def spaced(values: list[int], count: int) -> list[int]:
    """Some of a list, from its beginning on."""
    return values[:: max(1, len(values) // (2 * count))][:count]


# -- the page ---------------------------------------------------------------------------------------------


def measure(count: int, searched: int, out: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """All numbers and pictures."""
    began = time.monotonic()
    results: dict[str, Any] = {"networks": {}}
    for name in NETWORKS:
        model = xai_widgets.load(name, device="cpu")
        x = images_of(model, count)
        made = reproductions(name, model, x)
        found: dict[str, Any] = {"settings": correlations(made)}
        found["negative"] = negative_weights(model, x, LAST[name], made["grad_cam"].own)
        pairs(name, x, made, out / f"settings_{name}.png")
        say(f"{name}: settings")
        # Patterns need many images.
        if name.startswith("scenes"):
            found["readings"] = by_reading(name, model, x[:FEW])
            say(f"{name}: other readings")
            found["patterns"] = patterns(name, model, searched, out / f"settings_patterns_{name}.png")
            say(f"{name}: patterns")
        results["networks"][name] = found
    results["header"] = {
        "scenes": count,
        "photographs": min(count, len(PHOTOGRAPHS)),
        "first": FIRST,
        "sigmas": list(SIGMAS),
        "minutes": (time.monotonic() - began) / 60,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "torch": torch.__version__.split("+")[0],
    }
    return results


def main() -> None:
    """Measure, and write settings.json, settings.md and two pictures for each network."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenes", type=int, default=SCENES, help=f"number of scenes (default {SCENES})")
    parser.add_argument("--searched", type=int, default=SEARCHED, help=f"for patterns (default {SEARCHED})")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results", help="folder to write to")
    parser.add_argument("--page", action="store_true", help="the page anew, from the numbers")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    numbers = given.out / "settings.json"
    if not given.page:
        results = measure(given.scenes, given.searched, given.out, print)
        numbers.write_text(json.dumps(results, indent=1) + "\n")
    (given.out / "settings.md").write_text(page(json.loads(numbers.read_text())))


if __name__ == "__main__":
    main()
