"""Images of classes for an explorer that is given none."""

from __future__ import annotations

from typing import Any

from xai_widgets.core.model import ImageModel
from xai_widgets.data import photograph, scenes

#: Scenes of each class.
SCENES = 24
#: Photographs of objects.
PHOTOGRAPHS = ("cat", "coffee", "rocket", "astronaut", "motorcycle")
#: Warning about images that nobody chose.
STAND_IN = (
    "No images were given: these are photographs of scikit-image, which show few classes. Pass images of the class, "
    "such as a folder."
)


def default_images(model: ImageModel) -> tuple[Any, str]:
    """Return images, or a function that returns those of a class, and a caveat about them."""
    if list(model.labels) == list(scenes.CLASSES):
        return scenes_of, ""
    return [photograph(name) for name in PHOTOGRAPHS], STAND_IN


def scenes_of(target: int) -> list[Any]:
    """Return generated scenes of a class, which the network was not trained on."""
    return [scenes.scene(number, label=target, split="test").image for number in range(SCENES)]
