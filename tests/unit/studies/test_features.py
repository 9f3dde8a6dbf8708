"""Visualizations that continue, whose settings change while they run, and walls of channels."""

import pytest
import torch
from small_explorers import classifier, photos
from torch import nn

import xai_widgets as xw
from xai_widgets.features import objectives, parameterizations, regularizers, visualize
from xai_widgets.studies.features import ExamplesKey, FeatureKey, FeatureSettings, FeatureStudy, Film, WallKey

KEY = FeatureKey("channel", "relu", 1)


@pytest.fixture
def study():
    return FeatureStudy(classifier(), images=photos(3), steps=4, wall_steps=3)


def test_the_image_is_that_of_visualize(study):
    result = study.compute([KEY], progress=False)[KEY].result
    expected = visualize(study.model, objectives.Channel("relu", 1), steps=4).result(progress=False)
    assert torch.equal(result.images, expected.images)
    assert torch.equal(result.history, expected.history)


def test_settings_act_from_the_next_step_on(study):
    run = iter(study.run(KEY))
    for _ in range(3):
        next(run)
    study.settings = FeatureSettings(total_variation=50.0, transforms=False)
    *_, result = run
    # The gradient of the third step was taken before the change.
    objective = objectives.Channel("relu", 1)
    start = visualize(study.model, objective, steps=3).result(progress=False)
    expected = visualize(
        study.model,
        objective,
        transforms=(),
        regularizers=regularizers.TotalVariation(50.0),
        steps=1,
        start=start,
    ).result(progress=False)
    same = visualize(study.model, objective, steps=1, start=start).result(progress=False)
    assert not torch.equal(result.images, same.images)
    assert torch.equal(result.images, expected.images)


def test_an_image_continues_to_a_multiple_of_its_steps(study):
    study.single = True
    study.compute([KEY], progress=False)
    assert study.result(KEY).step == 1
    study.single = False
    study.reopen(KEY)
    study.compute([KEY], progress=False)
    assert study.result(KEY).step == 4
    study.compute([KEY], again=True, progress=False)
    expected = visualize(study.model, objectives.Channel("relu", 1), steps=8).result(progress=False)
    assert torch.equal(study.result(KEY).images, expected.images)


def test_a_wall_has_a_small_image_of_each_channel(study):
    key = WallKey("relu", 1, 3)
    result = study.compute([key], progress=False)[key].result
    expected = visualize(study.model, objectives.Channel("relu", (1, 2, 3)), steps=3).result(progress=False)
    assert torch.equal(result.images, expected.images)
    assert torch.equal(result.rose, expected.rose)
    assert result.latest is None


def test_a_wall_continues_where_it_was_interrupted(study):
    key = WallKey("relu", 0, 2)
    run = iter(study.run(key))
    next(run)
    part = next(run)
    assert part.latest is not None
    *_, result = study.run(key, part)
    assert torch.equal(result.images, study.run(key).result(progress=False).images)


def test_patches_are_those_of_the_images(study):
    key = ExamplesKey("relu")
    top = study.compute([key], progress=False)[key].result
    relu = study.model.activations(study.model.images(photos(3)), ["relu"])["relu"]
    values = relu.flatten(2).amax(2).T.sort(descending=True).values
    torch.testing.assert_close(top.values[:, :3], values)


@pytest.mark.parametrize("kind", ["class", "striped"])
def test_classes_and_named_objectives(kind):
    model = classifier()
    named = {"striped": objectives.Direction("relu", torch.tensor([1.0, -1, 0, 0]))}
    study = FeatureStudy(model, objectives=named, steps=3)
    key = FeatureKey(kind, number=2 if kind == "class" else 0)
    objective = objectives.ClassScore(2) if kind == "class" else named["striped"]
    expected = visualize(model, objective, steps=3).result(progress=False)
    result = study.compute([key], progress=False)[key].result
    assert torch.equal(result.images, expected.images)
    assert study.title(key) == ("class c" if kind == "class" else "striped")


def test_a_parameterization_has_its_own_learning_rate(study):
    key = KEY._replace(parameterization="pixels")
    expected = visualize(
        study.model, objectives.Channel("relu", 1), parameterization=parameterizations.Pixels(), steps=4
    ).result(progress=False)
    assert torch.equal(study.compute([key], progress=False)[key].result.images, expected.images)


class Quantized(nn.Module):
    """Cuts the gradient."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.classes = nn.Linear(4, 2)

    def forward(self, x):
        return self.classes(self.relu(self.convolution(x.detach())).mean((2, 3)))


class Unsupported(Quantized):
    def forward(self, x):
        # No derivative of this operation exists.
        x = torch.igamma(x + 1, x + 1)
        return self.classes(self.relu(self.convolution(x)).mean((2, 3)))


@pytest.mark.parametrize("network", [Quantized, Unsupported])
@pytest.mark.parametrize("key", [KEY, WallKey("relu", 0, 2)])
def test_a_network_that_is_not_differentiable_is_refused_by_name(network, key):
    module = network().eval().requires_grad_(False)
    study = FeatureStudy(xw.ImageModel(module, size=16, name="cut network"), steps=2)
    with pytest.raises(ValueError, match="differentiable.*" if network is Quantized else "cut network.*"):
        study.compute([key], progress=False)
    assert "cut network" in study.outcome(key).error


def test_a_name_of_a_kind_is_refused():
    with pytest.raises(ValueError, match="'class'"):
        FeatureStudy(classifier(), objectives={"class": objectives.ClassScore(0)})


@pytest.mark.parametrize("weight", [-1.0, float("nan")])
def test_a_bad_weight_is_refused(weight):
    with pytest.raises(ValueError, match="l2"):
        FeatureSettings(l2=weight)


def test_a_film_keeps_evenly_spaced_frames():
    film = Film(most=8)
    for step in range(41):
        film.add(step, step)
    assert list(film.frames) == list(range(0, 41, film.stride))
    assert len(film.frames) <= 8
    assert film.stride == 8


def test_the_penalty_is_the_sum_of_the_regularizers():
    x = torch.rand(2, 3, 5, 5)
    settings = FeatureSettings(2.0, 3.0, 4.0)
    parts = regularizers.TotalVariation(2.0), regularizers.AlphaNorm(3.0), regularizers.L2(4.0)
    torch.testing.assert_close(settings.penalty(x), sum(part(x) for part in parts))
