"""Measure the inverses beside other methods, and write docs/results/inverse.

    python scripts/results_inverse.py              everything; see the page for the minutes it took
    python scripts/results_inverse.py --scenes 8   fewer scenes
    python scripts/results_inverse.py --only efficientnet_lite0   one network again, the others remain
    python scripts/results_inverse.py --page       only the page and its curves, from inverse.json

For both bundled networks on scenes, and for EfficientNet-Lite0 with ImageNet weights on photographs: the share of the
image that is left at each lambda and whether the network still says the same (section 5.4.3 of the source), for three
regularizers (5.4.6); deletion and insertion over lambda; and all methods of tables 3.1, 4.1 and 5.1 with baselines.
Signed attributions are compared by the absolute value of their sum over channels (section 3.3.2).
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

import numpy as np
import torch
from results_inverse_page import drop, page, picture
from torch import Tensor

import xai_widgets
from xai_widgets import metrics
from xai_widgets.data import photograph, scenes
from xai_widgets.inverse import SolverSettings, layer_wise, operation_wise, reidentification, uniform
from xai_widgets.methods import METHODS
from xai_widgets.ops.resize import resize_map

ROOT = Path(__file__).resolve().parent.parent
SCENES = 24
LAMBDAS = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5)
FEW_LAMBDAS = (0.0, 0.4, 0.7, 1.0, 1.5)
#: The norms have other sizes, so that they need other weights for about the same shares of the image.
L1 = (0.003, 0.01, 0.03, 0.1, 0.3)
L2 = (0.2, 0.4, 0.7, 1.0, 1.5)
#: Photographs with an object of ImageNet, and a box around it in shares of the image: top, left, bottom, right.
PHOTOGRAPHS = {
    "cat": (0.0, 0.0, 0.95, 0.9),
    "coffee": (0.0, 0.12, 0.82, 0.8),
    "rocket": (0.2, 0.45, 0.9, 0.6),
    "motorcycle": (0.15, 0.0, 0.9, 1.0),
    "camera": (0.2, 0.4, 1.0, 0.8),
}
#: The settings of the explorer for large images.
QUICK = SolverSettings(steps=60)
#: Images at once.
CHUNK = 8
#: Steps of deletion and insertion curves.
STEPS = 56
#: The methods of tables 3.1, 4.1 and 5.1, beside the inverses.
TABLE = ("guided_nonlinearity", "guided_backprop", "gradient_x_input", "integrated_gradients", "deep_lift",
         "gradient_shap", "excitation_backprop", "occlusion", "grad_cam")  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A network, images of which it knows the class, and where the object of the class is."""

    name: str
    model: Any
    x: Tensor
    #: (N, H, W) bool.
    objects: Tensor
    lam: tuple[float, ...]
    ablation: dict[str, tuple[float, ...]]
    #: None for the defaults.
    settings: SolverSettings | None = None

    @property
    def target(self) -> Tensor:
        """The predicted classes."""
        found: Tensor = self.model.targets(None, self.x)
        return found


def on_scenes(name: str, count: int) -> Task:
    """Return a task on scenes of the test split, on which no network was trained."""
    model = xai_widgets.load(name, device="cpu")
    made = [scenes.scene(number, split="test") for number in range(count)]
    x = model.images([scene.image for scene in made])
    objects = torch.from_numpy(np.stack([scene.instance == 0 for scene in made]))
    return Task(name, model, x, objects, LAMBDAS, {"l1": L1, "l2": L2})


def on_photographs(name: str, count: int) -> Task:
    """Return a task on photographs, with boxes for the objects."""
    model = xai_widgets.load(name, device="cpu")
    chosen = dict(list(PHOTOGRAPHS.items())[:count])
    x = model.images([photograph(each) for each in chosen])
    objects = torch.zeros(len(x), *x.shape[2:], dtype=torch.bool)
    height, width = x.shape[2:]
    for inside, (top, left, bottom, right) in zip(objects, chosen.values(), strict=True):
        inside[int(top * height) : int(bottom * height), int(left * width) : int(right * width)] = True
    return Task(name, model, x, objects, FEW_LAMBDAS, {"l1": L1[::2], "l2": L2[::2]}, QUICK)


NETWORKS: dict[str, Callable[[str, int], Task]] = {
    "scenes_vgg": on_scenes,
    "scenes_resnet": on_scenes,
    "efficientnet_lite0": on_photographs,
}


def quietly(run: Any) -> Any:
    """Return the result of a run without warnings; units that did not converge are counted instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return run.result(progress=False)


def on_and_off(maps: Tensor, objects: Tensor) -> tuple[float, float]:
    """Return the mean of maps (N, H, W) on and off the objects, averaged over the images."""
    means = [
        torch.stack([each[where].mean() for each, where in zip(maps, regions, strict=True)])
        for regions in (objects, ~objects)
    ]
    return means[0].mean().item(), means[1].mean().item()


def curves(task: Task, maps: Tensor) -> dict[str, float]:
    """Return the mean areas under the deletion curves, to the mean color and to black, and the insertion curve."""
    target = task.target
    saliency = resize_map(maps, (task.x.shape[2], task.x.shape[3]))
    runs = {
        "deletion": metrics.deletion(task.model, task.x, saliency, target, steps=STEPS),
        "deletion_black": metrics.deletion(task.model, task.x, saliency, target, steps=STEPS, fill="black"),
        "insertion": metrics.insertion(task.model, task.x, saliency, target, steps=STEPS),
    }
    return {name: run.result(progress=False).auc.mean().item() for name, run in runs.items()}


def by_lambda(task: Task, lam: tuple[float, ...], regularizer: str) -> tuple[dict[str, Any], Tensor]:
    """Return means over the images for each lambda, and alpha (N, L, H, W)."""
    columns: dict[str, list[Tensor]] = {"alpha": [], "top1": [], "top5": [], "probability": []}
    shares, unconverged, seconds = [], {}, 0.0
    for some in task.x.split(CHUNK):
        began = time.perf_counter()
        found = quietly(
            layer_wise(task.model, some, lam=lam, regularizer=regularizer, settings=task.settings)
        )
        seconds += time.perf_counter() - began
        columns["alpha"].append(found.mean_alpha)
        columns["top1"].append(found.reidentified.float())
        columns["top5"].append(found.reidentified_top5.float())
        columns["probability"].append(found.probability)
        shares.append(found.alpha)
        for unit in found.units:
            missed = int((~unit.converged).sum())
            if missed:
                unconverged[unit.unit] = unconverged.get(unit.unit, 0) + missed
    alpha = torch.cat(shares)
    means = {name: torch.cat(parts).mean(0).tolist() for name, parts in columns.items()}
    on, off = zip(*(on_and_off(alpha[:, k], task.objects) for k in range(len(lam))), strict=True)
    brightness = (task.x - task.model.mean.view(-1, 1, 1)).abs().mean(1)
    contrast = [metrics.pearson(alpha[:, k], brightness).nan_to_num(0).mean().item() for k in range(len(lam))]
    return {
        "lam": list(lam), "images": len(task.x), **means, "on": on, "off": off, "contrast": contrast,
        "unconverged": unconverged, "seconds": seconds / len(task.x) / len(lam),
    }, alpha  # fmt: skip


def measured(task: Task, maps: Tensor, seconds: float, title: str) -> dict[str, Any]:
    """Return a row of the table: attributions (N, C, h, w) or (N, h, w) by their magnitude."""
    found = reidentification(task.model, task.x, maps, task.target)
    alpha, top1, top5 = found.point()
    on, off = on_and_off(found.alpha, task.objects)
    magnitude = maps.sum(1).abs() if maps.ndim == 4 else maps.abs()
    return {"title": title, "alpha": alpha, "top1": top1, "top5": top5, "on": on, "off": off,
            "seconds": seconds / len(task.x), **curves(task, magnitude)}  # fmt: skip


def methods(task: Task, say: Callable[[str], None]) -> dict[str, Any]:
    """Return the rows of the other methods and of the baselines."""
    rows: dict[str, Any] = {}
    target = task.target
    began = time.perf_counter()
    operation = torch.cat(
        [
            quietly(operation_wise(task.model, each, settings=task.settings)).saliency()
            for each in task.x.split(CHUNK)
        ]
    )
    title = "Operation-wise inverse"
    rows["operation_wise"] = measured(task, operation, time.perf_counter() - began, title)
    say(f"{task.name}: {title}")
    for name in TABLE:
        method = METHODS[name]
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            parts = [
                method(task.model, x, classes)
                for x, classes in zip(task.x.split(CHUNK), target.split(CHUNK), strict=True)
            ]
        rows[name] = measured(task, torch.cat(parts), time.perf_counter() - began, method.title)
        say(f"{task.name}: {method.title}")
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(len(task.x), *task.x.shape[2:], generator=generator)
    rows["random"] = measured(task, noise, 0.0, "*random map*")
    layer = task.model.default_layer()
    rows["class_blind"] = measured(
        task, task.model.activations(task.x, layer)[layer].sum(1).abs(), 0.0, "*class-blind: sum of A*"
    )
    return rows


def measure(task: Task, say: Callable[[str], None]) -> dict[str, Any]:
    """Return the figures of a network."""
    own, alpha = by_lambda(task, task.lam, "activation")
    say(f"{task.name}: {len(task.x)} images inverted")
    at = drop(own)
    played = sorted({*range(0, len(task.lam), 2), at})
    found: dict[str, Any] = {"by_lambda": own}
    found["curves"] = [{"lam": task.lam[k], **curves(task, alpha[:, k])} for k in played]
    found["ablation"] = {
        regularizer: by_lambda(task, lam, regularizer)[0] for regularizer, lam in task.ablation.items()
    }
    say(f"{task.name}: other regularizers")
    fading = uniform(task.model, task.x, task.target)
    found["uniform"] = {
        "alpha": fading.alpha.tolist(),
        **{name: getattr(fading, name).float().mean(0).tolist() for name in ("top1", "top5")},
    }
    found["methods"] = methods(task, say)
    return found


def main() -> None:
    """Measure, and write inverse.json, inverse.md and a picture for each network."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenes", type=int, default=SCENES, help=f"number of scenes (default {SCENES})")
    parser.add_argument("--only", nargs="+", choices=list(NETWORKS), default=list(NETWORKS), help="networks")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results", help="folder to write to")
    parser.add_argument("--page", action="store_true", help="only the page and its curves, from inverse.json")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    numbers = given.out / "inverse.json"
    results = json.loads(numbers.read_text()) if numbers.exists() else {"networks": {}}
    for name in [] if given.page else given.only:
        began = time.monotonic()
        task = NETWORKS[name](name, given.scenes)
        results["networks"][name] = measure(task, lambda words: print(words, flush=True)) | {
            "minutes": (time.monotonic() - began) / 60,
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
            "torch": torch.__version__.split("+")[0],
        }
        numbers.write_text(json.dumps(results, indent=1) + "\n")
    (given.out / "inverse.md").write_text(page(results))
    for name, found in results["networks"].items():
        picture(name, found, given.out / f"inverse_{name}.png")


if __name__ == "__main__":
    main()
