"""The data sets of the tables in the folders that torchvision reads, as examples for ``studies.evaluate``."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torchvision
from numpy.typing import NDArray
from reproduce_run import Setup
from scipy import ndimage
from torch import Tensor

from xai_widgets.core.images import to_images
from xai_widgets.core.resizing import interpolate
from xai_widgets.data import Example, coco, labeled_images
from xai_widgets.data.reading import image_files
from xai_widgets.metrics import Explanation, Metric, PointingTask, pointing_game
from xai_widgets.metrics.pointing import SMALL

#: Largest distance of a maximum from the object, in pixels of the image of the data set, exclusive.
TOLERANCE = 15
#: Folders and files of the data sets within the folder of the data.
VOC, COCO_IMAGES = "VOCdevkit/VOC2007", "val2014"
COCO_ANNOTATIONS = "annotations/instances_val2014.json"
BOXES = "boxes"


def linear_sample(length: int, count: int | None) -> list[int]:
    """Return ``count`` indices with equal distances, from the first to the last; all if there are not so many."""
    if count is None or count >= length:
        return list(range(length))
    return np.linspace(0, length - 1, count).round().astype(int).tolist()


def random_sample(length: int, count: int) -> list[int]:
    """Return ``count`` random indices in ascending order, the same at each call."""
    return sorted(np.random.default_rng(0).permutation(length)[:count].tolist())


class Examples(Sequence[Example]):
    """Examples that are read when they are indexed; the last one is kept, as an evaluation reads it several times."""

    def __init__(self, indices: Sequence[int]) -> None:
        self.indices = list(indices)
        self._last: tuple[int, Example] | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        """Return one example."""
        if self._last is None or self._last[0] != index:
            self._last = (index, self.read(self.indices[range(len(self))[index]]))
        return self._last[1]

    def __iter__(self) -> Iterator[Example]:
        return (self[number] for number in range(len(self)))

    def read(self, number: int) -> Example:
        """Return the example with a number in the data set."""
        raise NotImplementedError


class Images(Examples):
    """Images whose predicted class is explained."""

    def __init__(self, images: Sequence[Any], indices: Sequence[int]) -> None:
        super().__init__(indices)
        self.images = images

    def read(self, number: int) -> Example:
        """Return an image without its label."""
        found = self.images[number]
        return Example(found.image if isinstance(found, Example) else found, str(number))


def imagenet(folder: Path) -> Any:
    """Return the validation images of ImageNet, by ``ImageNet`` of torchvision or by ``ImageFolder``."""
    if (folder / "meta.bin").exists():
        return torchvision.datasets.ImageNet(str(folder), split="val")
    inside = folder / "val" if (folder / "val").is_dir() else folder
    if not inside.is_dir():
        raise FileNotFoundError(f"expected a folder of images, got {str(folder)!r}, which is not a folder")
    return torchvision.datasets.ImageFolder(str(inside))


def images_of(setup: Setup) -> Sequence[Any]:
    """Return the images of a flat folder, or of the validation set of ImageNet."""
    flat = image_files(setup.data) if setup.data.is_dir() else []
    return flat or labeled_images(imagenet(setup.data))


class Boxed(Examples):
    """Images of ImageNet with the largest box of their class as its mask.

    Parameters
    ----------
    dataset : torchvision.datasets.ImageFolder
        The images in a folder for each class, in the order of the outputs of the network.
    boxes : Path
        Folder with an XML file for each image, of its name.
    indices : sequence of int
    """

    def __init__(self, dataset: Any, boxes: Path, indices: Sequence[int]) -> None:
        super().__init__(indices)
        self.paths, self.examples = [Path(path) for path, _ in dataset.samples], labeled_images(dataset)
        self.boxes = boxes

    def read(self, number: int) -> Example:
        """Return an image with the mask of its class."""
        example = self.examples[number]
        file = self.boxes / f"{self.paths[number].stem}.xml"
        if not file.exists():
            raise FileNotFoundError(f"expected the boxes of an image in {str(file)!r}, got no such file")
        found = [
            tuple(
                int(float(item.findtext(f"bndbox/{edge}", "0"))) for edge in ("xmin", "ymin", "xmax", "ymax")
            )
            for item in ElementTree.parse(file).iter("object")
        ]
        mask = np.zeros((example.image.height, example.image.width), bool)
        left, top, right, bottom = max(found, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
        # The corners count from 1 and are inclusive.
        mask[max(0, top - 1) : bottom, max(0, left - 1) : right] = True
        return Example(example.image, example.name, {example.labels[0]: mask})


class Objects(Examples):
    """Images of VOC or COCO for the pointing game, and the difficult objects among those that were read.

    The short side of an image has ``size`` pixels, and the image is not cropped. The mask of a class is its boxes (VOC)
    or segmentations (COCO) and every pixel nearer to them than the tolerance, in pixels of the original image; so a
    maximum in the mask is a hit. A class whose boxes are all marked as difficult has no mask.

    Attributes
    ----------
    difficult : set of (int, int)
        Index of the image and class: objects that cover less than a quarter of an image with at least two classes.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        indices: Sequence[int],
        size: int,
        annotations: Sequence[str] | None = None,
    ) -> None:
        super().__init__(indices)
        self.examples, self.size, self.annotations = examples, size, annotations
        self.difficult: set[tuple[int, int]] = set()
        self._numbers = {number: index for index, number in enumerate(self.indices)}

    def read(self, number: int) -> Example:
        """Return the image with the masks of its classes."""
        example = self.examples[number]
        image = to_images(example.image, channels=3)
        masks = {label: np.asarray(mask, bool) for label, mask in example.masks.items() if mask.any()}
        present = len(masks)
        if self.annotations is not None:
            # With the classes whose boxes are all marked as difficult.
            objects = ElementTree.parse(self.annotations[number]).iter("object")
            present = len({item.findtext("name") for item in objects})
        self.difficult |= {
            (self._numbers[number], label)
            for label, mask in masks.items()
            if mask.mean() < SMALL and present > 1
        }
        return Example(
            self._resized(image), example.name, {label: near(mask) for label, mask in masks.items()}
        )

    def _resized(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        scale = self.size / min(height, width)
        return interpolate(image, (int(height * scale + 1e-6), int(width * scale + 1e-6)), "bilinear")[0]


def near(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels that are nearer to a mask than the tolerance."""
    distance: NDArray[np.float64] = ndimage.distance_transform_edt(~mask)
    return distance < TOLERANCE


def voc(setup: Setup, size: int, image_set: str = "test") -> Objects | None:
    """Return the images of VOC 2007 with boxes; None if they are not in the folder."""
    if not (setup.data / VOC / "ImageSets" / "Main" / f"{image_set}.txt").exists():
        return None
    dataset = torchvision.datasets.VOCDetection(str(setup.data), year="2007", image_set=image_set)
    indices = linear_sample(len(dataset), setup.images)
    return Objects(labeled_images(dataset), indices, size, dataset.annotations)


def coco_objects(setup: Setup, size: int, count: int | None = None) -> Objects | None:
    """Return the images of COCO 2014 val with segmentations; None if they are not in the folder.

    Without pycocotools they are read by :func:`xai_widgets.data.coco`.
    """
    folder, file = setup.data / COCO_IMAGES, setup.data / COCO_ANNOTATIONS
    if not folder.is_dir() or not file.exists():
        return None
    examples: Any = (
        labeled_images(torchvision.datasets.CocoDetection(str(folder), str(file)))
        if importlib.util.find_spec("pycocotools")
        else coco(folder, file)
    )
    return Objects(examples, linear_sample(len(examples), setup.images or count), size)


def _hit(explanation: Explanation) -> float:
    """Return whether the maximum of the map is in the mask, which includes the tolerance."""
    assert explanation.mask is not None
    task = PointingTask.from_masks([{explanation.target: explanation.mask}])
    return pointing_game(explanation.saliency, task, tolerance=0).hits.float().item()


POINTING = Metric(
    _hit,
    "pointing_protocol",
    "Pointing game",
    "localization",
    "higher",
    "share of the maps whose maximum is on the object or less than 15 pixels away, mean over the classes",
    ("mask",),
    "Zhang et al. 2016",
    average="classes",
    binary=True,
)
