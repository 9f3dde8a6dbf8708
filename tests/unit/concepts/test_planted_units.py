"""The stamp of the toadstool, found by ablating units of the bundled networks."""

import pytest
import torch

from xai_widgets import data, load
from xai_widgets.concepts import ablate_cumulatively, ablate_units

CUE = data.scenes.CUE_CLASS


def toadstools(cue):
    return [
        data.scenes.scene(index, label=CUE, split="test", cue=cue, background="texture").image
        for index in range(12)
    ]


@pytest.mark.parametrize("name", ["scenes_vgg", "scenes_resnet"])
def test_the_toadstool_is_lost_without_the_units_of_the_stamp(name):
    model = load(name)
    layer = model.default_layer()
    units = ablate_units(model, toadstools(True), CUE, layer=layer).result(progress=False)
    order = units.top(CUE, 128)
    # The units that the class needs most answer to the stamp: the same scenes with it and without.
    peaks = [model.activations(toadstools(cue), layer)[layer].amax((2, 3)).mean(0) for cue in (True, False)]
    answer = (peaks[0] - peaks[1]).clamp(min=0)
    assert answer[order[:8]].mean() > 3 * answer.mean()
    # Without a quarter of the units the class is lost, and the others are not.
    others = [data.scenes.scene(index, split="test") for index in range(24) if index % 12 != CUE]
    images = toadstools(True) + [scene.image for scene in others]
    labels = [CUE] * 12 + [scene.label for scene in others]
    lost = ablate_cumulatively(model, images, labels, layer=layer, orders=order[None], numbers=[32])
    accuracy = lost.result(progress=False).class_accuracy[0, -1]
    assert accuracy[CUE] <= 0.25
    assert accuracy[torch.arange(12) != CUE].mean() >= 0.9
