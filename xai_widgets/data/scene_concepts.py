"""The generated scenes as a concept data set."""

from __future__ import annotations

from xai_widgets.core.validation import integer
from xai_widgets.data import scenes
from xai_widgets.data.base import Concept, ConceptImages, Example

#: Ground-truth map of a scene -> names of its values.
_MAPS: dict[str, tuple[str, ...]] = {
    "category": scenes.CLASSES,
    "part": scenes.PARTS,
    "texture": scenes.TEXTURES,
    "color": scenes.COLORS,
}


class SceneConcepts(ConceptImages):
    """Generated scenes with the pixels of each concept; see :func:`scene_concepts`."""

    concepts = (
        *(
            Concept(name, "object" if category == "category" else category)
            for category, names in _MAPS.items()
            for name in names
        ),
        Concept("stamp", "mark"),
    )

    def __init__(self, count: int, split: str, size: int, seed: int, cue: bool | str) -> None:
        self._count = integer(count, "count", low=1, high=scenes.MOST_SCENES)
        self._settings = {"split": split, "size": size, "seed": seed, "cue": cue, "objects": (1, 3)}
        self._read(0)  # Wrong settings are refused now.

    def __len__(self) -> int:
        return self._count

    def _read(self, index: int) -> Example:
        scene = scenes.scene(index, **self._settings)  # type: ignore[arg-type]
        masks, first = {}, 0
        for name, names in _MAPS.items():
            values = getattr(scene, name)
            for value in range(len(names)):
                mask = values == value
                if mask.any():
                    masks[first + value] = mask
            first += len(names)
        if scene.mark.any():
            masks[first] = scene.mark
        return Example(scene.image, f"{self._settings['split']} scene {index}", masks)


def scene_concepts(
    count: int = 3000,
    split: str = "train",
    *,
    size: int = 96,
    seed: int = 0,
    cue: bool | str = "random",
) -> SceneConcepts:
    """Return generated scenes as a concept data set.

    Its 30 concepts are 12 objects (the classes of the bundled networks), 6 parts, 4 textures, 7 colors, and the planted
    stamp in the category "mark". A scene has one to three objects. It is generated when it is indexed, in a few
    milliseconds, and equal arguments give equal pixels, so that nothing needs to be stored.

    Parameters
    ----------
    count : int, default 3000
        Number of images.
    split : {"train", "test"}, default "train"
        The splits share no scene and no photograph in the background.
    size : int, default 96
        Height and width in pixels; 96 is the input of the bundled networks.
    seed : int, default 0
        Seed of the series.
    cue : bool or {"random", "swap"}, default "random"
        Scenes with the stamp, see :func:`xai_widgets.data.scenes.scene`. With "random", the stamp does not depend on
        the objects, so that a detector of the stamp is not confused with a detector of its class. With True, the stamp
        is in the scenes with a toadstool, as in training.

    Returns
    -------
    SceneConcepts
        A sequence of :class:`Example` with the attribute `concepts`.

    Raises
    ------
    ValueError
        For an unknown choice, with the nearest one, or a number out of range.

    Examples
    --------
    >>> from xai_widgets import data
    >>> train, val = data.scene_concepts(), data.scene_concepts(1000, "test")
    >>> train.concepts[-1]
    Concept(name='stamp', category='mark')
    """
    return SceneConcepts(count, split, size, seed, cue)
