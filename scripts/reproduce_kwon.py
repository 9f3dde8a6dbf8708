"""Tables 3.1, 4.1 and 5.1 of Kwon 2021: deletion, insertion and reconstruction on the validation images of ImageNet.

The class is the predicted one. Attributions are reduced by the absolute value of the sum over the channels (section
3.3.2). The networks see normalized images, so that a baseline of 0 is the mean color.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from reproduce_data import Images, images_of, linear_sample
from reproduce_networks import imagenet_network
from reproduce_run import (
    TRAINING_MEAN,
    Configured,
    Reproduction,
    Setup,
    cells_of,
    configured,
    metric_of,
    scored,
    unmeasured,
)
from reproduce_tables import Cell, Cells, Column, Row, Table, published
from torch import Tensor

from xai_widgets import inverse
from xai_widgets.core.model import ImageModel
from xai_widgets.inverse.registered import LAMBDA
from xai_widgets.methods import METHODS, Method
from xai_widgets.methods.registry import abs_sum
from xai_widgets.metrics import Explanation, Metric

#: Side of the images.
SIZE = 224
#: The method and the options of each row.
METHODS_OF: dict[str, tuple[str, dict[str, Any]]] = {
    "occlusion": ("occlusion", {}),
    "lime": ("lime", {}),
    "rise": ("rise", {}),
    "gradient": ("gradient", {}),
    "guided_backprop": ("guided_backprop", {}),
    "grad_cam": ("grad_cam", {}),
    "excitation_backprop": ("excitation_backprop", {}),
    "integrated_gradients": ("integrated_gradients", {"baseline": TRAINING_MEAN}),
    "guided_nonlinearity": ("guided_nonlinearity", {"baseline": TRAINING_MEAN}),
    # Its value at the end of the path: the gradient times the difference from the mean color.
    "gradient_x_input": (
        "integrated_gradients",
        {"baseline": TRAINING_MEAN, "steps": 1, "quadrature": "right"},
    ),
    "deep_lift": ("deep_lift", {"baseline": TRAINING_MEAN}),
    "gradient_shap": ("gradient_shap", {"references": TRAINING_MEAN}),
    "operation_wise_inverse": ("operation_wise_inverse", {}),
}
#: Methods whose map is not an attribution of several channels.
MAPS = ("occlusion", "lime", "rise", "grad_cam", "excitation_backprop")
PREDICTED = "The class is the one that the network predicts."
CURVES = (
    "Deletion and insertion as in RISE: 224 steps of 224 pixels, to the mean color, or from the image blurred by 11 "
    "x 11 "
    "with sigma 5."
)
WEIGHTS = "The weights are those of torchvision (IMAGENET1K_V1) or of the given file; the source does not name its own."
SETTINGS = (
    "The source does not print the settings of occlusion, LIME and RISE. Here windows of 32 pixels at every 16th one, "
    "1000 samples of segments, and 8000 masks."
)


def _methods(setup: Setup, rows: Sequence[Row]) -> list[Method]:
    """Return the method of each row that is measured."""
    found = []
    for row in filter(setup.wants, rows):
        if row.key == "layer_wise_inverse":
            steps = {"steps": 2} if setup.quick else {}
            found.append(replace(METHODS[row.key], function=Proposed(steps)))
            continue
        name, options = METHODS_OF[row.key]
        options = dict(options)
        if setup.quick and "steps" in options:
            # The quick options would replace the single step.
            base = replace(METHODS[name], function=Configured(name, options))
            found.append(replace(base, name=row.key, reduce=abs_sum))
            continue
        reduce = None if row.key in MAPS else abs_sum
        found.append(configured(setup, row.key, name, reduce=reduce, **options))
    return found


def _measure(
    setup: Setup,
    table: Table,
    networks: Mapping[str, str],
    metrics: Mapping[str, tuple[str | Metric, float]],
    images: int,
) -> dict[tuple[str, str], Cell]:
    """Return the cells ``(row, "network metric")`` of each network of torchvision, by its heading.

    Parameters
    ----------
    metrics : mapping
        Metric, or the name of one, and factor of its scores, by the second part of the key of a column.
    images : int
        Number of images of the source.
    """
    every = images_of(setup)
    dataset = Images(every, linear_sample(len(every), setup.images or images))
    judges = {
        part: (metric_of(setup, one) if isinstance(one, str) else one, scale)
        for part, (one, scale) in metrics.items()
    }
    cells: dict[tuple[str, str], Cell] = {}
    for name in networks:
        columns = [f"{name} {part}" for part in metrics]
        if not setup.chosen(name):
            continue
        model = imagenet_network(setup.weights, name, setup.size or SIZE)
        if model is None:
            cells |= unmeasured(table.rows, columns, f"no weights are given for {name}")
            continue
        result = scored(
            setup,
            table.name,
            {name: model},
            dataset,
            _methods(setup, table.rows),
            [metric for metric, _ in judges.values()],
        )
        for part, (metric, scale) in judges.items():
            found = cells_of(result, scale=scale)
            for row in filter(setup.wants, table.rows):
                cells[row.key, f"{name} {part}"] = found[name, row.key, metric.name]
    return cells


# -- table 3.1 --------------------------------------------------------------------------------------------------

NETWORKS_31 = {
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    "resnet34": "ResNet34",
    "resnet50": "ResNet50",
    "googlenet": "GoogLeNet",
}
COLUMNS_31 = tuple(
    Column(f"{name} {part}", (title, part.capitalize()))
    for name, title in NETWORKS_31.items()
    for part in ("deletion", "insertion")
)
TABLE_31 = Table(
    "kwon-3.1",
    "Kwon 2021, table 3.1",
    "Deletion (lower is better) and insertion (higher is better) of 5 networks on 5000 validation images of ImageNet.",
    (
        Row("occlusion", "Occlusion"),
        Row("lime", "LIME"),
        Row("rise", "RISE"),
        Row("gradient", "Gradients"),
        Row("guided_backprop", "GB"),
        Row("grad_cam", "GradCam"),
        Row("integrated_gradients", "IG"),
        Row("guided_nonlinearity", "Proposed (GNL)"),
    ),
    COLUMNS_31,
    published(
        (
            "occlusion 0.1577 0.5755 0.1616 0.5770 0.1874 0.5914 0.2141 0.6309 0.1350 0.4667",
            "lime 0.1014 0.6167 - - - - 0.1217 0.6940 - -",
            "rise 0.0964 0.6048 0.0998 0.6070 0.1028 0.6308 0.1121 0.6762 0.0684 0.4995",
            "gradient 0.0672 0.3270 0.0791 0.3423 0.1268 0.4221 0.1134 0.4234 0.0745 0.3574",
            "guided_backprop 0.0526 0.5279 0.0567 0.5445 0.0826 0.6141 0.0755 0.6460 0.0639 0.5124",
            "grad_cam 0.1605 0.4305 0.1520 0.4578 0.1557 0.6333 0.1887 0.6715 0.1156 0.5086",
            "integrated_gradients 0.0543 0.3621 0.0640 0.3792 0.1030 0.4575 0.0931 0.4589 0.0634 0.3936",
            "guided_nonlinearity 0.0495 0.5151 0.0532 0.5295 0.0763 0.5932 0.0721 0.6295 0.0601 0.4912",
        ),
        COLUMNS_31,
    ),
    protocol=(PREDICTED, CURVES, "5000 images with equal distances in the order of their files."),
    differences=(WEIGHTS, SETTINGS, "The source copies the numbers of LIME from another paper."),
)


def measure_31(setup: Setup) -> Cells:
    """Return the cells of table 3.1."""
    metrics = {part: (part, 1.0) for part in ("deletion", "insertion")}
    return _measure(setup, TABLE_31, NETWORKS_31, metrics, 5000)


# -- table 4.1 --------------------------------------------------------------------------------------------------

NETWORKS_41 = {"alexnet": "AlexNet", "vgg16": "VGG16", "vgg19": "VGG19"}
COLUMNS_41 = (
    *(Column(f"{name} deletion", (title,)) for name, title in NETWORKS_41.items()),
    Column("average", ("Average",)),
)
TABLE_41 = Table(
    "kwon-4.1",
    "Kwon 2021, table 4.1",
    "Deletion (lower is better) of 3 networks on 5000 validation images of ImageNet.",
    (
        Row("occlusion", "Occlusion"),
        Row("lime", "LIME"),
        Row("rise", "RISE"),
        Row("guided_backprop", "Guided BP"),
        Row("grad_cam", "Grad-Cam"),
        Row("excitation_backprop", "Excitation BP"),
        Row("integrated_gradients", "Int. Grad."),
        Row("fgvis", "FGVis", missing="FGVis is not a method of the package"),
        Row("guided_nonlinearity", "GNL"),
        Row("operation_wise_inverse", "Proposed (operation-wise inverse)"),
    ),
    COLUMNS_41,
    published(
        (
            "occlusion 0.0781 0.1577 0.1616 0.1325",
            "lime - 0.1014 - -",
            "rise 0.0801 0.0964 0.0998 0.0921",
            "guided_backprop 0.0452 0.0526 0.0567 0.0515",
            "grad_cam 0.1000 0.1512 0.1524 0.1345",
            "excitation_backprop 0.0852 0.0926 0.0967 0.0915",
            "integrated_gradients 0.0347 0.0543 0.0640 0.0510",
            "fgvis - 0.0644 - -",
            "guided_nonlinearity 0.0474 0.0471 0.0495 0.0480",
            "operation_wise_inverse 0.0474 0.0471 0.0495 0.0480",
        ),
        COLUMNS_41,
    ),
    protocol=(PREDICTED, CURVES, "5000 images with equal distances in the order of their files."),
    differences=(
        WEIGHTS,
        SETTINGS,
        "The row of GNL repeats the row of the proposed method in the copy of the source that was read; table 3.1 has "
        "0.0495 for VGG16 and 0.0532 for VGG19.",
        "Excitation backprop is that of the default layer; the source does not name its layer.",
    ),
)


def measure_41(setup: Setup) -> Cells:
    """Return the cells of table 4.1, with the average of the three networks."""
    cells = _measure(setup, TABLE_41, NETWORKS_41, {"deletion": ("deletion", 1.0)}, 5000)
    for row in TABLE_41.rows:
        values = [cells.get((row.key, f"{name} deletion"), Cell()).value for name in NETWORKS_41]
        average = math.fsum(values) / len(values)
        note = "the number of a network is missing" if math.isnan(average) else ""
        cells[row.key, "average"] = Cell(average, note=note)
    return cells


# -- table 5.1 --------------------------------------------------------------------------------------------------


class Proposed:
    """The layer-wise inverse as a method, which keeps its last result for the metrics of the same map."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = dict(options)
        self._latest: tuple[Tensor, Tensor, inverse.LayerWise] | None = None

    def __call__(self, model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
        """Return the share alpha of each pixel, (N, 1, H, W)."""
        return self.inverse(model, x, target, anew=True).saliency()[:, None]

    def inverse(
        self, model: ImageModel, x: Tensor, target: Tensor, *, anew: bool = False
    ) -> inverse.LayerWise:
        """Return the inverse of a class, the last one unless ``anew`` or for another image."""
        if (
            anew
            or self._latest is None
            or not (torch.equal(self._latest[0], x) and torch.equal(self._latest[1], target))
        ):
            settings = inverse.SolverSettings(**self.options)
            run = inverse.layer_wise(model, x, target, lam=LAMBDA, settings=settings)
            self._latest = (x, target, run.result(progress=False))
        return self._latest[2]


def _kept(explanation: Explanation, count: int) -> float:
    """Return whether the image that an attribution leaves has the class among its best."""
    function = getattr(explanation.method, "function", None)
    if isinstance(function, Proposed):
        target = torch.tensor([explanation.target], device=explanation.x.device)
        found = function.inverse(explanation.model, explanation.x, target)
        return (found.reidentified if count == 1 else found.reidentified_top5).float().item()
    left = inverse.reidentification(
        explanation.model, explanation.x, explanation.saliency, explanation.target
    )
    return (left.top1 if count == 1 else left.top5).float().item()


def _top1(explanation: Explanation) -> float:
    return _kept(explanation, 1)


def _top5(explanation: Explanation) -> float:
    return _kept(explanation, 5)


TOP1, TOP5 = (
    Metric(
        function,
        name,
        title,
        "faithfulness",
        "higher",
        f"share of the images whose class is {words} for the image weighted by the map",
        source="Kwon 2021",
        binary=True,
    )
    for function, name, title, words in (
        (_top1, "top1_kept", "Top 1", "the best"),
        (_top5, "top5_kept", "Top 5", "among the five best"),
    )
)
PARTS_51: dict[str, tuple[str | Metric, float]] = {
    "deletion": ("deletion", 1.0),
    "insertion": ("insertion", 1.0),
    "top1": (TOP1, 100.0),
    "top5": (TOP5, 100.0),
    "time": ("seconds", 1.0),
}
COLUMNS_51 = tuple(
    Column(f"vgg16 {part}", (title,), digits)
    for part, title, digits in (
        ("deletion", "Deletion", 3),
        ("insertion", "Insertion", 3),
        ("top1", "Top 1 (%)", 1),
        ("top5", "Top 5 (%)", 1),
        ("time", "Time (s)", 3),
    )
)
TABLE_51 = Table(
    "kwon-5.1",
    "Kwon 2021, table 5.1",
    "Deletion, insertion, output reconstruction and time of VGG16 on 1000 validation images of ImageNet.",
    (
        Row("guided_backprop", "Guided Backprop"),
        Row("gradient_x_input", "Gradients x Input"),
        Row("deep_lift", "Deep Lift"),
        Row("integrated_gradients", "Integrated Gradients"),
        Row("gradient_shap", "Gradient SHAP"),
        Row("occlusion", "Occlusion"),
        Row("grad_cam", "Grad-CAM"),
        Row("layer_wise_inverse", "Proposed (layer-wise inverse)"),
    ),
    COLUMNS_51,
    published(
        (
            "guided_backprop 0.051 0.550 1.9 5.2 0.008",
            "gradient_x_input 0.068 0.377 0.0 0.4 0.006",
            "deep_lift 0.052 0.466 0.1 5.8 0.028",
            "integrated_gradients 0.054 0.417 0.0 0.5 0.055",
            "gradient_shap 0.050 0.385 0.0 0.1 0.022",
            "occlusion 0.095 0.485 9.7 21.9 17.065",
            "grad_cam 0.163 0.434 27.4 45.1 0.005",
            "layer_wise_inverse 0.075 0.537 46.8 69.2 6.725",
        ),
        COLUMNS_51,
    ),
    protocol=(
        PREDICTED,
        CURVES,
        "Output reconstruction: x~ = m + alpha (x - m) with m the mean color and alpha the magnitude of the "
        "attribution "
        "scaled to [0, 1] (eq. 5.13); for the proposed method x^ itself, with lambda 0.7.",
        "1000 images with equal distances in the order of their files.",
    ),
    differences=(
        WEIGHTS,
        SETTINGS,
        "The time is that of this machine, and of the second of two calls.",
        "Gradient SHAP has the mean color as its only reference, and noise; the source does not name its references.",
        "Gradients x input multiplies by x - m, as the network of the source sees normalized images.",
    ),
)


def measure_51(setup: Setup) -> Cells:
    """Return the cells of table 5.1."""
    return _measure(setup, TABLE_51, {"vgg16": "VGG16"}, PARTS_51, 1000)


REPRODUCTIONS = (
    Reproduction(TABLE_31, measure_31),
    Reproduction(TABLE_41, measure_41),
    Reproduction(TABLE_51, measure_51),
)
