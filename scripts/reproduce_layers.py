"""Maps of single and of combined layers: table 3 of appendix C.2 of Fong 2020 (Rebuffi et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from reproduce_data import Objects, voc
from reproduce_networks import object_network
from reproduce_pointing import CLASSES, NETWORKS, PROTOCOL, SIZE, SUBSET, pointed
from reproduce_run import Configured, Reproduction, Setup, configured, unmeasured
from reproduce_tables import Cell, Cells, Column, Row, Table, published
from torch import Tensor

from xai_widgets.attribution.combination import combine, layer_weights
from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS, Method
from xai_widgets.methods.registry import channel_sum, max_abs

#: The last activation of each resolution.
LAYERS = {
    "vgg16": ("features.3", "features.8", "features.15", "features.22", "features.29"),
    "resnet50": ("relu", "layer1", "layer2", "layer3", "layer4"),
}
#: The four kinds of weights, and both ways to combine.
WEIGHTS = ("feature_spread", "linear_probe", "depth", "uniform")
HOW = ("sum", "product")
#: Images for the weights, of one class each, the same number for each class where there are enough.
PROBE = 500
COLUMNS = tuple(
    Column(f"{part} {network} {kind}", (part.capitalize(), NETWORKS[network], title), 1)
    for part in ("all", "difficult")
    for network in ("resnet50", "vgg16")
    for kind, title in (("single", "b.s."), ("weighted", "b.w."))
)
TABLE = Table(
    "fong-c2-3",
    "Fong 2020, appendix C.2, table 3",
    "Pointing game on VOC07 test, accuracy in percent of the best single layer (b.s.) and of the best weighted "
    "combination "
    "of layers (b.w.).",
    (
        Row("contrastive_excitation_backprop", "CEB"),
        Row("excitation_backprop", "EB"),
        Row("grad_cam", "GC"),
        Row("gradient", "Gd"),
        Row("gradient_sum", "Gds"),
        Row("guided_backprop", "Gui"),
        Row("linear_approximation", "LA"),
        Row("norm_grad", "NG"),
        Row("selective_norm_grad", "sNG"),
    ),
    COLUMNS,
    published(
        (
            "contrastive_excitation_backprop 90.7 88.6 82.1 78.2 82.2 82.2 67.0 65.2",
            "excitation_backprop 84.5 83.1 77.5 75.7 71.5 71.3 57.8 56.1",
            "grad_cam 90.3 90.5 86.6 80.6 82.3 82.6 74.0 67.8",
            "gradient 83.9 83.3 86.6 82.7 70.3 69.4 66.4 67.4",
            "gradient_sum 80.0 77.4 76.8 77.2 62.9 59.5 57.9 59.4",
            "guided_backprop 82.3 81.0 75.8 74.4 67.9 63.4 53.0 51.6",
            "linear_approximation 90.2 91.2 86.4 86.9 81.9 83.8 74.5 77.4",
            "norm_grad 84.6 83.5 81.9 81.8 72.2 70.2 64.8 64.6",
            "selective_norm_grad 87.4 88.7 86.0 86.8 77.0 79.1 72.6 74.5",
        ),
        COLUMNS,
    ),
    protocol=(
        *PROTOCOL,
        "Layers: the last activation of each of five resolutions. Combinations: sum and product, with weights by "
        "feature "
        "spread, accuracy of a linear probe, depth, or uniform. As in the source, the best is chosen on the test "
        "images.",
    ),
    differences=(
        "The layers of the source are not listed.",
        "Each map is divided by its largest magnitude before it is combined, and a product has the positive parts "
        "only.",
        "The accuracy of a linear probe is that on other images than those of its training.",
        "The networks of the source are those of Zhang et al. 2016; other fine-tuned networks have other numbers.",
        SUBSET,
    ),
)


class Combined:
    """A weighted combination of layers of a configured method, as a method."""

    def __init__(self, method: Method, layers: Sequence[str], weights: Sequence[float], how: str) -> None:
        self.method, self.layers, self.weights, self.how = method, layers, weights, how

    def __call__(self, model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
        """Return the map, (N, 1, H, W)."""
        options: dict[str, Any] = {"layers": self.layers, "weights": self.weights, "how": self.how}
        return combine.function(model, x, target, method=self.method, **options)


def base_method(setup: Setup, row: Row) -> Method:
    """Return the method of a row, without a layer."""
    if row.key == "gradient_sum":
        return configured(setup, row.key, "gradient", reduce=channel_sum)
    reduce = max_abs if row.key in ("gradient", "guided_backprop") else None
    return configured(setup, row.key, row.key, reduce=reduce)


def balanced(objects: Objects, count: int) -> tuple[list[Tensor], list[int]]:
    """Return images with one class and their classes, at most as many of each class as ``count`` has on average."""
    most = max(2, math.ceil(count / CLASSES["voc"]))
    images: list[Tensor] = []
    labels: list[int] = []
    for number in np.random.default_rng(0).permutation(len(objects)).tolist():
        example = objects[number]
        if len(example.masks) != 1:
            continue
        (label,) = example.masks
        if labels.count(label) < most:
            images.append(example.image)
            labels.append(label)
        if len(labels) >= count:
            break
    kept = [index for index, label in enumerate(labels) if labels.count(label) > 1]
    return [images[index] for index in kept], [labels[index] for index in kept]


def weights_of_layers(
    setup: Setup, model: ImageModel, layers: Sequence[str], size: int
) -> dict[str, tuple[float, ...] | str]:
    """Return the weights of each kind, or the reason why they are missing."""
    found: dict[str, tuple[float, ...] | str] = {}
    probe = voc(replace(setup, images=None), size, "trainval") or voc(replace(setup, images=None), size)
    assert probe is not None
    images, labels = balanced(probe, PROBE)
    # All have one size, so that they form batches; the average over the positions is nearly that of the whole image.
    side = min(min(image.shape[1:]) for image in images) if images else 0
    square = [_center(image, side) for image in images]
    for kind in WEIGHTS:
        try:
            given: dict[str, Any] = {"images": square, "labels": labels}
            found[kind] = tuple(layer_weights(model, layers, kind, **given).tolist())  # type: ignore[arg-type]
        except ValueError as error:
            found[kind] = str(error)
    return found


def _center(image: Tensor, side: int) -> Tensor:
    top, left = ((extent - side) // 2 for extent in image.shape[1:])
    return image[:, top : top + side, left : left + side]


def methods_of(
    setup: Setup, network: str, weights: Mapping[str, tuple[float, ...] | str]
) -> dict[tuple[str, str, str], Method]:
    """Return the methods by row, kind of the column, and words for the layer or the combination."""
    found = {}
    for row in filter(setup.wants, TABLE.rows):
        base = base_method(setup, row)
        for layer in LAYERS[network]:
            assert isinstance(base.function, Configured)
            function = Configured(base.function.name, {**base.function.options, "layer": layer})
            found[row.key, "single", layer] = replace(base, function=function, name=f"{row.key} at {layer}")
        for kind, values in weights.items():
            for how in () if isinstance(values, str) else HOW:
                words = f"{how} by {kind.replace('_', ' ')}"
                function_of_all = Combined(base, LAYERS[network], list(values), how)
                found[row.key, "weighted", words] = replace(
                    METHODS["combine"], function=function_of_all, name=f"{row.key}, {words}"
                )
    return found


def measure(setup: Setup) -> Cells:
    """Return the cells of the table."""
    size = setup.size or SIZE
    objects = voc(setup, size)
    cells: dict[tuple[str, str], Cell] = {}
    for network in ("resnet50", "vgg16"):
        if not setup.chosen(network):
            continue
        columns = [column.key for column in COLUMNS if column.key.split()[1] == network]
        if objects is None:
            cells |= unmeasured(TABLE.rows, columns, "the folder of the data holds no VOC07 Test")
            continue
        model = object_network(setup.weights, network, "voc", CLASSES["voc"], size)
        if model is None:
            cells |= unmeasured(
                TABLE.rows, columns, f"no weights are given for {network}_voc, with 20 outputs"
            )
            continue
        weights = weights_of_layers(setup, model, LAYERS[network], size)
        methods = methods_of(setup, network, weights)
        absent = "".join(
            f"; no {kind.replace('_', ' ')}: {w}" for kind, w in weights.items() if isinstance(w, str)
        )
        part = f"{TABLE.name}-{network}"
        found = pointed(setup, part, model, objects, list(methods.values()))
        for row in filter(setup.wants, TABLE.rows):
            for column in columns:
                which, _, kind = column.split()
                named = {
                    words: found[method.name, which]
                    for (key, one, words), method in methods.items()
                    if (key, one) == (row.key, kind)
                }
                cells[row.key, column] = best(named, absent if kind == "weighted" else "")
    return cells


def best(cells: Mapping[str, Cell], absent: str = "") -> Cell:
    """Return the cell with the highest value, with its layer or combination, and the absent ones, as the note."""
    known = {words: cell for words, cell in cells.items() if not math.isnan(cell.value)}
    if not known:
        return next(iter(cells.values()), Cell(note="no weights of layers could be computed"))
    words = max(known, key=lambda name: known[name].value)
    return replace(known[words], note=words + absent)


REPRODUCTIONS = (Reproduction(TABLE, measure),)
