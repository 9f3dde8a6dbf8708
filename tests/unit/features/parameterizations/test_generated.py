"""DGN-AM: images of a generator, whose code is optimized under lambda |z|^2."""

import copy

import pytest
import torch
from closeness import assert_close
from networks import Functional, one_sentence, settle, wrap
from torch import nn

from xai_widgets.features import visualize
from xai_widgets.features.objectives import Channel, ClassScore, Diversity
from xai_widgets.features.parameterizations import Generated, Paired
from xai_widgets.features.regularizers import TotalVariation

CPU = torch.device("cpu")


class Small(nn.Module):
    """Codes of 5 numbers to images of 8 x 8, with batch norm and dropout, which differ in train mode."""

    def __init__(self, last=None, channels=3):
        super().__init__()
        self.linear = nn.Linear(5, channels * 64)
        self.norm = nn.BatchNorm2d(channels)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Sigmoid() if last is None else last
        self.channels = channels

    def forward(self, z):
        return self.last(self.drop(self.norm(self.linear(z).view(-1, self.channels, 8, 8))))


@pytest.fixture
def model():
    return wrap(settle(Functional()))


@pytest.fixture
def generator():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Small()


def started(parameterization, shape=(2, 3, 8, 8), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return parameterization.start(shape, generator=generator, device=CPU)


def test_the_images_are_those_of_the_generator_in_eval_mode(generator):
    drawing = started(Generated(generator, shape=5))
    (z,) = drawing.variables
    assert z.shape == (2, 5)
    assert_close(drawing.draw([z]), copy.deepcopy(generator).eval()(z).detach())


def test_the_penalty_is_its_formula(generator):
    drawing = started(Generated(generator, 0.25, shape=5))
    z = torch.randn(2, 5)
    assert_close(drawing.penalty([z]), 0.25 * (z**2).sum(1))


def test_images_are_resized_and_have_gradients(generator):
    for size in ((8, 8), (16, 24), (9, 15)):
        drawing = started(Generated(generator, shape=5), (2, 3, *size))
        z = drawing.variables[0].clone().requires_grad_()
        images = drawing.draw([z])
        assert images.shape == (2, 3, *size)
        (gradient,) = torch.autograd.grad(images[0].sum(), z)
        assert gradient[0].any()
        assert not gradient[1].any()


def test_limits_are_black_and_white():
    generator = Small(nn.Tanh())
    inside = Generated(generator, shape=5, limits=(-1, 1))
    drawing = started(inside)
    expected = (copy.deepcopy(generator).eval()(drawing.variables[0]) + 1) / 2
    assert_close(drawing.draw(drawing.variables), expected.detach())
    with pytest.raises(ValueError, match=r"expected values from 0 to 1 from Small, got -.*limits=") as caught:
        started(Generated(generator, shape=5))
    one_sentence(caught)


def test_given_codes_start_one_or_all_images(generator):
    z = torch.randn(1, 5)
    drawing = started(Generated(generator, codes=z))
    assert torch.equal(drawing.variables[0], z.expand(2, -1))
    each = torch.randn(2, 5)
    assert torch.equal(started(Generated(generator, codes=each)).variables[0], each)
    with pytest.raises(ValueError, match="expected codes for 3 images, got 2"):
        started(Generated(generator, codes=each), (3, 3, 8, 8))


def test_the_activation_rises_with_every_objective(model, generator):
    drawn = Generated(generator, shape=5)
    for objective in (ClassScore(2), Channel("conv1", 3), ClassScore(1) + Diversity("conv1")):
        run = visualize(model, objective, parameterization=drawn, count=2, steps=40, transforms=())
        assert run.result(progress=False).rose.all()
    pair = visualize(model, ClassScore([0, 1]), parameterization=Paired(drawn), steps=2).result(
        progress=False
    )
    assert len(pair.images) == 2


def test_a_larger_penalty_makes_shorter_codes(model, generator):
    lengths = []
    for weight in (0.0, 0.01, 0.1):
        run = visualize(
            model, ClassScore(2), parameterization=Generated(generator, weight, shape=5), steps=60
        )
        lengths.append(run.result(progress=False).state.variables[0].norm().item())
    assert lengths[0] > lengths[1] > lengths[2]


@pytest.mark.filterwarnings("ignore:the objective")
def test_it_continues_exactly(model, generator):
    settings = {
        "parameterization": Generated(generator, shape=5),
        "regularizers": TotalVariation(0.1),
        "count": 2,
    }
    whole = visualize(model, ClassScore(2), steps=8, **settings).result(progress=False)
    part = visualize(model, ClassScore(2), steps=3, **settings).result(progress=False)
    rest = visualize(model, ClassScore(2), steps=5, start=part, **settings).result(progress=False)
    assert torch.equal(whole.images, rest.images)
    assert torch.equal(whole.state.variables[0], rest.state.variables[0])


@pytest.mark.filterwarnings("ignore:the objective")
def test_network_and_generator_stay_as_they_were(model, generator):
    both = nn.ModuleDict({"network": model.module, "generator": generator})
    before = {name: value.clone() for name, value in both.state_dict().items()}
    modes = [module.training for module in both.modules()]
    visualize(model, ClassScore(2), parameterization=Generated(generator, shape=5), steps=3).result(
        progress=False
    )
    assert generator.training
    assert [module.training for module in both.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in both.state_dict().items())
    assert all(each.requires_grad and each.grad is None for each in generator.parameters())


def test_what_does_not_fit_is_refused(generator):
    with pytest.raises(TypeError, match="expected generator to be"):
        Generated("generator")
    with pytest.raises(ValueError, match=r"expected shape= of the code of Small, got None"):
        Generated(generator)
    with pytest.raises(ValueError, match=r"limits as \(black, white\)"):
        Generated(generator, shape=5, limits=(1, 0))
    with pytest.raises(ValueError, match=r"expected codes of shape \(N, 4\), got \(1, 5\)"):
        Generated(generator, shape=4, codes=torch.randn(1, 5))
    with pytest.raises(TypeError, match="expected codes as a Tensor"):
        Generated(generator, codes=[1.0, 2.0])
    with pytest.raises(ValueError, match="weight"):
        Generated(generator, -1.0, shape=5)
    for wrong, message in (
        (Generated(generator, shape=6), r"a generator of codes of shape \(6,\)"),
        (
            Generated(Small(channels=4), shape=5),
            r"images of shape \(N, 3, h, w\) from Small, got \(1, 4, 8, 8\)",
        ),
        (Generated(Small(nn.Flatten()), shape=5), r"images of shape \(N, 3, h, w\)"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            started(wrong)
        one_sentence(caught)


def test_the_repr_is_short(generator):
    assert repr(Generated(generator, shape=5)).startswith(
        "Generated(generator=<Small>, weight=0.005, shape=(5,)"
    )
