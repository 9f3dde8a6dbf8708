"""Layer-wise relevance propagation equals zennit's, with its canonizers, and Captum's on a plain chain."""

import copy
from functools import cache

import captum.attr
import pytest
import torch
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule
from torch import nn
from twins import BUILDERS, CLASSES, calibrated, photographs, twin_of
from zennit import composites as zennit
from zennit import rules as their
from zennit.torchvision import ResNetCanonizer, VGGCanonizer
from zennit.types import Convolution
from zennit_twins import never_0, with_modules

from xai_widgets.attribution import COMPOSITES, Composite
from xai_widgets.attribution.lrp_rules import AlphaBeta, Epsilon, Flat, Gamma, WSquare, ZPlus
from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS

#: Relative; all is computed in float64, where rounding counts for nothing.
TOLERANCE = 1e-6
SIZE = 48
CANONIZERS = {"vgg11_bn": VGGCanonizer, "resnet": ResNetCanonizer, "bottleneck": ResNetCanonizer}


@cache
def model_of(name):
    network = calibrated(BUILDERS[name](CLASSES), SIZE).double()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            # zennit's canonizer leaves it in the batch-norm that it makes the identity.
            part.eps = 0.0
    return ImageModel(
        network,
        size=SIZE,
        mean=[0.485, 0.456, 0.406],
        std=[0.229, 0.224, 0.225],
        device="cpu",
    )


def base():
    return zennit.layer_map_base(never_0)


def uniform(rule):
    return lambda **options: zennit.LayerMapComposite(
        [*base(), (Convolution, rule()), (nn.Linear, rule())], **options
    )


def special(convolution, dense, first):
    """Their EpsilonPlusFlat and EpsilonAlpha2Beta1Flat, which take for the first layer the first one by name."""
    return lambda **options: zennit.SpecialFirstLayerMapComposite(
        [*base(), (Convolution, convolution()), (nn.Linear, dense())],
        [(Convolution, first())],
        **options,
    )


def with_box(canonizers=None):
    model = model_of("resnet")
    low, high = ((bound - model.mean) / model.std for bound in (0.0, 1.0))
    return zennit.EpsilonGammaBox(low.double(), high.double(), stabilizer=never_0, canonizers=canonizers)


def gamma_without_bias():
    """Return their gamma rule, whose decision for one sign is by the output without the bias, too."""
    rule = their.Gamma(0.25, never_0, zero_params="bias")
    rule.param_modifiers[-1] = their.NoMod(zero_params="bias")
    return rule


#: Ours, and theirs with a canonizer. zennit shares an addition out by LRP-0 under every rule.
PAIRS = {
    "zero": (COMPOSITES["zero"], uniform(lambda: their.Epsilon(never_0))),
    "epsilon": (Composite(Epsilon(0.1), Epsilon(0.1)), uniform(lambda: their.Epsilon(0.1))),
    "gamma": (COMPOSITES["gamma"], uniform(lambda: their.Gamma(0.25, never_0))),
    "gamma 1": (Composite(Gamma(1.0), Gamma(1.0)), uniform(lambda: their.Gamma(1.0, never_0))),
    "alpha_beta": (COMPOSITES["alpha_beta"], uniform(lambda: their.AlphaBeta(2.0, 1.0, never_0))),
    "alpha_beta 3": (
        Composite(AlphaBeta(3, 2), AlphaBeta(3, 2)),
        uniform(lambda: their.AlphaBeta(3.0, 2.0, never_0)),
    ),
    "z_plus": (Composite(ZPlus(), ZPlus()), uniform(lambda: their.ZPlus(never_0))),
    "w_square": (
        Composite(ZPlus(), ZPlus(), first=WSquare()),
        special(
            lambda: their.ZPlus(never_0),
            lambda: their.ZPlus(never_0),
            lambda: their.WSquare(never_0, zero_params="bias"),
        ),
    ),
    "flat": (Composite(Flat(), Flat()), uniform(lambda: their.Flat(never_0))),
    "epsilon_gamma_box": (COMPOSITES["epsilon_gamma_box"], with_box),
    "epsilon_plus": (
        COMPOSITES["epsilon_plus"],
        lambda **options: zennit.EpsilonPlus(stabilizer=never_0, **options),
    ),
    "epsilon_plus_flat": (
        COMPOSITES["epsilon_plus_flat"],
        special(lambda: their.ZPlus(never_0), their.Epsilon, lambda: their.Flat(never_0)),
    ),
    "epsilon_alpha2_beta1": (
        COMPOSITES["epsilon_alpha2_beta1"],
        lambda **options: zennit.EpsilonAlpha2Beta1(stabilizer=never_0, **options),
    ),
    "epsilon_alpha2_beta1_flat": (
        COMPOSITES["epsilon_alpha2_beta1_flat"],
        special(lambda: their.AlphaBeta(2.0, 1.0, never_0), their.Epsilon, lambda: their.Flat(never_0)),
    ),
    "epsilon without bias": (
        Composite(Epsilon(0.1), Epsilon(0.1)).without_bias(),
        uniform(lambda: their.Epsilon(0.1, zero_params="bias")),
    ),
    "epsilon_plus without bias": (
        COMPOSITES["epsilon_plus"].without_bias(),
        lambda **options: zennit.EpsilonPlus(stabilizer=never_0, zero_params="bias", **options),
    ),
    "epsilon_alpha2_beta1 without bias": (
        COMPOSITES["epsilon_alpha2_beta1"].without_bias(),
        lambda **options: zennit.EpsilonAlpha2Beta1(stabilizer=never_0, zero_params="bias", **options),
    ),
    "gamma without bias": (COMPOSITES["gamma"].without_bias(), uniform(gamma_without_bias)),
}


def setting(name):
    model, x = model_of(name), photographs(SIZE).double()
    target = model(x).detach().argmax(1)
    target[1] = (target[1] + 1) % 20
    return model, x, target


def zennits(model, network, composite, x, target):
    given = ((x - model.mean) / model.std).requires_grad_()
    with composite.context(network) as hooked:
        scores = hooked(given)
        score = scores.detach().gather(1, target[:, None])
        start = torch.zeros_like(scores).scatter(1, target[:, None], score)
        return torch.autograd.grad(scores, given, start)[0]


def distance(made, expected):
    assert made.shape == expected.shape
    assert made.dtype == expected.dtype == torch.float64
    assert expected.abs().max() > 0
    return ((made - expected).abs().max() / expected.abs().max()).item()


def ours(model, x, target, composite):
    # The function itself: a call of the method would bring the pixels to single precision.
    return METHODS["lrp"].function(model, x, target, composite=composite)


@pytest.mark.filterwarnings("ignore:the relevance of the pixels")
@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("name", CANONIZERS)
def test_lrp_equals_zennits_with_its_canonizer(name, pair):
    model, x, target = setting(name)
    composite, theirs = PAIRS[pair]
    network = copy.deepcopy(model.module)
    expected = zennits(model, network, theirs(canonizers=[CANONIZERS[name]()]), x, target)
    assert distance(ours(model, x, target, composite), expected) < TOLERANCE


@cache
def twin_of_googlenet():
    """Return the twin, with batch-norm folded and a module for every ReLU."""
    return with_modules(ImageModel(twin_of(model_of("googlenet").module), size=SIZE, device="cpu"))


@pytest.mark.filterwarnings("ignore:the relevance of the pixels")
@pytest.mark.parametrize("pair", PAIRS)
def test_lrp_of_a_network_of_concatenations_equals_zennits_of_its_twin(pair):
    """GoogLeNet, for which zennit has no canonizer: its twin has batch-norm folded and every ReLU a module."""
    model, x, target = setting("googlenet")
    composite, theirs = PAIRS[pair]
    expected = zennits(model, twin_of_googlenet(), theirs(), x, target)
    assert distance(ours(model, x, target, composite), expected) < TOLERANCE


@pytest.mark.filterwarnings("ignore:the relevance of the pixels")
@pytest.mark.parametrize(
    ("composite", "rule"),
    [
        (Composite(Epsilon(1e-9), Epsilon(1e-9)), EpsilonRule),
        (Composite(ZPlus(), ZPlus()), Alpha1_Beta0_Rule),
    ],
)
def test_lrp_of_a_chain_without_biases_equals_captums(composite, rule):
    """Captum's rules have the bias otherwise, and none for batch-norm."""
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(8 * 16, 5, bias=False),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for part in network.parameters():
            part.copy_(torch.randn(part.shape, generator=generator) * (2 / part[0].numel()) ** 0.5)
    model = ImageModel(network.double(), size=16, device="cpu")
    x = photographs(16).double()
    target = torch.tensor([1, 3])
    theirs = copy.deepcopy(network)
    for part in theirs:
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.rule = rule()
        elif isinstance(part, nn.AvgPool2d | nn.Flatten):
            part.rule = EpsilonRule()
    expected = captum.attr.LRP(theirs).attribute(x, target=target).detach()
    assert distance(ours(model, x, target, composite), expected) < TOLERANCE


@pytest.mark.filterwarnings("ignore:the relevance of the pixels")
def test_the_comparisons_can_fail():
    """No two composites come near each other by more than a hundred times the tolerance."""
    model, x, target = setting("resnet")
    made = [ours(model, x, target, composite) for composite, _ in PAIRS.values()]
    for number, first in enumerate(made):
        assert all(distance(first, second) > 100 * TOLERANCE for second in made[:number])
