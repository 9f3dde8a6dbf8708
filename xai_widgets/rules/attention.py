"""Attention in elementary operations, and a mode that records its matrices.

``F.scaled_dot_product_attention`` and ``F.multi_head_attention_forward`` compute softmax(q k^T / sqrt d) v by one
kernel, in which the attention matrix does not exist. Inside a mode they are replaced by the same formula in matrix
products and a softmax, which is equal up to rounding, so that the matrix has a gradient and each operation a backward
rule.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xai_widgets.rules.mode import RulesMode, tensors_in
from xai_widgets.rules.operations import PRODUCT, name_of

_MULTI_HEAD = inspect.signature(F.multi_head_attention_forward)


def expanded_attention(func: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return the form of a fused function of attention in elementary operations; None for any other function."""
    if func is F.scaled_dot_product_attention:
        return scaled_dot_product_attention
    return multi_head_attention if func is F.multi_head_attention_forward else None


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return softmax(scale q k^T + mask) v; see :func:`torch.nn.functional.scaled_dot_product_attention`."""
    if enable_gqa:
        repeats = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(repeats, -3), value.repeat_interleave(repeats, -3)
    if is_causal:
        attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    weights = _weights(query, key, attn_mask, scale)
    if dropout_p:
        weights = F.dropout(weights, dropout_p)
    return weights @ value


def _weights(query: Tensor, key: Tensor, mask: Tensor | None, scale: float | None = None) -> Tensor:
    """Return softmax(scale q k^T + mask)."""
    scores = (query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)) @ key.transpose(-2, -1)
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill(~mask, -math.inf)
    if mask is not None:
        scores = scores + mask
    return scores.softmax(-1)


def multi_head_attention(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
    """Return output and weights of :func:`torch.nn.functional.multi_head_attention_forward`."""
    given = _MULTI_HEAD.bind(*args, **kwargs)
    given.apply_defaults()
    options = given.arguments
    unusual = [
        name
        for name in ("bias_k", "bias_v", "add_zero_attn", "key_padding_mask", "static_k", "static_v")
        if options[name] is not None and options[name] is not False
    ]
    if unusual:
        raise ValueError(f"expected multi-head attention between tokens alone, got one with {unusual[0]}")
    inputs = [options[name] for name in ("query", "key", "value")]
    single = inputs[0].ndim == 2
    inputs = [each.unsqueeze(1) if single else each for each in inputs]
    (length, batch, _), heads = inputs[0].shape, options["num_heads"]
    query, key, value = (
        # (L, N, E) to (N, heads, L, E / heads)
        F.linear(each, weight, bias).unflatten(-1, (heads, -1)).permute(1, 2, 0, 3)
        for each, weight, bias in zip(inputs, *_projections(options), strict=True)
    )
    mask = options["attn_mask"]
    if mask is not None and mask.ndim == 3:
        mask = mask.unflatten(0, (batch, heads))
    if mask is not None and mask.dtype == torch.bool:
        # Here, True excludes a token.
        mask = ~mask
    weights = _weights(query, key, mask)
    if options["training"] and options["dropout_p"]:
        weights = F.dropout(weights, options["dropout_p"])
    output = (weights @ value).permute(2, 0, 1, 3).reshape(length, batch, -1)
    output = F.linear(output, options["out_proj_weight"], options["out_proj_bias"])
    output = output.squeeze(1) if single else output
    if not options["need_weights"]:
        return output, None
    weights = weights.detach().mean(1) if options["average_attn_weights"] else weights.detach()
    return output, weights.squeeze(0) if single else weights


def _projections(options: dict[str, Any]) -> tuple[list[Tensor], list[Any]]:
    """Return weights and biases of the projections to queries, keys and values."""
    if options["use_separate_proj_weight"]:
        weights = [options[f"{name}_proj_weight"] for name in "qkv"]
    else:
        weights = list(options["in_proj_weight"].chunk(3))
    bias = options["in_proj_bias"]
    return weights, [None] * 3 if bias is None else list(bias.chunk(3))


class Attention(NamedTuple):
    """The attention matrices of one layer.

    Attributes
    ----------
    layer : str
        Name of the layer.
    weights : Tensor, (N, heads, T, T), or another shape in layers with windows, pooling or several class tokens
        At least 0; each row sums to 1. It is a part of the autograd graph.
    """

    layer: str
    weights: Tensor


class AttentionRecorder(RulesMode):
    """Record attention matrices inside the block: left factors of matrix products whose rows sum to 1.

    Only matrices that depend on the pixels are recorded, in the order of the pass, with all fused functions of
    attention expanded. The network's results stay the same up to rounding.

    Parameters
    ----------
    title : str
        Name of the method in errors.
    network : nn.Module
        The network whose layers are named.

    Attributes
    ----------
    attentions : list of Attention
    """

    def __init__(self, title: str, network: nn.Module) -> None:
        super().__init__(title, network)
        self.attentions: list[Attention] = []

    def call(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the result of the function; see :class:`RulesMode`."""
        expanded = expanded_attention(func)
        if expanded is not None:
            # The mode is disabled inside a call.
            with self:
                return expanded(*args, **kwargs)
        if name_of(func) in PRODUCT:
            factors = list(tensors_in((*args, *kwargs.values())))
            for factor in _averaging(args, factors) if name_of(func) == "einsum" else factors[:1]:
                # A matrix may be multiplied with values and with embeddings of relative positions.
                known = any(factor is attention.weights for attention in self.attentions[-1:])
                if factor.requires_grad and not known and are_probabilities(factor):
                    self.attentions.append(Attention(self.layer_here(), factor))
        return func(*args, **kwargs)


def _averaging(args: tuple[Any, ...], factors: list[Tensor]) -> list[Tensor]:
    """Return the factors of ``einsum`` over whose last dimension it sums."""
    equation = args[0] if args and isinstance(args[0], str) else ""
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if not arrow or len(terms) != len(factors):
        return factors
    return [factor for term, factor in zip(terms, factors, strict=True) if term[-1:] not in output]


def are_probabilities(weights: Tensor) -> bool:
    """Return whether the rows of several matrices are at least 0 and sum to 1."""
    if weights.ndim not in (3, 4) or not weights.is_floating_point():
        return False
    values = weights.detach().float()
    rounding = weights.shape[-1] * torch.finfo(weights.dtype).eps
    return bool((values >= 0).all()) and bool(((values.sum(-1) - 1).abs() <= rounding + 1e-5).all())
