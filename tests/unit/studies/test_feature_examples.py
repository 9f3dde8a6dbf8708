"""Maps of the patches of a channel: parts of the maps of the functions that they are named after."""

import pytest
import torch
from closeness import assert_close
from small_explorers import classifier, photos
from torch import nn

import xai_widgets as xw
from xai_widgets.features import empirical_receptive_field, objectives, top_activations
from xai_widgets.inverse import feature_patterns
from xai_widgets.inverse.solver import SolverSettings
from xai_widgets.methods import METHODS
from xai_widgets.studies.feature_examples import DetailKey, ExamplesKey, default_kind
from xai_widgets.studies.features import FeatureStudy


@pytest.fixture(scope="module")
def study():
    return FeatureStudy(classifier(), images=photos(3), steps=2, patches=3)


@pytest.fixture(scope="module")
def top(study):
    return top_activations(study.model, photos(3), layer="relu", k=3).result(progress=False)


def rows(study, kind, channel=2):
    key = DetailKey(kind, "relu", channel)
    outcome = study.compute([key], progress=False)[key]
    assert not outcome.error
    return outcome.result.rows


@pytest.mark.parametrize("kind", ["deconvnet", "guided_backprop", "gradient"])
def test_a_backward_pass_from_the_position_of_each_patch(study, top, kind):
    (found,) = rows(study, kind).values()
    for rank in range(3):
        row, column = top.positions[2, rank].tolist()
        x = top.image(int(top.images[2, rank]))[None]
        model = study.model.with_target(objectives.Unit("relu", 2, (row, column)))
        patch = top.crop(METHODS[kind](model, x, 0)[0], (row, column))
        assert_close(found[rank], 0.5 + patch / (2 * patch.abs().max()))


def test_the_inverse_is_that_of_feature_patterns(study):
    expected = feature_patterns(study.model, photos(3), "relu", 2, k=3, settings=SolverSettings(steps=60))
    assert_close(rows(study, "inverse")["Inverse"], expected.result(progress=False).patterns[0])


def test_the_receptive_field_is_that_of_the_images_of_the_patches(study, top):
    found = rows(study, "field")
    images = torch.stack([top.image(index) for index in top.images[2].tolist()])
    field = empirical_receptive_field(study.model, images, "relu", 2, window=2, stride=1).result(
        progress=False
    )
    for rank in range(3):
        position = top.positions[2, rank].tolist()
        share = field.maps[rank] / field.maps[rank].max()
        assert_close(found["Discrepancy"][rank], top.crop(images[rank] * (0.25 + 0.75 * share), position))
        mask = field.segmentation()[rank]
        assert_close(
            found["Segmentation"][rank], top.crop(images[rank] * torch.where(mask, 1, 0.25), position)
        )


def test_patches_are_searched_for_once(study):
    fresh = FeatureStudy(study.model, images=photos(3), patches=3)
    keys = [ExamplesKey("relu"), DetailKey("deconvnet", "relu", 1)]
    fresh.compute(keys, progress=False)
    assert fresh.result(keys[0]) is not None
    assert not fresh.failures(keys)


@pytest.mark.parametrize("kind", ["deconvnet", "guided_backprop", "inverse", "field"])
def test_a_channel_that_is_off_has_no_maps(kind):
    model = classifier()
    with torch.no_grad():
        model.module.convolution.bias[1] = -100
    study = FeatureStudy(model, images=photos(2), patches=2)
    key = DetailKey(kind, "relu", 1)
    outcome = study.compute([key], progress=False)[key]
    assert "not active" in outcome.result.note
    assert all(row.isnan().all() for row in outcome.result.rows.values())


def test_a_layer_without_an_inverse_is_refused_with_the_nearest_one(study):
    key = DetailKey("inverse", "convolution", 1)
    with pytest.raises(ValueError, match="expected one of relu, pool"):
        study.compute([key], progress=False)


def test_guided_backprop_is_shown_first_without_max_pooling():
    assert default_kind(classifier()) == "guided_backprop"
    pooling = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(196, 2))
    assert default_kind(xw.ImageModel(pooling.eval(), size=16)) == "deconvnet"


def test_the_gradient_is_shown_first_without_relu():
    smooth = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(196, 2))
    assert default_kind(xw.ImageModel(smooth.eval(), size=16)) == "gradient"
