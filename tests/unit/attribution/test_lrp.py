"""Layer-wise relevance propagation: values by hand, sums, batch norm, skips, and torchvision's networks."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close, near, rounding
from hypothesis import given
from hypothesis import strategies as st
from networks import (
    CLASSES,
    KINDS,
    RELU_NETWORKS,
    Drawn,
    Functional,
    Linear,
    SharedInPlace,
    images,
    settle,
    wrap,
)
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision_networks import BUILDERS

from xai_widgets.attribution import COMPOSITES, Composite, conservation_gap, gradient, lrp
from xai_widgets.attribution.lrp_rules import (
    AlphaBeta,
    Epsilon,
    Flat,
    Gamma,
    WithoutBias,
    WSquare,
    ZBox,
    ZPlus,
)
from xai_widgets.core.model import ImageModel
from xai_widgets.rules import Operation

PLAIN = {"mean": [0.0] * 3, "std": [1.0] * 3}


def quietly(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return lrp(*arguments, **options)


# -- by hand ----------------------------------------------------------------------------------------------

A = torch.tensor([2.0, 1.0])
#: One output, z = 3 * 2 - 4 * 1 + b.
DENSE = Operation(F.linear, "dense", torch.tensor([1.0]), (0, -1))
W = torch.tensor([[3.0, -4.0]])


@pytest.mark.parametrize(
    ("rule", "a", "expected"),
    [
        (Epsilon(0.0), A, [6 / 3, -4 / 3]),
        (Epsilon(1.0), A, [6 / 4, -4 / 4]),
        # z = -9: epsilon goes away from 0.
        (Epsilon(1.0), torch.tensor([-2.0, 1.0]), [-6 / -10, -4 / -10]),
        # In proportion to w + gamma w+, with the bias 1 + gamma 1.
        (Gamma(0.5), A, [9 / 6.5, -4 / 6.5]),
        # z = -9, which favors what is below 0: -6 and -4; the bias speaks against it.
        (Gamma(0.5), torch.tensor([-2.0, 1.0]), [-9 / -14, -6 / -14]),
        (AlphaBeta(2.0, 1.0), A, [2 * 6 / 7, -1.0]),
        # (-1) times -4 speaks for it.
        (AlphaBeta(3.0, 2.0), torch.tensor([-2.0, -1.0]), [-2.0, 3 * 4 / 5]),
        (ZPlus(), A, [6 / 7, 0]),
        (ZPlus(), torch.tensor([-2.0, -1.0]), [0, 4 / 5]),
        # (2 - 0) 3 and (1 - 4) (-4), the bounds 0 and 4.
        (ZBox(0.0, 4.0), A, [6 / 18, 12 / 18]),
        (WSquare(), A, [9 / 25, 16 / 25]),
        (Flat(), A, [1 / 2, 1 / 2]),
        (WithoutBias(Epsilon(0.0)), A, [6 / 2, -4 / 2]),
        # 6 and -4 without the bias, of which 6 is favored.
        (WithoutBias(Gamma(0.5)), A, [9 / 5, -4 / 5]),
        (WithoutBias(ZPlus()), A, [1.0, 0]),
        # -6 and -4: nothing is positive.
        (WithoutBias(ZPlus()), torch.tensor([-2.0, 1.0]), [0.0, 0.0]),
        (WithoutBias(ZPlus(), fallback=WSquare()), torch.tensor([-2.0, 1.0]), [9 / 25, 16 / 25]),
        (WithoutBias(Gamma(), fallback=WSquare()), torch.tensor([0.0, 0.0]), [9 / 25, 16 / 25]),
    ],
)
def test_rules_by_hand(rule, a, expected):
    made = rule.redistribute(a[None], W, DENSE, torch.tensor([[10.0]]))
    assert_close(made[0], 10 * torch.tensor(expected))


@pytest.mark.parametrize("rule", [Epsilon(0.0), Gamma(), AlphaBeta(), ZPlus(), ZBox(), WSquare(), Flat()])
def test_what_nothing_came_to_shares_nothing_out(rule):
    nothing = Operation(F.linear, "dense", None, (0, -1))
    made = rule.redistribute(torch.zeros(1, 2), torch.zeros(1, 2), nothing, torch.ones(1, 1))
    assert torch.isfinite(made).all()
    assert made.sum() == (1 if isinstance(rule, Flat) else 0)


class Skip(nn.Module):
    """S = 3 h + 2 y, h = relu(2a - b), y = h + a, with a and b the pixels of a 1 x 2 gray image."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(2, 1, bias=False)
        self.scores = nn.Linear(2, 1, bias=False)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.tensor([[2.0, -1.0]]))
            self.scores.weight.copy_(torch.tensor([[3.0, 2.0]]))

    def forward(self, x):
        x = x.flatten(1)
        h = F.relu(self.hidden(x))
        return self.scores(torch.cat([h, h + x[:, :1]], 1))


def test_a_skip_by_hand():
    model = ImageModel(Skip(), size=(1, 2), mean=[0.0], std=[1.0], device="cpu")
    x = torch.tensor([0.5, 0.4]).view(1, 1, 1, 2)
    # h = 0.6, y = 1.1, S = 4.0: 1.8 to h and 2.2 to y, of which 1.2 to h and 1.0 to a.
    assert lrp(model, x, 0, composite="zero").flatten().tolist() == near([5.0 + 1.0, -2.0])
    assert lrp(model, x, 0, composite="z_plus").flatten().tolist() == near([3.0 + 1.0, 0.0])
    # The box of [0, 1]: 2 * 0.5 and (0.4 - 1) * -1.
    box = lrp(model, x, 0, composite="deep_taylor").flatten().tolist()
    assert box == near([3.0 * 1.0 / 1.6 + 1.0, 3.0 * 0.6 / 1.6])


@pytest.mark.parametrize("network", RELU_NETWORKS.values())
def test_lrp_0_is_gradient_x_what_the_normalization_makes_of_the_pixels(network):
    model, x = wrap(settle(network())), images(2)
    expected = (x - model.mean) * gradient(model, x, 1)
    assert_close(quietly(model, x, 1, composite="zero"), expected)
    # An epsilon that is far below every neuron changes nothing; in float64 it can be.
    model, x = wrap(settle(network()).double()), x.double()
    made = lrp.function(model, x, torch.tensor([1, 1]), composite=Epsilon(1e-12))
    expected = (x - model.mean) * gradient.function(model, x, torch.tensor([1, 1]))
    assert_close(made, expected, dtype=torch.float32)


class Dense(nn.Module):
    """A batch-norm and constants after a concatenation, which are part of no convolution."""

    def __init__(self):
        super().__init__()
        self.stem, self.more = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.last, self.fc = nn.BatchNorm2d(8), nn.Conv2d(8, 6, 3), nn.Linear(6, CLASSES)

    def forward(self, x):
        first = self.stem(x)
        y = torch.cat([first, self.more(first.relu())], 1)
        y = self.norm(y).mul_(1.5).add_(0.1).relu_()
        return self.fc(self.last(y).relu().mean((2, 3)))


def test_batch_norm_after_a_concatenation_is_a_layer_of_its_own_under_lrp_0():
    model, x = wrap(settle(Dense())), images(2)
    expected = (x - model.mean) * gradient(model, x, 1)
    assert_close(quietly(model, x, 1, composite="zero"), expected)


def test_batch_norm_after_a_concatenation_passes_relevance_on_under_the_others():
    """Where no relevance is taken above it and below it, none is taken by its shift."""
    network = settle(Dense())
    with torch.no_grad():
        for part in (network.stem, network.more, network.last, network.fc):
            part.bias.zero_()
    model, x = wrap(network), images(2)
    made = quietly(model, x, 1, composite="epsilon_plus_flat")
    assert_close(conservation_gap(model, made, x, 1), torch.zeros(2), scale=made.abs().sum((1, 2, 3)))


def test_bounds_are_those_of_the_pixels_whatever_the_normalization():
    """z^B of a network behind a normalization is z^B of one that has it in its weights."""
    inside = settle(Linear())
    std = torch.tensor([0.25, 0.2, 0.3]).view(1, 3, 1, 1).expand(1, 3, 8, 8).flatten()
    outside = Linear()
    with torch.no_grad():
        outside.fc.weight.copy_(inside.fc.weight / std)
        outside.fc.bias.zero_()
        inside.fc.bias.zero_()
    box, x = Composite(Epsilon(), Epsilon(), first=ZBox()), images(2)
    # The relevance to share out differs by the constant of the normalization.
    first, second = (
        quietly(model, x, 1, composite=box) / model.scores(x)[:, 1].view(2, 1, 1, 1)
        for model in (wrap(inside), wrap(outside, **PLAIN))
    )
    assert_close(first, second)


def test_bounds_go_through_what_the_network_does_before_its_first_layer():
    class Turned(Linear):
        def forward(self, x):
            return super().forward((1 - x) * 2)

    x = images(1)
    plain, turned = settle(Linear()), settle(Turned())
    with torch.no_grad():
        plain.fc.bias.copy_(turned.fc.bias + 2 * turned.fc.weight.sum(1))
        plain.fc.weight.copy_(-2 * turned.fc.weight)
    box = Composite(Epsilon(), Epsilon(), first=ZBox())
    of_turned, of_plain = (quietly(wrap(each, **PLAIN), x, 1, composite=box) for each in (turned, plain))
    assert_close(of_turned, of_plain)


# -- batch-norm -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("composite", COMPOSITES)
def test_batch_norm_is_part_of_the_convolution_before_it(composite):
    """With factors below 0 too, and where the convolution's own output is used as well."""

    class Both(nn.Module):
        def __init__(self, norm, conv, fc):
            super().__init__()
            self.norm, self.conv, self.fc, self.plain = norm, conv, fc, nn.Conv2d(3, 6, 3, padding=1)

        def forward(self, x):
            y = self.plain(x)
            normed = self.norm(y) if isinstance(self.norm, nn.BatchNorm2d) else self.conv(x)
            return self.fc(torch.cat([normed.relu(), y.relu()], 1).flatten(1))

    apart = settle(Both(nn.BatchNorm2d(6), None, nn.Linear(12 * 64, CLASSES)))
    with torch.no_grad():
        apart.norm.weight.copy_(torch.tensor([1.0, -1.0, 0.5, -2.0, -0.3, 2.0]))
    folded = Both(None, fuse_conv_bn_eval(apart.plain, apart.norm), apart.fc)
    folded.plain = apart.plain
    x = images(2)
    made, expected = (quietly(wrap(each.eval()), x, 1, composite=composite) for each in (apart, folded))
    assert_close(made, expected)


@pytest.mark.parametrize("composite", ["epsilon", "gamma", "z_plus"])
@pytest.mark.parametrize(
    "operation",
    [
        lambda m, y: y * m.scale + m.shift, lambda m, y: m.shift + y.mul_(m.scale),
        lambda m, y: (y - -m.shift / m.scale) * m.scale, lambda m, y: y.mul_(m.scale).add_(m.shift),
        lambda m, y: m.shift - y * -m.scale, lambda m, y: y / (1 / m.scale) + m.shift,
    ],
)  # fmt: skip
def test_constants_of_each_channel_are_part_of_the_convolution_too(operation, composite):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 64, CLASSES)
            self.scale = nn.Parameter(torch.tensor([1.0, -2.0, 0.5, -1.0]).view(4, 1, 1))
            self.shift = nn.Parameter(torch.tensor([0.1, 0.2, -0.1, 0.3]).view(4, 1, 1))

        def forward(self, x):
            return self.fc(operation(self, self.conv(x)).relu().flatten(1))

    class Within(Scaled):
        def forward(self, x):
            weight = self.conv.weight * self.scale[..., None]
            bias = self.conv.bias * self.scale.flatten() + self.shift.flatten()
            return self.fc(F.conv2d(x, weight, bias, padding=1).relu().flatten(1))

    made, expected = (
        quietly(wrap(settle(network())), images(2), 1, composite=composite) for network in (Scaled, Within)
    )
    assert_close(made, expected)


def test_batch_norm_without_running_statistics_takes_those_of_the_batch():
    def made(norm):
        return nn.Sequential(nn.Conv2d(3, 6, 3), norm, nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, CLASSES))

    # In float64: relevance is divided by neurons near 0.
    x = images(2).double()
    batch, fixed = (made(nn.BatchNorm2d(6, track_running_stats=kept)).double() for kept in (False, True))
    settle(fixed)
    batch.eval()
    with torch.no_grad():
        y = fixed[0](x)
        fixed[1].running_mean.copy_(y.mean((0, 2, 3)))
        fixed[1].running_var.copy_(y.var((0, 2, 3), correction=0))
        for theirs, ours in zip(batch.parameters(), fixed.parameters(), strict=True):
            theirs.copy_(ours)
    for composite in ("epsilon", "gamma"):
        first, second = (
            lrp.function(wrap(each, **PLAIN), x, torch.tensor([1, 1]), composite=composite)
            for each in (batch, fixed)
        )
        assert_close(first, second, dtype=torch.float32)


# -- its sums ---------------------------------------------------------------------------------------------


#: Those that share out all that comes to a neuron. LRP-0 and epsilon have a bias for a batch-norm that no convolution
#: is before; alpha-beta shares out alpha where nothing speaks against a neuron.
CONSERVING = ["zero", "epsilon_gamma_box", "gamma"]
#: Those that share out what comes to a neuron for which something speaks, as for every one that is on.
CONSERVING_BEHIND_RELU = ["epsilon_plus", "epsilon_plus_flat"]
#: Networks in which no convolution is without its own ReLU; before an addition one may be below 0.
RECTIFIED = ["chain", "branches", "average", "max"]


def drawn(kinds):
    return st.lists(st.sampled_from(kinds), min_size=1, max_size=4).map(
        lambda some: lambda: Drawn(some, bias=False)
    )


NETWORKS = st.one_of(
    st.sampled_from(sorted(RELU_NETWORKS)).map(lambda name: RELU_NETWORKS[name]),
    drawn([*KINDS, "gelu", "gate"]),
)


@given(st.integers(0, 10_000), NETWORKS, st.sampled_from(CONSERVING))
def test_relevance_sums_to_the_score_without_biases(seed, make, composite):
    check_sum(seed, make, composite)


@given(st.integers(0, 10_000), drawn(RECTIFIED), st.sampled_from(CONSERVING_BEHIND_RELU))
def test_relevance_by_z_plus_sums_to_the_score_where_every_convolution_has_a_relu(seed, make, composite):
    check_sum(seed, make, composite)


def check_sum(seed, make, composite):
    network = settle(make(), seed)
    with torch.no_grad():
        for part in network.modules():
            if getattr(part, "bias", None) is not None:
                part.bias.zero_()
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.zero_()
    # In double precision: a score near 0 is a difference of large ones.
    model = wrap(network.double(), **PLAIN)
    x, target = images(2, seed).double(), torch.tensor([seed % CLASSES, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = lrp.function(model, x, target, composite=composite)
    score = model(x).detach().double().gather(1, target[:, None])[:, 0]
    scale = score.abs() + 1e-3
    assert ((made.sum((1, 2, 3)) - score).abs() < 1e-2 * scale).all()


@given(st.integers(0, 10_000), st.sampled_from(sorted(RELU_NETWORKS)))
def test_z_plus_has_the_sign_of_the_score_and_no_more_than_it(seed, name):
    model, x = wrap(settle(RELU_NETWORKS[name](), seed)), images(2, seed)
    score = model.scores(x)[:, 1].view(2, 1, 1, 1)
    for composite in ("z_plus", "deep_taylor", "deep_taylor_unbounded"):
        share = quietly(model, x, 1, composite=composite) / score
        assert (share >= -rounding(share)).all()
        assert (share.sum((1, 2, 3)) <= 1 + rounding(share.abs().sum((1, 2, 3)))).all()


def test_a_gap_gives_a_warning_with_both_numbers():
    network = settle(Functional())
    with torch.no_grad():
        network.fc.bias.fill_(100.0)
    model, x = wrap(network), images(1)
    with pytest.warns(UserWarning, match=r"relevance of .* is incomplete .sum .*, expected") as caught:
        made = lrp(model, x, 1, composite="epsilon")
    score = model.scores(x)[0, 1].item()
    assert f"(sum {made.sum().item():.3g}, expected {score:.3g})" in str(caught[0].message)
    assert conservation_gap(model, made, x, 1).item() == near(
        made.sum().item() - score, scale=made.abs().sum() + abs(score)
    )


def test_no_warning_where_nothing_is_lost():
    network = settle(Functional())
    with torch.no_grad():
        for part in (network.conv1, network.conv2, network.fc):
            part.bias.zero_()
    model, x = wrap(network), images(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = lrp(model, x, 1, composite="epsilon")
    assert_close(conservation_gap(model, made, x, 1), torch.zeros(2), scale=made.abs().sum((1, 2, 3)))


# -- networks of torchvision ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILDERS)
def test_relevance_of_torchvisions_networks_is_of_the_order_of_the_score(name):
    """Known peers return 1e15 for the sum on residual networks."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = BUILDERS[name](10)
        for part in network.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight)
            if isinstance(part, nn.Linear):
                nn.init.kaiming_normal_(part.weight)
                nn.init.zeros_(part.bias)
    model, x = ImageModel(network, size=64, device="cpu"), images(1, size=64)
    scores = model.scores(x)[0]
    # The class whose score is farthest from 0, where the sum and the score can be compared.
    target = int(scores.abs().argmax())
    score = scores[target].item()
    for composite in ("epsilon", "gamma", "epsilon_plus", "epsilon_gamma_box", "alpha_beta"):
        made = quietly(model, x, target, composite=composite)
        # Alpha-beta shares out alpha where nothing speaks against a neuron.
        within = 10 if composite == "alpha_beta" else 0.1
        assert abs(made.sum().item() - score) < within * abs(score), composite
        assert made.abs().sum().item() < 1e4 * abs(score), composite


# -- its cost ---------------------------------------------------------------------------------------------


def test_one_forward_and_one_backward_pass():
    class Counting(SharedInPlace):
        passes = 0

        def forward(self, x):
            Counting.passes += 1
            return super().forward(x)

    model = wrap(settle(Counting()))
    model.layers()
    for composite in ("epsilon_plus", "zero"):
        Counting.passes = 0
        quietly(model, images(2), 1, composite=composite)
        assert Counting.passes == 1
