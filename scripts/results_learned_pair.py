"""Measurements of the adversarial explanation by two generators, and of the one-pixel probe, for results_learned.py."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from train_learned import PAIR, adversarial_pair

import xai_widgets as xw
from xai_widgets.core.model import ImageModel
from xai_widgets.data import scenes
from xai_widgets.learned import OnePixelSettings, fgsm, iterated_fgsm, map_change, one_pixel

#: Held-out scenes of each of the two classes, and scenes in the figure.
EACH, SHOWN = 16, 6
#: Held-out scenes of the one-pixel probe, and its settings: numbers of pixels, and a small population.
PROBED, PIXELS, POPULATION, GENERATIONS = 8, (1, 5), 60, 12
METHODS_UNDER_PIXELS = ("gradient", "grad_cam", "lrp")


def held_out(model: ImageModel) -> tuple[Tensor, Tensor]:
    """Return test scenes of one object of the two classes, and the pixels of the object (N, H, W)."""
    made = [
        one
        for name in PAIR
        for one in scenes.generate(EACH, split="test", label=name, objects=1, size=model.size[0])
    ]
    masks = torch.from_numpy(np.stack([one.category == one.label for one in made]))
    return model.images([one.image for one in made]), masks


def pair(figure: Path | None = None) -> dict[str, Any]:
    """Return how often the generators keep and change the class, and where and how noisy the maps are."""
    model = xw.load("scenes_vgg", device="cpu")
    explainer = adversarial_pair(model).result()
    x, masks = held_out(model)
    classes = torch.tensor(explainer.classes)
    old = predicted(model, x, classes)
    similar, adversarial = explainer.images(model, x)
    toward = classes[1 - old]
    probes = {
        "FGSM": fgsm(model, x, toward=toward, epsilon=16 / 255),
        "iterated FGSM": iterated_fgsm(model, x, toward=toward, epsilon=16 / 255),
    }
    probed = {name: run.result(progress=False) for name, run in probes.items()}
    maps = {
        "random": torch.rand(masks.shape, generator=torch.Generator().manual_seed(0)),
        "center": centered(masks.shape),
        "|x - x_a|, FGSM": probed["FGSM"].perturbation.abs().mean(1),
        "|x - x_a|, iterated FGSM": probed["iterated FGSM"].perturbation.abs().mean(1),
        "|x - g_a(x)|": (x - adversarial).abs().mean(1),
        "|g_s(x) - g_a(x)|": (similar - adversarial).abs().mean(1),
    }
    if figure is not None:
        draw(figure, x, [similar, adversarial], list(maps.values())[2:])
    return {
        "classes": list(PAIR),
        "images": len(x),
        "area": masks.float().mean().item(),
        "kept": (predicted(model, similar, classes) == old).float().mean().item(),
        "changed": (predicted(model, adversarial, classes) != old).float().mean().item(),
        "fgsm": probed["FGSM"].reached.float().mean().item(),
        "iterated": probed["iterated FGSM"].reached.float().mean().item(),
        "distance": [root_mean_square(each - x) for each in (similar, adversarial)],
        "rows": [{"name": name} | judged(each, masks) for name, each in maps.items()],
    }


def predicted(model: ImageModel, x: Tensor, classes: Tensor) -> Tensor:
    """Return which of the two classes has the higher score, (N,): 0 or 1."""
    return model.scores(x)[:, classes].argmax(1)


def centered(shape: torch.Size) -> Tensor:
    """Return maps (N, H, W) that fall from 1 in the center to 0 in the corners."""
    rows, columns = (torch.linspace(-1, 1, n) for n in shape[1:])
    return (1 - torch.hypot(rows[:, None], columns) / math.sqrt(2)).expand(shape)


def root_mean_square(change: Tensor) -> float:
    """Return the root mean square over all images and pixels."""
    return change.square().mean().sqrt().item()


def judged(maps: Tensor, masks: Tensor) -> dict[str, list[float]]:
    """Return the mean and standard error of four measurements of maps (N, H, W).

    mass: share of the sum on the object; pointing: whether the maximum is on it; variation: mean absolute difference of
    neighbors relative to the mean; png: bytes of the map in 256 gray levels as PNG, per pixel.
    """
    total = maps.sum((1, 2)).clamp(min=1e-12)
    best = maps.flatten(1).argmax(1)
    differences = [maps.diff(dim=dim).abs().mean((1, 2)) for dim in (1, 2)]
    values = {
        "mass": (maps * masks).sum((1, 2)) / total,
        "pointing": masks.flatten(1).gather(1, best[:, None])[:, 0].float(),
        "variation": (differences[0] + differences[1]) / 2 / maps.mean((1, 2)).clamp(min=1e-12),
        "png": torch.tensor([png_size(each) / each.numel() for each in maps]),
    }
    return {
        name: [each.mean().item(), each.std().item() / math.sqrt(len(each))] for name, each in values.items()
    }


def png_size(one: Tensor) -> int:
    """Return the bytes of a map (H, W), divided by its maximum, as a PNG in 256 gray levels."""
    held = io.BytesIO()
    Image.fromarray(gray(one)).save(held, "png", optimize=True)
    return held.tell()


def gray(one: Tensor) -> np.ndarray[Any, Any]:
    """Return a map (H, W) in 256 gray levels; its maximum is white."""
    return (255 * one / one.max().clamp(min=1e-12)).round().byte().numpy()


def draw(path: Path, x: Tensor, made: list[Tensor], maps: list[Tensor]) -> None:
    """Write a figure: a column for each of some images, rows for the image, those of the generators, and the maps."""
    shown = torch.linspace(0, len(x) - 1, SHOWN).round().long()
    rows = [(255 * each[shown].movedim(1, -1)).round().byte().numpy() for each in (x, *made)]
    rows += [np.stack([gray(each[n])[..., None].repeat(3, -1) for n in shown]) for each in maps]
    height, width = rows[0].shape[1:3]
    sheet = np.full((len(rows) * (height + 2), SHOWN * (width + 2), 3), 255, np.uint8)
    for r, row in enumerate(rows):
        for c, one in enumerate(row):
            top, left = r * (height + 2), c * (width + 2)
            sheet[top : top + height, left : left + width] = one
    Image.fromarray(sheet).save(path, optimize=True)


def pixels() -> dict[str, Any]:
    """Return how many images change class by one and by five pixels, and the change of maps."""
    model = xw.load("scenes_vgg", device="cpu")
    made = scenes.generate(PROBED, split="test", objects=1, size=model.size[0])
    x = model.images([one.image for one in made])
    found = []
    for count in PIXELS:
        settings = OnePixelSettings(pixels=count, population=POPULATION, generations=GENERATIONS)

        def probe(model: ImageModel, x: Any, settings: OnePixelSettings = settings) -> Any:
            return one_pixel(model, x, settings=settings)

        change = map_change(model, x, METHODS_UNDER_PIXELS, probe).result(progress=False)
        probed = change.probed
        before, after = (model.probs(each).gather(1, probed.old[:, None])[:, 0] for each in (x, probed.image))
        reached = int(probed.reached.sum())
        found.append({
            "network": "scenes_vgg",
            "probe": probed.probe,
            "images": len(probed),
            "reached": reached,
            "l2": probed.norm()[probed.reached].mean().item() if reached else None,
            "linf": probed.norm(math.inf)[probed.reached].mean().item() if reached else None,
            "probabilities": [before.mean().item(), after.mean().item()],
            "table": change.table() if reached else [],
            "errors": change.errors,
        })  # fmt: skip
    return {"population": POPULATION, "generations": GENERATIONS, "cases": found}
