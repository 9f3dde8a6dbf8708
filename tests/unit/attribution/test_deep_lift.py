"""DeepLIFT: by hand, RevealCancel against its equations neuron by neuron, and its sum on random networks."""

from collections import Counter
from itertools import pairwise
from weakref import ref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close, near
from hypothesis import given
from hypothesis import strategies as st
from networks import CLASSES, KINDS, SMOOTH_KINDS, Drawn, SharedInPlace, images, one_sentence, settle, wrap
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision_networks import BUILDERS

from xai_widgets.attribution import completeness_gap, deep_lift, gradient
from xai_widgets.attribution.deep_lift_rules import Rectified
from xai_widgets.core.model import ImageModel
from xai_widgets.rules.calls import Call

RULES = ["rescale", "reveal_cancel", "reveal_cancel_dense"]
PLAIN = {"mean": [0.0] * 3, "std": [1.0] * 3}


def pixels_of(*values):
    """One pixel of three channels; of three values or fewer, the rest are 0."""
    return torch.tensor([*values, *[0.0] * (3 - len(values))]).view(1, 3, 1, 1)


def explain(network, x, target=0, **options):
    model = ImageModel(network, size=1, **PLAIN)
    return deep_lift(model, x, target, **options).flatten().tolist()


# -- by hand ----------------------------------------------------------------------------------------------


class Minimum(nn.Module):
    """min(p, q) = p - relu(p - q), the example with which the authors motivate RevealCancel."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 1, bias=False)
        self.first.weight.data.copy_(torch.tensor([[1.0, -1.0, 0.0]]))

    def forward(self, x):
        x = x.flatten(1)
        return torch.cat([x[:, :1] - F.relu(self.first(x)), x[:, 1:2]], 1)


def test_the_minimum_of_two_is_due_to_one_by_rescale_and_to_both_by_reveal_cancel():
    x = pixels_of(0.75, 0.5)
    # Delta p = 0.75, its part of relu(0.25) is 1 * 0.75: nothing of p is left, and all of -(-0.5) is that of q.
    assert explain(Minimum(), x) == near([0.0, 0.5, 0.0])
    # relu: p gives (0.75 + 0.25) / 2, q gives (0 + 0.25 - 0.75) / 2.
    for rule in ("reveal_cancel", "reveal_cancel_dense"):
        assert explain(Minimum(), x, rule=rule) == near([0.75 - 0.5, 0.25, 0.0])
    # Below the kink q gives nothing by rescale either way.
    assert explain(Minimum(), pixels_of(0.5, 0.75)) == near([0.5, 0.0, 0.0])
    assert explain(Minimum(), pixels_of(0.5, 0.75), rule="reveal_cancel") == near([0.25, 0.25, 0.0])


class Largest(nn.Module):
    """The larger one of two pixels, by a max-pool."""

    def forward(self, x):
        return F.max_pool2d(x, (1, 2)).flatten(1)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("x", "baseline", "expected"),
    [
        # The winner rises above the reference's maximum: M = 0.9.
        ([0.9, 0.1], [0.2, 0.5], [0.4, 0.0]),
        # It falls, M = 0.9: the loss is that of the winner of the reference.
        ([0.2, 0.5], [0.9, 0.1], [-0.4, 0.0]),
        ([0.2, 0.5], [0.2, 0.4], [0.0, 0.1]),
    ],
)
def test_a_max_pool_by_hand(rule, x, baseline, expected):
    x, baseline = (torch.tensor(part).view(1, 1, 1, 2).expand(1, 3, 1, 2) for part in (x, baseline))
    model = ImageModel(Largest(), size=(1, 2), **PLAIN)
    made = deep_lift(model, x, 1, baseline=baseline, rule=rule)
    assert made[0, 1, 0].tolist() == near(expected)
    assert made[0, [0, 2]].abs().max() == 0


class Product(nn.Module):
    def forward(self, x):
        x = x.flatten(1)
        return x[:, :1] * x[:, 1:].sigmoid()


@pytest.mark.parametrize("rule", RULES)
def test_of_a_product_each_takes_half_of_its_change_before_and_after_the_other(rule):
    s, s0 = torch.tensor([0.8, 0.1]).sigmoid().tolist()
    made = explain(Product(), pixels_of(0.6, 0.8), baseline=pixels_of(0.2, 0.1), rule=rule)
    assert made == near([0.4 * (s + s0) / 2, (s - s0) * (0.6 + 0.2) / 2, 0.0])


# -- RevealCancel, neuron by neuron -------------------------------------------------------------------------


def split_multipliers(weights, change, positive, negative):
    """The linear rule for one input: w goes with the multiplier of the sign of w Delta x; half of each for none."""
    part = weights * change
    return sum(
        w * (p if c > 0 else n if c < 0 else (p + n) / 2)
        for w, c, p, n in zip(weights, part, positive, negative, strict=True)
    )


def revealed(before, up, down):
    """Equations 23 and 24 for a ReLU."""

    def g(change):
        return max(before + change, 0.0)

    return (g(up) - g(0) + g(up + down) - g(down)) / 2, (g(down) - g(0) + g(up + down) - g(up)) / 2


def reveal_cancel(layers, x, x0, target):
    """Contributions of a chain of dense layers with ReLU between; equations 22 to 25 in loops."""
    values, parts = [(x, x0)], []
    for n, (w, b) in enumerate(layers):
        x, x0 = values[-1]
        given = [w[j] * (x - x0) for j in range(len(w))]
        parts.append([(part[part > 0].sum(), part[part < 0].sum()) for part in given])
        y, y0 = w @ x + b, w @ x0 + b
        parts[-1].append((y, y0))
        values.append((y, y0) if n == len(layers) - 1 else (y.clip(0), y0.clip(0)))
    last = layers[-1][0]
    multipliers = np.zeros(len(last))
    multipliers[target] = 1.0
    positive = negative = multipliers
    for n in range(len(layers) - 1, -1, -1):
        w, (x, x0) = layers[n][0], values[n]
        m = np.array([split_multipliers(w[:, i], x[i] - x0[i], positive, negative) for i in range(len(x))])
        if n == 0:
            return m * (x - x0)
        *signed, (_, before) = parts[n - 1]
        positive, negative = np.zeros(len(x)), np.zeros(len(x))
        for i, (up, down) in enumerate(signed):
            gained, lost = revealed(before[i], up, down)
            # Where nothing is to be divided by, the limit of the quotient.
            limit = [np.mean([before[i] > 0, before[i] + other > 0]) for other in (down, up)]
            positive[i] = m[i] * (gained / up if up else limit[0])
            negative[i] = m[i] * (lost / down if down else limit[1])
    return None


@given(st.integers(0, 10_000))
def test_reveal_cancel_follows_its_equations(seed):
    generator = np.random.default_rng(seed)
    sizes = [3, 5, 4, 3]
    layers = [(generator.normal(size=(o, i)), generator.normal(size=o) * 0.5) for i, o in pairwise(sizes)]
    # An image is in single precision, whatever computes with it.
    x, x0 = (generator.random(3).astype(np.float32).astype(np.float64) for _ in range(2))
    network = nn.Sequential(nn.Flatten())
    for n, (w, b) in enumerate(layers):
        layer = nn.Linear(w.shape[1], w.shape[0])
        layer.weight.data, layer.bias.data = torch.tensor(w), torch.tensor(b)
        network.extend([layer] if n == len(layers) - 1 else [layer, nn.ReLU()])
    model = ImageModel(network.double(), size=1, **PLAIN)
    as_pixels = [torch.tensor(part).view(1, 3, 1, 1) for part in (x, x0)]
    for rule in ("reveal_cancel", "reveal_cancel_dense"):
        made = deep_lift.function(
            model, as_pixels[0], torch.tensor([seed % 3]), baseline=as_pixels[1], rule=rule
        )
        assert_close(made.flatten(), reveal_cancel(layers, x, x0, seed % 3))


def test_batch_norm_is_part_of_the_layer_before_it():
    network = settle(SharedInPlace())
    # A negative factor swaps the positive and the negative part.
    network.block1.bn1.weight.data[::2] *= -1
    fused = settle(SharedInPlace())
    fused.load_state_dict(network.state_dict())
    for block in (fused.block1, fused.block2):
        block.conv1, block.bn1 = fuse_conv_bn_eval(block.conv1.eval(), block.bn1.eval()), nn.Identity()
    x = images(2)
    for rule in RULES:
        made, expected = (deep_lift(wrap(each), x, [1, 2], rule=rule) for each in (network, fused))
        assert_close(made, expected)


# -- sums and refusals ------------------------------------------------------------------------------------


@given(
    st.integers(0, 10_000),
    st.lists(st.sampled_from(KINDS + SMOOTH_KINDS), min_size=1, max_size=4),
    st.sampled_from(RULES),
)
def test_contributions_sum_to_the_change_of_the_score(seed, kinds, rule):
    model = wrap(settle(Drawn(kinds), seed).double())
    x, baseline = images(2, seed).double(), images(2, seed + 1).double()
    target = torch.tensor([seed % CLASSES, 1])
    made = deep_lift.function(model, x, target, baseline=baseline, rule=rule)
    scores = model(torch.cat([x, baseline])).detach().double()
    change = (scores[:2] - scores[2:]).gather(1, target[:, None])[:, 0]
    magnitude = made.abs().sum((1, 2, 3))
    # The scores are float32, whatever the network computes in.
    assert_close(made.sum((1, 2, 3)), change, scale=magnitude, dtype=torch.float32)


@pytest.mark.parametrize("name", ["bottleneck", "densenet", "googlenet", "vgg11_bn", "mobilenet_v2"])
def test_contributions_sum_on_torchvisions_networks(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = BUILDERS[name](10)
        for part in network.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(part.weight)
            if isinstance(part, nn.BatchNorm2d):
                nn.init.normal_(part.bias, 0, 0.1)
    model, x = ImageModel(network, size=64, device="cpu"), images(1, size=64)
    for rule in ("rescale", "reveal_cancel"):
        made = deep_lift(model, x, 1, rule=rule)
        change = (model.scores(x) - model.scores(torch.zeros_like(x)))[0, 1].item()
        assert made.sum().item() == near(change, scale=made.abs().sum())
        assert made.gap.item() == near(0, scale=made.abs().sum())


@pytest.mark.parametrize("rule", RULES)
def test_scores_linear_in_the_pixels_have_the_gradient_as_multiplier(rule):
    network = settle(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, CLASSES)))
    x = images(2)
    made = deep_lift(wrap(network), x, 1, baseline=0.5, rule=rule)
    assert_close(made, gradient(wrap(network), x, 1) * (x - 0.5))


def test_the_image_of_the_reference_has_nothing_to_explain():
    model = wrap(settle(SharedInPlace()))
    x = images(2)
    for rule in RULES:
        assert deep_lift(model, x, 1, baseline=x, rule=rule).abs().max() == 0


def test_one_reference_for_all_is_one_for_each():
    model, x = wrap(settle(SharedInPlace())), images(3)
    baseline = images(1, seed=5)
    for rule in RULES:
        one = deep_lift(model, x, 1, baseline=baseline[0], rule=rule)
        # Not all equal to the first, so that none is left out.
        each = deep_lift(model, x, 1, baseline=baseline.repeat(3, 1, 1, 1), rule=rule)
        assert_close(one, each)
        other = deep_lift(model, x, 1, baseline=torch.stack([baseline[0], x[0], x[1]]), rule=rule)
        assert_close(one[:1], other[:1])
        assert not torch.allclose(one[1:], other[1:], atol=1e-3)


def test_a_gap_gives_a_warning_with_both_numbers():
    # Without running statistics the reference, in a batch of its own, is normalized otherwise.
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(144, 4),
    )
    model = wrap(settle_parts(network))
    with pytest.warns(UserWarning, match=r"DeepLIFT of Sequential is incomplete .sum .*, expected"):
        made = deep_lift(model, images(1), 1)
    assert completeness_gap(model, made, images(1), 1).abs().max() > 1e-2


def settle_parts(network):
    """Random weights where there are no running statistics."""
    for part in network:
        if isinstance(part, nn.Conv2d | nn.Linear):
            settle(nn.Sequential(part))
    return network.eval()


def test_an_unknown_rule_is_named_with_the_nearest():
    with pytest.raises(ValueError, match="reveal_cancel") as error:
        deep_lift(wrap(settle(SharedInPlace())), images(1), 1, rule="reveal")
    one_sentence(error)


# -- what it costs ----------------------------------------------------------------------------------------


class Counted(TorchDispatchMode):
    """Counts the operations of torch inside the block by name."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls[func._schema.name.removeprefix("aten::")] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("inplace", [False, True])
def test_a_rectifier_takes_no_comparisons_and_no_pass_of_its_own(inplace):
    layers = 4
    network = nn.Sequential(
        *(part for _ in range(layers) for part in (nn.Conv2d(3, 3, 3, padding=1), nn.ReLU6(inplace))),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, CLASSES),
    )  # fmt: skip
    model, x = wrap(settle(network)), images(1)
    deep_lift.function(model, x, torch.tensor([1]))
    with Counted() as mode:
        deep_lift.function(model, x, torch.tensor([1]))
    # The image and the reference forward, and the image backward.
    assert mode.calls["convolution"] == 2 * layers
    assert mode.calls["convolution_backward"] == layers
    # Those of the check that all references are one, and of the scores.
    assert mode.calls["eq"] + mode.calls["le"] <= 2
    assert mode.calls["where"] + mode.calls["masked_fill"] == 0


def test_the_reference_keeps_no_activations_for_a_backward_pass():
    convolution, norm, end = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(288, CLASSES)
    model = wrap(settle(nn.Sequential(convolution, norm, nn.Flatten(), end)))
    outputs, kept = [], []
    handles = [
        convolution.register_forward_hook(lambda _part, _given, output: outputs.append(ref(output))),
        end.register_forward_hook(lambda *_: kept.append(outputs[-1]() is not None)),
    ]
    deep_lift.function(model, images(1), torch.tensor([1]))
    for handle in handles:
        handle.remove()
    # The norm after the convolution keeps its input for the backward pass of the image.
    assert kept == [False, True]


@pytest.mark.parametrize("kind", [nn.ReLU, nn.ReLU6])
@pytest.mark.parametrize("inplace", [False, True])
def test_where_nothing_changes_the_multiplier_is_the_derivative(kind, inplace):
    values = torch.tensor([-1.0, 0.0, 0.5, 6.0, 7.0])
    x = values.clone().requires_grad_()
    given = x * 1
    call = Call(kind(inplace), (given,), {}, given, inplace)
    call.upper = 6.0 if kind is nn.ReLU6 else None
    y = Rectified.apply(given, values.clone(), call)
    assert torch.equal(y, kind()(values))
    assert (y is given) == inplace
    (multiplier,) = torch.autograd.grad(y.sum(), x)
    assert multiplier.tolist() == [0.0, 0.0, 1.0, *([1.0, 1.0] if kind is nn.ReLU else [0.0, 0.0])]
