"""Targets for detectors: the score of one box, and the best detection of each class.

Two kinds of output are read. Detectors of torchvision return one dict per image with ``boxes`` (M, 4) in pixels,
``labels`` (M,) and ``scores`` (M,). Detectors like DETR return ``logits`` (N, Q, C) and ``pred_boxes`` (N, Q, 4) for Q
queries, boxes as center, width and height relative to the image.

The detections of a perturbed image have other boxes, and their number varies. A target compares them with the box that
is explained, as in D-RISE (Petsiuk et al. 2021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.model_output import describe, entry_of
from xai_widgets.core.validation import brief, check_fields, choice, integer, items, numbers
from xai_widgets.targets.entries import check_index

if TYPE_CHECKING:
    from xai_widgets.core.model import ImageModel

Activation = Literal["auto", "softmax", "sigmoid"]
#: Parts of the names of outputs of Hugging Face whose logits have no channel for "no object".
_SIGMOID = ("Conditional", "DFine", "Dab", "Deformable", "GroundingDino", "OwlV", "RTDetr", "RfDetr", "Deimv")


class Detections(NamedTuple):
    """Detections of one image: boxes (M, 4) as left, top, right, bottom in pixels, and scores (M, C) of classes."""

    boxes: Tensor
    scores: Tensor


@dataclass(frozen=True)
class BoxScore:
    """The score of the detection that fits a box best: the largest IoU(box, b) * score of all detections of a class.

    It is the score itself where the box is detected exactly as given, and 0 without any detection of the class; it
    falls as the best detection moves away from the box, and its gradient reaches both the score and the coordinates.

    Attributes
    ----------
    box : (float, float, float, float)
        Left, top, right and bottom, in pixels of the image that the network sees.
    class_index : int
        The class, as the detector numbers it.
    activation : {"auto", "softmax", "sigmoid"}, default "auto"
        Converts logits to probabilities in detectors like DETR. With softmax the last channel is "no object". "auto" is
        sigmoid for outputs of Deformable DETR, Conditional DETR, RT-DETR and their relatives, else softmax.

    Examples
    --------
    >>> model = ImageModel(fasterrcnn_mobilenet_v3_large_fpn(), targets=DetectedClasses(categories), size=320)
    >>> box = BoxScore.detected(model, image)[0]
    >>> METHODS["rise"](model, image, target=box)
    """

    box: tuple[float, float, float, float]
    class_index: int
    activation: Activation = "auto"

    takes_size = True

    def __post_init__(self) -> None:
        check_fields(self, integer, "class_index", low=0)
        choice(self.activation, "activation", get_args(Activation))
        left, top, right, bottom = numbers(self.box, "box", length=4)
        if not (left < right and top < bottom):
            raise ValueError(f"expected a box as (left, top, right, bottom), got {brief(self.box)}")
        object.__setattr__(self, "box", (left, top, right, bottom))

    @classmethod
    def detected(
        cls,
        model: ImageModel,
        image: Any,
        *,
        count: int = 5,
        class_index: int | None = None,
        activation: Activation = "auto",
    ) -> list[BoxScore]:
        """Return targets for the best detections in an image, best first.

        Parameters
        ----------
        model : ImageModel
            The detector, such as one with the targets :class:`DetectedClasses`.
        image
            One image of any kind.
        count : int, default 5
            Largest number of detections.
        class_index : int, optional
            Only detections of this class. Default: each detection with its best class.

        Raises
        ------
        ValueError
            If nothing is detected.
        """
        x = model.images(image)
        if len(x) != 1:
            raise ValueError(f"expected one image, got {len(x)}")
        with torch.no_grad():
            boxes, table = detections(model.raw_output(x), (x.shape[2], x.shape[3]), activation)[0]
        if class_index is None:
            scores, classes = table.max(1) if len(table) else (table.sum(1), table.sum(1).long())
        else:
            check_index(class_index, max(table.shape[1], class_index + 1), "class_index")
            scores = _column(table, class_index)
            classes = torch.full_like(scores, class_index, dtype=torch.long)
        order = scores.argsort(descending=True)
        # Untrained detectors return empty boxes.
        valid = (scores > 0) & (boxes[:, 2:] > boxes[:, :2]).all(1)
        order = order[valid[order]][: integer(count, "count", low=1)]
        if not len(order):
            raise ValueError(f"expected an image with detections of {model.name}, got one without")
        return [
            cls(tuple(box), int(label), activation)
            for box, label in zip(boxes[order].tolist(), classes[order].tolist(), strict=True)
        ]

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"class {self.class_index} in box ({', '.join(f'{side:.0f}' for side in self.box)})"

    def __call__(self, output: Any, size: tuple[int, int] | None = None) -> Tensor:
        """Return the scores, (N,), for images of a size (height, width)."""
        return torch.stack(
            [
                _best(iou(found.boxes, self.box) * _column(found.scores, self.class_index))
                for found in detections(output, size, self.activation)
            ]
        )


class DetectedClasses:
    """The score of the best detection of each class, anywhere in the image; 0 without one.

    Parameters
    ----------
    labels : sequence of str, or int
        Names of the classes, as the detector numbers them (in torchvision the first is the background), or their
        number.
    activation : {"auto", "softmax", "sigmoid"}, default "auto"
        See :class:`BoxScore`.

    Attributes
    ----------
    labels : list of str

    Examples
    --------
    >>> model = ImageModel(fasterrcnn_mobilenet_v3_large_fpn(), targets=DetectedClasses(weights.meta["categories"]))
    """

    label = "best detection of each class"
    takes_size = True

    def __init__(self, labels: Sequence[str] | int, *, activation: Activation = "auto") -> None:
        choice(activation, "activation", get_args(Activation))
        if isinstance(labels, int):
            labels = [f"class {index}" for index in range(integer(labels, "labels", low=1))]
        self.labels = [str(label) for label in items(labels, "labels", what="names")]
        self.activation: Activation = activation

    def __repr__(self) -> str:
        return f"DetectedClasses({len(self.labels)} classes)"

    def __call__(self, output: Any, size: tuple[int, int] | None = None) -> Tensor:
        """Return the scores, (N, C)."""
        rows, count = [], len(self.labels)
        for _, scores in detections(output, size, self.activation):
            if scores.shape[1] > count:
                raise ValueError(f"expected a label for each of {scores.shape[1]} classes, got {count}")
            scores = F.pad(scores, (0, count - scores.shape[1]))
            rows.append(_best(scores))
        return torch.stack(rows)


def detections(
    output: Any, size: tuple[int, int] | None, activation: Activation = "auto"
) -> list[Detections]:
    """Return the detections of each image in the output of a detector.

    Parameters
    ----------
    output
        The raw output, see :mod:`xai_widgets.targets.detection`.
    size : (int, int), optional
        Height and width of the images, for relative boxes.
    activation : {"auto", "softmax", "sigmoid"}
        See :class:`BoxScore`.
    """
    if (
        isinstance(output, list | tuple)
        and output
        and isinstance(output[0], Mapping)
        and "boxes" in output[0]
    ):
        return [_labeled(each) for each in output]
    logits, relative = entry_of(output, "logits"), entry_of(output, "pred_boxes")
    logits = entry_of(output, "pred_logits") if logits is None else logits
    if logits is None or relative is None:
        raise ValueError(
            "expected a detector that returns boxes, labels and scores, or logits and pred_boxes, got "
            f"{describe(output)}"
        )
    if size is None:
        raise ValueError("expected the size of the images for relative boxes, got none")
    if activation == "auto":
        activation = "sigmoid" if any(part in type(output).__name__ for part in _SIGMOID) else "softmax"
    scores = logits.sigmoid() if activation == "sigmoid" else logits.softmax(-1)[..., :-1]
    center, extent = relative[..., :2], relative[..., 2:]
    scale = relative.new_tensor([size[1], size[0], size[1], size[0]])
    boxes = torch.cat([center - extent / 2, center + extent / 2], -1) * scale
    return [Detections(*pair) for pair in zip(boxes, scores, strict=True)]


def _labeled(found: Mapping[str, Tensor]) -> Detections:
    """Return detections with one label each, whose other classes have the score 0."""
    labels, scores = found["labels"], found["scores"]
    classes = int(labels.max()) + 1 if len(labels) else 1
    chosen = labels[:, None] == torch.arange(classes, device=labels.device)
    return Detections(found["boxes"], scores[:, None] * chosen)


def _column(table: Tensor, index: int) -> Tensor:
    """Return the scores of a class, 0 for a class that is not in the table."""
    return table[:, index] if index < table.shape[1] else table.sum(1) * 0


def _best(values: Tensor) -> Tensor:
    """Return the largest value of all detections; 0, with a gradient of 0, without any."""
    return values.amax(0) if len(values) else values.sum(0)


def iou(boxes: Tensor, box: Sequence[float]) -> Tensor:
    """Return the intersection over union, (M,), of boxes (M, 4) with a box, each left, top, right, bottom."""
    other = boxes.new_tensor(list(box))
    sides = torch.minimum(boxes[:, 2:], other[2:]) - torch.maximum(boxes[:, :2], other[:2])
    shared = sides.clamp(min=0).prod(1)
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
    return shared / (area + (other[2:] - other[:2]).prod() - shared)
