"""Train the bundled super-resolution network on photographs: ``python -m xai_widgets.zoo.train_sr``.

One CPU core is enough. Each batch holds rotated and mirrored patches of the training photographs at all scales. The
photographs are also used at smaller sizes, where they are sharper. An interrupted run continues from its checkpoint.
The reported gain is that of the written weights, loaded by `xai_widgets.load`, on the luminance of test photographs
without a border of ``scale`` pixels.
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

#: Steps between checkpoints, and between printed lines.
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
    """Maximum norm of the gradient."""
    sizes: tuple[float, ...] = (1.0, 0.7, 0.5)
    """Relative sizes of the photographs."""
    seed: int = 0
    threads: int = 1


def pairs(recipe: Recipe, names: tuple[str, ...]) -> list[tuple[Tensor, Tensor]]:
    """Return luminance at low and at full resolution, (H, W) each, for all photographs, sizes and scales."""
    result = []
    for name, size in product(names, recipe.sizes):
        whole = color.luminance(data.load_photograph(name))
        sides = (round(whole.shape[2] * size), round(whole.shape[3] * size))
        # A photograph can become smaller than a patch.
        if min(sides) >= recipe.patch + max(data.SCALES):
            scaled = data.bicubic(whole, sides)
            for scale in data.SCALES:
                x, g = data.blurred_pair(scaled, scale)
                result.append((x[0, 0], g[0, 0]))
    return result


def draw(
    sources: list[tuple[Tensor, Tensor]], recipe: Recipe, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return a random batch of rotated and mirrored patches x and g, (B, 1, side, side)."""
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
    """Return Phi(x) with the inner convolutions in bfloat16, which is four times as fast."""
    inner = network[0](x).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        for part in network[1:-1]:
            inner = part(inner)
    output: Tensor = network[-1](inner.float())
    return output


def fit(network: SuperResolution, recipe: Recipe, checkpoint: Path) -> float:
    """Train a network in place, from its checkpoint if there is one, and return the training time in seconds."""
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
        saved = torch.load(checkpoint, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(saved[name])  # type: ignore[attr-defined]
        generator.set_state(saved["generator"])
        first, before = saved["step"], saved["seconds"]
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
    """Return the PSNR in dB of bicubic interpolation and of the network, per scale and photograph, with means."""
    figures: dict[str, dict[str, Any]] = {}
    for scale in data.SCALES:
        rows = {}
        for name in names:
            x, g = data.blurred_pair(color.luminance(data.load_photograph(name)), scale)
            output = network.enhance(x)
            rows[name] = tuple(round(data.psnr(image, g, border=scale).item(), 3) for image in (x, output))
        bicubic, enhanced = (sum(row[i] for row in rows.values()) / len(rows) for i in (0, 1))
        figures[f"x{scale}"] = {
            "bicubic": round(bicubic, 2),
            "network": round(enhanced, 2),
            "gain": round(enhanced - bicubic, 2),
            "photographs": {name: {"bicubic": row[0], "network": row[1]} for name, row in rows.items()},
        }
    return figures


def train(recipe: Recipe, path: Path, checkpoint: Path) -> dict[str, Any]:
    """Train the network, write its weights to `path`, print the progress and return a report."""
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
    parser.add_argument("--checkpoint", type=Path, help="checkpoint file; default: next to the weights")
    parser.add_argument(
        "--measure", action="store_true", help="measure the existing weights instead of training"
    )
    options = parser.parse_args(arguments)
    path = files.weights_path("scenes_sr")
    report_path = path.with_suffix(".json")
    if options.measure:
        report = json.loads(report_path.read_text())
    else:
        recipe = Recipe(steps=options.steps, seed=options.seed, threads=options.threads)
        report = train(recipe, path, options.checkpoint or path.with_suffix(".checkpoint"))
    # The written weights, in half precision.
    report["psnr"] = measure(super_resolution.load("DEFAULT", "cpu"))
    files.annotate(path, gain={scale: row["gain"] for scale, row in report["psnr"].items()})
    report["bytes"] = path.stat().st_size
    report_path.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
