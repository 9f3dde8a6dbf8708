"""Measure real-time saliency, two generators and adversarial probes, and write docs/results/learned.

    python scripts/results_learned.py                    everything: an hour or more on one core
    python scripts/results_learned.py --only domain      these sections anew, the rest as it stands
    python scripts/results_learned.py --only             the page anew, from the numbers

The masking network and the generators are trained first unless they are in the cache folder
(scripts/train_learned.py).
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results_learned_page import page
from results_learned_pair import pair, pixels
from results_learned_pair_page import FIGURE
from sklearn.datasets import load_sample_image
from torch import Tensor

import xai_widgets as xw
from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.data import photograph, scenes
from xai_widgets.learned import (
    Probe,
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
#: Number of test scenes: for the masking network, beside other explainers, under probes, and to recover labels.
SCENES, COMPARED, ATTACKED, RECOVERED = 24, 100, 40, 40
PHOTOGRAPHS = ("astronaut", "cat", "coffee", "rocket", "retina", "brick", "camera", "coins", "moon", "tissue")
#: The photographs of skimage and scikit-learn whose predicted class by efficientnet_lite0 is in the image.
REAL = ("camera", "cat", "coffee", "motorcycle", "rocket", "china.jpg", "flower.jpg")
AREAS = (0.025, 0.05, 0.1, 0.2)
METHODS_UNDER_PROBES = ("gradient", "guided_grad_cam", "grad_cam", "fem", "lrp", "deep_lift")
MAPS_TO_DETECT = ("gradient", "grad_cam")
#: Steps of the curves, and of the masks that recover labels.
CURVE, STEPS = 24, 150
#: Fewest images to fit a classifier of their maps.
DETECTED = 20


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
        found[name] = pair(given.out / FIGURE) if name == "pair" else SECTIONS[name]()
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


def real_photographs(model: ImageModel) -> Tensor:
    """Return the photographs REAL, (N, 3, H, W)."""
    return model.images(
        [load_sample_image(name) if name.endswith(".jpg") else photograph(name) for name in REAL]
    )


def compared() -> list[dict[str, Any]]:
    """Return scores and seconds of each explainer on test scenes."""
    model, explainer = trained()
    x, target, masks = test_scenes(model, COMPARED, (1, 2))
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
        explain(model, x[:1], target[:1])  # Layers are found once for a model.
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
    photographs = real_photographs(real)
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


def recoveries() -> list[dict[str, Any]]:
    """Return the recovered labels and the detection of each probe, on scenes and on photographs."""
    found = []
    for name, epsilon in (("scenes_vgg", 16), ("scenes_resnet", 16), ("efficientnet_lite0", 8)):
        model = xw.load(name, device="cpu")
        real = name == "efficientnet_lite0"
        x = real_photographs(model) if real else test_scenes(model, RECOVERED, 1)[0]
        clean = deleted(model, x) if len(x) >= DETECTED else None
        for probe in (partial(iterated_fgsm, epsilon=epsilon / 255), deep_fool):
            found.append({"network": name} | recovery(model, x, clean, probe))
    return found


def deleted(model: ImageModel, x: Tensor) -> Tensor:
    """Return the masks (N, H, W) that delete the predicted classes of images."""
    settings = MeaningfulSettings(steps=STEPS)
    return meaningful_perturbation(model, x, settings=settings).result(progress=False).masks


def recovery(model: ImageModel, x: Tensor, clean: Tensor | None, probe: Probe) -> dict[str, Any]:
    """Return the shares of recovered labels under a probe, and the accuracy of the detection by maps.

    ``clean`` (N, H, W) are the masks of the images without the probe. Only images whose class changes count.
    """
    tried = probe(model, x)
    assert isinstance(tried, Run)
    everything = tried.result(progress=False)
    rows = everything.reached
    probed = replace(
        everything,
        **{key: getattr(everything, key)[rows] for key in ("original", "image", "old", "new")},
    )
    held = recover_labels(model, probed, settings=MeaningfulSettings(steps=STEPS)).result(progress=False)
    before, after = (model.probs(each).amax(1) for each in (probed.original, probed.image))
    found = {
        "probe": probed.probe,
        "linf": probed.norm(math.inf).mean().item(),
        "images": len(x),
        "reached": len(probed),
        "steps": STEPS,
        "probability": [before.mean().item(), after.mean().item()],
        "shares": {
            name: [held.share(ranks, best=1), held.share(ranks, best=5)]
            for name, ranks in (("mask", held.ranks), ("turned", held.turned), ("blurred", held.blurred))
        },
    }
    if clean is None or len(probed) < DETECTED:
        return found
    pairs = {"mask": (clean[rows], held.masks)} | {
        name: tuple(
            METHODS[name].saliency(model, *each).detach()
            for each in ((probed.original, probed.old), (probed.image, probed.new))
        )
        for name in MAPS_TO_DETECT
    }
    return found | {
        "detection": {name: list(detect_probed(*each).folds) for name, each in pairs.items()},
        "by_probability": best_threshold(before, after),
        "deleted": [(1 - masks).mean().item() for masks in pairs["mask"]],
    }


def best_threshold(clean: Tensor, changed: Tensor) -> float:
    """Return the accuracy of the best threshold that the changed values are below."""
    at = torch.cat([clean, changed])[:, None]
    return ((clean >= at).float().mean(1) / 2 + (changed < at).float().mean(1) / 2).max().item()


SECTIONS: dict[str, Callable[[], Any]] = {
    "domain": domain,
    "methods": compared,
    "probes": probes,
    "recovery": recoveries,
    "pair": pair,
    "pixels": pixels,
}


if __name__ == "__main__":
    main()
