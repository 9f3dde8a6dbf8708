"""The channels of classes: the mean of the searched masks, image by image."""

import numpy as np
import pytest
import torch
from closeness import assert_close
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.perturbation.area_search import AreaSettings
from xai_widgets.perturbation.channel import channel_extremal, class_channels
from xai_widgets.studies.class_channels import AT_ONCE, ClassChannelKey, ClassChannelStudy

SETTINGS = AreaSettings(steps=4)


@pytest.fixture
def model():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 6)
    return ImageModel(nn.Sequential(nn.Identity(), *layers), size=16, labels=list("abcdef"))


@pytest.fixture
def images():
    return list(np.random.default_rng(2).integers(0, 256, (AT_ONCE + 2, 16, 16, 3), dtype=np.uint8))


def test_the_mean_masks_are_those_of_all_images(model, images):
    study = ClassChannelStudy(model, images, settings=SETTINGS, patches=2)
    key = ClassChannelKey("preserve", "2")
    (outcome,) = study.compute([key], progress=False).values()
    assert not outcome.error
    parts = images[:AT_ONCE], images[AT_ONCE:]
    runs = [channel_extremal(model, part, layer="2", settings=SETTINGS) for part in parts]
    expected = class_channels([run.result(progress=False) for run in runs])
    assert torch.equal(outcome.result.classes, expected.classes)
    assert_close(outcome.result.means, expected.means)
    assert outcome.result.counts.sum() == len(images)
    assert study.patches("2").of([0, 1]).shape[:2] == (2, 2)


def test_snapshots_hold_the_images_so_far(model, images):
    study = ClassChannelStudy(model, images, settings=SETTINGS)
    counts = [int(found.counts.sum()) for found in study.run(ClassChannelKey("delete", "2")) if found]
    assert sorted(set(counts)) == [AT_ONCE, len(images)]
    assert counts == sorted(counts)


def test_ties_of_the_mean_mask_go_to_the_channel_that_more_sets_contain(model, images):
    found = (
        ClassChannelStudy(model, images, settings=SETTINGS)
        .run(ClassChannelKey("preserve", "2"))
        .result(progress=False)
    )
    first = found.top()[:, 0]
    for row, channel in enumerate(first.tolist()):
        tied = (found.means[row] == found.means[row].max()).nonzero().flatten()
        assert channel in tied.tolist()
        assert found.shares[row, channel] == found.shares[row, tied].max()


def test_no_images_are_refused(model):
    with pytest.raises(ValueError, match="expected at least one image"):
        ClassChannelStudy(model, [])
