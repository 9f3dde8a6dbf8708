"""The study of maps: keys, results, failures, and images that are read when they are needed."""

from collections import OrderedDict

import pytest
import torch
from closeness import assert_close
from networks import SIZE, Functional, images, one_sentence, settle, wrap
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.errors import warn
from xai_widgets.methods import METHODS
from xai_widgets.studies import AttributionKey, AttributionStudy, DiskStore
from xai_widgets.studies.layers import check_layers, compared_layers, evenly, spatial_layers


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


def test_maps_are_those_of_the_methods(model):
    study = AttributionStudy(model, images(2), ["gradient", "grad_cam"])
    outcomes = study.compute(study.keys(), progress=False)
    assert [key.image for key in outcomes] == [0, 0, 1, 1]
    for key, outcome in outcomes.items():
        x = images(2)[key.image : key.image + 1]
        assert_close(outcome.result, METHODS[key.method].saliency(model, x, None)[0])
        assert outcome.complete
    key = AttributionKey("gradient", 1, 2)
    assert_close(
        study.compute([key], progress=False)[key].result,
        METHODS["gradient"].saliency(model, images(2)[1:], 2)[0],
    )


def test_a_layer_is_for_the_methods_that_take_one(model):
    study = AttributionStudy(model, images(1), ["gradient", "grad_cam"])
    assert [key.layer for key in study.keys(layer="conv1")] == [None, "conv1"]
    (_, key) = study.keys(layer="conv1")
    expected = METHODS["grad_cam"].saliency(model, images(1), None, layer="conv1")
    assert_close(study.compute([key], progress=False)[key].result, expected[0])


def test_a_failure_and_a_warning_belong_to_their_key(model):
    def broken(model, x, target):
        raise RuntimeError("broken\nin several lines")

    def doubtful(model, x, target):
        warn("the sum is off")
        return x.mean(1)

    study = AttributionStudy(model, images(1), [broken, doubtful])
    first, second = study.keys()
    study.compute([first, second], progress=False)
    assert study.failures([first, second]) == {first: "broken"}
    assert study.outcome(second).warnings == ("the sum is off",)
    assert [study.title(key) for key in (first, second)] == ["broken", "doubtful"]


def test_each_map_is_named_before_it_is_computed(model):
    study = AttributionStudy(model, images(2), "gradient")
    keys = study.keys()
    run = study.missing(keys)
    seen = [(key, study.outcome(key).complete) for key in run]
    assert seen == [(key, complete) for key in keys for complete in (False, True)]
    assert run.progress == 1


def test_images_of_a_sequence_are_read_when_they_are_needed(model):
    class Lazy(list):
        read = ()

        def __getitem__(self, index):
            self.read = (*self.read, index)
            if index == 1:
                raise OSError("the disk is gone")
            return super().__getitem__(index)

    lazy = Lazy(images(3))
    study = AttributionStudy(model, lazy, ["gradient", "guided_backprop"])
    assert lazy.read == ()
    outcomes = study.compute(study.keys(), progress=False)
    # A failed read is tried again, one that succeeded is kept for the next key of the same image.
    assert lazy.read == (0, 1, 1, 2)
    assert [outcome.error for outcome in outcomes.values()] == ["", "", *["the disk is gone"] * 2, "", ""]
    assert_close(study.result(study.keys()[4]), METHODS["gradient"].saliency(model, images(3)[2:], None)[0])


def test_a_network_without_finite_scores_explains_nothing_until_it_is_mended():
    network = settle(Functional())
    bias = network.fc.bias.data.clone()
    network.fc.bias.data[0] = float("nan")
    study = AttributionStudy(wrap(network), images(1), "gradient")
    with pytest.raises(ValueError, match="got NaN scores") as error:
        study.compute([AttributionKey("gradient", 0, 1)], progress=False)
    one_sentence(error)
    network.fc.bias.data.copy_(bias)
    study.renew_scores()
    study.compute([AttributionKey("gradient", 0, 1)], again=True, progress=False)
    assert study.result(AttributionKey("gradient", 0, 1)).shape == (SIZE, SIZE)


def test_maps_are_kept_on_disk(model, tmp_path):
    study = AttributionStudy(model, images(1), "gradient", store=DiskStore(tmp_path))
    (key,) = study.keys()
    study.compute([key], progress=False)
    again = AttributionStudy(model, images(1), "gradient", store=DiskStore(tmp_path))
    assert again.missing([key]).total == 0
    assert torch.equal(again.result(key), study.result(key))


def test_layers_to_choose_from(model):
    names = spatial_layers(model)
    assert names
    assert check_layers(model, None) == names
    assert check_layers(model, names[0]) == [names[0]]
    with pytest.raises(ValueError, match="unknown layer 'conv9'"):
        check_layers(model, "conv9")
    assert evenly("abc", 3) == ["a", "b", "c"]
    assert evenly("abcdefg", 3) == ["a", "d", "g"]


def test_modules_that_only_pad_are_no_layers_to_choose_from():
    padded = nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3), nn.ReflectionPad2d(1))
    network = nn.Sequential(padded, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    assert spatial_layers(ImageModel(network, size=16)) == ["0.1", "0"]


def test_compared_layers_are_blocks_evenly_spaced():
    def block(inputs, outputs):
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.Tanh())

    stages = nn.Sequential(*(nn.Sequential(block(4, 4), block(4, 4)) for _ in range(6)))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    network = nn.Sequential(
        OrderedDict(stem=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4), stages=stages, head=head)
    )
    model = ImageModel(network.eval(), size=16)
    # Neither the container of all stages nor the blocks inside them.
    assert compared_layers(model, 6) == [f"stages.{number}" for number in range(6)]
    assert compared_layers(model, 3) == ["stages.0", "stages.2", "stages.5"]
    plain = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), head[1], head[2]
    )
    assert compared_layers(ImageModel(plain.eval(), size=16), 6) == ["0", "1", "2"]
