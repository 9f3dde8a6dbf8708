"""Tables 1 to 3 of Liao 2018: how noisy maps are, how much they look like the image, and pixel flipping.

Attributions of Inception v3 for the predicted class, 299 pixels, 200 random images. The network of the source sees
images from -1 to 1, so that the baseline of 0 of its toolkit is gray.
"""

from __future__ import annotations

from typing import Any

from reproduce_data import Images, images_of, random_sample
from reproduce_networks import imagenet_network
from reproduce_run import Reproduction, Setup, cells_of, configured, metric_of, scored
from reproduce_tables import Cell, Cells, Column, Row, Table

SIZE, IMAGES, GRAY = 299, 200, 0.5
#: Method and options of the toolkit of the source, by the heading of its column.
METHODS_OF: dict[str, tuple[str, dict[str, Any]]] = {
    "deeplift": ("deep_lift", {"baseline": GRAY}),
    "intgrad": ("integrated_gradients", {"baseline": GRAY, "steps": 100}),
    "elrp": ("lrp", {"composite": "epsilon"}),
    "sensitivity": ("gradient", {}),
    "perturbation": ("occlusion", {"window": 15, "stride": 4, "fill": "gray"}),
    "noise mask": ("noise_mask", {}),
}
#: Title, decimal digits, and whether the source prints the standard deviation, by metric.
METRICS_OF = {
    "png_size": ("Table 1: average PNG file size (KB)", 1, True),
    "image_ssim": ("Table 2: SSIM", 3, True),
    "abpc": ("Table 3: ABPC", 2, False),
}
COLUMNS = tuple(Column(name, (name,), 3) for name in METHODS_OF)
PUBLISHED = {
    "png_size": ((75.3, 5.5), (77.5, 4.5), (76.8, 4.7), (75.5, 3.6), (32.3, 3.8), (30.2, 7.5)),
    "image_ssim": ((0.039, 0.05), (0.022, 0.04), (0.030, 0.05), (0.007, 0.01), (0.039, 0.039), (0.599, 0.12)),
    "abpc": ((1783.62,), (885.839,), (345.742,), (1926.34,), (1092.98,), (5243.72,)),
}
TABLE = Table(
    "noise-mask",
    "Liao 2018, tables 1, 2 and 3",
    "Size of the maps as grayscale PNG files (lower is less noisy), their structural similarity to the image "
    "(higher), and "
    "the area between the curves of LeRF and MoRF (higher). The source has a column for each method.",
    tuple(Row(name, title, digits=digits) for name, (title, digits, _) in METRICS_OF.items()),
    COLUMNS,
    {
        (metric, name): values[0]
        for metric, row in PUBLISHED.items()
        for name, values in zip(METHODS_OF, row, strict=True)
    },
    {
        (metric, name): values[1]
        for metric, row in PUBLISHED.items()
        for name, values in zip(METHODS_OF, row, strict=True)
        if len(values) > 1
    },
    protocol=(
        "The class is the one that the network predicts; images of 299 pixels.",
        "Pixel flipping: 100 pixels in each of 800 steps get random colors; scores before the softmax; the area is a "
        "sum "
        "over the steps.",
        "DeepLIFT with the rescale rule and integrated gradients in 100 steps from gray; LRP with epsilon; occlusion "
        "by 15 x "
        "15 pixels at every fourth one; the noise mask until its loss is flat, at most 15000 steps.",
    ),
    differences=(
        "The source has Inception v3 of TensorFlow and 200 random images of a set of Kaggle that it does not name.",
        "The window of occlusion and the steps of integrated gradients are those that the toolkit of the source "
        "recommends; the source does not print its own.",
        "The size of a PNG file depends on the compression library.",
    ),
    corner="metric",
)


def measure(setup: Setup) -> Cells:
    """Return the cells of the three tables, a row for each metric and a column for each method."""
    every = images_of(setup)
    dataset = Images(every, random_sample(len(every), setup.images or IMAGES))
    model = imagenet_network(setup.weights, "inception_v3", setup.size or SIZE)
    if model is None:
        reason = "no weights are given for inception_v3"
        return {(row.key, column.key): Cell(note=reason) for row in TABLE.rows for column in COLUMNS}
    methods = [configured(setup, key, name, **options) for key, (name, options) in METHODS_OF.items()]
    metrics = [metric_of(setup, row.key) for row in filter(setup.wants, TABLE.rows)]
    result = scored(setup, TABLE.name, {model.name: model}, dataset, methods, metrics)
    cells = {}
    for metric in metrics:
        found = cells_of(result, spread=METRICS_OF[metric.name][2])
        for column in COLUMNS:
            cells[metric.name, column.key] = found[model.name, column.key, metric.name]
    return cells


REPRODUCTIONS = (Reproduction(TABLE, measure),)
