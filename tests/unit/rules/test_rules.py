import threading
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from networks import RELU_NETWORKS, images, settle, wrap
from rectifiers import OTHER_WORDS, unused
from torch import nn
from torch.overrides import _get_current_function_mode_stack

from xai_widgets.methods import METHODS
from xai_widgets.rules import BackwardRules, deconv_relu, guided_relu, positive_gradient

RULES = {"guided": guided_relu, "deconv": deconv_relu}
BACKWARD = {
    "guided": lambda g, z: g.clip(0) * (z > 0),
    "deconv": lambda g, z: g.clip(0),
    "none": lambda g, z: g * (z > 0),
}
Z = torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0, 3.0])
G = torch.tensor([1.0, -1.0, 2.0, -3.0, 4.0, 0.0])


#: Every way to write ReLU. Each gets a tensor of its own, not a leaf.
SPELLINGS = {
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "F.relu in place by position": lambda x: F.relu(x, True),
    "F.relu by keyword": lambda x: F.relu(input=x),
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "torch.clamp": lambda x: torch.clamp(x, min=0),
    "torch.clamp by position": lambda x: torch.clamp(x, 0.0),
    "torch.clamp_": lambda x: torch.clamp_(x, min=0),
    "clamp": lambda x: x.clamp(min=0),
    "clamp with no upper end": lambda x: x.clamp(0, None),
    "clamp_": lambda x: x.clamp_(0),
    "torch.clamp_min": lambda x: torch.clamp_min(x, 0),
    "torch.clamp_min_": lambda x: torch.clamp_min_(x, 0),
    "clamp_min": lambda x: x.clamp_min(0.0),
    "clamp_min_": lambda x: x.clamp_min_(0),
    "torch.clip": lambda x: torch.clip(x, 0),
    "clip": lambda x: x.clip(min=0),
    "clip_": lambda x: x.clip_(0),
    "F.relu in place, result unused": unused(lambda x: F.relu(x, inplace=True)),
    "torch.relu_, result unused": unused(torch.relu_),
    "method in place, result unused": unused(lambda x: x.relu_()),
    "module in place, result unused": unused(nn.ReLU(inplace=True)),
    "clamp_, result unused": unused(lambda x: x.clamp_(min=0)),
    "clamp_min_, result unused": unused(lambda x: x.clamp_min_(0)),
    "clip_, result unused": unused(lambda x: x.clip_(0)),
}


#: ReLU with an upper end at 2.5, which keeps its own backward.
BOUNDED = {
    "relu6": lambda x: F.relu6(x * 2.4) / 2.4,
    "module in place": lambda x: nn.ReLU6(inplace=True)(x * 2.4) / 2.4,
    "clamp by position": lambda x: x.clamp(0, 2.5),
    "clamp by keyword": lambda x: torch.clamp(x, min=0, max=2.5),
    "clip_": lambda x: x.clip_(0, 2.5),
    "hardtanh": lambda x: F.hardtanh(x, 0.0, 2.5),
    "hardtanh by keyword, in place": lambda x: F.hardtanh(x, min_val=0.0, max_val=2.5, inplace=True),
}

#: Functions that resemble ReLU.
OTHERS = {
    "clamp(max=0)": lambda x: x.clamp(max=0),
    "clamp(min=1)": lambda x: x.clamp(min=1),
    "clamp_min(-1)": lambda x: x.clamp_min(-1),
    "clamp(min=tensor)": lambda x: x.clamp(min=torch.ones(1)),
    "maximum of two activations": lambda x: torch.maximum(x, -x),
    "where(x > 1)": lambda x: torch.where(x > 1, x, 0.0),
    "x * (x < 0)": lambda x: x * (x < 0),
    "a factor a channel": lambda x: x * torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0]),
    "leaky": F.leaky_relu,
    "gelu": F.gelu,
    "elu": F.elu,
    "hardtanh": F.hardtanh,
    "abs": torch.abs,
}


def forward_and_back(function, rule, z=Z, g=G):
    """Return the output, and the gradient of z for the gradient g of the output."""
    leaf = z.clone().requires_grad_()
    with BackwardRules(relu=rule) as rules:
        y = function(leaf * 1)
    kept = y.detach().clone()
    (back,) = torch.autograd.grad(y, leaf, g)
    return kept, back, rules.met["relu"]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_relu_obeys(spelling, rule):
    y, back, met = forward_and_back(SPELLINGS[spelling], RULES[rule])
    assert torch.equal(y, torch.relu(Z))
    assert torch.equal(back, BACKWARD[rule](G, Z))
    assert met == 1


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("spelling", OTHER_WORDS)
def test_relu_in_other_words_obeys(spelling, rule):
    y, back, met = forward_and_back(OTHER_WORDS[spelling], RULES[rule])
    assert torch.equal(y, torch.relu(Z))
    assert torch.equal(back, BACKWARD[rule](G, Z))
    assert met == 1


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("spelling", BOUNDED)
def test_a_relu_with_an_upper_end_obeys_below_it(spelling, rule):
    y, back, met = forward_and_back(BOUNDED[spelling], RULES[rule])
    assert_close(y, Z.clamp(0, 2.5))
    assert_close(back, BACKWARD[rule](G, Z) * (Z < 2.5))
    assert met == 1


@pytest.mark.parametrize("other", OTHERS)
def test_nothing_else_is_touched(other):
    plain = Z.clone().requires_grad_()
    expected = OTHERS[other](plain * 1)
    (gradient,) = torch.autograd.grad(expected, plain, G)
    y, back, met = forward_and_back(OTHERS[other], guided_relu)
    assert torch.equal(y, expected)
    assert torch.equal(back, gradient)
    assert met == 0


@pytest.mark.parametrize("rule", RULES)
@given(data=st.data())
def test_backward_is_the_formula_and_forward_is_relu_bit_for_bit(rule, data):
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=6))
    floats = st.floats(-100, 100, width=32)
    z = torch.from_numpy(data.draw(hnp.arrays(np.float32, shape, elements=floats)))
    g = torch.from_numpy(data.draw(hnp.arrays(np.float32, shape, elements=floats)))
    y, back, _ = forward_and_back(F.relu, RULES[rule], z, g)
    assert y.numpy().tobytes() == torch.relu(z).numpy().tobytes()
    assert torch.equal(back, BACKWARD[rule](g, z))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("rule", RULES)
def test_rules_keep_the_dtype(rule, dtype):
    y, back, _ = forward_and_back(F.relu, RULES[rule], Z.to(dtype), G.to(dtype))
    assert y.dtype == back.dtype == dtype
    assert torch.equal(back, BACKWARD[rule](G.to(dtype), Z.to(dtype)))


@pytest.mark.parametrize("name", RELU_NETWORKS)
@pytest.mark.parametrize("rule", RULES)
def test_the_scores_of_a_network_are_bit_identical(name, rule):
    network, x = settle(RELU_NETWORKS[name]()), images(3)
    with BackwardRules(relu=RULES[rule], max_pool=positive_gradient) as rules:
        made = network(x)
    assert rules.met["relu"] > 0
    assert torch.equal(made, network(x))


def test_in_place_relu_used_many_times_with_skips_goes_back_as_the_twin_with_modules_of_its_own():
    network, x = settle(RELU_NETWORKS["shared_in_place"]()), images(2).requires_grad_()
    with BackwardRules(relu=guided_relu) as rules:
        (back,) = torch.autograd.grad(network(x)[:, 1].sum(), x)
    assert rules.met == {"relu": 5, "max_pool": 0}

    def relu(z):
        y = torch.relu(z)
        y.register_hook(lambda g: g.clamp(min=0))
        return y

    def block(part, z):
        return relu(part.conv2(relu(part.bn1(part.conv1(z)))) + z)

    z = network.pool(relu(network.conv1(x)))
    z = block(network.block2, block(network.block1, z))
    (expected,) = torch.autograd.grad(network.fc(z.mean((2, 3)))[:, 1].sum(), x)
    assert_close(back, expected)


@pytest.mark.parametrize("rule", RULES)
def test_in_place_on_a_part_the_rest_goes_back_as_it_is(rule):
    given = torch.stack([Z, Z]).requires_grad_()
    with BackwardRules(relu=RULES[rule]):
        z = given * 1
        z[1].relu_()
    (back,) = torch.autograd.grad(z, given, torch.stack([G, G]))
    assert torch.equal(z, torch.stack([Z, Z.clamp(min=0)]))
    assert torch.equal(back, torch.stack([G, BACKWARD[rule](G, Z)]))


# -- max-pooling ------------------------------------------------------------------------------------------


def pool_back(z, g, kernel, stride):
    """Equation 3.9 over every window: relu(g_i 1[z_ij = y_i]), added up where windows overlap."""
    back = torch.zeros_like(z)
    for row in range(g.shape[2]):
        for column in range(g.shape[3]):
            at = (
                ...,
                slice(row * stride, row * stride + kernel),
                slice(column * stride, column * stride + kernel),
            )
            window = z[at]
            largest = window == window.amax((2, 3), keepdim=True)
            back[at] += (g[:, :, row, column, None, None] * largest).relu()
    return back


@pytest.mark.parametrize(
    ("pool", "kernel", "stride"),
    [
        (lambda z: F.max_pool2d(z, 2), 2, 2),
        (lambda z: F.max_pool2d(z, 3, 2), 3, 2),
        (lambda z: F.max_pool2d(z, 3, 1), 3, 1),
        (lambda z: torch.max_pool2d(z, 3, 2), 3, 2),
        (nn.MaxPool2d(3, 2), 3, 2),
        (lambda z: nn.MaxPool2d(3, 2, return_indices=True)(z)[0], 3, 2),
        (lambda z: F.max_pool2d_with_indices(z, 2)[0], 2, 2),
        (lambda z: F.adaptive_max_pool2d(z, 1), 7, 1),
        (lambda z: nn.AdaptiveMaxPool2d(1, return_indices=True)(z)[0], 7, 1),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_max_pool_is_equation_3_9(pool, kernel, stride, seed):
    generator = torch.Generator().manual_seed(seed)
    # A permutation: no two values are equal, so that the largest of a window is unique.
    z = torch.randperm(2 * 3 * 7 * 7, generator=generator).view(2, 3, 7, 7).float().requires_grad_()
    with BackwardRules(max_pool=positive_gradient) as rules:
        y = pool(z)
    assert rules.met == {"relu": 0, "max_pool": 1}
    assert torch.equal(y, pool(z))
    g = torch.randn(y.shape, generator=generator)
    assert (g < 0).any()
    (back,) = torch.autograd.grad(y, z, g)
    assert_close(back, pool_back(z.detach(), g, kernel, stride))


def test_max_pool_keeps_positive_windows_where_one_input_wins_in_two():
    z = torch.tensor([[0.0, 1, 5, 2, 3]]).requires_grad_()
    with BackwardRules(max_pool=positive_gradient):
        y = F.max_pool1d(z, 3, 2)
    # The middle is the largest of both windows: the negative one is cut before they are added.
    (back,) = torch.autograd.grad(y, z, torch.tensor([[2.0, -3.0]]))
    assert back.tolist() == [[0, 0, 2, 0, 0]]


@pytest.mark.parametrize(("pool", "dimensions"), [(F.max_pool1d, 1), (F.max_pool2d, 2), (F.max_pool3d, 3)])
def test_pooling_in_every_dimension_obeys(pool, dimensions):
    z = torch.randn(1, 2, *[4] * dimensions).requires_grad_()
    with BackwardRules(max_pool=positive_gradient) as rules:
        y = pool(z, 2)
    (back,) = torch.autograd.grad(y, z, -torch.ones_like(y))
    assert rules.met["max_pool"] == 1
    assert not back.any()


def test_average_pooling_is_no_max_pooling():
    z = torch.randn(1, 1, 4, 4).requires_grad_()
    with BackwardRules(max_pool=positive_gradient) as rules:
        y = F.avg_pool2d(z, 2)
    (back,) = torch.autograd.grad(y, z, -torch.ones_like(y))
    assert rules.met["max_pool"] == 0
    assert back.eq(-0.25).all()


# -- scope ------------------------------------------------------------------------------------------------


def gradient_here():
    """Return the gradient of relu for Z and G under the current rules."""
    leaf = Z.clone().requires_grad_()
    (back,) = torch.autograd.grad(torch.relu(leaf * 1), leaf, G)
    return back


def test_the_innermost_block_wins_and_every_block_ends():
    assert torch.equal(gradient_here(), BACKWARD["none"](G, Z))
    with BackwardRules(relu=guided_relu):
        assert torch.equal(gradient_here(), BACKWARD["guided"](G, Z))
        with BackwardRules(relu=deconv_relu):
            assert torch.equal(gradient_here(), BACKWARD["deconv"](G, Z))
        assert torch.equal(gradient_here(), BACKWARD["guided"](G, Z))
    assert torch.equal(gradient_here(), BACKWARD["none"](G, Z))


def test_blocks_for_different_functions_add_up():
    z = torch.tensor([[-1.0, 1, 2, 3]]).requires_grad_()
    with BackwardRules(relu=guided_relu) as outer, BackwardRules(max_pool=positive_gradient) as inner:
        y = F.max_pool1d(z, 2).relu()
    assert (outer.met, inner.met) == ({"relu": 1, "max_pool": 0}, {"relu": 0, "max_pool": 1})
    (back,) = torch.autograd.grad(y, z, torch.tensor([[-1.0, 1.0]]))
    assert back.tolist() == [[0, 0, 0, 1]]


def test_the_way_back_is_not_counted_as_a_use():
    with BackwardRules(relu=guided_relu, max_pool=positive_gradient) as rules:
        gradient_here()
    assert rules.met == {"relu": 1, "max_pool": 0}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_left_by_an_exception_ends_too(error):
    def leave():
        with BackwardRules(relu=guided_relu):
            torch.relu(Z)
            raise error

    with pytest.raises(error):
        leave()
    assert not _get_current_function_mode_stack()
    assert torch.equal(gradient_here(), BACKWARD["none"](G, Z))


def test_an_error_of_the_network_is_the_error_the_caller_sees():
    with BackwardRules(relu=guided_relu), pytest.raises(RuntimeError, match="cannot be multiplied"):
        F.relu(F.linear(torch.rand(2, 3), torch.rand(4, 5)))


def test_other_threads_see_nothing():
    inside, checked = threading.Barrier(2), threading.Barrier(2)
    seen = []

    def other():
        inside.wait(30)
        seen.append(gradient_here())
        checked.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    with BackwardRules(relu=guided_relu) as rules:
        inside.wait(30)
        checked.wait(30)
        here = gradient_here()
    thread.join(30)
    assert torch.equal(here, BACKWARD["guided"](G, Z))
    assert torch.equal(seen[0], BACKWARD["none"](G, Z))
    assert rules.met["relu"] == 1


def test_it_works_without_gradients():
    with torch.no_grad(), BackwardRules(relu=guided_relu, max_pool=positive_gradient):
        x = Z.clone()
        F.relu(x, inplace=True)
    assert torch.equal(x, torch.relu(Z))
    with torch.inference_mode(), BackwardRules(relu=guided_relu):
        assert torch.equal(F.relu(Z.clone(), inplace=True), torch.relu(Z))


def pooled(pool, gate=False):
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
            self.two, self.fc = nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6 * 16, 4)

        def forward(self, x):
            y = pool(self.norm(self.one(x)).relu())
            y = self.two(y).relu_() + y
            return self.fc((y * y.mean((2, 3), keepdim=True).sigmoid() if gate else y).flatten(1))

    return wrap(settle(Pooled()))


@pytest.mark.parametrize(
    ("model", "same"),
    [
        (lambda: pooled(nn.AvgPool2d(2)), True),
        (lambda: pooled(lambda x: x[:, :, ::2, ::2]), True),
        (lambda: pooled(nn.MaxPool2d(2)), False),
        (lambda: pooled(nn.AdaptiveMaxPool2d(4)), False),
        (lambda: pooled(nn.AvgPool2d(2), gate=True), False),
    ],
)
def test_deconvnet_warns_if_it_is_the_same_for_all_images(model, same):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = METHODS["deconvnet"](model(), images(2), 1)
    assert torch.equal(made[0], made[1]) == same
    assert any("is the same for all images" in str(each.message) for each in caught) == same
