"""Maps of the activations of a layer, by their formulas."""

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from networks import CLASSES, Concat, Functional, SharedInPlace, images, one_sentence, settle, wrap
from timm.layers import Conv2dSame, StdConv2d
from torch import nn

from xai_widgets import attribution
from xai_widgets.methods.gradients import layer_gradient

TARGET = torch.tensor([1, 3])


@pytest.fixture
def model():
    return wrap(settle(SharedInPlace()))


def at(model, x, layer):
    """Activation and gradient in double precision, as arrays of numbers."""
    activation, gradient = layer_gradient(model, x, TARGET, layer)
    return activation.double(), gradient.double()


def close(made, expected):
    assert_close(made, expected, dtype=torch.float32)


# -- CAM --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("network", "layer"), [(SharedInPlace, "block2"), (SharedInPlace, None)])
def test_cam_weights_channels_as_the_linear_layer_does(network, layer):
    model, x = wrap(settle(network())), images(2)
    made = attribution.cam(model, x, TARGET, layer=layer)
    activation = model.activations(x, ["block2"])["block2"]
    weights = model.module.fc.weight[TARGET]
    close(made[:, 0], torch.einsum("nk,nkhw->nhw", weights.double(), activation.double()).detach())
    # Its mean and the bias are the score.
    scores = model(x).gather(1, TARGET[:, None])[:, 0] - model.module.fc.bias[TARGET]
    close(made.mean((1, 2, 3)), scores.double().detach())


@pytest.mark.parametrize(
    ("network", "layer"),
    [(Functional, "conv1"), (SharedInPlace, "block1"), (SharedInPlace, "block2.conv2"), (Concat, "stem")],
)
def test_cam_is_refused_where_more_follows(network, layer):
    model = wrap(settle(network()))
    with pytest.raises(
        ValueError, match=r"that only a global average and a linear layer follow, got .* 'grad_cam'"
    ) as error:
        attribution.cam(model, images(2), TARGET, layer=layer)
    one_sentence(error)


def test_cam_of_a_layer_before_a_relu_that_is_no_module_is_that_after_it():
    """The DenseNet of torchvision, which the reference code of CAM explains, is such a network."""

    class Behind(nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.fc = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, CLASSES)

        def forward(self, x):
            return self.fc(F.adaptive_avg_pool2d(F.relu(self.features(x)), 1).flatten(1))

    network, x = settle(Behind()), images(2)
    model = wrap(network)
    made = attribution.cam(model, x, 1, layer="features")
    activation = model.activations(x, "features")["features"].relu()
    assert_close(made[:, 0], torch.einsum("k,nkhw->nhw", network.fc.weight[1].detach(), activation))
    assert_close(made.mean((1, 2, 3)), model.scores(x)[:, 1] - network.fc.bias[1].detach(), scale=1)


# -- Grad-CAM++ -------------------------------------------------------------------------------------------


def plus_plus(activation, first, second, third):
    """Equations 10 and 19 of the paper, position by position."""
    made = torch.zeros_like(activation[:, :1])
    for n in range(len(activation)):
        for k in range(activation.shape[1]):
            total = activation[n, k].sum()
            weight = 0.0
            for g, g2, g3 in zip(
                first[n, k].flatten(), second[n, k].flatten(), third[n, k].flatten(), strict=True
            ):
                if g2 != 0:
                    weight += g2 / (2 * g2 + total * g3) * max(g, 0)
            made[n, 0] += weight * activation[n, k]
    return made.relu()


@pytest.mark.parametrize("layer", ["block1", "block2"])
def test_grad_cam_plus_plus_is_its_formula(model, layer):
    x = images(2)
    activation, gradient = at(model, x, layer)
    expected = plus_plus(activation, gradient, gradient**2, gradient**3)
    assert expected.max() > 0
    close(attribution.grad_cam_plus_plus(model, x, TARGET, layer=layer), expected)


def test_smooth_grad_cam_plus_plus_averages_the_derivatives_of_noisy_copies(model):
    x, samples, sigma = images(2), 5, 0.2
    powers = []
    for image, label in zip(x, TARGET, strict=True):
        generator = torch.Generator().manual_seed(7)
        spread = sigma * (image.max() - image.min())
        copies = torch.stack(
            [image + spread * torch.randn(image.shape, generator=generator) for _ in range(samples)]
        )
        _, gradient = layer_gradient(model, copies, label.expand(samples), "block1")
        powers.append([(gradient.double() ** power).mean(0) for power in (1, 2, 3)])
    first, second, third = (torch.stack(parts) for parts in zip(*powers, strict=True))
    activation, _ = at(model, x, "block1")
    made = attribution.smooth_grad_cam_plus_plus(
        model, x, TARGET, layer="block1", samples=samples, sigma=sigma, seed=7, batch_size=2
    )
    close(made, plus_plus(activation, first, second, third))


def test_without_noise_smooth_grad_cam_plus_plus_is_grad_cam_plus_plus(model):
    x = images(2)
    made = attribution.smooth_grad_cam_plus_plus(model, x, TARGET, samples=3, sigma=0)
    close(made, attribution.grad_cam_plus_plus(model, x, TARGET).double())


def test_guided_grad_cam_is_both_multiplied(model):
    x = images(2)
    where = attribution.grad_cam(model, x, TARGET, layer="block1")
    where = nn.functional.interpolate(where, x.shape[2:], mode="bilinear", align_corners=False)
    expected = attribution.guided_backprop(model, x, TARGET) * where
    assert expected.abs().max() > 0
    close(attribution.guided_grad_cam(model, x, TARGET, layer="block1"), expected.double())


# -- FEM --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0.0, 1.0, 2.0])
def test_fem_counts_where_channels_are_rare(model, k):
    x = images(2)
    activation = model.activations(x, ["block1"])["block1"].double()
    expected = torch.zeros_like(activation[:, :1])
    for n, image in enumerate(activation):
        for channel in image:
            mu = channel.mean()
            sigma = ((channel - mu) ** 2).mean().sqrt()
            if sigma > 0:
                expected[n, 0] += mu * (channel >= mu + k * sigma)
    made = attribution.fem(model, x, TARGET, layer="block1", k=k)
    assert expected.amax((1, 2, 3)).min() > 0
    close(made, expected / expected.amax((1, 2, 3), keepdim=True))
    assert made.amax((1, 2, 3)).eq(1).all()


def test_fem_of_channels_that_are_the_same_everywhere_is_zero(model):
    with torch.no_grad():
        model.module.conv1.weight.zero_()
        model.module.conv1.bias.zero_()
    assert attribution.fem(model, images(1), 1, layer="conv1").eq(0).all()


# -- NormGrad ---------------------------------------------------------------------------------------------


def contributions(activation, gradient, side):
    """Norms of the outer products g a^T of each position, summed over all of its entries."""
    count, _, height, width = activation.shape
    patches = nn.functional.unfold(activation, side, padding=side // 2).unflatten(2, (height, width))
    made = torch.zeros(count, 1, height, width, dtype=activation.dtype)
    for n in range(count):
        for i in range(height):
            for j in range(width):
                made[n, 0, i, j] = torch.outer(gradient[n, :, i, j], patches[n, :, i, j]).norm()
    return made


@pytest.mark.parametrize(("identity", "side"), [("1x1", 1), ("3x3", 3)])
def test_norm_grad_is_the_norm_of_the_contribution_of_each_position(model, identity, side):
    x = images(2)
    made = attribution.norm_grad(model, x, TARGET, layer="block1", identity=identity)
    close(made, contributions(*at(model, x, "block1"), side))


def test_norm_grad_of_bias_and_scaling_and_the_selective_one(model):
    x = images(2)
    activation, gradient = at(model, x, "block1")
    made = [
        attribution.norm_grad(model, x, TARGET, layer="block1", identity="bias"),
        attribution.norm_grad(model, x, TARGET, layer="block1", identity="scaling"),
        attribution.selective_norm_grad(model, x, TARGET, layer="block1"),
        attribution.linear_approximation(model, x, TARGET, layer="block1"),
    ]
    product = gradient * activation
    expected = [
        gradient.square().sum(1, keepdim=True).sqrt(),
        product.square().sum(1, keepdim=True).sqrt(),
        product.clamp(min=0).square().sum(1, keepdim=True).sqrt(),
        product,
    ]
    for one, other in zip(made, expected, strict=True):
        close(one, other)


def test_the_default_identity_is_a_1x1_convolution(model):
    made = attribution.norm_grad(model, images(2), TARGET)
    assert torch.equal(made, attribution.norm_grad(model, images(2), TARGET, identity="1x1"))
    with pytest.raises(ValueError, match="unknown identity '3X3'; did you mean '3x3'") as error:
        attribution.norm_grad(model, images(2), TARGET, identity="3X3")
    one_sentence(error)


CONVOLUTIONS = {
    "usual": {"padding": 1},
    "grouped": {"padding": 1, "groups": 3},
    "strided and dilated": {"stride": 2, "dilation": 2, "padding": 2, "bias": False},
    "same": {"padding": "same", "dilation": 2},
    "reflected": {"padding": 1, "padding_mode": "reflect"},
    "valid": {"padding": "valid"},
}


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_norm_grad_of_a_convolution_is_that_of_the_gradient_of_its_weights(options):
    """The gradient of the weights from one position alone; that of the others is set to 0."""
    convolution = nn.Conv2d(6, 9, 3, **options)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), convolution, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(9, CLASSES),
    )  # fmt: skip
    model, x = wrap(settle(network)), images(1)
    made = attribution.norm_grad_convolution(model, x, 1, layer="2")
    out, gradient = layer_gradient(model, x, torch.tensor([1]), "2")
    given = model.activations(x, ["1"])["1"]
    assert made.shape == (1, 1, *out.shape[2:])
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            alone = torch.zeros_like(gradient)
            alone[:, :, i, j] = gradient[:, :, i, j]
            (weights,) = torch.autograd.grad(convolution(given), convolution.weight, alone)
            assert_close(made[0, 0, i, j], weights.norm())


@pytest.mark.parametrize("kind", [Conv2dSame, StdConv2d])
def test_norm_grad_of_a_convolution_that_pads_or_scales_by_itself(kind):
    convolution = kind(4, 5, 3, stride=2)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), convolution, nn.ReLU(), nn.Flatten(), nn.Linear(80, CLASSES)
    )
    model, x = wrap(settle(network)), images(2)
    made = attribution.norm_grad_convolution(model, x, 1, layer="1")
    _, gradient = layer_gradient(model, x, torch.tensor([1, 1]), "1")
    given = model.activations(x, ["0"])["0"]
    # With 8 positions, 'same' padding adds one below and to the right.
    given = F.pad(given, (0, 1, 0, 1) if kind is Conv2dSame else (1, 1, 1, 1))
    patches = F.unfold(given, 3, stride=2).norm(dim=1).view(2, 1, *gradient.shape[2:])
    assert_close(made, gradient.norm(dim=1, keepdim=True) * patches)


def test_norm_grad_of_a_convolution_takes_the_last_one_and_nothing_else(model):
    x = images(2)
    made = attribution.norm_grad_convolution(model, x, TARGET)
    assert torch.equal(made, attribution.norm_grad_convolution(model, x, TARGET, layer="block2.conv2"))
    with pytest.raises(ValueError, match=r"to be an nn\.Conv2d, got 'block1', a Block; try") as error:
        attribution.norm_grad_convolution(model, x, TARGET, layer="block1")
    one_sentence(error)
