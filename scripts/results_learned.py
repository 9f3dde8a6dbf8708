"""Measure real-time saliency and adversarial probes, and write docs/results/learned.

    python scripts/results_learned.py                    everything: a quarter of an hour or more on two idle cores
    python scripts/results_learned.py --only domain      these sections anew, the rest as it stands
    python scripts/results_learned.py --only             the page anew, from the numbers

The masking network is trained first unless it is in the cache folder (scripts/train_learned.py).
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results_learned_page import page
from torch import Tensor

import xai_widgets as xw
from xai_widgets.core.model import ImageModel
from xai_widgets.data import photograph, scenes
from xai_widgets.learned import (
    RealTimeSaliency,
    deep_fool,
    detect_probed,
    fgsm,
    iterated_fgsm,
    map_change,
    real_time_saliency,
    recover_labels,
)
from xai_widgets.methods import METHODS, as_method
from xai_widgets.metrics import METRICS, Explanation
from xai_widgets.ops.resize import resize_map
from xai_widgets.perturbation import MeaningfulSettings, meaningful_perturbation

ROOT = Path(__file__).resolve().parent.parent
#: Test scenes, of one and two objects, and photographs.
SCENES, ATTACKED = 24, 20
PHOTOGRAPHS = ("astronaut", "cat", "coffee", "rocket", "retina", "brick", "camera", "coins", "moon", "tissue")
REAL = ("cat", "coffee", "rocket", "astronaut")
AREAS = (0.025, 0.05, 0.1, 0.2)
METHODS_UNDER_PROBES = ("gradient", "grad_cam", "fem", "lrp", "deep_lift")
#: Steps of the curves, and of the masks that recover labels.
CURVE, STEPS = 24, 100


def main() -> None:
    """Measure, and write learned.json and learned.md after each section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results", help="folder to write to")
    parser.add_argument(
        "--only", nargs="*", choices=tuple(SECTIONS), default=tuple(SECTIONS), help="sections"
    )
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    numbers = given.out / "learned.json"
    found: dict[str, Any] = json.loads(numbers.read_text()) if numbers.exists() else {}
    for name in given.only:
        found[name] = SECTIONS[name]()
        found["header"] = {
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
            "torch": torch.__version__.split("+")[0],
        }
        numbers.write_text(json.dumps(found, indent=1) + "\n")
    (given.out / "learned.md").write_text(page(found))


def trained() -> tuple[ImageModel, RealTimeSaliency]:
    """Return scenes_vgg and its masking network."""
    model = xw.load("scenes_vgg", device="cpu")
    return model, real_time_saliency(model).result()


def test_scenes(
    model: ImageModel, count: int, objects: int | tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return scenes (N, 3, H, W), the class of the first object (N,), and its pixels (N, H, W)."""
    made = scenes.generate(count, split="test", objects=objects, size=model.size[0])
    masks = torch.from_numpy(np.stack([one.category == one.label for one in made]))
    return model.images([one.image for one in made]), torch.tensor([one.label for one in made]), masks


def compared() -> list[dict[str, Any]]:
    """Return scores and seconds of each explainer on test scenes."""
    model, explainer = trained()
    x, target, masks = test_scenes(model, SCENES, (1, 2))
    height, width = x.shape[2:]
    rows, columns = (torch.arange(n) - (n - 1) / 2 for n in (height, width))
    center = -(rows[:, None] ** 2 + columns**2).expand(len(x), -1, -1)
    noise = torch.rand(len(x), height, width, generator=torch.Generator().manual_seed(0))
    explainers: dict[str, Callable[..., Tensor]] = {
        "random": lambda *_: noise,
        "center": lambda *_: center,
        "Grad-CAM": METHODS["grad_cam"].saliency,
        "real-time saliency": as_method(explainer).saliency,
        "extremal perturbations": partial(METHODS["extremal"].saliency, areas=AREAS),
    }
    found = []
    for name, explain in explainers.items():
        began = time.monotonic()
        maps = resize_map(explain(model, x, target).detach().float(), (height, width))
        seconds = (time.monotonic() - began) / len(x)
        each = [
            Explanation(model, x[n : n + 1], int(target[n]), maps[n : n + 1], mask=masks[n])
            for n in range(len(x))
        ]
        scores = {
            metric: [METRICS[metric](one, **options) for one in each]
            for metric, options in (
                ("deletion", {"steps": CURVE, "fill": "black"}),
                ("insertion", {"steps": CURVE}),
                ("pointing", {}),
            )
        }
        found.append({"name": name, "images": len(x), "seconds": seconds} | {
            metric: [float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))]
            for metric, values in scores.items()
        })  # fmt: skip
    return found


def domain() -> dict[str, Any]:
    """Return how well the masks preserve and destroy the predicted class on scenes and on photographs."""
    model, explainer = trained()
    x = {
        "scenes": test_scenes(model, SCENES, 1)[0],
        "photographs": model.images([photograph(n) for n in PHOTOGRAPHS]),
    }
    found = {}
    for name, images in x.items():
        old = model.scores(images).argmax(1)
        masks = resize_map(explainer(model, images, old)[:, 0], model.size)[:, None]
        turned = masks.flip(2, 3)

        def probability(kept: Tensor, images: Tensor = images, old: Tensor = old) -> Tensor:
            mean = model.mean.view(1, -1, 1, 1)
            shown = images * kept + mean * (1 - kept)
            return model.probs(shown).gather(1, old[:, None])[:, 0]

        values = {
            "images": torch.tensor(float(len(images))),
            "predicted": model.probs(images).amax(1),
            "area": masks.mean((1, 2, 3)),
            "preserved": probability(masks),
            "preserved_turned": probability(turned),
            "destroyed": probability(1 - masks),
            "destroyed_turned": probability(1 - turned),
            "presence": explainer.presence(model, images, old),
        }
        found[name] = {key: value.mean().item() for key, value in values.items()}
    return found


def probes() -> list[dict[str, Any]]:
    """Return the success of each probe and the change of maps, on scenes and on photographs."""
    vgg, real = xw.load("scenes_vgg", device="cpu"), xw.load("efficientnet_lite0", device="cpu")
    photographs = real.images([photograph(name) for name in REAL])
    cases: list[tuple[str, ImageModel, Tensor, Any]] = [
        ("scenes_vgg", vgg, test_scenes(vgg, ATTACKED, 1)[0], partial(iterated_fgsm, epsilon=16 / 255)),
        ("scenes_vgg", vgg, test_scenes(vgg, ATTACKED, 1)[0], deep_fool),
        ("efficientnet_lite0", real, photographs, partial(fgsm, epsilon=8 / 255)),
        ("efficientnet_lite0", real, photographs, partial(iterated_fgsm, epsilon=2 / 255)),
        ("efficientnet_lite0", real, photographs, deep_fool),
    ]
    found = []
    for name, model, x, probe in cases:
        change = map_change(model, x, METHODS_UNDER_PROBES, probe).result(progress=False)
        probed = change.probed
        reached = probed.reached
        found.append({
            "network": name,
            "probe": probed.probe,
            "images": len(probed),
            "reached": int(reached.sum()),
            "l2": probed.norm()[reached].mean().item(),
            "linf": probed.norm(math.inf)[reached].mean().item(),
            "table": change.table(),
            "errors": change.errors,
        })  # fmt: skip
    return found


def recoveries() -> dict[str, Any]:
    """Return :func:`recovery` of both networks."""
    return {name: recovery(name) for name in ("scenes_vgg", "scenes_resnet")}


def recovery(name: str) -> dict[str, Any]:
    """Return the shares of recovered labels under DeepFool, and the accuracy of the detection by masks."""
    model = xw.load(name, device="cpu")
    x = test_scenes(model, ATTACKED, 1)[0]
    probed = deep_fool(model, x).result(progress=False)
    settings = MeaningfulSettings(steps=STEPS)
    held = recover_labels(model, probed, settings=settings).result(progress=False)
    clean = meaningful_perturbation(model, x, probed.old, settings=settings).result(progress=False)
    detection = detect_probed(clean.masks, held.masks)
    gradients = [
        METHODS["gradient"].saliency(model, *each) for each in ((x, probed.old), (probed.image, probed.new))
    ]
    return {
        "images": int(probed.reached.sum()),
        "recovered": held.share(),
        "three": held.share(best=3),
        "turned": held.share(held.turned),
        "blurred": held.share(held.blurred),
        "detection": list(detection.folds),
        "detection_gradient": list(detect_probed(*gradients).folds),
    }


SECTIONS: dict[str, Callable[[], Any]] = {
    "domain": domain,
    "methods": compared,
    "probes": probes,
    "recovery": recoveries,
}


if __name__ == "__main__":
    main()
