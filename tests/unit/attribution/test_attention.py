"""Attribution by attention matrices: the published formulas in loops, and a transformer that looks at one patch."""

import pytest
import torch
from attending import FORMS, HEADS, SIDE, WIDTH, Transformer, looking_at, only
from closeness import assert_close
from networks import Functional, Smooth, images, one_sentence, settle, wrap
from torch import nn

from xai_widgets.attribution import attention_rollout, gradient_x_attention, legrad
from xai_widgets.rules import AttentionRecorder

METHODS = [attention_rollout, gradient_x_attention, legrad]
TOKENS = {"class token": 1, "registers": 3, "average": 0}


def attention_of(block, tokens):
    """Return the attention matrices of a block, (N, HEADS, T, T), and its output, by the definition."""
    inner, kept, heads = block.attention.inner, [], []
    normal = block.norm1(tokens)
    projections = zip(inner.in_proj_weight.chunk(3), inner.in_proj_bias.chunk(3), strict=True)
    q, k, v = (normal @ weight.T + bias for weight, bias in projections)
    size = WIDTH // HEADS
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        exp = torch.einsum("nid,njd->nij", q[..., part], k[..., part]).div(size**0.5).exp()
        kept.append(exp / exp.sum(-1, keepdim=True))
        heads.append(kept[-1] @ v[..., part])
    tokens = tokens + inner.out_proj(torch.cat(heads, -1))
    return kept, tokens + block.mlp(block.norm2(tokens))


def unrolled(network, x):
    """Return the attention matrices of each block and head, its output, and the scores."""
    x = (x - torch.tensor([0.4, 0.45, 0.5]).view(3, 1, 1)) / torch.tensor([0.25, 0.2, 0.3]).view(3, 1, 1)
    tokens = network.conv1(x).flatten(2).transpose(1, 2)
    if network.prefix is not None:
        tokens = torch.cat([network.prefix.expand(len(x), -1, -1), tokens], 1)
    tokens = tokens + network.position
    matrices, outputs = [], []
    for block in (network.block1, network.block2, network.block3):
        kept, tokens = attention_of(block, tokens)
        matrices.append(kept)
        outputs.append(tokens)
    return matrices, outputs, network.head(tokens)


def attributed(method, model, x):
    return method(model, x, torch.ones(len(x), dtype=torch.long))


def on_grid(rows, prefix):
    """Return rows of values of the tokens, (N, T), as maps."""
    return rows[:, prefix:].view(len(rows), 1, SIDE, SIDE)


def read_by(prefix, joint):
    """Return the row of the class token of matrices (N, T, T), or the mean of all rows."""
    return joint[:, 0] if prefix else joint.mean(1)


@pytest.mark.parametrize("prefix", TOKENS.values(), ids=TOKENS)
def test_rollout_is_the_product_of_attention_and_identity(prefix):
    network = Transformer(prefix=prefix).eval()
    matrices, _, _ = unrolled(network, images(2))
    number = prefix + SIDE**2
    joint = torch.eye(number).expand(2, -1, -1)
    for heads in matrices:
        joint = (0.5 * sum(heads) / HEADS + 0.5 * torch.eye(number)) @ joint
    made = attention_rollout(wrap(network), images(2), 1)
    assert_close(made, on_grid(read_by(prefix, joint), prefix))
    assert torch.equal(made, attention_rollout(wrap(network), images(2), 3))


@pytest.mark.parametrize("prefix", TOKENS.values(), ids=TOKENS)
def test_gradient_x_attention_follows_its_equations(prefix):
    network, target = Transformer(prefix=prefix).eval(), 2
    matrices, _, scores = unrolled(network, images(2))
    number = prefix + SIDE**2
    joint = torch.eye(number).repeat(2, 1, 1)
    for heads in matrices:
        raising = [
            (torch.autograd.grad(scores[:, target].sum(), head, retain_graph=True)[0] * head).clamp(min=0)
            for head in heads
        ]
        joint = joint + sum(raising) / HEADS @ joint
    # The identity adds the same to all patches where all rows are averaged.
    expected = read_by(prefix, joint - torch.eye(number))
    assert_close(
        gradient_x_attention(wrap(network), images(2), target), on_grid(expected, prefix), scale=joint
    )


@pytest.mark.parametrize("pool", ["network", "mean"])
@pytest.mark.parametrize("prefix", TOKENS.values(), ids=TOKENS)
def test_legrad_averages_the_gradient_of_the_score_after_each_block(prefix, pool):
    network, target = Transformer(prefix=prefix).eval(), 2
    matrices, outputs, _ = unrolled(network, images(2))
    layers = []
    for heads, tokens in zip(matrices, outputs, strict=True):
        pooled = tokens.mean(1, keepdim=True).expand_as(tokens) if pool == "mean" else tokens
        score = network.head(pooled)[:, target].sum()
        gradients = [torch.autograd.grad(score, head, retain_graph=True)[0] for head in heads]
        layers.append(sum(gradient.clamp(min=0).mean(1) for gradient in gradients) / HEADS)
    assert all(layer.any() for layer in layers)
    expected = on_grid(sum(layers) / 3, prefix)
    made = legrad(wrap(network), images(2), target, pool=pool)
    assert_close(made, expected)
    last = legrad(wrap(network), images(2), target, pool=pool, blocks=1)
    assert_close(last, on_grid(layers[-1], prefix))
    assert_close(legrad(wrap(network), images(2), target, pool=pool, blocks=9), made)


@pytest.mark.parametrize("form", FORMS)
def test_attention_is_found_however_it_is_written(form):
    network, plain = Transformer(form).double().eval(), Transformer("explicit").double().eval()
    model = wrap(network)
    with AttentionRecorder("test", network) as recorder:
        scores = model(images(2).double().requires_grad_(), frozen=True)
    assert_close(scores, wrap(plain)(images(2).double()))
    assert [each.layer for each in recorder.attentions] in (
        [f"block{block}.attention{inner}" for block in (1, 2, 3)] for inner in ("", ".inner")
    )
    for method in METHODS:
        assert_close(method(wrap(network), images(2), 1), method(wrap(plain), images(2), 1))


@pytest.mark.parametrize("masked", [False, True])
def test_expanded_attention_equals_the_fused_one(masked):
    query, key, value = torch.randn(3, 2, 4, 6, 5, generator=torch.Generator().manual_seed(0)).double()
    with_mask = {"attn_mask": torch.rand(6, 6) > 0.3 if masked else None}
    options = [with_mask, {"is_causal": True}, {"scale": 0.3}, {"attn_mask": torch.randn(6, 6).double()}]
    for kwargs in options:
        expected = nn.functional.scaled_dot_product_attention(query, key, value, **kwargs)
        with AttentionRecorder("test", nn.Identity()):
            made = nn.functional.scaled_dot_product_attention(query.requires_grad_(), key, value, **kwargs)
        assert_close(made, expected)
    grouped = {"enable_gqa": True}
    expected = nn.functional.scaled_dot_product_attention(query, key[:, :2], value[:, :2], **grouped)
    with AttentionRecorder("test", nn.Identity()):
        made = nn.functional.scaled_dot_product_attention(query, key[:, :2], value[:, :2], **grouped)
    assert_close(made, expected)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"need_weights": False},
        {"average_attn_weights": False},
        {"attn_mask": torch.rand(5, 7, generator=torch.Generator().manual_seed(1)) > 0.8},
        {"attn_mask": torch.randn(4, 5, 7, generator=torch.Generator().manual_seed(1)).double()},
    ],
    ids=["weights", "output alone", "weights of heads", "mask", "mask of each head"],
)
@pytest.mark.parametrize("separate", [False, True])
def test_expanded_multi_head_attention_equals_the_fused_one(options, separate):
    generator = torch.Generator().manual_seed(0)
    widths = {"kdim": 4, "vdim": 3} if separate else {}
    layer = nn.MultiheadAttention(6, 2, batch_first=True, **widths).double().eval()
    query = torch.randn(2, 5, 6, generator=generator).double().requires_grad_()
    key, value = (
        torch.randn(2, 7, widths.get(name, 6), generator=generator).double() for name in ("kdim", "vdim")
    )
    expected, weights = layer(query, key, value, **options)
    with AttentionRecorder("test", layer) as recorder:
        made, found = layer(query, key, value, **options)
    assert_close(made, expected)
    assert (found is None) == (weights is None)
    if weights is not None:
        assert_close(found, weights)
    assert recorder.attentions[0].weights.shape == (2, 2, 5, 7)


def test_unusual_multi_head_attention_is_refused():
    layer = nn.MultiheadAttention(6, 2, add_bias_kv=True)
    x = torch.rand(3, 1, 6).requires_grad_()
    with (
        AttentionRecorder("test", layer),
        pytest.raises(ValueError, match=r"between tokens alone, got one with bias_k") as error,
    ):
        layer(x, x, x)
    one_sentence(error)


# -- a transformer that looks at one patch ------------------------------------------------------------------


@pytest.mark.parametrize("patch", [0, 6, 15])
def test_the_patch_that_the_class_token_looks_at_has_all_attribution(patch):
    model = wrap(looking_at(patch), mean=None, std=None)
    x = images(1)
    # Every block adds half of the rest.
    assert_close(attention_rollout(model, x, 1), only(patch) * (1 - 0.5**3))
    made = gradient_x_attention(model, x, 1)
    assert made[0, 0].flatten()[patch] > 0
    assert_close(made, only(patch) * made.max())
    assert not gradient_x_attention(model, x, 1)[only(patch) == 0].any()


def test_legrad_shows_patches_that_would_raise_the_score():
    model = wrap(looking_at(6), mean=None, std=None)
    bright = only(6).repeat_interleave(2, 2).repeat_interleave(2, 3).expand(1, 3, -1, -1)
    made = legrad(model, bright, 1)
    assert made.max() > 0
    assert_close(made, only(6) * made.max())
    # No token attends to patch 3, but if the class token did, the score would rise.
    other = only(3).repeat_interleave(2, 2).repeat_interleave(2, 3)
    both = legrad(model, bright + other, 1).flatten()
    assert_close(both[3], both[6])


# -- what is refused ---------------------------------------------------------------------------------------


class Windows(Transformer):
    """Attention within the two halves of the image."""

    def __init__(self):
        super().__init__(prefix=0)

    def tokens(self, x):
        x = self.conv1(x).flatten(2).transpose(1, 2)
        halves = x.unflatten(1, (2, -1)).flatten(0, 1)
        return self.block1(halves).unflatten(0, (-1, 2)).flatten(1, 2)


@pytest.mark.parametrize("method", METHODS)
def test_networks_without_attention_between_all_tokens_are_refused(method):
    cases = {
        "expected a network with attention for .*, got Functional": Functional,
        "expected a network with attention for .*, got Smooth": Smooth,
        r"expected attention between all tokens .* got weights of shape \(\d, 2, 8, 8\) in 'block1.attention' of "
        "Windows; the nearest method is 'grad_cam'": Windows,
    }
    for message, network in cases.items():
        with pytest.raises(ValueError, match=message) as error:
            method(wrap(settle(network())), images(1), 1)
        one_sentence(error)


def test_a_mixture_of_heads_is_no_attention():
    class Talking(Transformer):
        def tokens(self, x):
            x = super().tokens(x)
            mixed = 2 * (x @ x.transpose(1, 2)).softmax(-1)
            return x + mixed @ x

    model = wrap(Talking().eval())
    with AttentionRecorder("test", model.module) as recorder:
        model(images(1).requires_grad_(), frozen=True)
    assert len(recorder.attentions) == 3


def test_legrad_refuses_blocks_that_do_not_return_tokens():
    class Nested(nn.Module):
        """A block that returns a tuple, and attention twice."""

        def __init__(self, first, second):
            super().__init__()
            self.first, self.second = first.attention, second.attention

        def forward(self, x):
            heads = self.second.inner(self.first(x)[..., :WIDTH], x, x)
            return (x + heads[0],)

    network = Transformer("multi_head").eval()
    network.block1 = Nested(network.block1, network.block2)
    network.block2 = nn.Identity()
    network.tokens = lambda x: network.block3(network.block1(network.conv1(x).flatten(2).transpose(1, 2))[0])
    network.head = lambda x: network.fc(x.mean(1))
    model = wrap(network)
    with pytest.raises(ValueError, match="expected a block around each attention layer") as error:
        legrad(model, images(1), 1)
    one_sentence(error)
    assert gradient_x_attention(model, images(1), 1).any()


def test_settings_out_of_range_are_refused():
    model = wrap(Transformer().eval())
    for options, message in (
        ({"pool": "class"}, "expected pool to be 'network' or 'mean', got 'class'"),
        ({"blocks": 0}, "expected blocks to be an integer"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            legrad(model, images(1), 1, **options)
        one_sentence(error)


@pytest.mark.parametrize("method", METHODS)
def test_images_are_independent_and_in_any_precision(method):
    network, x = Transformer().eval(), images(3)
    targets = [0, 1, 2]
    batch = method(wrap(network), x, targets)
    assert batch.shape == (3, 1, SIDE, SIDE)
    assert batch.dtype == torch.float32
    each = torch.cat([method(wrap(network), x[n : n + 1], targets[n]) for n in range(3)])
    assert_close(batch, each)
    half = method(wrap(network.to(torch.bfloat16)), x, targets)
    assert half.dtype == torch.float32
    assert torch.corrcoef(torch.stack([half.flatten(), batch.flatten()]))[0, 1] > 0.9
    gray = wrap(Transformer(channels=1).eval(), mean=[0.5], std=[0.25])
    assert method(gray, images(1, channels=1), 1).any()


@pytest.mark.parametrize("method", METHODS)
def test_a_network_that_stops_the_gradient_is_refused(method):
    class Stopped(Transformer):
        def forward(self, x):
            return super().forward(x).detach()

    with pytest.raises(ValueError, match="got Stopped, through which no gradient passes") as error:
        method(wrap(Stopped().eval()), images(1), 1)
    one_sentence(error)


@pytest.mark.parametrize("form", ["talking", "transposed"])
@pytest.mark.parametrize("method", [attention_rollout, gradient_x_attention, legrad])
def test_a_network_is_refused_if_the_attention_of_one_block_is_not_found(method, form):
    network = Transformer("explicit")
    network.block2.attention.form = form
    with pytest.raises(ValueError, match="expected attention in every layer") as caught:
        attributed(method, wrap(network), images(1))
    one_sentence(caught)


@pytest.mark.parametrize("method", [attention_rollout, gradient_x_attention, legrad])
def test_matrices_of_several_images_in_turn_are_refused(method):
    model = wrap(Transformer("heads first"))
    assert_close(
        attributed(method, model, images(1)), attributed(method, wrap(Transformer("explicit")), images(1))
    )
    with pytest.raises(ValueError, match="one image at a time") as caught:
        attributed(method, model, images(2))
    one_sentence(caught)


def test_a_matrix_that_is_multiplied_twice_counts_once():
    one, two = (
        attributed(attention_rollout, wrap(Transformer(form)), images(1)) for form in ("explicit", "relative")
    )
    assert_close(one, two)
