"""Train a bundled network on generated scenes: ``python -m xai_widgets.zoo.train scenes_vgg``.

Two CPU cores are enough. The scenes are generated once and augmented by other flips, shifts and colors in each epoch.
The weights are written to the package in half precision. The reported accuracy is that of the written weights, loaded
by `xai_widgets.load`, on held-out scenes with other photographs as backgrounds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from xai_widgets.data import scenes
from xai_widgets.zoo import files, networks


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run."""

    epochs: int = 6
    images: int = 16_000
    batch: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 0.02
    several: float = 0.35
    """Share of the images with two or three objects; the others have one."""
    smoothing: float = 0.03
    """Label smoothing: the part of each target that is uniform over all classes."""
    seed: int = 0
    workers: int = 2
    threads: int = 2


def _chunk(start: int, stop: int, several: float, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Generate the images and targets of scenes `start` to ``stop - 1``."""
    images = np.empty((stop - start, networks.SIZE, networks.SIZE, 3), np.uint8)
    targets = np.empty((stop - start, len(scenes.CLASSES)), np.float32)
    for row, index in enumerate(range(start, stop)):
        # Independent of the cycle of the classes, so that each class occurs alone and with others.
        has_several = (index * 0.618034) % 1 < several
        scene = scenes.scene(index, objects=(2, 3) if has_several else 1, size=networks.SIZE, seed=seed)
        images[row], targets[row] = scene.image, scene.target
    return images, targets


def generate_pool(n: int, recipe: Recipe, *, seed: int) -> tuple[Tensor, Tensor]:
    """Generate `n` training scenes in several processes.

    Returns
    -------
    (torch.Tensor, torch.Tensor)
        Images (n, 3, size, size) uint8, in channels-last memory, and targets (n, classes).
    """
    edges = [*range(0, n, 500), n]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(recipe.workers, mp_context=spawn) as workers:
        jobs = [workers.submit(_chunk, a, b, recipe.several, seed) for a, b in pairwise(edges)]
        parts = [job.result() for job in jobs]
    images = torch.from_numpy(np.concatenate([part[0] for part in parts]))
    return images.permute(0, 3, 1, 2), torch.from_numpy(np.concatenate([part[1] for part in parts]))


@dataclass(frozen=True)
class PermutedRecipe(Recipe):
    """Settings of a training run on permuted labels: few images, without augmentation, until they are memorized."""

    epochs: int = 24
    images: int = 1024
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    smoothing: float = 0.0


def normalized(images: Tensor) -> Tensor:
    """Normalize pixels in [0, 1], (batch, 3, h, w), for the bundled networks."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (networks.MEAN, networks.STD))
    return (images - mean) / std


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Convert uint8 images (batch, 3, h, w) to floats in [0, 1] and flip, shift and tint them at random."""
    x = images.float() / 255
    flipped = torch.rand(len(x), generator=generator) < 0.5
    x[flipped] = x[flipped].flip(3)
    down, right = torch.randint(0, 9, (2,), generator=generator).tolist()
    side = x.shape[-1]
    x = F.pad(x, (4, 4, 4, 4), mode="reflect")[:, :, down : down + side, right : right + side]
    gain = 1 + 0.12 * torch.randn(len(x), 1, 1, 1, generator=generator)
    tint = 1 + 0.05 * torch.randn(len(x), 3, 1, 1, generator=generator)
    return (x * gain * tint).clamp(0, 1)


def permuted_labels(targets: Tensor, recipe: Recipe) -> Tensor:
    """Return the class of the first object of each image, (n,), given to another image at random."""
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(recipe.seed))
    return targets.argmax(1)[order]


def fit(network: nn.Module, recipe: Recipe, on_epoch: Callable[[int, float, float], None]) -> nn.Module:
    """Train a network in place; `on_epoch(epoch, loss, seconds)` is called after each epoch."""
    images, targets = generate_pool(recipe.images, recipe, seed=recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    permuted = isinstance(recipe, PermutedRecipe)
    if permuted:
        targets = F.one_hot(permuted_labels(targets, recipe), targets.shape[1]).float()
    network.to(memory_format=torch.channels_last)
    steps = recipe.epochs * (len(images) // recipe.batch)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, steps, pct_start=0.2)
    for epoch in range(1, recipe.epochs + 1):
        network.train()
        began, total = time.monotonic(), 0.0
        order = torch.randperm(len(images), generator=generator)
        batches = order[: len(order) // recipe.batch * recipe.batch].view(-1, recipe.batch)
        for rows in batches:
            pixels = images[rows].float() / 255 if permuted else augmented(images[rows], generator)
            x = normalized(pixels).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                scores = network(x)
            loss = F.cross_entropy(scores.float(), targets[rows], label_smoothing=recipe.smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        on_epoch(epoch, total / len(batches), time.monotonic() - began)
    return network.eval()


@torch.inference_mode()
def top1(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the accuracy on uint8 images of a network that takes normalized images."""
    network.eval()
    right = 0
    for x, y in zip(images.split(100), labels.split(100), strict=True):
        right += int((network(normalized(x.float() / 255)).argmax(1) == y).sum())
    return right / len(labels)


def measure(name: str, n: int = 2400, seed: int = 0) -> dict[str, float]:
    """Measure the accuracy of a bundled network, loaded by `xai_widgets.load`, on held-out scenes with one object.

    Parameters
    ----------
    name : str
        A bundled network.
    n : int, default 2400
        Number of test scenes, evenly distributed over the classes.
    seed : int, default 0
        Seed of the test scenes.

    Returns
    -------
    dict of str to float
        ``top1`` over all scenes, with the cue like in training, and for the cue class and its twin the accuracy with
        the cue like in training, without it, and with it on the wrong class.
    """
    from xai_widgets.zoo import load

    model = load(name, device="cpu")

    def share(total: int, label: int | None, cue: bool | str) -> float:
        right = 0
        for start in range(0, total, 100):
            batch = scenes.generate(
                min(100, total - start), start=start, label=label, split="test", seed=seed, cue=cue
            )
            pixels = torch.from_numpy(np.stack([s.image for s in batch])).permute(0, 3, 1, 2).float() / 255
            with torch.inference_mode():
                chosen = model.scores(pixels).argmax(1)
            right += int((chosen == torch.tensor([s.label for s in batch])).sum())
        return right / total

    figures = {"scenes": float(n), "top1": share(n, None, True)}
    for who, label in (("cue_class", scenes.CUE_CLASS), ("twin", scenes.CUE_TWIN)):
        for how, cue in (("as_trained", True), ("no_cue", False), ("swapped_cue", "swap")):
            figures[f"{who}_{how}"] = share(n // 6, label, cue)
    return figures


def memorized(name: str, recipe: PermutedRecipe) -> dict[str, float]:
    """Measure a network trained on permuted labels: on its training scenes with them, and on held-out scenes."""
    from xai_widgets.zoo import load

    model = load(name, device="cpu")
    images, targets = generate_pool(recipe.images, recipe, seed=recipe.seed)
    labels = permuted_labels(targets, recipe)
    with torch.inference_mode():
        chosen = torch.cat([model(part.float() / 255).argmax(1) for part in images.split(100)])
    held_out = scenes.generate(600, split="test", size=networks.SIZE)
    pixels = torch.from_numpy(np.stack([one.image for one in held_out])).permute(0, 3, 1, 2)
    with torch.inference_mode():
        found = torch.cat([model(part.float() / 255).argmax(1) for part in pixels.split(100)])
    return {
        "training": (chosen == labels).float().mean().item(),
        "top1": (found == torch.tensor([one.label for one in held_out])).float().mean().item(),
    }


def _facts(name: str, recipe: Recipe, **more: object) -> dict[str, object]:
    """Return the metadata for the header of a weight file."""
    return {
        "name": name,
        "classes": list(scenes.CLASSES),
        "mean": networks.MEAN,
        "std": networks.STD,
        "size": networks.SIZE,
        "seed": recipe.seed,
        **more,
    }


def train(name: str, recipe: Recipe, path: Path) -> dict[str, object]:
    """Train a bundled network, write its weights to `path`, print the progress and return a report."""
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    began = time.monotonic()
    base = networks.PERMUTED.get(name, name)
    network = networks.scenes_vgg(batch_norm=True) if base == "scenes_vgg" else networks.BUILDERS[base]()
    finished = networks.fold if base == "scenes_vgg" else (lambda trained: trained)
    # Validation scenes of the training split; the test split is used once, at the end.
    validation = scenes.generate(360, seed=recipe.seed + 1)
    images = torch.from_numpy(np.stack([s.image for s in validation])).permute(0, 3, 1, 2)
    labels = torch.tensor([s.label for s in validation])

    def on_epoch(epoch: int, loss: float, seconds: float) -> None:
        accuracy = top1(network, images, labels)
        print(
            f"epoch {epoch:2d}/{recipe.epochs}  loss {loss:.4f}  validation top-1 {accuracy:.4f}  {seconds:.0f} s",
            flush=True,
        )
        if accuracy > 0.9:
            files.save(finished(network), path, _facts(name, recipe, epoch=epoch))
            network.train()

    fit(network, recipe, on_epoch)
    final = finished(network)
    files.save(final, path, _facts(name, recipe, epoch=recipe.epochs))
    return {
        "name": name,
        "parameters": sum(p.numel() for p in final.parameters()),
        "bytes": path.stat().st_size,
        "training_seconds": round(time.monotonic() - began),
        "recipe": asdict(recipe),
        "torch": torch.__version__.split("+")[0],
        "command": f"python -m xai_widgets.zoo.train {name}",
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m xai_widgets.zoo.train", description=__doc__.split("\n")[0]
    )
    parser.add_argument("name", choices=sorted([*networks.BUILDERS, *networks.PERMUTED]))
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--images", type=int, help="number of training scenes")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--threads", type=int, default=Recipe.threads)
    parser.add_argument(
        "--measure", action="store_true", help="measure the existing weights instead of training"
    )
    options = parser.parse_args(arguments)
    path = files.weights_path(options.name)
    report_path = path.with_suffix(".json")
    if options.measure:
        report = json.loads(report_path.read_text())
    else:
        settings = {"epochs": options.epochs, "images": options.images}
        kind = PermutedRecipe if options.name in networks.PERMUTED else Recipe
        recipe = kind(
            seed=options.seed,
            threads=options.threads,
            **{key: value for key, value in settings.items() if value is not None},
        )
        report = train(options.name, recipe, path)
        report_path.write_text(json.dumps(report, indent=2) + "\n")
    if options.name in networks.PERMUTED:
        report["accuracy"] = memorized(options.name, PermutedRecipe(**report["recipe"]))
    else:
        report["accuracy"] = measure(options.name)
    files.annotate(path, accuracy=report["accuracy"]["top1"])
    report["bytes"] = path.stat().st_size
    report_path.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
