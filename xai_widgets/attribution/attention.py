"""Attribution by the attention matrices of a transformer.

With A_b the attention matrix of block b of B, (heads, T, T) for T tokens, whose row i holds the weights of the tokens
that token i is computed from; G_b = dS_c / dA_b; I the identity; and averages over heads:

    attention rollout      R = M_B ... M_1,   M_b = mean(A_b) / 2 + I / 2                 Abnar and Zuidema 2020
    gradient x attention   R_b = R_(b-1) + mean(relu(G_b * A_b)) R_(b-1),   R_0 = I       Chefer et al. 2021, (5), (6)
    LeGrad                 E = 1/B sum_b mean over heads and rows of relu(dS_c^b / dA_b)  Bousselham et al. 2025

S_c^b is the score of the class if the tokens after block b enter the head of the network, so that blocks b + 1 to B are
skipped. The map has one value for each patch: its column in the row of the class token, in rollout and gradient x
attention. In a network that averages the tokens instead, it is the mean of the rows of all patches. Rows that the
scores do not depend on are left out, which is measured by G_B; a distillation token that is read like the class token
counts like it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xai_widgets.core.guard import outside_inference
from xai_widgets.core.hooks import record_outputs
from xai_widgets.core.layers import Grid
from xai_widgets.core.model import ImageModel
from xai_widgets.core.model_output import distinct_weights
from xai_widgets.core.validation import brief, check_finite, integer
from xai_widgets.methods.gradients import no_gradient_error
from xai_widgets.methods.registry import Cost, channel_sum, method
from xai_widgets.rules import Attention, AttentionRecorder

_LIMITS = (
    "Raises an error for networks without attention between all tokens in every block, such as Swin; has the "
    "resolution of the patches; "
)


@method(
    title="Attention rollout",
    reduce=channel_sum,
    source="Abnar and Zuidema 2020",
    formula="row of the class token of M_B ... M_1, M_b = mean over heads of A_b / 2 + I / 2",
    cost=Cost(note="the backward pass reaches the last block only"),
    guarantees="at least 0; with the values of the class token and of other tokens without a position it sums to 1",
    limits=_LIMITS + "is the same for every class, and ignores values and MLPs.",
    requires=("attention",),
    uses_class=False,
    signed=False,
)
def attention_rollout(model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
    """Attention rollout: how much of each patch the class token holds if tokens are mixed by attention alone.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`. The class is ignored.

    Returns
    -------
    Tensor, (N, 1, h, w)
        From 0 to 1, in the resolution of the patches.

    Raises
    ------
    ValueError
        For a network without attention between all tokens in every block.
    """
    with outside_inference(), torch.enable_grad():
        scores, attentions, grid = _attention_pass(model, x, "attention rollout")
        start = distinct_weights(scores)
        (gradient,) = torch.autograd.grad(scores, attentions[-1].weights, start, materialize_grads=True)
    result = _rows(gradient, grid, len(x))
    for attention in reversed(attentions):
        result = (result @ _heads(attention.weights, len(x)).mean(1) + result) / 2
    return grid.spatial(result.transpose(1, 2))


@method(
    title="Gradient x attention",
    reduce=channel_sum,
    source="Chefer et al. 2021",
    formula="row of the class token of R_B, R_b = R_(b-1) + mean over heads of relu(dS_c/dA_b * A_b) R_(b-1), R_0 = I",
    guarantees="at least 0",
    limits=_LIMITS + "evidence against the class is discarded.",
    requires=("attention",),
    signed=False,
)
def gradient_x_attention(model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
    """Gradient x attention: a rollout of the attention that raises the score (Chefer, Gur and Wolf 2021).

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.

    Returns
    -------
    Tensor, (N, 1, h, w)
        At least 0, in the resolution of the patches. The identity in R, the same for every patch, is not included where
        the rows of the patches are averaged.

    Raises
    ------
    ValueError
        For a network without attention between all tokens in every block.
    """
    with outside_inference(), torch.enable_grad():
        scores, attentions, grid = _attention_pass(model, x, "gradient x attention")
        score = scores.gather(1, target.clone()[:, None]).sum()
        gradients = torch.autograd.grad(score, [each.weights for each in attentions], materialize_grads=True)
    rows = _rows(gradients[-1], grid, len(x))
    # Without the rows of the identity, which are large where the gradient is small.
    result = torch.zeros_like(rows)
    for attention, gradient in zip(reversed(attentions), reversed(gradients), strict=True):
        product = _heads(gradient, len(x)) * _heads(attention.weights, len(x))
        result = result + (rows + result) @ product.clamp(min=0).mean(1)
    return grid.spatial(result.transpose(1, 2))


@method(
    title="LeGrad",
    reduce=channel_sum,
    source="Bousselham et al. 2025",
    formula="mean over blocks, heads and rows of relu(dS_c^b/dA_b), S_c^b the score without the blocks after b",
    cost=Cost(
        1,
        0,
        "blocks",
        0,
        1,
        note="plus two passes of blank images; a backward pass goes through one block only",
    ),
    guarantees="at least 0",
    limits=_LIMITS
    + "assumes that the layers after the last block can read the tokens of earlier blocks; a patch may have "
    "a value although no token attends to it, as the gradient is not weighted by the attention.",
    requires=("attention",),
    signed=False,
)
def legrad(
    model: ImageModel, x: Tensor, target: Tensor, *, blocks: int | None = None, pool: str = "network"
) -> Tensor:
    """LeGrad: the positive gradient of the score after each block with respect to its attention, averaged over blocks.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
    blocks : int, optional
        Number of the last blocks to average over. Default: all blocks.
    pool : {"network", "mean"}, default "network"
        Tokens that the layers after the last block get: those of the block, of which the network reads its class token
        or takes its average; or the mean of all tokens in place of each, as in the published code for CLIP.

    Returns
    -------
    Tensor, (N, 1, h, w)
        At least 0, in the resolution of the patches. Published maps are rescaled to [0, 1]; this one is not.

    Raises
    ------
    ValueError
        For a network without attention between all tokens in every block, whose blocks do not return tokens, or with a
        path around the last block; for an unknown pool or a number of blocks below 1.
    """
    if pool not in ("network", "mean"):
        raise ValueError(f"expected pool to be 'network' or 'mean', got {brief(pool)}")
    number = None if blocks is None else integer(blocks, "blocks", low=1)
    with outside_inference(), torch.enable_grad():
        blank = torch.zeros_like(x[:1])
        names = _blocks(model, [each.layer for each in _attention_pass(model, blank, "LeGrad")[1]])
        last, names = names[-1], names if number is None else names[-number:]
        with record_outputs(model.find_layers(names)) as outputs:
            _, attentions, grid = _attention_pass(model, x, "LeGrad")
        tokens = [outputs[name] for name in names]
        gradients = _head_gradients(model, last, tokens, target, pool)
        result = torch.zeros(len(x), attentions[0].weights.shape[-1], device=x.device)
        for output, gradient, attention in zip(tokens, gradients, attentions[-len(names) :], strict=True):
            (back,) = torch.autograd.grad(
                output, attention.weights, gradient, retain_graph=True, materialize_grads=True
            )
            result += _heads(back, len(x)).clamp(min=0).mean((1, 2)) / len(names)
    return grid.spatial(result[..., None])


def _head_gradients(
    model: ImageModel, last: str, tokens: list[Tensor], target: Tensor, pool: str
) -> tuple[Tensor, ...]:
    """Return the gradient of the score at the tokens of each block, if they replace those of the last block."""
    leaves = torch.cat([each.detach() for each in tokens]).requires_grad_()
    entering = leaves.mean(1, keepdim=True).expand_as(leaves) if pool == "mean" else leaves
    scores = model.forward_from(last, entering)
    check_finite(scores, model.name)
    score = scores.gather(1, target.clone().repeat(len(tokens))[:, None]).sum()
    (gradient,) = torch.autograd.grad(score, leaves)
    return gradient.split(len(tokens[0]))


def _attention_pass(model: ImageModel, x: Tensor, title: str) -> tuple[Tensor, list[Attention], Grid]:
    """Return scores (N, classes), the attention of each block, (N, heads, T, T) or (N * heads, T, T), and its grid."""
    with AttentionRecorder(title, model.module) as recorder:
        scores = model(x.clone().requires_grad_(), frozen=True)
    check_finite(scores, model.name)
    if not scores.requires_grad:
        raise no_gradient_error(model)
    if not recorder.attentions:
        raise ValueError(
            f"expected a network with attention for {title}, got {model.name}, in which no matrix of weights that sum "
            "to 1 is multiplied with values; the nearest method is 'grad_cam'"
        )
    number = recorder.attentions[-1].weights.shape[-1]
    for name, weights in recorder.attentions:
        images = len(weights) == len(x) if weights.ndim == 4 else len(weights) % len(x) == 0
        if not images or weights.shape[-2:] != (number, number):
            raise ValueError(
                f"expected attention between all tokens in every block for {title}, got weights of shape "
                f"{tuple(weights.shape)} in {name!r} of {model.name}; the nearest method is 'grad_cam'"
            )
    _check_all_found(model, [each.layer for each in recorder.attentions], title)
    shape = recorder.attentions[-1].weights.shape
    # Matrices (N, heads, T, T) are in order; those in one dimension, or of as many heads as images, may not be.
    if len(x) > 1 and (len(shape) == 3 or shape[0] != len(x) or shape[1] == len(x)):
        _check_order(scores, recorder.attentions[-1], title, model.name)
    return scores, recorder.attentions, _grid(model, number, title)


def _check_all_found(model: ImageModel, found: list[str], title: str) -> None:
    """Raise an error if a layer of the same class as one around a found attention holds none."""
    layers = {layer.name: layer for layer in model.layers()}
    types = {layers[name].type for name in layers if _inside(name, found)} - {"Sequential"}
    for name, layer in layers.items():
        if layer.used and layer.type in types and not _inside(name.partition(":")[0], found):
            raise ValueError(
                f"expected attention in every layer of the class {layer.type} for {title}, got none in {name!r} of "
                f"{model.name}, in which no matrix of weights that sum to 1 is multiplied with values; the nearest "
                "method is 'grad_cam'"
            )


def _check_order(scores: Tensor, attention: Attention, title: str, name: str) -> None:
    """Raise an error if the matrices of an image do not follow each other."""
    number = len(scores)
    start = distinct_weights(scores[0])
    (gradient,) = torch.autograd.grad(
        scores[0], attention.weights, start, retain_graph=True, materialize_grads=True
    )
    if _heads(gradient, number)[1:].any():
        raise ValueError(
            f"expected the attention of each image in successive matrices for {title}, got those of several images in "
            f"turn in {attention.layer!r} of {name}; explain one image at a time"
        )


def _heads(matrices: Tensor, number: int) -> Tensor:
    """Return attention matrices, or their gradients, of ``number`` images as (N, heads, T, T) in float32."""
    # Some networks join images and heads in one dimension.
    joined = matrices.unflatten(0, (number, -1)) if matrices.ndim == 3 else matrices
    return joined.detach().float()


def _grid(model: ImageModel, tokens: int, title: str) -> Grid:
    """Return the grid of so many tokens."""
    grids = [layer.grid for layer in model.layers() if layer.grid is not None and layer.grid.positions > 1]
    for grid in reversed(grids):
        if grid.positions + grid.prefix == tokens:
            return Grid("tokens", grid.height, grid.width, grid.prefix)
    laid_out = {grid for grid in grids if grid.layout == "tokens"}
    if len(laid_out) == 1:
        # An image of another size.
        return laid_out.pop()
    raise ValueError(
        f"expected tokens on a grid of patches for {title}, got {tokens} tokens in {model.name}; the nearest method is "
        "'gradient_x_input'"
    )


def _rows(gradient: Tensor, grid: Grid, number: int) -> Tensor:
    """Return the weights (N, 1, T) of the rows that the scores read, by the gradient at the last attention matrix."""
    read = gradient.ne(0).any(-1).flatten(0, -2).any(0)
    chosen = torch.zeros_like(read)
    chosen[: grid.prefix] = read[: grid.prefix]
    if not chosen.any():
        chosen[grid.prefix :] = read[grid.prefix :] if read.any() else True
    weights = chosen.float() / chosen.sum()
    return weights.expand(number, 1, -1)


def _blocks(model: ImageModel, attentions: list[str]) -> list[str]:
    """Return for each attention layer the largest layer around it that holds no other and returns all tokens.

    Each path goes through its output, or it would not be the tokens, but a summand of them.
    """
    tokens = {
        layer.name for layer in model.layers() if layer.grid is not None and layer.grid.layout == "tokens"
    }
    found = []
    for name in attentions:
        parts = name.split(".")
        around = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
        own = [each for each in around if each in tokens and _inside(each, attentions) == 1]
        if not own or not model.is_bottleneck(own[0]):
            raise ValueError(
                f"expected a block around each attention layer, whose output are the tokens, for LeGrad, got none "
                f"around {name!r} in {model.name}; the nearest method is 'gradient_x_attention'"
            )
        found.append(own[0])
    return found


def _inside(block: str, layers: list[str]) -> int:
    """Return the number of layers in a block."""
    return sum(f"{layer}.".startswith(f"{block}.") for layer in layers)
