"""The pointing game on VOC and COCO: table 1 of chapter 4 and table 2 of chapter 3 of Fong 2020."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reproduce_data import POINTING, Objects, coco_objects, voc
from reproduce_networks import object_network
from reproduce_run import Reproduction, Setup, cells_of, configured, scored, subset, unmeasured
from reproduce_tables import Cell, Cells, Column, Row, Table, published
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.methods import Method
from xai_widgets.methods.registry import max_abs
from xai_widgets.ops.blur import gaussian_blur
from xai_widgets.perturbation import ExtremalSettings
from xai_widgets.perturbation.meaningful import MeaningfulSettings
from xai_widgets.studies.evaluation import Cell as Key
from xai_widgets.studies.reference_maps import reference_methods

#: Short side of the images.
SIZE = 224
#: Number of classes.
CLASSES = {"voc": 20, "coco": 80}
#: Areas of extremal perturbations (section 4.2 of chapter 4).
AREAS = {"voc": (0.025, 0.05, 0.1, 0.2), "coco": (0.018, 0.025, 0.05, 0.1)}
#: Standard deviation of the blur of the maps of gradients, as a share of the long side, in TorchRay.
SMOOTH = 0.02
#: Layers of TorchRay: of the maps of excitation backprop, of its contrast, and of Grad-CAM.
LAYERS = {
    "vgg16": ("features.23", "classifier.4", "features.29"),
    "resnet50": ("layer3", "avgpool", "layer4"),
}
PROTOCOL = (
    "One map for each class that is in an image; a class whose boxes are all marked as difficult is left out.",
    "The short side of an image has 224 pixels, and it is not cropped; the scores of the fully convolutional network "
    "are "
    "averaged over the positions.",
    "A hit: the maximum of the map is on the object, or less than 15 pixels of the original image away. The accuracy "
    "is "
    "the mean over the classes.",
    "Difficult: the class covers less than a quarter of an image with at least two classes.",
)
SUBSET = (
    "The difficult subset is that of the definition. The authors have lists of its images and classes, which may "
    "differ."
)


@dataclass(frozen=True)
class Smoothed:
    """Maximum over channels of the absolute value, blurred as in TorchRay."""

    share: float = SMOOTH

    def __call__(self, attribution: Tensor) -> Tensor:
        """Return the maps (N, H, W)."""
        maps = max_abs(attribution)
        return gaussian_blur(maps, self.share * max(maps.shape[1:]))


def pointed(
    setup: Setup, part: str, model: ImageModel, dataset: Objects, methods: Sequence[Method]
) -> dict[tuple[str, str], Cell]:
    """Return the accuracy of each method in percent, by ``(method, "all" or "difficult")``."""
    result = scored(setup, part, {model.name: model}, dataset, methods, [POINTING])

    def hard(key: Key) -> bool:
        return (key.image, key.target) in dataset.difficult

    # Keys are read from the data set even where all scores are known, so that the difficult ones are known.
    found = {}
    for name, some in (("all", result), ("difficult", subset(result, hard))):
        cells = cells_of(some, scale=100)
        for method in methods:
            empty = Cell(note="no object is in the difficult subset")
            found[method.name, name] = cells.get((model.name, method.name, POINTING.name), empty)
    return found


# -- table 1 of chapter 4 ---------------------------------------------------------------------------------------

DATASETS = {"voc": "VOC07 Test", "coco": "COCO14 Val"}
NETWORKS = {"vgg16": "VGG16", "resnet50": "ResNet50"}
COLUMNS_41 = tuple(
    Column(f"{dataset} {network} {part}", (DATASETS[dataset], NETWORKS[network], part.capitalize()), 1)
    for dataset in DATASETS
    for network in NETWORKS
    for part in ("all", "difficult")
)
TABLE_41 = Table(
    "fong-ch4-1",
    "Fong 2020, chapter 4, table 1",
    "Pointing game, accuracy in percent over all objects and over the difficult ones.",
    (
        Row("gradient", "Grad"),
        Row("deconvnet", "DConv"),
        Row("guided_backprop", "Guid."),
        Row("excitation_backprop", "MWP"),
        Row("contrastive_excitation_backprop", "cMWP"),
        Row("rise", "RISE"),
        Row("grad_cam", "GCAM"),
        Row("extremal", "Ours (extremal perturbation)"),
    ),
    COLUMNS_41,
    published(
        (
            "gradient 76.3 56.9 72.3 56.8 37.7 31.4 35.0 29.4",
            "deconvnet 67.5 44.1 68.6 44.7 30.7 23.0 30.0 21.9",
            "guided_backprop 75.9 53.0 77.2 59.5 39.1 31.4 42.1 35.3",
            "excitation_backprop 77.1 56.6 84.4 70.8 39.8 32.8 49.6 43.9",
            "contrastive_excitation_backprop 79.9 66.5 90.6 82.2 49.7 44.3 58.5 53.6",
            "rise 87.3 - 88.9 - 50.7 - 55.6 -",
            "grad_cam 86.6 74.0 90.4 82.3 54.2 49.0 57.3 52.3",
            "extremal 88.7 75.5 86.3 73.4 53.4 47.7 55.7 46.9",
        ),
        COLUMNS_41,
    ),
    protocol=(
        *PROTOCOL,
        "Maps of gradients are blurred by 2 % of the long side; excitation backprop and Grad-CAM have the layers of "
        "TorchRay: pool4 or layer3 with the contrast at relu7 or the average pooling, and relu5_3 or layer4.",
        "Extremal perturbations: hybrid, the search of TorchRay, areas 0.025 to 0.2 (VOC) or 0.018 to 0.1 (COCO).",
    ),
    differences=(
        "The networks of the source are those of Zhang et al. 2016; other fine-tuned networks have other numbers.",
        SUBSET,
        "For gradients and excitation backprop TorchRay weights the positions of the scores by their softmax, and here "
        "they are averaged.",
        "The numbers of RISE are copied from its paper, for VOC without the objects marked as difficult. Here 8000 "
        "masks "
        "for both networks.",
    ),
)


def _methods_41(setup: Setup, network: str, dataset: str) -> list[Method]:
    maps, contrast, cam = LAYERS[network]
    smoothed = Smoothed()
    made: dict[str, dict[str, Any]] = {
        "gradient": {"reduce": smoothed},
        "deconvnet": {"reduce": smoothed},
        "guided_backprop": {"reduce": smoothed},
        "excitation_backprop": {"layer": maps},
        "contrastive_excitation_backprop": {"layer": maps, "contrast_layer": contrast},
        "rise": {},
        "grad_cam": {"layer": cam},
        "extremal": {
            "areas": AREAS[dataset],
            "variant": "hybrid",
            "settings": ExtremalSettings.torchray(),
        },
    }
    rows = filter(setup.wants, TABLE_41.rows)
    return [configured(setup, row.key, row.key, **made[row.key]) for row in rows]


def measure_41(setup: Setup) -> Cells:
    """Return the cells of table 1 of chapter 4."""
    size = setup.size or SIZE
    sets = {"voc": voc(setup, size), "coco": coco_objects(setup, size)}
    cells: dict[tuple[str, str], Cell] = {}
    for dataset, objects in sets.items():
        for network in NETWORKS:
            if not setup.chosen(network):
                continue
            columns = [f"{dataset} {network} {part}" for part in ("all", "difficult")]
            if objects is None:
                reason = f"the folder of the data holds no {DATASETS[dataset]}"
                cells |= unmeasured(TABLE_41.rows, columns, reason)
                continue
            classes = CLASSES[dataset]
            model = object_network(setup.weights, network, dataset, classes, size)
            if model is None:
                reason = f"no weights are given for {network}_{dataset}, with {classes} outputs"
                cells |= unmeasured(TABLE_41.rows, columns, reason)
                continue
            methods = _methods_41(setup, network, dataset)
            part = f"{TABLE_41.name}-{dataset}-{network}"
            for (row, name), cell in pointed(setup, part, model, objects, methods).items():
                cells[row, f"{dataset} {network} {name}"] = cell
    return cells


# -- table 2 of chapter 3 ---------------------------------------------------------------------------------------

COLUMNS_32 = (Column("all", ("All",), 2), Column("difficult", ("Diff",), 2))
TABLE_32 = Table(
    "fong-ch3-2",
    "Fong 2020, chapter 3, table 2",
    "Pointing game of GoogLeNet on a subset of about 20000 images of COCO 2014 val, accuracy in percent. The source "
    "has a "
    "column for each method.",
    (
        Row("center", "Ctr"),
        Row("gradient", "Grad"),
        Row("guided_backprop", "Guid"),
        Row("excitation_backprop", "Exc"),
        Row("contrastive_excitation_backprop", "CExc"),
        Row("grad_cam", "G-CAM"),
        Row("occlusion", "Occ"),
        Row("blur_occlusion", "Occ, blurred discs"),
        Row("variable_occlusion", "V-Occ"),
        Row("meaningful_perturbation", "Mask"),
    ),
    COLUMNS_32,
    published(
        (
            "center 27.93 17.86",
            "gradient 36.40 28.21",
            "guided_backprop 32.68 26.16",
            "excitation_backprop 41.78 32.73",
            "contrastive_excitation_backprop 50.95 41.99",
            "grad_cam 41.10 30.59",
            "occlusion 44.50 36.45",
            "blur_occlusion 45.41 37.45",
            "variable_occlusion 42.31 33.87",
            "meaningful_perturbation 37.49 30.64",
        ),
        COLUMNS_32,
    ),
    protocol=(
        *PROTOCOL,
        "Discs of radius 35 / 2, softened by a Gaussian of sigma 10, over a blur of sigma 10; of discs of several "
        "radii "
        "the smallest of the tenth that suppress the score most.",
        "Mask: l1 0.001 and beta 2.",
    ),
    differences=(
        "The subset of the source is not named; here 20000 images with equal distances in the order of the file.",
        "The network of the source is the GoogLeNet of Zhang et al. 2016 with 80 classes; the file of `googlenet_coco` "
        "has to be a state dict of torchvision's GoogLeNet with 80 outputs.",
        "The layers of excitation backprop and Grad-CAM, the patch of occlusion and the radii of variable occlusion "
        "are "
        "not printed; here they are the defaults of the package.",
        SUBSET,
    ),
)
MASK = MeaningfulSettings(l1=1e-3, beta=2.0)


def _methods_32(setup: Setup) -> list[Method]:
    made: Mapping[str, tuple[str, dict[str, Any]]] = {
        "gradient": ("gradient", {"reduce": max_abs}),
        "guided_backprop": ("guided_backprop", {"reduce": max_abs}),
        "excitation_backprop": ("excitation_backprop", {}),
        "contrastive_excitation_backprop": ("contrastive_excitation_backprop", {}),
        "grad_cam": ("grad_cam", {}),
        "occlusion": ("occlusion", {}),
        "blur_occlusion": ("occlusion", {"shape": "disc", "fill": "blur"}),
        "variable_occlusion": ("variable_occlusion", {}),
        "meaningful_perturbation": ("meaningful_perturbation", {"settings": MASK}),
    }
    found = []
    for row in filter(setup.wants, TABLE_32.rows):
        if row.key == "center":
            found.append(replace(reference_methods()["center"], title="Center"))
        else:
            name, options = made[row.key]
            found.append(configured(setup, row.key, name, **options))
    return found


def measure_32(setup: Setup) -> Cells:
    """Return the cells of table 2 of chapter 3."""
    size = setup.size or SIZE
    objects = coco_objects(setup, size, 20_000)
    columns = [column.key for column in COLUMNS_32]
    if objects is None:
        return unmeasured(TABLE_32.rows, columns, "the folder of the data holds no COCO14 Val")
    model = object_network(setup.weights, "googlenet", "coco", CLASSES["coco"], size)
    if model is None:
        return unmeasured(TABLE_32.rows, columns, "no weights are given for googlenet_coco, with 80 outputs")
    return pointed(setup, TABLE_32.name, model, objects, _methods_32(setup))


REPRODUCTIONS = (Reproduction(TABLE_41, measure_41), Reproduction(TABLE_32, measure_32))
