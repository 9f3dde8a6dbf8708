"""Train the bundled super-resolution network on photographs: ``python -m xai_widgets.zoo.train_sr``.

One CPU core is enough. Patches of the training photographs, of all scales in each batch, turned and mirrored; the
photographs are taken at smaller sizes too, where they are sharper. A stopped run goes on where its checkpoint is.
The gain that is reported is measured on the committed weights as the public loader reads them, on the luminance of
photographs that were never trained on, the border of ``scale`` pixels left out.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.data import low_resolution as data
from xai_widgets.ops import color
from xai_widgets.zoo import files, super_resolution
from xai_widgets.zoo.super_resolution import SuperResolution

#: Steps from one checkpoint, and one printed line, to the next.
CHECKPOINT_EVERY = 500
COMMAND = "python -m xai_widgets.zoo.train_sr"


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run."""

    steps: int = 16_000
    batch: int = 32
    patch: int = 41
    learning_rate: float = 2e-3
    clip: float = 0.05
    """The length to which longer gradients are brought."""
    sizes: tuple[float, ...] = (1.0, 0.7, 0.5)
    """Sizes of the photographs that patches are cut from."""
    seed: int = 0
    threads: int = 1


def pairs(recipe: Recipe, names: tuple[str, ...]) -> list[tuple[Tensor, Tensor]]:
    """Luminance at low resolution and what it was, (H, W) each, of all photographs, sizes and scales."""
    made = []
    for name, size in product(names, recipe.sizes):
        whole = color.luminance(data.load_photograph(name))
        sides = (round(whole.shape[2] * size), round(whole.shape[3] * size))
        # A small photograph may become smaller than a patch.
        if min(sides) >= recipe.patch + max(data.SCALES):
            scaled = data.bicubic(whole, sides)
            for scale in data.SCALES:
                x, g = data.blurred_pair(scaled, scale)
                made.append((x[0, 0], g[0, 0]))
    return made


def draw(
    sources: list[tuple[Tensor, Tensor]], recipe: Recipe, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A batch of patches (B, 1, side, side), turned and mirrored at random: x and g."""
    patches = []
    for source in torch.randint(len(sources), (recipe.batch,), generator=generator).tolist():
        both = torch.stack(sources[source])
        top, left = (
            int(torch.randint(side - recipe.patch + 1, (), generator=generator)) for side in both.shape[1:]
        )
        both = both[:, top : top + recipe.patch, left : left + recipe.patch]
        turns, mirrored = divmod(int(torch.randint(8, (), generator=generator)), 2)
        both = both.rot90(turns, (1, 2))
        patches.append(both.flip(2) if mirrored else both)
    x, g = torch.stack(patches, 1)[:, :, None]
    return x, g


def residual(network: SuperResolution, x: Tensor) -> Tensor:
    """Phi(x) with the inner convolutions in bfloat16, four times as fast; image and residual stay exact."""
    inner = network[0](x).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        for part in network[1:-1]:
            inner = part(inner)
    made: Tensor = network[-1](inner.float())
    return made


def fit(network: SuperResolution, recipe: Recipe, checkpoint: Path) -> float:
    """Train a network in place, from its checkpoint on if there is one; returns the seconds that it took."""
    sources = pairs(recipe, data.TRAINING)
    generator = torch.Generator().manual_seed(recipe.seed)
    network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, recipe.steps, pct_start=0.1
    )
    parts = {"network": network, "optimizer": optimizer, "schedule": schedule}
    first, before = 0, 0.0
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(kept[name])  # type: ignore[attr-defined]
        generator.set_state(kept["generator"])
        first, before = kept["step"], kept["seconds"]
    began, total = time.monotonic(), 0.0
    for step in range(first + 1, recipe.steps + 1):
        x, g = draw(sources, recipe, generator)
        loss = F.l1_loss(residual(network, x), g - x)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        optimizer.step()
        schedule.step()
        total += loss.item()
        if step % CHECKPOINT_EVERY == 0:
            seconds = before + time.monotonic() - began
            print(
                f"step {step}/{recipe.steps}  loss {total / CHECKPOINT_EVERY:.5f}  {seconds:.0f} s",
                flush=True,
            )
            total = 0.0
            state = {name: part.state_dict() for name, part in parts.items()}  # type: ignore[attr-defined]
            partial = checkpoint.with_suffix(".partial")
            torch.save(
                {**state, "generator": generator.get_state(), "step": step, "seconds": seconds}, partial
            )
            partial.replace(checkpoint)
    network.eval()
    return before + time.monotonic() - began


def measure(network: SuperResolution, names: tuple[str, ...] = data.TEST) -> dict[str, dict[str, Any]]:
    """PSNR in dB of bicubic interpolation and of the network, for each scale and photograph, and their means."""
    figures: dict[str, dict[str, Any]] = {}
    for scale in data.SCALES:
        rows = {}
        for name in names:
            x, g = data.blurred_pair(color.luminance(data.load_photograph(name)), scale)
            made = network.enhance(x)
            rows[name] = tuple(round(data.psnr(image, g, border=scale).item(), 3) for image in (x, made))
        bicubic, enhanced = (sum(row[i] for row in rows.values()) / len(rows) for i in (0, 1))
        figures[f"x{scale}"] = {
            "bicubic": round(bicubic, 2),
            "network": round(enhanced, 2),
            "gain": round(enhanced - bicubic, 2),
            "photographs": {name: {"bicubic": row[0], "network": row[1]} for name, row in rows.items()},
        }
    return figures


def train(recipe: Recipe, path: Path, checkpoint: Path) -> dict[str, Any]:
    """Train the network, write its weights to `path` and return a report; progress is printed."""
    torch.set_num_threads(recipe.threads)
    network = super_resolution.build(seed=recipe.seed)
    seconds = fit(network, recipe, checkpoint)
    facts = {"name": "scenes_sr", "scales": data.SCALES, "seed": recipe.seed, "steps": recipe.steps}
    files.save(network, path, facts)
    checkpoint.unlink(missing_ok=True)
    return {
        "name": "scenes_sr",
        "parameters": sum(p.numel() for p in network.parameters()),
        "bytes": path.stat().st_size,
        "training_seconds": round(seconds),
        "recipe": asdict(recipe),
        "training_photographs": data.TRAINING,
        "torch": torch.__version__.split("+")[0],
        "command": COMMAND,
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--threads", type=int, default=Recipe.threads)
    parser.add_argument("--checkpoint", type=Path, help="file of the checkpoint; default: beside the weights")
    parser.add_argument(
        "--measure", action="store_true", help="do not train: measure the weights that are there"
    )
    given = parser.parse_args(arguments)
    path = files.weights_path("scenes_sr")
    report_path = path.with_suffix(".json")
    if given.measure:
        report = json.loads(report_path.read_text())
    else:
        recipe = Recipe(steps=given.steps, seed=given.seed, threads=given.threads)
        report = train(recipe, path, given.checkpoint or path.with_suffix(".checkpoint"))
    # As the public loader reads them, in half precision.
    report["psnr"] = measure(super_resolution.load("DEFAULT", "cpu"))
    files.annotate(path, gain={scale: row["gain"] for scale, row in report["psnr"].items()})
    report["bytes"] = path.stat().st_size
    report_path.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
