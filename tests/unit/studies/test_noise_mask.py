"""The study of noise masks: its keys, its results, and searches that go on."""

import pytest
import torch
from closeness import near
from small_explorers import classifier, photos

from xai_widgets.perturbation.noise_mask import NoiseMaskSettings, masked_input, noise_mask
from xai_widgets.studies.noise_mask import NoiseMaskKey, NoiseMaskStudy, late_layers
from xai_widgets.zoo import load

SETTINGS = NoiseMaskSettings(max_steps=6, learning_rate=0.1)


def study_of(**options):
    return NoiseMaskStudy([classifier()], photos(1)[0], **{"settings": SETTINGS, **options})


@pytest.mark.parametrize("key", [NoiseMaskKey(0, "relu", 0.5), NoiseMaskKey(0, None, 2.0)])
def test_a_result_is_the_mask_of_its_layer_and_beta(key):
    study = study_of()
    found = study.compute([key], progress=False)[key].result
    settings = NoiseMaskSettings(max_steps=6, learning_rate=0.1, beta=key.beta)
    made = noise_mask(classifier(), photos(1)[0], layer=key.layer, settings=settings)
    assert found.masks == near(made.result(progress=False).masks)
    x = study.images[0]
    assert torch.equal(study.masked(key), masked_input(x, found.masks))
    assert study.masked(NoiseMaskKey(0, "relu", 9.0)) is None
    assert study.title(key) == f"{key.layer or 'scores'} at β = {key.beta:g} β₀"


def test_a_continued_search_is_the_longer_search():
    key = NoiseMaskKey(0, "relu")
    study = study_of(every=3)
    study.compute([key], progress=False)
    again = study.compute([key], again=True, progress=False)[key].result
    twice = NoiseMaskSettings(max_steps=12, learning_rate=0.1)
    longer = noise_mask(classifier(), photos(1)[0], layer="relu", settings=twice).result(progress=False)
    assert again.step == longer.step == 12
    assert again.masks == near(longer.masks)
    assert again.losses == near(longer.losses, scale=1)
    assert study.convergence([key]) == "0 of 1 masks converged"


def test_the_layers_are_the_later_half_and_as_many_for_each_network():
    vgg, resnet = load("scenes_vgg"), load("scenes_resnet")
    first, second = late_layers([vgg, resnet])
    assert 0 < len(first) == len(second) <= 5
    names = [layer.name for layer in resnet.layers()]
    assert names.index(second[0]) >= len(names) // 3
    assert second[-1] == "stage4"
    assert late_layers([vgg], most=2)[0][-1] == first[-1]


def test_several_images_are_refused():
    with pytest.raises(ValueError, match="expected one image, got 2"):
        NoiseMaskStudy([classifier()], photos(2))
