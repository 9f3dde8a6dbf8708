"""Weak localization on ImageNet: table 1 of chapter 3 of Fong 2020.

The box around the salient part of a map is compared with the box of the object: an error if their intersection over
union is below 0.5. The threshold of each kind with the fewest errors is chosen on held-out images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from reproduce_data import BOXES, Boxed, imagenet, linear_sample
from reproduce_networks import imagenet_network
from reproduce_run import Configured, Reproduction, Setup, cells_of, configured, scored, unmeasured
from reproduce_tables import Cell, Cells, Column, Row, Table, published
from torch import Tensor, nn

from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS, Method
from xai_widgets.methods.registry import max_abs
from xai_widgets.metrics import Explanation, Metric
from xai_widgets.metrics.boxes import ENOUGH, THRESHOLDS, localization_iou
from xai_widgets.perturbation.meaningful import MeaningfulSettings
from xai_widgets.studies.score_tables import Evaluation

#: Side of the images, and the number of held-out ones, at most half of all.
SIZE, HELD_OUT = 224, 1000
#: The kinds of thresholds with the headings of the source.
KINDS = {"value": "Val", "energy": "Ene", "mean": "Mea"}
#: Number of classes whose probabilities the mask minimizes.
BEST = 5
MASK = MeaningfulSettings(l1=1e-3, beta=2.0)
COLUMNS = tuple(
    column
    for kind, title in KINDS.items()
    for column in (
        Column(f"{kind} threshold", (f"{title}-α*",), 2),
        Column(f"{kind} error", (f"{title} Err (%)",), 1),
    )
)
TABLE = Table(
    "fong-ch3-1",
    "Fong 2020, chapter 3, table 1",
    "Weak localization of GoogLeNet on the validation images of ImageNet: the thresholds of three kinds that are "
    "best on "
    "held-out images, and the errors.",
    (
        Row("gradient", "Grad"),
        Row("guided_backprop", "Guid"),
        Row("excitation_backprop", "Exc"),
        Row("contrastive_excitation_backprop", "C Exc"),
        Row("feedback_layers", "Feed"),
        Row("lrp", "LRP"),
        Row("cam", "CAM"),
        Row("grad_cam", "Grad-CAM"),
        Row("occlusion", "Occlusion"),
        Row("meaningful_perturbation", "Mask"),
    ),
    COLUMNS,
    published(
        (
            "gradient 0.25 46.0 0.10 43.9 5.0 41.7",
            "guided_backprop 0.05 50.2 0.30 47.0 4.5 42.0",
            "excitation_backprop 0.15 46.1 0.60 38.7 1.5 39.0",
            "contrastive_excitation_backprop - - - - 0.0 57.0",
            "feedback_layers - - 0.95 38.8 - -",
            "lrp - - - - 1.0 57.8",
            "cam - - - - 1.0 48.1",
            "grad_cam 0.30 48.1 0.70 48.0 1.0 47.5",
            "occlusion 0.30 51.2 0.55 49.4 1.0 48.6",
            "meaningful_perturbation 0.10 44.0 0.95 43.1 0.5 43.2",
        ),
        COLUMNS,
    ),
    protocol=(
        "The class is that of the image; the box is its largest one. Images are resized to a square without a crop.",
        "Thresholds: value and energy 0 to 0.95 by 0.05, mean 0 to 10 by 0.5, chosen on 1000 held-out images.",
        "An error: the intersection over union is below 0.5.",
        "Mask: l1 0.001 and beta 2, and the sum of the probabilities of the five predicted classes is minimized.",
    ),
    differences=(
        "The source prints the errors of Feed, C Exc, LRP and CAM from other papers, with their networks.",
        "The GoogLeNet of the source is that of Caffe; torchvision's is trained otherwise and has batch norm.",
        "Layers of excitation backprop and Grad-CAM, the patch of occlusion and the rule of LRP are the defaults of "
        "the "
        "package; the source does not print them.",
        "The held-out images of the source are not named.",
    ),
)


class FiveBest(nn.Module):
    """A network of two classes, the five predicted ones and all others, whose probabilities are their sums."""

    def __init__(self, model: ImageModel, best: Tensor) -> None:
        super().__init__()
        self.model, self.best = model.module, best

    def forward(self, x: Tensor) -> Tensor:
        """Return the logarithms of the sums of the exponentials of both parts of the scores, (N, 2)."""
        scores = self.model(x)
        inside = torch.zeros(scores.shape[1], dtype=torch.bool, device=x.device).index_fill(
            0, self.best, True
        )
        parts = [scores[:, inside], scores[:, ~inside]]
        return torch.stack([part.logsumexp(1) for part in parts], 1)


class MaskOfFive(Configured):
    """Meaningful perturbation of the sum of the probabilities of the five predicted classes."""

    def __call__(self, model: ImageModel, x: Tensor, target: Tensor, **more: Any) -> Tensor:
        """Return the attribution; the class is not used."""
        maps = []
        for image in x:
            best = model(image[None])[0].topk(min(BEST, len(model.labels) - 1)).indices
            mean, std = (part.flatten().tolist() for part in (model.mean, model.std))
            joined = ImageModel(
                FiveBest(model, best),
                mean=mean,
                std=std,
                size=model.size,
                device=model.device,
                activation="softmax",
            )
            maps.append(super().__call__(joined, image[None], torch.zeros_like(target[:1]), **more))
        return torch.cat(maps)


def is_error(explanation: Explanation, kind: Any, threshold: float) -> bool:
    """Return whether the box of the salient part misses that of the object."""
    assert explanation.mask is not None
    found = localization_iou(explanation.saliency, explanation.mask[None], threshold, kind=kind)
    return found.item() < ENOUGH


def _error(explanation: Explanation, *, kind: Any, chosen: Mapping[str, float]) -> float:
    """Return whether there is an error for the threshold that is chosen for the method."""
    return float(is_error(explanation, kind, chosen[getattr(explanation.method, "name", "")]))


def _errors(explanation: Explanation, *, kind: Any) -> float:
    """Return the errors for all thresholds of a kind as the bits of one number, the first one lowest."""
    return float(sum(is_error(explanation, kind, cut) << bit for bit, cut in enumerate(THRESHOLDS[kind])))


def error_metric(kind: Any, chosen: Mapping[str, float]) -> Metric:
    """Return the metric of the errors for a threshold of each method."""
    return Metric(
        _error,
        kind,
        f"Localization error, {kind}",
        "localization",
        "lower",
        "share of the images whose box has an intersection over union below 0.5",
        ("mask",),
        "Fong and Vedaldi 2017",
        binary=True,
        options={"kind": kind, "chosen": chosen},
    )


def trial_metric(kind: Any) -> Metric:
    """Return the metric of the errors for all thresholds; a map that explains nothing has an error for each."""
    return Metric(
        _errors,
        kind,
        f"Localization errors, {kind}",
        "localization",
        "lower",
        "the thresholds whose box has an intersection over union below 0.5, as bits",
        ("mask",),
        bounds=(0.0, 2.0 ** len(THRESHOLDS[kind]) - 1),
        options={"kind": kind},
    )


def _methods(setup: Setup) -> list[Method]:
    made: dict[str, dict[str, Any]] = {
        "gradient": {"reduce": max_abs},
        "guided_backprop": {"reduce": max_abs},
    }
    found = []
    for row in filter(setup.wants, TABLE.rows):
        if row.key == "meaningful_perturbation":
            base = METHODS[row.key]
            options = {"settings": MASK, **(base.quick if setup.quick else {})}
            found.append(replace(base, function=MaskOfFive(row.key, options)))
        else:
            found.append(configured(setup, row.key, row.key, **made.get(row.key, {})))
    return found


def split(length: int, images: int | None) -> tuple[list[int], list[int]]:
    """Return the indices of the held-out images and of the others, at most ``images``."""
    held = linear_sample(length, min(HELD_OUT, length // 2, images or length))
    others = sorted(set(range(length)) - set(held))
    return held, [others[index] for index in linear_sample(len(others), images)]


def measure(setup: Setup) -> Cells:
    """Return the cells of the table."""
    size = setup.size or SIZE
    dataset = imagenet(setup.data)
    boxes = Path(setup.extra.get(BOXES) or setup.data / BOXES)
    columns = [column.key for column in COLUMNS]
    if not boxes.is_dir():
        return unmeasured(TABLE.rows, columns, f"no folder of boxes, such as {BOXES} in that of the data")
    count = len(dataset.classes)
    model = imagenet_network(setup.weights, "googlenet", size, whole=True, classes=count)
    if model is None:
        return unmeasured(TABLE.rows, columns, "no weights are given for googlenet")
    if len(model.labels) != count:
        raise ValueError(
            f"expected a folder for each of the {len(model.labels)} classes of the network, got {count}; the classes "
            f"of "
            "the network are those of the folders in the order of their names"
        )
    held, others = split(len(dataset), setup.images)
    methods, models = _methods(setup), {model.name: model}
    trials = [trial_metric(kind) for kind in KINDS]
    tried = scored(setup, f"{TABLE.name}-held-out", models, Boxed(dataset, boxes, held), methods, trials)
    chosen = {kind: {method.name: best(tried, method.name, kind) for method in methods} for kind in KINDS}
    metrics = [error_metric(kind, chosen[kind]) for kind in KINDS]
    result = scored(setup, TABLE.name, models, Boxed(dataset, boxes, others), methods, metrics)
    errors, cells = cells_of(result, scale=100), {}
    for method in methods:
        for kind in KINDS:
            cell = errors[model.name, method.name, kind]
            cells[method.name, f"{kind} error"] = cell
            cut = math.nan if math.isnan(cell.value) else chosen[kind][method.name]
            cells[method.name, f"{kind} threshold"] = Cell(cut, note=cell.note)
    return cells


def best(tried: Evaluation, method: str, kind: Any) -> float:
    """Return the first of the thresholds of a kind with the fewest errors; NaN without any score."""
    scores = [
        int(outcome.result[0])
        for outcomes in tried.outcomes.values()
        for key, outcome in outcomes.items()
        if (key.method, key.metric) == (method, kind) and outcome.result is not None
    ]
    errors = {cut: sum(score >> bit & 1 for score in scores) for bit, cut in enumerate(THRESHOLDS[kind])}
    return min(errors, key=lambda cut: errors[cut]) if scores else math.nan


REPRODUCTIONS = (Reproduction(TABLE, measure),)
