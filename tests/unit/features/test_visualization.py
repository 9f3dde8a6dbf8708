"""Feature visualization: the objective rises, runs resume and reproduce, and the network stays as it is."""

import copy
import warnings

import pytest
import torch
from closeness import assert_close
from networks import Functional, SharedInPlace, one_sentence, settle, wrap
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.errors import ExplanationWarning
from xai_widgets.features import Visualization, regularizers, visualize
from xai_widgets.features.objectives import Channel, ClassScore, Direction, Diversity, Objective, Unit
from xai_widgets.features.parameterizations import Drawing, Fourier, Parameterization, Pixels
from xai_widgets.features.transforms import ROBUST, STEADY


@pytest.fixture
def model():
    return wrap(settle(Functional()))


def done(run):
    return run.result(progress=False)


@pytest.mark.parametrize("network", [Functional, SharedInPlace])
@pytest.mark.parametrize("seed", range(3))
def test_the_objective_rises(network, seed):
    torch.manual_seed(seed)
    model = wrap(settle(network()))
    for objective in (ClassScore([0, 3]), Channel("conv1", [1, 4])):
        result = done(visualize(model, objective, steps=48, seed=seed))
        assert result.rose.all()
        assert result.images.shape == (2, 3, 8, 8)
        assert 0 <= result.images.min() <= result.images.max() <= 1


def test_an_objective_at_given_positions_is_not_cropped_by_default(model):
    channel, unit = Channel("conv2", 1), Unit("conv2", 1, (1, 1))
    assert not channel.positional
    for objective in (unit, 2 * unit, channel - unit, Direction("conv2", torch.ones(8), position=(0, 0))):
        assert objective.positional
        plain = done(visualize(model, objective, steps=2))
        assert torch.equal(plain.images, done(visualize(model, objective, steps=2, transforms=STEADY)).images)
    robust = done(visualize(model, channel, steps=2, transforms=ROBUST))
    assert torch.equal(done(visualize(model, channel, steps=2)).images, robust.images)


def test_there_is_a_snapshot_per_step_and_the_last_is_not_transformed(model):
    snapshots = list(visualize(model, Channel("conv2", 1), steps=3, size=12))
    assert [each.step for each in snapshots] == [0, 1, 2, 3]
    assert [len(each.history) for each in snapshots] == [1, 2, 3, 3]
    assert snapshots[0].images.shape == (1, 3, 12, 12)
    last = snapshots[-1]
    small = nn.functional.interpolate(last.images, (8, 8), mode="bilinear", antialias=True)
    assert_close(last.activation, model.activations(small, "conv2")["conv2"][:, 1].mean((1, 2)))


def test_the_first_step_is_that_of_adam_along_the_gradient(model):
    first, last = visualize(
        model, ClassScore(2), parameterization=Pixels(), transforms=(), steps=1, learning_rate=0.25
    )
    theta = first.state.variables[0].clone().requires_grad_()
    score = model(theta.sigmoid())[:, 2].sum()
    (gradient,) = torch.autograd.grad(score, theta)
    assert_close(first.activation, score.detach()[None])
    moved = gradient.abs() > 1e-4
    assert_close(last.state.variables[0][moved], (theta.detach() + 0.25 * gradient.sign())[moved], steps=1e4)


def test_regularizers_are_subtracted_from_the_objective(model):
    class Nothing(Objective):
        def values(self, seen):
            return seen.x.sum((1, 2, 3)) * 0

    penalty = regularizers.L2(2.0)
    image = torch.full((1, 3, 8, 8), 0.9)
    with pytest.warns(ExplanationWarning):
        result = done(
            visualize(
                model,
                Nothing(),
                regularizers=penalty,
                image=image,
                parameterization=Pixels(),
                learning_rate=0.1,
            )
        )
    assert penalty(result.images) < penalty(image) / 2


def test_one_seed_makes_one_result_and_another_another(model):
    runs = [done(visualize(model, Channel("conv2", 1), steps=4, seed=seed)).images for seed in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize("at", [2, 5])
def test_a_resumed_run_is_an_uninterrupted_one(model, at):
    objective = Channel("conv2", [1, 3])
    whole = done(visualize(model, objective, steps=5, seed=3))
    run = visualize(model, objective, steps=5 if at < 5 else 2, seed=3)
    for snapshot in run:
        if snapshot.step == at:
            run.cancel()
    again = done(visualize(model, objective, steps=5 - run.latest.step, seed=3, start=run.latest))
    assert run.latest.step == 2
    assert again.step == whole.step
    for name in ("images", "history", "initial", "activation", "influence"):
        assert torch.equal(getattr(again, name), getattr(whole, name)), name


class Interrupt(Objective):
    """Raises in the second pass with gradients, as if the user interrupted it."""

    def __init__(self):
        self.calls = 0

    @property
    def layers(self):
        return ("conv2",)

    def values(self, seen):
        self.calls += 1
        if self.calls == 3:
            raise KeyboardInterrupt
        return seen.channels("conv2").mean((1, 2, 3))


def test_the_network_stays_as_it_is_even_after_an_interrupt():
    network = Functional().train()
    before = copy.deepcopy(network.state_dict())
    model = ImageModel(network, size=8)
    run = visualize(model, Interrupt(), steps=4)
    with pytest.raises(KeyboardInterrupt):
        done(run)
    done(visualize(model, Channel("conv1", 0), steps=2))
    assert run.latest.step == 0
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(each.grad is None and each.requires_grad for each in network.parameters())
    assert not any(each._forward_hooks or each._backward_hooks for each in network.modules())
    assert torch.is_grad_enabled()


def test_an_early_layer_does_not_pay_for_the_rest():
    class Late(nn.Conv2d):
        calls = 0

        def forward(self, x):
            Late.calls += 1
            return super().forward(x)

    network = nn.Sequential(nn.Conv2d(3, 4, 3), Late(4, 4, 3), nn.Flatten(), nn.Linear(64, 2))
    model = ImageModel(network, size=8)
    model.layers()
    Late.calls = 0
    done(visualize(model, Channel("0", 1), steps=2))
    assert Late.calls == 0


def test_images_of_a_batch_differ_more_with_diversity(model):
    def likeness(objective):
        images = done(visualize(model, objective, count=4, steps=40)).images
        return Diversity("conv1").bind(model).values(_seen(model, images, "conv1")).mean()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert likeness(Channel("conv1", 2) + 10 * Diversity("conv1")) > likeness(Channel("conv1", 2))


def _seen(model, images, layer):
    from xai_widgets.features.objectives import Seen

    return Seen(model, images, model.activations(images, layer))


def test_an_objective_that_cannot_rise_warns(model):
    dead = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2))
    nn.init.constant_(dead[0].bias, -100.0)
    with pytest.warns(ExplanationWarning, match="image 0 did not rise.*its gradient is 0"):
        done(visualize(ImageModel(dead, size=8), Channel("1", 0), steps=2))


def test_a_generator_is_a_parameterization(model):
    class Code(Parameterization):
        def start(self, shape, *, generator, device):
            weights = torch.randn(5, shape[1] * shape[2] * shape[3], generator=generator)

            def draw(variables):
                return (variables[0] @ weights).sigmoid().view(shape)

            code = torch.randn(shape[0], 5, generator=generator)
            return Drawing((code,), draw, penalty=lambda variables: 0.1 * variables[0].square().sum(1))

    result = done(visualize(model, ClassScore(1), parameterization=Code(), count=2, steps=20))
    assert result.rose.all()
    assert result.state.variables[0].shape == (2, 5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"objective": Channel("conv3", 0)}, "conv"),
        ({"objective": Channel("conv1", 6)}, "expected channel to be an integer from 0 to 5, got 6"),
        ({"objective": ClassScore("goldfsh")}, "did you mean 'goldfish'"),
        ({"objective": Channel("conv1", [0, 1]), "count": 3}, "same number of images, got 2 and 3"),
        ({"steps": 0}, "steps"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"image": torch.rand(3, 8, 8), "size": 8}, "size or image"),
        ({"objective": "conv1"}, "expected objective to be an Objective"),
        ({"parameterization": "fourier"}, "expected parameterization to be a Parameterization"),
        ({"regularizers": [3]}, "expected regularizers as callables"),
        ({"transforms": [3]}, "expected transforms as callables"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(model, arguments, words):
    with pytest.raises((ValueError, TypeError), match=words) as error:
        visualize(**{"model": model, "objective": Channel("conv1", 0)} | arguments)
    assert one_sentence(error)


def test_a_start_of_other_images_is_refused(model):
    start = done(visualize(model, Channel("conv1", 0), steps=1, parameterization=Fourier()))
    assert isinstance(start, Visualization)
    with pytest.raises(ValueError, match="same number, size and parameterization"):
        visualize(model, Channel("conv1", 0), start=start, count=2)


def test_what_matters_is_opaque(model):
    result = done(visualize(model, Channel("conv1", 0), steps=2, transforms=()))
    opacity = result.opacity(0.5)
    assert opacity.shape == (1, 8, 8)
    assert opacity.max() == 1
    assert (opacity == 1).float().mean() >= 0.5
    assert torch.equal(opacity.flatten().argmin(), result.influence.flatten().argmin())
