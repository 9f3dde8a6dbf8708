"""Models whose scores are computed from the raw output by targets, and callables as targets of a call."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
import torch
from closeness import assert_close
from networks import LABELS, SIZE, Functional, images, settle, wrap
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS
from xai_widgets.rules.backward import BackwardRules, guided_relu


class Dense(nn.Module):
    """A dict with a map of four classes, of half the size of the image."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.head = nn.Conv2d(6, 4, 1)

    def forward(self, x):
        return {"out": self.head(self.conv(x).relu())}


def at_corner(output):
    return output["out"][:, 1, 0, 0]


@pytest.fixture
def dense():
    return settle(Dense())


@pytest.fixture
def model():
    return wrap(settle(Functional()))


def test_named_targets_are_the_scores_of_the_model(dense):
    targets = {"corner": at_corner, "mean": lambda output: output["out"][:, 2].mean((1, 2))}
    model = ImageModel(dense, size=SIZE, targets=targets)
    x = images(3)
    with torch.no_grad():
        out = dense(x)["out"]
    assert model.labels == ["corner", "mean"]
    assert_close(model.scores(x), torch.stack([out[:, 1, 0, 0], out[:, 2].mean((1, 2))], 1))
    assert torch.equal(model.probs(x), model.scores(x))
    assert (model.activation, model.has_probabilities, model.value_name) == (None, False, "score")
    assert model.targets("mean", x).tolist() == [1, 1, 1]
    assert "2 targets" in repr(model)


def test_one_callable_may_return_the_scores_of_several_targets(dense):
    def several(output):
        return output["out"].mean((2, 3))

    assert ImageModel(dense, size=SIZE, targets=several).labels == [f"target {i}" for i in range(4)]
    assert ImageModel(dense, size=SIZE, targets=several, labels=LABELS).labels == LABELS
    with pytest.raises(ValueError, match="expected one label per class, 4, got 2"):
        ImageModel(dense, size=SIZE, targets=several, labels=["a", "b"])


def test_an_activation_makes_probabilities_of_targets(dense):
    model = ImageModel(dense, size=SIZE, targets=lambda out: out["out"].mean((2, 3)), activation="softmax")
    assert model.value_name == "probability"
    assert torch.equal(model.probs(images()), model.scores(images()).softmax(1))


def test_a_callable_is_a_target_of_any_call(model):
    x = images()
    derived = model.with_target(lambda out: out[:, 3])
    assert derived.labels == ["target"]
    assert derived.module is model.module
    assert torch.equal(derived.scores(x)[:, 0], model.scores(x)[:, 3])
    # The model itself is as before.
    assert model.labels == LABELS
    assert model.scores(x).shape == (2, 4)
    map_ = METHODS["gradient"](model, x, lambda out: out[:, 3])
    assert torch.equal(map_, METHODS["gradient"](model, x, 3))


def test_each_image_may_have_a_callable_of_its_own(model):
    x = images()
    given = [lambda out: out[:, 3], lambda out: out[:, 1]]
    assert torch.equal(METHODS["gradient"](model, x, given), METHODS["gradient"](model, x, [3, 1]))
    with pytest.raises(ValueError, match="expected one target, or one per image, got 3 for 2 images"):
        METHODS["gradient"](model, x, [*given, at_corner and given[0]])
    with pytest.raises(TypeError, match="a mixture of 1 callables and 1 classes"):
        METHODS["gradient"](model, x, [given[0], 2])


def test_the_models_of_recent_callables_are_kept(model):
    def first(output):
        return output[:, 0]

    kept = model.with_target(first)
    layers = kept.layers()
    assert model.with_target(first) is kept
    assert kept.layers() == layers
    for number in range(20):
        model.with_target(lambda output, number=number: output[:, number % 4])
    assert model.with_target(first) is not kept


def test_a_model_with_targets_can_be_copied_and_pickled(dense):
    model = ImageModel(dense, size=SIZE, targets=at_corner)
    model.with_target(lambda output: output["out"][:, 0, 0, 0])
    for copied in (deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(copied.scores(images()), model.scores(images()))


def test_the_default_layer_is_not_the_map_of_scores(dense):
    targets = {"mean": lambda output: output["out"][:, 0].mean((1, 2))}
    assert ImageModel(dense, size=SIZE, targets=targets).default_layer() == "conv"


def test_a_target_gets_the_size_of_the_images_if_it_asks(dense):
    class Sized:
        takes_size = True

        def __call__(self, output, size):
            sizes.append(size)
            return output["out"][:, 0, 0, 0]

    sizes = []
    model = ImageModel(dense, size=SIZE, targets=Sized())
    model.scores(torch.rand(1, 3, 12, 16))
    assert sizes[-1] == (12, 16)
    assert model.labels == ["Sized"]


def test_the_scores_of_pixels_are_not_searched_for_on_mirrored_images(model, dense):
    assert model.mirrors
    assert model.with_target(lambda out: out[:, 1]).mirrors
    assert not ImageModel(dense, size=SIZE, targets=at_corner).mirrors
    assert not ImageModel(model.module, size=SIZE, activation=None).mirrors


@pytest.mark.parametrize(
    ("targets", "kind", "message"),
    [
        (
            lambda output: output["out"].mean(),
            ValueError,
            "got one number for the whole batch; keep the dimension",
        ),
        (
            lambda output: output["out"],
            ValueError,
            r"expected one score per image, \(N,\), .* of shape \(\d, 4, 4, 4\)",
        ),
        (lambda output: output["out"].argmax(1)[:, 0, 0], ValueError, "torch.int64"),
        (lambda output: 3.0, ValueError, "got 3.0"),
        (lambda output: output["seg"][:, 0], ValueError, "a dict with 'out', got an error .*KeyError: 'seg'"),
        (lambda output: output["out"][:, 9, 0, 0], ValueError, "IndexError: index 9 is out of bounds"),
        ({"a": 3}, TypeError, "expected each target to be a callable on the output of the network, got 3"),
        ({}, TypeError, "got none"),
        (3, TypeError, "expected targets as a callable .* got 3"),
        (np.zeros(3), TypeError, "got an array"),
        ("corner", TypeError, "got 'corner'"),
    ],
)
def test_what_is_no_target_is_refused(dense, targets, kind, message):
    with pytest.raises(kind, match=message) as error:
        ImageModel(dense, size=SIZE, targets=targets)
    assert "\n" not in str(error.value)


def test_the_refusal_of_a_network_without_class_scores_names_fitting_targets(dense):
    class Boxes(nn.Module):
        def forward(self, x):
            return [{"boxes": x.new_zeros(0, 4), "labels": x.new_zeros(0).long(), "scores": x.new_zeros(0)}]

    class Tokens(nn.Module):
        def forward(self, x):
            return x.flatten(2)

    for network, advice in (
        (dense, r"targets=xai_widgets.targets.ClassAreas\(\)"),
        (Boxes(), r"DetectedClasses\(labels\), or BoxScore"),
        (Tokens(), r"targets= takes a callable .*targets.Similarity\(vector\)"),
    ):
        with pytest.raises(ValueError, match=advice):
            ImageModel(network, size=SIZE)


def test_classes_of_a_model_are_not_callables(model):
    with pytest.raises(
        TypeError, match=r"got a callable; its scores are those of model.with_target\(callable\)"
    ):
        model.prepare(images(), lambda output: output[:, 0])


def test_the_raw_output_is_what_the_network_returns(dense):
    model = ImageModel(dense, size=SIZE, targets=at_corner)
    with torch.no_grad():
        assert_close(model.raw_output(images())["out"], dense(images())["out"])


def test_a_target_keeps_its_own_backward_under_the_rules_of_a_method(model):
    """The ReLU of a target is not one of the network."""

    def rectified(output):
        return (output[:, 1] - output[:, 2]).relu()

    x = images(1).requires_grad_()
    with torch.enable_grad(), BackwardRules("guided", model.module, relu=guided_relu) as rules:
        score = model.with_target(rectified)(x)
    assert rules.met["relu"] == 2
    with torch.enable_grad(), BackwardRules("guided", model.module, relu=guided_relu):
        scores = model(x)
    expected = (scores[:, 1] - scores[:, 2]).relu()
    assert torch.equal(score[:, 0], expected)
    assert torch.equal(torch.autograd.grad(score.sum(), x)[0], torch.autograd.grad(expected.sum(), x)[0])
