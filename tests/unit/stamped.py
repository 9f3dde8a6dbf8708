"""Scenes with and without the stamp that the bundled networks take for a toadstool."""

from xai_widgets import data

CUE = data.scenes.CUE_CLASS
LABEL = data.scenes.CLASSES[CUE]


def stamped(count, first=0, split="train"):
    """Return images of other classes that contain the stamp."""
    return [
        data.scenes.scene(index, split=split, cue="swap", background="texture").image
        for index in range(first, first + 2 * count)
        if index % 12 != CUE
    ][:count]


def plain(count, first=0, split="train"):
    """Return images without the stamp."""
    return [
        data.scenes.scene(index, split=split, cue=False, background="texture").image
        for index in range(first, first + count)
    ]


def toadstools(count, split="test"):
    """Return toadstools with the stamp."""
    scenes = (
        data.scenes.scene(index, label=CUE, split=split, background="texture") for index in range(2 * count)
    )
    return [scene.image for scene in scenes if scene.mark.any()][:count]
