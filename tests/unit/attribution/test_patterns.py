"""Patterns are those of equations 4 and 8, and the backward pass with them is the gradient's."""

import copy
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from hypothesis import given
from hypothesis import strategies as st
from networks import (
    CLASSES,
    KINDS,
    RELU_NETWORKS,
    Drawn,
    Functional,
    SharedInPlace,
    Smooth,
    images,
    one_sentence,
    settle,
    wrap,
)
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from xai_widgets.attribution import (
    Patterns,
    estimate_patterns,
    gradient,
    pattern_attribution,
    pattern_net,
)

PLAIN = {"mean": [0.0] * 3, "std": [1.0] * 3}
PIXELS = 3 * 8 * 8


def estimated(model, x, **options):
    return estimate_patterns(model, x, **options).result(progress=False)


def proportions(signal):
    """Scale a signal like PatternNet."""
    return signal / signal.abs().amax((1, 2, 3), keepdim=True)


def vector(seed):
    return torch.randn(PIXELS, generator=torch.Generator().manual_seed(seed))


# -- what the patterns are --------------------------------------------------------------------------------


def toy(seed):
    """A filter, a signal that it passes with 1, and a distractor that it does not pass."""
    w, distractor = vector(seed), vector(seed + 2)
    signal = w + vector(seed + 1)
    signal = signal / (w @ signal)
    distractor = distractor - (w @ distractor) * signal
    # A distractor of the magnitude of the signal, because of single precision.
    return w, signal, distractor * signal.norm() / distractor.norm()


@given(st.integers(0, 10_000))
def test_the_pattern_of_a_linear_neuron_is_the_direction_of_the_signal_whatever_disturbs(seed):
    w, signal, distractor = toy(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, CLASSES))
    with torch.no_grad():
        network[1].weight[1] = w
    # Each value of the signal with each of the distractor: no covariance. Both are small enough for pixels.
    s, d = torch.meshgrid(torch.tensor([-1.0, 0.0, 0.5, 2.0]), torch.tensor([-1.0, 1.0, 3.0]), indexing="ij")
    small = 0.1 / max(signal.abs().max(), distractor.abs().max())
    x = 0.5 + small * (s.reshape(-1, 1) * signal + d.reshape(-1, 1) * distractor)
    model = wrap(network, **PLAIN)
    patterns = estimated(model, x.view(-1, 3, 8, 8), batch_size=5)
    (found,) = patterns.layers
    assert patterns.images == 12
    assert_close(found[1], signal)
    made = pattern_net(model, x[:1].view(1, 3, 8, 8), 1, patterns=patterns)
    score = model.scores(x[:1].view(1, 3, 8, 8))[0, 1]
    assert made.abs().max() == 1
    assert_close(made, proportions(score * found[1].view(1, 3, 8, 8)))


def test_the_pattern_of_a_neuron_with_a_relu_is_the_direction_of_the_signal_while_it_is_on():
    w, signal, distractor = toy(3)
    other = signal + distractor
    network = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 1), nn.ReLU(), nn.Linear(1, CLASSES))
    with torch.no_grad():
        network[1].weight.copy_(w[None])
        network[1].bias.fill_(-0.5 * w.sum())
    small = 0.1 / max(signal.abs().max(), other.abs().max())
    strength = torch.tensor([1.0, 2.0, 4.0])
    x = 0.5 + small * torch.cat([strength[:, None] * signal, -strength[:, None] * other])
    found = estimated(wrap(network, **PLAIN), x.view(-1, 3, 8, 8)).layers[0][0]
    assert_close(found, signal)
    everywhere = estimated(wrap(network[:2], labels=None, **PLAIN), x.view(-1, 3, 8, 8)).layers[0][0]
    assert (everywhere - signal).abs().max() > 0.1 * signal.abs().max()


class Unlike(nn.Module):
    """Convolutions with stride, padding, dilation and groups, with a ReLU and without."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.grouped = nn.Conv2d(6, 4, 2, stride=2, groups=2)
        self.dilated = nn.Conv2d(4, 4, 2, dilation=2, padding=(1, 0))
        self.fc = nn.Linear(4 * 4 * 2, CLASSES)

    def forward(self, x):
        x = self.grouped(F.relu(self.first(x)))
        return self.fc(self.dilated(x).clamp(min=0).flatten(1))


def by_hand(patches, weight, bias, rectified):
    """Equations 4 and 8 for patches (positions, numbers) and the weight (numbers,) of one neuron."""
    y = patches @ weight + bias
    on = y > 0 if rectified else torch.ones_like(y, dtype=torch.bool)
    x, y = patches[on], y[on]
    above = (x * y[:, None]).mean(0) - x.mean(0) * y.mean()
    return (above / (weight @ above)).nan_to_num(0)


def patches_of(x, convolution, group):
    size = convolution.in_channels // convolution.groups
    part = x[:, group * size : (group + 1) * size]
    unfolded = F.unfold(
        part, convolution.kernel_size, convolution.dilation, convolution.padding, convolution.stride
    )
    return unfolded.transpose(1, 2).flatten(0, 1)


@pytest.mark.parametrize("batch_size", [3, 100])
def test_patterns_of_convolutions_are_those_of_their_patches_in_any_number_of_batches(batch_size):
    network = settle(Unlike()).double()
    x = images(7)
    model = wrap(network, **PLAIN)
    found = estimated(model, x, batch_size=batch_size).layers
    with torch.no_grad():
        first = network.first(x.double())
        grouped = network.grouped(first.relu())
        dilated = network.dilated(grouped)
        inputs = [x.double(), first.relu(), grouped]
        layers = [network.first, network.grouped, network.dilated]
        for layer, given_, pattern, rectified in zip(
            layers, inputs, found, (True, False, True), strict=False
        ):
            for neuron in range(layer.out_channels):
                group = neuron // (layer.out_channels // layer.groups)
                reference = by_hand(
                    patches_of(given_, layer, group), layer.weight[neuron].flatten(), layer.bias[neuron],
                    rectified,
                )  # fmt: skip
                assert_close(pattern[neuron].flatten(), reference, dtype=torch.float32)
        for neuron in range(CLASSES):
            reference = by_hand(
                dilated.relu().flatten(1), network.fc.weight[neuron], network.fc.bias[neuron], False
            )
            assert_close(found[3][neuron], reference, dtype=torch.float32)


@pytest.mark.parametrize("network", RELU_NETWORKS.values())
def test_a_filter_passes_its_pattern_with_1(network):
    """But for a neuron that is never on, or always the same."""
    model = wrap(settle(network()))
    convolutions = [part for part in model.module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    patterns = estimated(model, images(20))
    assert len(patterns.layers) == len(convolutions)
    for pattern, layer in zip(patterns.layers, convolutions, strict=True):
        assert pattern.shape == layer.weight.shape
    fused = [each for each in convolutions if each.weight.shape == patterns.layers[-1].shape][-1]
    passed = (fused.weight.detach() * patterns.layers[-1]).flatten(1).sum(1)
    assert_close(passed, torch.ones_like(passed))


def test_a_neuron_that_is_never_on_has_a_pattern_of_zeros():
    network = settle(Functional())
    with torch.no_grad():
        network.conv1.bias[2] = -100
    found = estimated(wrap(network), images(6)).layers[0]
    assert (found.flatten(1) == 0).all(1).tolist() == [False, False, True, False, False, False]


class Normed(nn.Module):
    """A batch-norm of its own behind each convolution, with factors below 0, or none."""

    def __init__(self, conv1, norm1, conv2, norm2, fc):
        super().__init__()
        self.conv1, self.norm1, self.conv2, self.norm2, self.fc = conv1, norm1, conv2, norm2, fc

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(x))
        y += x
        return self.fc(y.relu_().mean((2, 3)))


@pytest.mark.parametrize("method", [pattern_net, pattern_attribution])
def test_batch_norm_is_part_of_the_convolution_before_it(method):
    apart = settle(
        Normed(
            nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.Conv2d(5, 5, 3, padding=1, bias=False),
            nn.BatchNorm2d(5), nn.Linear(5, CLASSES),
        )
    )  # fmt: skip
    with torch.no_grad():
        apart.norm1.weight.copy_(torch.tensor([1.0, -1.0, 0.5, -2.0, 1.5]))
    folded = Normed(
        fuse_conv_bn_eval(apart.conv1, apart.norm1), nn.Identity(),
        fuse_conv_bn_eval(apart.conv2, apart.norm2), nn.Identity(), apart.fc,
    ).eval()  # fmt: skip
    x = images(9)
    both = [estimated(wrap(network), x) for network in (apart, folded)]
    for first, second in zip(*(each.layers for each in both), strict=True):
        assert_close(first, second)
    made, reference = (
        method(wrap(network), x, 1, patterns=patterns)
        for network, patterns in zip((apart, folded), both, strict=True)
    )
    assert_close(made, reference)


# -- the backward rules -----------------------------------------------------------------------------------


def shapes_of(network):
    return [part.weight.shape for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear)]


#: Without batch norms that do not follow a convolution, which have no pattern.
NETWORKS = st.one_of(
    st.sampled_from(sorted(RELU_NETWORKS)).map(lambda name: RELU_NETWORKS[name]),
    st.lists(st.sampled_from([kind for kind in KINDS if kind != "dense"]), min_size=1, max_size=4).map(
        lambda kinds: lambda: Drawn(kinds)
    ),
)


@given(st.integers(0, 10_000), NETWORKS)
def test_patterns_of_ones_make_of_pattern_attribution_the_gradient(seed, make):
    """w * 1 is w, batch-norm and all; elementwise scaling has the factor 1."""
    model, x = wrap(settle(make(), seed)), images(2, seed)
    ones = Patterns(tuple(torch.ones_like(each) for each in estimated(model, x).layers), 0)
    made = pattern_attribution(model, x, 1, patterns=ones)
    reference = gradient(model, x, 1) * model.std * model.scores(x)[:, 1].view(2, 1, 1, 1)
    assert_close(made, reference)


@given(st.integers(0, 10_000), st.sampled_from(["functional", "concat"]), st.floats(0.2, 3))
def test_the_weights_as_patterns_make_of_pattern_net_the_gradient(seed, name, length):
    model, x = wrap(settle(RELU_NETWORKS[name](), seed), **PLAIN), images(2, seed)
    layers = [part for part in model.module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    made = pattern_net(
        model, x, 1, patterns=Patterns(tuple(length * each.weight.detach() for each in layers), 0)
    )
    reference = proportions(gradient(model, x, 1) * model.scores(x)[:, 1].view(2, 1, 1, 1))
    assert_close(made, reference)


@pytest.mark.parametrize("method", [pattern_net, pattern_attribution])
def test_the_way_back_by_hand(method):
    network = settle(Functional())
    model, x = wrap(network), images(3)
    patterns = estimated(model, images(30, seed=4))
    of_weight = (lambda w, a: a) if method is pattern_net else (lambda w, a: w * a)
    with torch.no_grad():
        z1 = network.conv1((x - model.mean) / model.std)
        pooled, switches = F.max_pool2d(z1.relu(), 2, return_indices=True)
        z2 = network.conv2(pooled)
        layers = [network.conv1, network.conv2, network.fc]
        instead = [of_weight(layer.weight, a) for layer, a in zip(layers, patterns.layers, strict=True)]
        back = (instead[2][1] * model.scores(x)[:, 1:2]).view(3, 8, 4, 4) * (z2 > 0)
        back = F.max_unpool2d(F.conv_transpose2d(back, instead[1], padding=1), switches, 2) * (z1 > 0)
        reference = F.conv_transpose2d(back, instead[0], padding=1)
        reference = proportions(reference * model.std) if method is pattern_net else reference
    assert_close(method(model, x, 1, patterns=patterns), reference)


def test_pattern_attribution_of_linear_layers_sums_to_the_score():
    network = settle(
        nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 7), nn.Linear(7, 5), nn.Linear(5, CLASSES))
    )
    model, x = wrap(network), images(2)
    made = pattern_attribution(model, x, 1, patterns=estimated(model, images(40, seed=2)))
    assert_close(made.sum((1, 2, 3)), model.scores(x)[:, 1])


@pytest.mark.parametrize("method", [pattern_net, pattern_attribution])
def test_images_that_are_not_square_and_double_precision(method):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.Flatten(2))
    single = wrap(Averaged(network), size=(9, 7))
    double = wrap(Averaged(copy.deepcopy(network).double()), size=(9, 7))
    x, others = torch.rand(2, 3, 9, 7), torch.rand(12, 3, 9, 7)
    made = method(single, x, 1, patterns=estimated(single, others))
    assert made.shape == x.shape
    precise = method.function(double, x.double(), torch.tensor([1, 1]), patterns=estimated(double, others))
    assert precise.dtype == torch.float64
    assert_close(made, precise, dtype=torch.float32)


class Averaged(nn.Sequential):
    def forward(self, x):
        return super().forward(x).mean(2)


def test_a_signal_that_grows_by_more_orders_of_magnitude_than_numbers_have_is_found_too(monkeypatch):
    """Such as the signal of ResNet-50."""
    model = wrap(settle(Drawn(["skip", "chain"] * 12)))
    large = Patterns(tuple(torch.full_like(each, 3.0) for each in estimated(model, images(4)).layers), 0)
    made = pattern_net(model, images(2), 1, patterns=large)
    assert (made.abs().amax((1, 2, 3)) == 1).all()
    monkeypatch.setattr("xai_widgets.attribution.patterns.START", 1.0)
    with pytest.raises(ValueError, match="overflows single precision"):
        pattern_net(model, images(2), 1, patterns=large)


def test_patterns_are_estimated_from_given_images():
    model, x, others = wrap(settle(SharedInPlace())), images(2), images(8, seed=3)
    made = pattern_net(model, x, 1, patterns=others)
    assert torch.equal(made, pattern_net(model, x, 1, patterns=estimated(model, others)))


# -- the run ----------------------------------------------------------------------------------------------


def test_each_snapshot_is_of_the_images_until_then():
    model, x = wrap(settle(Functional())), images(10)
    run = estimate_patterns(model, x, batch_size=4)
    counts = []
    for snapshot in run:
        reference = estimated(model, x[: snapshot.images])
        counts.append(snapshot.images)
        for each, other in zip(snapshot.layers, reference.layers, strict=True):
            assert_close(each, other)
    assert counts == [4, 8, 10]
    assert run.total == 3


def test_an_interrupted_estimate_keeps_what_was_reached():
    run = estimate_patterns(wrap(settle(Functional())), images(10), batch_size=2)
    for _ in run:
        if run.done == 2:
            run.cancel()
    assert run.latest.images == 4


# -- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [pattern_net, pattern_attribution])
def test_without_patterns_the_error_names_the_function(method):
    with pytest.raises(
        ValueError, match=r"expected patterns for .*, got none; pass patterns=estimate_patterns\(model"
    ) as error:
        method(wrap(settle(Functional())), images(1), 1)
    one_sentence(error)


def test_patterns_of_another_network_are_refused():
    patterns = estimated(wrap(settle(SharedInPlace())), images(4))
    with pytest.raises(ValueError, match="expected patterns of the 3 layers of Functional") as error:
        pattern_net(wrap(settle(Functional())), images(1), 1, patterns=patterns)
    one_sentence(error)


class Transposed(Functional):
    def __init__(self):
        super().__init__()
        self.conv2 = nn.ConvTranspose2d(6, 8, 3, padding=1)


@pytest.mark.parametrize(
    ("network", "x", "options", "message"),
    [
        (Functional, images(1), {}, "expected at least 2 images .* got 1"),
        (Functional, images(2), {"batch_size": 0}, "batch_size.*got 0"),
        (Smooth, images(2), {}, "got 'gelu' in .*, for which PatternNet has no rule"),
        (
            Transposed,
            images(2),
            {},
            r"expected convolutions .* shape \(6, 8, 3, 3\) .* transposed convolution",
        ),
    ],
)
def test_what_patterns_are_not_estimated_from(network, x, options, message):
    with pytest.raises(ValueError, match=message) as error:
        estimated(wrap(settle(network())), x, **options)
    one_sentence(error)


def test_a_signal_beyond_single_precision_is_refused():
    model = wrap(settle(Functional()))
    huge = Patterns(tuple(torch.full(shape, 1e30) for shape in shapes_of(model.module)), 0)
    with pytest.raises(ValueError, match=r"overflows single precision; .* 'pattern_attribution'") as error:
        pattern_net(model, images(1), 1, patterns=huge)
    one_sentence(error)


STRIDED = """
import torch
from torch import nn
from xai_widgets import ImageModel
from xai_widgets.methods import get

torch.manual_seed(0)
pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
network = nn.Sequential(nn.Conv2d(3, 16, 1, stride=2), nn.ReLU(), *pool, nn.Linear(16, 4)).eval()
network = network.to(memory_format=torch.channels_last)
model = ImageModel(network, size=(64, 96))
x = torch.rand(8, 3, 64, 96)
for _ in range(20):
    get("pattern_net")(model, x[:1], 0, patterns=x)
    get("meta_saliency")(model, x[:1], 0, method="gradient")
print("done")
"""


def test_a_strided_convolution_of_one_pixel_does_not_crash_the_process():
    # oneDNN writes past the memory of this gradient of the weight if the input is channels-last.
    done = subprocess.run([sys.executable, "-c", STRIDED], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-2000:]


def test_patterns_from_few_images_give_a_warning():
    model = wrap(settle(SharedInPlace()))
    for method in (pattern_net, pattern_attribution):
        with pytest.warns(UserWarning, match="estimated from 8 images, which is too few"):
            method(model, images(1), 1, patterns=images(8))


def test_half_precision_has_no_range_for_pattern_net():
    model = wrap(settle(SharedInPlace()).half())
    with pytest.raises(ValueError, match="in float16, in whose range the signal is 0"):
        pattern_net(model, images(1), 1, patterns=images(8))
