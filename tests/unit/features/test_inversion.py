"""Feature inversion, caricature and masked inversion."""

import pytest
import torch
from closeness import assert_close
from networks import Functional, Tokens, images, one_sentence, settle, wrap

from xai_widgets.errors import ExplanationWarning
from xai_widgets.features import (
    Caricature,
    InvertedFeatures,
    MaskedInversion,
    caricature,
    invert_features,
    masked_inversion,
    visualize,
)
from xai_widgets.features.objectives import Channel
from xai_widgets.features.parameterizations import DeepPrior, Pixels
from xai_widgets.features.regularizers import TotalVariation


@pytest.fixture
def model():
    return wrap(settle(Functional()))


def done(run):
    return run.result(progress=False)


@pytest.mark.parametrize("layer", ["conv1", "conv2", "fc"])
def test_an_inversion_approaches_the_activation(model, layer):
    x = images(2)
    result = done(invert_features(model, x, layer, steps=300, learning_rate=0.05))
    assert isinstance(result, InvertedFeatures)
    assert result.rose.all()
    a0, a = (model.activations(each, layer)[layer].flatten(1) for each in (x, result.images))
    assert_close(result.errors, (a - a0).norm(dim=1) / a0.norm(dim=1), scale=1.0, steps=1e3)
    assert (result.errors < 0.3).all()
    assert torch.equal(result.originals, x)


def test_an_early_layer_keeps_the_pixels(model):
    x = images(1)
    result = done(invert_features(model, x, "conv1", steps=400, parameterization=Pixels(), learning_rate=0.1))
    assert (result.images - x).abs().mean() < 0.05


def test_tokens_and_networks_that_draw(model):
    tokens = wrap(settle(Tokens()))
    assert done(invert_features(tokens, images(1), "blocks.0", steps=40)).rose.all()
    prior = DeepPrior(8, 2)
    assert done(invert_features(model, images(2), "conv2", steps=60, parameterization=prior)).rose.all()


def test_a_larger_penalty_makes_a_smoother_inverse(model):
    x = images(1)
    rough, smooth = (
        done(invert_features(model, x, "conv1", steps=100, regularizers=TotalVariation(weight))).images
        for weight in (0, 10)
    )
    assert smooth.diff(dim=3).square().mean() < rough.diff(dim=3).square().mean() / 2


def test_a_caricature_starts_from_the_image_and_exceeds_it(model):
    x = images(2)
    run = caricature(model, x, "conv2", steps=20)
    first = next(iter(run))
    assert_close(first.images, x.clamp(1e-3, 1 - 1e-3), steps=1e4)
    result = done(caricature(model, x, "conv2", steps=20))
    assert isinstance(result, Caricature)
    assert (result.initial - 1).abs().max() < 0.1
    assert (result.activation > result.initial).all()
    a0, a = (model.activations(each, "conv2")["conv2"].flatten(1) for each in (x, result.images))
    assert_close(result.activation, (a0 * a).sum(1) / (a0 * a0).sum(1), steps=1e3)


def test_both_inversions_start_alike_and_follow_their_channels(model):
    x, mask = images(1), torch.tensor([1.0, 0, 0, 0, 0, 0, 0, 1])
    snapshots = list(masked_inversion(model, x, "conv2", mask, steps=60, transforms=()))
    first, last = snapshots[0], snapshots[-1]
    assert isinstance(last, MaskedInversion)
    assert torch.equal(first.unmasked, first.masked)
    assert last.rose.all()
    a0 = model.activations(x, "conv2")["conv2"]
    kept = a0 * mask.view(8, 1, 1)
    values = [
        float((kept * model.activations(each, "conv2")["conv2"]).sum())
        for each in (last.masked, last.unmasked)
    ]
    assert values[0] > values[1]
    with pytest.raises(ValueError, match="mask") as error:
        masked_inversion(model, x, "conv2", mask[:3])
    assert one_sentence(error)


@pytest.mark.parametrize(
    "start",
    [
        lambda model, x, **more: invert_features(model, x, "conv2", **more),
        lambda model, x, **more: caricature(model, x, "conv2", **more),
        lambda model, x, **more: masked_inversion(model, x, "conv2", torch.eye(8)[3], **more),
    ],
)
def test_a_resumed_run_is_an_uninterrupted_one(model, start):
    x = images(1)
    whole = done(start(model, x, steps=5))
    half = done(start(model, x, steps=2))
    again = done(start(model, x, steps=3, start=half))
    assert torch.equal(again.images, whole.images)
    assert torch.equal(again.history, whole.history)
    with pytest.raises(TypeError, match="start"):
        start(model, x, steps=1, start=done(visualize(model, Channel("conv1", 0), steps=1)))


def test_an_inversion_that_gets_no_closer_warns(model):
    with pytest.warns(ExplanationWarning, match="did not rise"):
        done(invert_features(model, images(1), "conv2", steps=2, learning_rate=1e4))
