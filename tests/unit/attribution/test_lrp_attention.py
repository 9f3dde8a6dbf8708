"""LRP through attention and normalizations: equal to gradient x input with stopped gradients, and conserving."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from attending import FORMS, HEADS, SIDE, WIDTH, SelfAttention, Transformer, looking_at, only
from closeness import assert_close
from networks import CLASSES, images, one_sentence, settle, wrap
from torch import nn

from xai_widgets.attribution import COMPOSITES, Composite, deep_lift, excitation_backprop, lrp
from xai_widgets.attribution.lrp_rules import Epsilon, Gamma
from xai_widgets.rules import PropagationRules

ZERO = Epsilon(0.0)
#: LRP-0 in place of epsilon, whose 1e-6 is seen in float64.
EXACT = {
    attention: Composite(ZERO, ZERO, attention=attention, normalization=ZERO)
    for attention in ("constant", "softmax")
}
PLAIN = {"mean": None, "std": None}


def relevance(network, x, target, composite, **options):
    """Return the relevance of pixels in float64, without warnings about biases."""
    targets = torch.full((len(x),), target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return lrp.function(wrap(network.double(), **options), x.double(), targets, composite=composite)


# -- gradient x input with stopped gradients -------------------------------------------------------------------


def half(x):
    """Return x with half of its gradient: the uniform rule."""
    return x / 2 + (x / 2).detach()


def normalized(norm, x):
    """Return a layer norm whose standard deviation has no gradient."""
    deviation = (x.var(-1, correction=0, keepdim=True) + norm.eps).sqrt().detach()
    return (x - x.mean(-1, keepdim=True)) / deviation * norm.weight + norm.bias


def by_stopped_gradients(network, x, target, attention):
    """Return AttnLRP, or CP-LRP, of a :class:`Transformer`, as its authors compute it."""
    x = x.double().requires_grad_()
    tokens = network.conv1(x).flatten(2).transpose(1, 2)
    if network.prefix is not None:
        tokens = torch.cat([network.prefix.expand(len(x), -1, -1), tokens], 1)
    tokens = tokens + network.position
    for block in (network.block1, network.block2, network.block3):
        inner = block.attention.inner
        q, k, v = (
            part.unflatten(2, (HEADS, -1)).transpose(1, 2)
            for part in F.linear(
                normalized(block.norm1, tokens), inner.in_proj_weight, inner.in_proj_bias
            ).chunk(3, 2)
        )
        weights = (half(q) @ half(k).transpose(2, 3) / (WIDTH // HEADS) ** 0.5).softmax(-1)
        y = weights.detach() @ v if attention == "constant" else half(weights) @ half(v)
        tokens = tokens + inner.out_proj(y.transpose(1, 2).flatten(2))
        hidden = block.mlp[0](normalized(block.norm2, tokens))
        tokens = tokens + block.mlp[2](hidden * (F.gelu(hidden) / hidden).detach())
    tokens = normalized(network.norm, tokens)
    read = tokens.mean(1) if network.prefix is None else tokens[:, 0]
    (gradient,) = torch.autograd.grad(network.fc(read)[:, target].sum(), x)
    return (x * gradient).detach()


@pytest.mark.parametrize("attention", EXACT)
@pytest.mark.parametrize("prefix", [0, 1])
def test_relevance_equals_gradient_x_input_with_stopped_gradients(attention, prefix):
    network = Transformer(prefix=prefix).double().eval()
    expected = by_stopped_gradients(network, images(2), 2, attention)
    made = relevance(network, images(2), 2, EXACT[attention], **PLAIN)
    assert_close(made, expected, scale=expected.abs().sum(), dtype=torch.float32)
    assert expected.abs().max() > 1e-3


def test_named_composites_are_those_of_the_literature():
    network = Transformer().double().eval()
    near = relevance(network, images(2), 2, "attn_lrp", **PLAIN)
    exact = relevance(network, images(2), 2, EXACT["softmax"], **PLAIN)
    assert torch.corrcoef(torch.stack([near.flatten(), exact.flatten()]))[0, 1] > 0.99
    assert COMPOSITES["cp_lrp_gamma"].attention == "constant"
    assert COMPOSITES["attn_lrp"].attention == "softmax"
    with pytest.raises(
        ValueError, match="expected attention to be 'constant' or 'softmax', got 'none'"
    ) as error:
        Composite(ZERO, ZERO, attention="none")
    one_sentence(error)


@pytest.mark.parametrize("attention", EXACT)
@pytest.mark.parametrize("form", FORMS)
def test_relevance_does_not_depend_on_how_attention_is_written(form, attention):
    made, expected = (
        relevance(Transformer(each).eval(), images(1), 1, EXACT[attention]) for each in (form, "explicit")
    )
    assert_close(made, expected, scale=expected.abs().sum(), dtype=torch.float32)


# -- conservation ----------------------------------------------------------------------------------------------


class LinearAttention(SelfAttention):
    """Attention without a softmax: products of three activations."""

    def forward(self, x):
        q, k, v = (
            part.unflatten(2, (HEADS, -1)).transpose(1, 2)
            for part in F.linear(x, self.inner.in_proj_weight).chunk(3, 2)
        )
        y = q @ (k.transpose(2, 3) @ v) / SIDE**2
        return self.inner.out_proj(y.transpose(1, 2).flatten(2))


def unbiased(linear=False):
    """Return a transformer of no constants but its weights, with a softmax or without."""
    network = Transformer(prefix=0, bias=False).eval()
    for block in (network.block1, network.block2, network.block3):
        if linear:
            linear_attention = LinearAttention("fused", bias=False)
            linear_attention.load_state_dict(block.attention.state_dict())
            block.attention = linear_attention
    return network.double()


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("composite", ["conserving", "cp_lrp_gamma", "zero", EXACT["constant"], Gamma(0.25)])
def test_relevance_sums_to_the_score_without_biases(composite, linear):
    network = unbiased(linear)
    made = relevance(network, images(2), 1, composite, **PLAIN)
    score = network(images(2).double())[:, 1]
    assert_close(made.sum((1, 2, 3)), score, scale=made.abs().sum((1, 2, 3)), dtype=torch.float32)
    gap = made.sum((1, 2, 3)) - score.detach()
    assert_close(made.gap, gap, scale=score.abs() + made.abs().sum(), dtype=torch.float32)
    assert score.abs().min() > 0.01


def test_the_default_conserves_with_biases_where_no_constant_is_a_token():
    network = Transformer(prefix=0).double().eval()
    made = relevance(network, images(2), 1, "conserving", **PLAIN)
    score = network(images(2).double())[:, 1]
    assert_close(made.sum((1, 2, 3)), score, scale=made.abs().sum((1, 2, 3)), dtype=torch.float32)


def test_a_linear_layer_on_tokens_has_a_rule_of_its_own():
    class Pointwise(nn.Module):
        """A convolution of 1 x 1, or the same weights on tokens, between two layers."""

        def __init__(self, tokens):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 6, 3), nn.Linear(6, CLASSES)
            self.inner, self.tokens = nn.Conv2d(6, 6, 1), tokens

        def forward(self, x):
            x = self.conv(x).relu()
            if self.tokens:
                weight = self.inner.weight.flatten(1)
                x = F.linear(x.flatten(2).transpose(1, 2), weight, self.inner.bias)
                return self.fc(x.relu().mean(1))
            return self.fc(self.inner(x).relu().mean((2, 3)))

    networks = [settle(Pointwise(tokens)) for tokens in (False, True)]
    convolution, tokens = (relevance(each, images(2), 1, "conserving") for each in networks)
    assert_close(tokens, convolution, scale=convolution.abs().sum(), dtype=torch.float32)
    convolution, tokens = (relevance(each, images(2), 1, "epsilon_plus") for each in networks)
    assert not torch.allclose(tokens, convolution, rtol=0.01)


def test_what_softmax_and_tokens_absorb_is_measured():
    model = wrap(Transformer().eval())
    with pytest.warns(
        UserWarning, match="is incomplete .sum .*, expected .*: the rest is absorbed by biases, ot"
    ):
        made = lrp(model, images(1), 1, composite="attn_lrp")
    score = model.scores(images(1))[:, 1]
    assert_close(made.gap, made.sum((1, 2, 3)) - score, scale=made.abs().sum())
    assert made.gap.abs() > 0.1 * score.abs()


@pytest.mark.parametrize("patch", [0, 6, 15])
@pytest.mark.parametrize(("attention", "kept"), [("constant", 1.0), ("softmax", 0.5)])
def test_the_patch_that_the_class_token_looks_at_has_all_relevance(patch, attention, kept):
    network = looking_at(patch).double()
    made = relevance(network, images(1), 1, EXACT[attention], **PLAIN).sum(1, keepdim=True)
    by_patch = F.avg_pool2d(made, 2) * 4
    score = network(images(1).double())[0, 1].item()
    # A softmax of one weight of 1 has no gradient: it absorbs its half.
    assert_close(by_patch, only(patch).double() * score * kept, dtype=torch.float32)


# -- operations of normalizations, gates and masks ---------------------------------------------------------------


class Between(nn.Module):
    """One operation between a convolution and a linear layer, with no bias."""

    def __init__(self, operation):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.fc = nn.Linear(6, CLASSES, bias=False)
        self.operation = operation

    def forward(self, x):
        return self.fc(self.operation(self.conv(x)).mean((2, 3)))


def channel_norm(x):
    """Layer norm over the channels, as ConvNeXt wrote it."""
    mean = x.mean(1, keepdim=True)
    variance = (x - mean).pow(2).mean(1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-6)


def global_response(x):
    """The global response normalization of ConvNeXt V2."""
    size = x.norm(p=2, dim=(2, 3), keepdim=True)
    return x + torch.addcmul(torch.zeros(1), torch.ones(1), x * (size / (size.mean(1, keepdim=True) + 1e-6)))


def selective_kernels(x):
    """Two branches weighted by a softmax, as in SKNet."""
    branches = torch.stack([x, x.roll(1, 2)], 1)
    weights = branches.mean((3, 4), keepdim=True).softmax(1)
    return (branches * weights).sum(1)


OPERATIONS = {
    "group norm": lambda x: F.group_norm(x, 2, torch.linspace(0.5, 2, 6, dtype=x.dtype)),
    "instance norm": lambda x: F.instance_norm(x).relu(),
    "normalize": lambda x: F.normalize(x, dim=1),
    "RMS norm": lambda x: F.rms_norm(x, (8,), torch.linspace(0.5, 2, 8, dtype=x.dtype)),
    "channel norm": channel_norm,
    "global response": global_response,
    "selective kernels": selective_kernels,
    "divided by the deviation": lambda x: x / x.std((1, 2, 3), keepdim=True),
    "squared ReLU": lambda x: x.relu() ** 2,
    "where": lambda x: torch.where(x > 1, x, 0.1 * x),
    "masked fill": lambda x: x.masked_fill(torch.eye(8, dtype=torch.bool), 0.0),
    "largest of groups": lambda x: x.unflatten(1, (2, 3)).amax(1).repeat(1, 2, 1, 1),
    "addmm": lambda x: torch.addmm(
        torch.zeros(8, dtype=x.dtype), x.flatten(0, 2), torch.eye(8, dtype=x.dtype)
    ).view_as(x),
    "product with constants before": lambda x: torch.ones(8, 8, dtype=x.dtype).triu() @ x,
    "einsum with a constant": lambda x: torch.einsum(
        "nchw,dc->ndhw", x, torch.ones(6, 6, dtype=x.dtype).triu()
    ),
}  # fmt: skip


@pytest.mark.parametrize("composite", ["conserving", EXACT["constant"]], ids=["conserving", "zero"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_relevance_is_conserved_by(name, composite):
    network = settle(Between(OPERATIONS[name])).double()
    x = images(2).double()
    made = relevance(network, x, 1, composite, **PLAIN)
    score = network(x)[:, 1]
    assert_close(made.sum((1, 2, 3)), score, scale=made.abs().sum((1, 2, 3)), dtype=torch.float32)
    assert made.any()


@pytest.mark.parametrize("name", OPERATIONS)
def test_scores_stay_the_same_under_rules(name):
    network = settle(Between(OPERATIONS[name])).double()
    x = images(2).double()

    def plain(x, *rest):
        return rest[-1]()

    rules = ("linear", "scale", "rectifier", "activation", "product", "norm", "bilinear", "gate")
    with PropagationRules("test", network, **dict.fromkeys(rules, plain)):
        scores = network(x.clone().requires_grad_())
    assert_close(scores, network(x))


def test_a_norm_subtracts_the_mean_in_the_backward_pass_too():
    network = settle(Between(lambda x: F.layer_norm(x, (8,)).relu())).double()
    x = images(1).double().requires_grad_()
    y = network.conv(x)
    deviation = (y.var(-1, correction=0, keepdim=True) + 1e-5).sqrt().detach()
    score = network.fc(((y - y.mean(-1, keepdim=True)) / deviation).relu().mean((2, 3)))[0, 1]
    expected = x * torch.autograd.grad(score, x)[0]
    made = relevance(network, images(1), 1, EXACT["constant"], **PLAIN)
    assert_close(made, expected.detach(), scale=expected.abs().sum(), dtype=torch.float32)


def test_methods_without_a_rule_refuse_attention_by_its_operation():
    model = wrap(Transformer().eval())
    with pytest.raises(
        ValueError, match=r"got 'matmul' in 'block1.attention', for which DeepLIFT has"
    ) as error:
        deep_lift(model, images(1), 1)
    one_sentence(error)
    with pytest.raises(
        ValueError, match=r"got 'layer_norm' in 'block1.norm1', for which excitation"
    ) as error:
        excitation_backprop(model, images(1), 1)
    one_sentence(error)
    network = settle(Between(lambda x: x.cumsum(2)))
    with pytest.raises(ValueError, match=r"got 'cumsum' in 'Between', for which layer-wise") as error:
        lrp(wrap(network), images(1), 1)
    one_sentence(error)
