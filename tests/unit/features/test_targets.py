"""Objectives as targets of methods: a channel, a position, a neuron or a direction of a layer in place of a class."""

import pytest
import torch
from closeness import assert_close
from networks import Functional, Tokens, images, one_sentence, quick, settle, wrap

from xai_widgets.core.hooks import forward_hooks, record_outputs
from xai_widgets.features.objectives import Channel, ClassScore, Direction, Diversity, Neuron, Unit
from xai_widgets.methods import METHODS
from xai_widgets.targets import Output

#: A direction of the eight channels of the second convolution.
VECTOR = torch.linspace(-1, 2, 8)
TARGETS = {
    "channel": (Channel("conv2", 3), lambda a: a[:, 3].mean((1, 2))),
    "unit": (Unit("conv2", 3, (1, 2)), lambda a: a[:, 3, 1, 2]),
    "neuron": (Neuron("conv2", (5, 0, 3)), lambda a: a[:, 5, 0, 3]),
    "direction": (
        Direction("conv2", VECTOR),
        lambda a: torch.einsum("nkhw,k->n", a, VECTOR) / a[0, 0].numel(),
    ),
    "difference": (Channel("conv2", 3) - 0.5 * Channel("conv2", 4), lambda a: (a[:, 3] - a[:, 4] / 2).mean((1, 2))),
}  # fmt: skip

#: Methods that need the probability of a class.
PROBABILITIES = {"meta_saliency", "minimal_image", "prediction_difference", "meaningful_perturbation"}


@pytest.fixture(scope="module")
def model():
    return wrap(settle(Functional()))


@pytest.mark.parametrize("name", TARGETS)
def test_the_gradient_of_a_target_is_that_of_its_formula(model, name):
    target, formula = TARGETS[name]
    x = images(2).requires_grad_()
    with record_outputs(model.find_layers(["conv2"])) as outputs:
        model(x)
        values = formula(outputs["conv2"])
        (expected,) = torch.autograd.grad(values.sum(), x)
    assert_close(model.with_target(target).scores(x.detach())[:, 0], values.detach())
    assert_close(METHODS["gradient"](model, x.detach(), target), expected)


@pytest.mark.parametrize("name", TARGETS)
def test_deep_lift_of_every_target_is_complete(model, name):
    x, target = images(2), TARGETS[name][0]
    found = METHODS["deep_lift"](model, x, target)
    assert found.abs().amax() > 0
    scores = model.with_target(target).scores(torch.cat([x, torch.zeros_like(x)]))[:, 0]
    assert_close(found.sum((1, 2, 3)), scores[:2] - scores[2:], scale=found.abs().sum())


@pytest.mark.parametrize("method", ["lrp", "excitation_backprop", "deep_lift", "gradient"])
def test_a_direction_along_a_channel_is_the_channel_in_every_backward_rule(model, method):
    x, one_hot = images(2), torch.eye(8)[3]
    found = METHODS[method](model, x, Direction("conv2", one_hot))
    assert found.abs().amax() > 0
    assert_close(found, METHODS[method](model, x, Channel("conv2", 3)))


def test_the_default_layer_of_a_sum_is_not_behind_the_first_layer_that_it_reads(model):
    names = [layer.name for layer in model.layers()]
    total = model.with_target(Channel("conv1", 1) + 0.5 * ClassScore(1))
    assert total.labels == ["channel 1 of conv1 + 0.5 x score of 1"]
    assert [layer.name for layer in total.layers()] == names
    assert names.index(total.default_layer()) <= names.index("conv1") < names.index(model.default_layer())
    # The default of a model is not that of its targets.
    assert model.feature_layer() == model.default_layer()
    assert model.with_target(Channel("conv1", 1)).feature_layer() == "conv1"


def test_a_neuron_of_a_class_token(model):
    tokens = wrap(settle(Tokens()))
    layer = next(layer for layer in tokens.layers() if layer.grid is not None and layer.grid.prefix)
    target = Neuron(layer.name, (0, 2))
    expected = tokens.activations(images(2), layer.name)[layer.name][:, 0, 2]
    assert_close(tokens.with_target(target).scores(images(2))[:, 0], expected)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_explains_a_channel_or_refuses_it(model, name):
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    method, options = METHODS[name], quick(METHODS[name])
    target = Channel("conv2", 3)
    if name in PROBABILITIES or {"attention", "units"} & set(method.requires):
        with pytest.raises(ValueError, match="expected") as error:
            method(model, images(2), target, **options)
        assert one_sentence(error)
    else:
        assert method(model, images(2), target, **options).isfinite().all()
    for key, value in model.module.state_dict().items():
        assert torch.equal(value, before[key])
    assert not any(module._forward_hooks for module in model.module.modules())


def test_the_linear_approximation_at_the_layer_sums_to_the_mean_of_the_channel(model):
    x = images(2)
    values = model.activations(x, "conv2")["conv2"]
    assert_close(METHODS["linear_approximation"](model, x, Channel("conv2", 3), layer="conv2").sum((1, 2, 3)),
                 values[:, 3].mean((1, 2)))  # fmt: skip


def test_a_pass_ends_with_the_layer_and_so_do_the_layers(model):
    derived = model.with_target(Channel("conv2", 3))
    names = [layer.name for layer in model.layers()]
    assert [layer.name for layer in derived.layers()] == names[: names.index("conv2") + 1]
    assert derived.default_layer() in names[: names.index("conv2") + 1]
    ran = []
    last = model.find_layers([names[-1]])
    with forward_hooks(last, lambda *_: ran.append(1)):
        derived.scores(images(2))
        assert not ran
        model.scores(images(2))
        assert ran
    # The layers after it are there for another target.
    other = derived.with_target(Channel(names[-1], 0))
    assert other.layers()[-1].name == names[-1]
    assert_close(derived.raw_output(images(2)), model.raw_output(images(2)))


def test_a_class_score_is_the_class(model):
    x = images(2)
    assert_close(METHODS["gradient"](model, x, ClassScore(1)), METHODS["gradient"](model, x, 1))
    # Parameters have a gradient where they are not frozen.
    model.with_target(Channel("conv1", 0))(x).sum().backward()
    weight = next(iter(model.module.parameters()))
    assert weight.grad is not None
    model.module.zero_grad(set_to_none=True)


def test_a_gradient_at_a_layer_is_that_of_autograd(model):
    x = images(2)
    with record_outputs(model.find_layers(["conv1"])) as outputs:
        score = model(x.clone().requires_grad_())[:, 1].sum()
        (expected,) = torch.autograd.grad(score, outputs["conv1"])
    found = METHODS["gradient"](model, x, 1, layer="conv1")
    assert_close(found, expected)
    assert_close(METHODS["gradient"].saliency(model, x, 1, layer="conv1"), expected.abs().amax(1))
    assert not METHODS["gradient"].takes_layer
    assert METHODS["gradient"].accepts_layer
    guided = METHODS["guided_backprop"](model, x, 1, layer="conv1")
    assert guided.shape == expected.shape


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Channel("conv2", 99), "expected channel to be an integer from 0 to 7, got 99"),
        (Channel("conf2", 0), "conv2"),
        (Channel("conv2", [0, 1]), "expected a target for any number of images, got values for 2"),
        (
            [Channel("conv2", 0), Output(1)],
            "expected targets inside the network or on its output, got a mixture",
        ),
    ],
)
def test_refusals(model, target, words):
    with pytest.raises((ValueError, TypeError), match=words):
        METHODS["gradient"](model, images(2), target)


def test_a_layer_behind_the_target_is_not_called_unknown(model):
    last = model.layers()[-1].name
    with pytest.raises(
        ValueError, match=f"expected a layer up to 'conv1', .* got '{last}' behind it"
    ) as error:
        METHODS["gradient"](model, images(1), Channel("conv1", 0), layer=last)
    assert one_sentence(error)
    with pytest.raises(ValueError, match="unknown layer 'conv9'; did you mean 'conv1'"):
        METHODS["gradient"](model, images(1), Channel("conv1", 0), layer="conv9")


def test_one_target_per_image(model):
    targets = [Channel("conv2", 0), Unit("conv1", 1)]
    both = METHODS["gradient"](model, images(2), targets)
    for index, target in enumerate(targets):
        assert_close(
            both[index : index + 1], METHODS["gradient"](model, images(2)[index : index + 1], target)
        )


def test_the_targets_of_a_model_are_on_its_output():
    with pytest.raises(TypeError, match="expected targets= on the output of the network"):
        wrap(settle(Functional()), targets=Channel("conv2", 0))


def test_an_objective_of_a_batch_is_a_target_too(model):
    # With one image there is no other one to differ from.
    assert model.with_target(Diversity("conv2")).scores(images(1)).item() == 0
