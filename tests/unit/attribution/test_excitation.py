"""Excitation backprop: values by hand on small networks, sums, and every operation."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close, near, rounding
from examples import fewer_examples
from hypothesis import given
from hypothesis import strategies as st
from networks import CLASSES, RELU_NETWORKS, Functional, SharedInPlace, images, one_sentence, settle, wrap
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import xai_widgets
from xai_widgets.attribution import contrastive_excitation_backprop, excitation_backprop, probability_gap
from xai_widgets.attribution.excitation import contrast_layer_of, excitation_layer, winning_probability
from xai_widgets.core.hooks import record_outputs
from xai_widgets.core.model import ImageModel
from xai_widgets.rules.excitation import redistribute


def quietly(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return excitation_backprop(*arguments, **options)


def shared(p, a, weight, forward):
    """Equation 4.11 for all neurons of a layer: a_j times what its parents give it."""
    excitation = forward(a, weight.clamp(min=0))
    ratio = torch.where(excitation > 0, p / excitation.clamp(min=1e-20), 0)
    given = a.clone().requires_grad_()
    (back,) = torch.autograd.grad(forward(given, weight.clamp(min=0)), given, ratio)
    return a * back


# -- by hand ----------------------------------------------------------------------------------------------


class Two(nn.Module):
    """S = 3 u - 2 v, u = relu(2a + b), v = relu(a - b), with a and b the pixels of a 1 x 2 gray image."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Conv2d(1, 2, (1, 2), bias=False)
        self.scores = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.tensor([[2.0, 1.0], [1.0, -1.0]]).view(2, 1, 1, 2))
            self.scores.weight.copy_(torch.tensor([[3.0, -2.0], [1.0, 1.0]]))

    def forward(self, x):
        return self.scores(F.relu(self.hidden(x)).flatten(1))


def test_shares_are_activation_times_weight_by_hand():
    model = ImageModel(Two(), size=(1, 2), mean=[0.0], std=[1.0], device="cpu")
    x = torch.tensor([0.8, 0.4]).view(1, 1, 1, 2)
    # u = 2, v = 0.4. Class 0 has only u above 0, class 1 has both.

    def of(target, layer):
        return excitation_backprop(model, x, target, layer=layer).flatten().tolist()

    assert of(0, "hidden") == [1, 0]
    assert of(0, "image") == near([1.6 / 2, 0.4 / 2])
    assert of(1, "hidden") == near([2 / 2.4, 0.4 / 2.4])
    assert of(1, "image") == near([2 / 2.4 * 0.8 + 0.4 / 2.4, 2 / 2.4 * 0.2])


def test_a_residual_network_by_hand_with_batch_norm_in_its_convolutions():
    network = settle(SharedInPlace())
    model, x = wrap(network, mean=[0.0] * 3, std=[1.0] * 3), images(2)
    made = quietly(model, x, [0, 2], layer="pool")

    def block(part, a):
        first = fuse_conv_bn_eval(part.conv1, part.bn1)
        hidden = F.relu(first(a))
        branch = part.conv2(hidden)
        return first, hidden, branch, F.relu(branch + a)

    def conv(a, w):
        return F.conv2d(a, w, padding=1)

    def back(part, a, p):
        first, hidden, branch, out = block(part, a)
        p = p * (out > 0)
        both = branch.clamp(min=0) + a
        share = torch.where(both > 0, p / both.clamp(min=1e-20), 0)
        to_hidden = shared(share * branch.clamp(min=0), hidden, part.conv2.weight, conv)
        return share * a + shared(to_hidden * (hidden > 0), a, first.weight, conv)

    with torch.no_grad():
        a0 = network.pool(F.relu(network.conv1(x)))
        a1 = block(network.block1, a0)[-1]
        a2 = block(network.block2, a1)[-1]
    p = torch.zeros(2, CLASSES).scatter(1, torch.tensor([[0], [2]]), 1.0)
    p = shared(p, a2.mean((2, 3)), network.fc.weight, F.linear)
    p = p[:, :, None, None] * a2 / a2.sum((2, 3), keepdim=True).clamp(min=1e-20)
    expected = back(network.block1, a0, back(network.block2, a1, p)).detach()
    assert_close(made, expected)


@pytest.mark.parametrize("seed", range(4))
def test_batch_norm_is_that_of_the_convolution_before_it(seed):
    """With factors below 0 too, which turn the signs of the weights round."""
    with_norm = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 64, CLASSES)
    )
    settle(with_norm, seed)
    with torch.no_grad():
        with_norm[1].weight.copy_(torch.tensor([1.0, -1.0, 0.5, -2.0, -0.3, 2.0]))
    folded = nn.Sequential(fuse_conv_bn_eval(with_norm[0], with_norm[1]), *with_norm[2:])
    x = images(2)
    for layer in ("0", "image"):
        assert_close(quietly(wrap(with_norm), x, 1, layer=layer), quietly(wrap(folded), x, 1, layer=layer))


# -- its sums ---------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.sampled_from(sorted(RELU_NETWORKS)))
def test_probabilities_sum_to_1_where_no_neuron_is_on_by_its_bias_alone(seed, name):
    """With biases of at most 0 whatever is on was excited; a score that nothing excites has no winner."""
    network = settle(RELU_NETWORKS[name](), seed)
    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, nn.Conv2d | nn.Linear) and part.bias is not None:
                part.bias.copy_(-part.bias.abs() * 0.1)
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.copy_(part.running_mean.abs() * 0.1)
                part.bias.zero_()
    model, x = wrap(network, mean=[0.0] * 3, std=[1.0] * 3), images(2, seed)
    target = torch.tensor([seed % CLASSES, 1])
    start = torch.zeros(2, CLASSES).scatter(1, target[:, None], 1.0)
    cuts = [each.name for each in model.layers() if len(each.shape) == 3 and model.is_bottleneck(each.name)]
    sums = []
    for layer in [*cuts, "image"]:
        p = winning_probability(model, x, start, layer)
        assert (p >= 0).all()
        sums.append(p.flatten(1).sum(1))
        assert_close(sums[-1], sums[0], scale=1)
    assert all(min(abs(total), abs(total - 1)) < rounding(1) for total in sums[0].tolist())


@given(st.integers(0, 10_000), st.sampled_from(sorted(RELU_NETWORKS)))
@fewer_examples(2)
def test_whatever_the_biases_no_more_than_1_is_shared_out(seed, name):
    made = quietly(wrap(settle(RELU_NETWORKS[name](), seed)), images(2, seed), seed % CLASSES, layer="image")
    assert (made >= 0).all()
    assert (probability_gap(made) >= -rounding(1)).all()


def test_lost_probability_gives_a_warning_with_the_sum():
    network = settle(Functional())
    with torch.no_grad():
        network.conv2.weight.copy_(-network.conv2.weight.abs())
        network.conv2.bias.fill_(1000.0)
    with pytest.warns(
        UserWarning, match=r"at 'conv1' of Functional is incomplete .sum .*, expected 1.: the rest is lost"
    ) as caught:
        made = excitation_backprop(wrap(network), images(1), 1, layer="conv1")
    total = made.sum().item()
    assert total < 0.01
    assert f"(sum {total:.3g}," in str(caught[0].message)


def test_no_warning_where_nothing_is_lost_or_a_layer_has_paths_around_it():
    model = xai_widgets.load("scenes_resnet", device="cpu")
    x = images(1, size=96)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert abs(probability_gap(excitation_backprop(model, x))) < rounding(1)
        assert probability_gap(excitation_backprop(model, x, layer="stage3.1.conv2")) > 0.1


def test_below_0_it_begins_with_the_dual_of_a_score():
    network, x = settle(SharedInPlace()), images(2)
    start = -torch.eye(CLASSES)[[1, 2]]
    made = winning_probability(wrap(network), x, start, "block1")
    with torch.no_grad():
        network.fc.weight.neg_()
    assert_close(made, winning_probability(wrap(network), x, -start, "block1"))


# -- contrastive ------------------------------------------------------------------------------------------


def test_contrast_is_what_the_dual_score_excites_less_by_hand():
    model = ImageModel(Two(), size=(1, 2), mean=[0.0], std=[1.0], device="cpu")
    x = torch.tensor([0.8, 0.4]).view(1, 1, 1, 2)

    def of(target, layer):
        return contrastive_excitation_backprop(model, x, target, layer=layer).flatten().tolist()

    # The score 3 u - 2 v is excited by u, its dual 2 v - 3 u by v; u by 0.8 and 0.2 of the pixels, v by the first one.
    assert of(0, "hidden") == [1, 0]
    assert of(0, "image") == near([0, 0.2])
    # Nothing excites the dual of u + v.
    assert of(1, "hidden") == near([2 / 2.4, 0.4 / 2.4])


def test_the_opposite_of_a_class_is_the_contrast_of_the_opposite_weights():
    """(P' - P)+ is that of the dual, and both together have all that P and P' do not share."""
    network, x = settle(SharedInPlace()), images(2)
    start = torch.eye(CLASSES)[[1, 2]]
    p, dual = (winning_probability(wrap(network), x, sign * start, "block1") for sign in (1, -1))
    p, dual = (each / each.sum((1, 2, 3), keepdim=True) for each in (p, dual))
    made = contrastive_excitation_backprop(wrap(network), x, [1, 2], layer="block1", contrast_layer="block1")
    assert_close(made, (p - dual).relu())
    with torch.no_grad():
        network.fc.weight.neg_()
    opposite = contrastive_excitation_backprop(
        wrap(network), x, [1, 2], layer="block1", contrast_layer="block1"
    )
    assert_close(made - opposite, p - dual)
    assert_close(made.sum((1, 2, 3)), opposite.sum((1, 2, 3)))
    assert ((made.sum((1, 2, 3)) > 0) & (made.sum((1, 2, 3)) < 1)).all()


def test_a_contrast_is_propagated_like_a_probability():
    """Each neuron of the layer of the contrast distributes its C as it distributes its P."""
    model, x = wrap(settle(SharedInPlace())), images(2)
    later = contrastive_excitation_backprop(model, x, [1, 2], layer="block2", contrast_layer="block2")
    made = contrastive_excitation_backprop(model, x, [1, 2], layer="block1", contrast_layer="block2")
    assert (later > 0).any()
    _, below = redistribute_from(model, x, "block2", "block1", later)
    assert_close(made, below)


def redistribute_from(model, x, later, earlier, p):
    """Return P at an earlier layer for P at a later one, with the later layer as the last of a network."""

    def run(pixels):
        with record_outputs(model.find_layers([later, earlier])) as outputs:
            model(pixels)
        return outputs[later], outputs[earlier]

    return p, redistribute(model.module, run, x, p)


@pytest.mark.parametrize(("name", "layer"), [("scenes_vgg", "stage4"), ("scenes_resnet", "stage3")])
def test_the_contrast_is_at_the_input_of_the_last_convolution(name, layer):
    model = xai_widgets.load(name, device="cpu")
    # The last convolution, or block, is the only one of its resolution.
    assert contrast_layer_of(model, excitation_layer(model)) == layer


def test_contrast_takes_one_forward_and_two_backward_passes(monkeypatch):
    class Counting(SharedInPlace):
        passes = 0

        def forward(self, x):
            Counting.passes += 1
            return super().forward(x)

    model, x = wrap(settle(Counting())), images(2)
    model.layers()
    Counting.passes, backward, plain = 0, [], torch.autograd.grad

    def grad(outputs, *rest, **options):
        # Rules ask for gradients too, of one layer alone.
        if outputs.shape == (2, CLASSES) and "retain_graph" in options:
            backward.append(1)
        return plain(outputs, *rest, **options)

    monkeypatch.setattr(torch.autograd, "grad", grad)
    contrastive_excitation_backprop(model, x, 1, layer="block1", contrast_layer="block1")
    assert (Counting.passes, len(backward)) == (1, 2)


# -- where ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "layer"), [("scenes_vgg", "stage4.pool"), ("scenes_resnet", "stage3")])
def test_the_default_layer_is_where_the_resolution_of_the_last_convolutions_begins(name, layer):
    model = xai_widgets.load(name, device="cpu")
    assert excitation_layer(model) == layer
    x = images(1, size=96)
    assert torch.equal(excitation_backprop(model, x), excitation_backprop(model, x, layer=layer))


def test_a_layer_named_image_is_that_layer():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.image = nn.Conv2d(3, 5, 3, padding=1)
            self.fc = nn.Linear(5, CLASSES)

        def forward(self, x):
            return self.fc(self.image(x).relu().mean((2, 3)))

    assert quietly(wrap(settle(Named())), images(1), 1, layer="image").shape == (1, 5, 8, 8)
    assert quietly(wrap(settle(Functional())), images(1), 1, layer="image").shape == (1, 3, 8, 8)


# -- operations -------------------------------------------------------------------------------------------


class After(nn.Module):
    """A convolution, then whatever is to be tried, then the scores."""

    def __init__(self, operation):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.other = nn.Conv2d(3, 4, 1)
        self.scale = nn.Parameter(torch.tensor([1.0, -2.0, 0.5, -1.0]).view(4, 1, 1))
        self.fc = nn.LazyLinear(CLASSES)
        self.operation = operation

    def forward(self, x):
        return self.fc(self.operation(self, self.conv(x), self.other(x)).relu().flatten(1))


def at_image(operation):
    network = After(operation)
    network(images(1))
    model = wrap(settle(network))
    with torch.no_grad():
        plain = model(images(2))
    rules = winning_probability(model, images(2), torch.eye(CLASSES)[[1, 2]], "image")
    assert torch.equal(model(images(2)).detach(), plain)
    return rules


ALIKE = {
    "addition": [
        lambda m, a, b: a + b, lambda m, a, b: torch.add(a, b), lambda m, a, b: a.add_(b), lambda m, a, b: b + a,
        lambda m, a, b: a - (-b), lambda m, a, b: a.sub_(-b), lambda m, a, b: sum([a, b]),
        lambda m, a, b: torch.stack([a, b]).sum(0), lambda m, a, b: a.clone().add(b),
    ],
    "difference": [
        lambda m, a, b: a - b, lambda m, a, b: torch.sub(a, b), lambda m, a, b: a + b.mul(-1.0),
    ],
    "constants": [
        lambda m, a, b: a, lambda m, a, b: a * 2, lambda m, a, b: 3 * a, lambda m, a, b: a.mul_(2),
        lambda m, a, b: a.neg().neg(), lambda m, a, b: a.div_(4.0),
    ],
    "concatenation": [
        lambda m, a, b: torch.cat([a, b], 1), lambda m, a, b: torch.cat([a.relu(), b.clamp(min=0)], 1),
        lambda m, a, b: torch.stack([a, b], 1),
        lambda m, a, b: torch.cat((F.relu6(a * 1e-3), F.hardtanh(b * 1e-3, 0.0, 1.0)), 1),
    ],
    "average": [
        lambda m, a, b: F.avg_pool2d(a.relu(), 2), lambda m, a, b: F.adaptive_avg_pool2d(a.relu(), 4),
        lambda m, a, b: F.interpolate(a.relu(), scale_factor=0.5, mode="bilinear"),
        lambda m, a, b: a.relu().unflatten(3, (4, 2)).unflatten(2, (4, 2)).mean(dim=(3, 5)),
        lambda m, a, b: a.relu().view(-1, 4, 4, 2, 4, 2).sum((3, 5)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", ["addition", "concatenation", "average", "constants"])
def test_an_operation_is_the_same_however_it_is_written(kind):
    first, *others = [at_image(operation) for operation in ALIKE[kind]]
    assert first.sum() > 0
    for number, other in enumerate(others, 1):
        assert_close(other, first, msg=f"{kind} {number}")


def test_what_is_subtracted_excites_where_it_is_below_0():
    """a - b is a + c with c a convolution of the opposite weights."""

    class Opposite(After):
        def forward(self, x):
            c = F.conv2d(x, -self.other.weight, -self.other.bias)
            return self.fc((self.conv(x) + c).relu().flatten(1))

    network = Opposite(None)
    network(images(1))
    model, start = wrap(settle(network)), torch.eye(CLASSES)[[1, 2]]
    expected = winning_probability(model, images(2), start, "image")
    for operation in ALIKE["difference"]:
        assert_close(at_image(operation), expected)


def test_a_scale_of_each_channel_is_that_of_the_convolution_before_it():
    class Within(After):
        def forward(self, x):
            weight, bias = self.conv.weight * self.scale[:, None], self.conv.bias * self.scale.flatten()
            return self.fc(F.conv2d(x, weight, bias, padding=1).relu().flatten(1))

    network = Within(None)
    network(images(1))
    model, start = wrap(settle(network)), torch.eye(CLASSES)[[1, 2]]
    expected = winning_probability(model, images(2), start, "image")
    for operation in (
        lambda m, a, b: a * m.scale,
        lambda m, a, b: m.scale * a,
        lambda m, a, b: a.mul_(m.scale),
    ):
        assert_close(at_image(operation), expected)


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("mul", lambda m, a, b: a * b),
        ("sigmoid", lambda m, a, b: a.sigmoid()),
        ("div", lambda m, a, b: a / (b + 10)),
        ("interpolate", lambda m, a, b: F.interpolate(a, scale_factor=2, mode="bicubic")),
        ("silu", lambda m, a, b: F.silu(a)),
        ("hardtanh", lambda m, a, b: F.hardtanh(a)),
        ("clamp", lambda m, a, b: a.clamp(-1, 1)),
        ("div", lambda m, a, b: torch.div(a, 2, rounding_mode="floor")),
        ("pow", lambda m, a, b: a.pow(2)),
        ("conv2d", lambda m, a, b: F.conv2d(a, b[:1])),
    ],
)
def test_what_has_no_rule_is_refused_by_its_name(name, operation):
    with pytest.raises(
        ValueError, match=f"got '{name}' in 'After', for which excitation backprop has no rule"
    ) as error:
        at_image(operation)
    one_sentence(error)


def test_a_layer_inside_is_named():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Sequential(nn.SiLU()), nn.Flatten(), nn.LazyLinear(CLASSES)
    )
    network(images(1))
    with pytest.raises(ValueError, match=r"got 'silu' in '2\.0', for which"):
        excitation_backprop(wrap(settle(network)), images(1), 1, layer="0")
