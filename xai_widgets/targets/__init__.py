"""Targets: what is explained of a network that is not a classifier, or not by the score of a class.

A target is a callable that takes the raw output of a network and returns one score per image, (N,). Pass it as
``target=`` to a method, a metric or an explorer, or name the targets of a model once::

    model = ImageModel(network, targets={"left eye": Pixel(80, 60, 1), "mouth": Region(mask, 2)})
    METHODS["grad_cam"](model, image, "mouth")
    METHODS["grad_cam"](model, image, target=lambda output: output["out"][:, 2].mean((1, 2)))

The callable sees the whole batch and keeps its dimension. It should be differentiable for methods that use gradients. A
callable with the attribute ``takes_size = True`` is called as ``target(output, size=(height, width))`` with the size of
the images. The scores are not probabilities, unless the model has an ``activation``.

A target inside the network is an objective of :mod:`xai_widgets.features.objectives`: a channel, a unit, a neuron or a
direction of a layer. A pass ends with this layer, and so do the layers of ``model.with_target(objective)``::

    METHODS["lrp"](model, image, target=Channel("layer3", 17))
"""

from xai_widgets.targets.detection import BoxScore, DetectedClasses
from xai_widgets.targets.embedding import Similarities, Similarity
from xai_widgets.targets.numbers import Label, Output
from xai_widgets.targets.segmentation import ClassArea, ClassAreas, Pixel, Region

__all__ = [
    "BoxScore",
    "ClassArea",
    "ClassAreas",
    "DetectedClasses",
    "Label",
    "Output",
    "Pixel",
    "Region",
    "Similarities",
    "Similarity",
]
