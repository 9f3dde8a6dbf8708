"""How much each place would change the weights that it shares with all others: NormGrad, and the linear approximation.

Rebuffi et al. 2020 (CVPR), tables 1 and 2. The gradient of weights that are shared by all places u of a layer is a sum
over these; with a the activations there and g = dS_c / da, the summands of the weights of an identity layer behind it:

    bias      g_u            scaling   g_u * a_u            N x N convolution   g_u a_(u, N x N)^T

a_(u, N x N) is the vector of the N x N patch around u, with zeros beyond the border. Made one number a place by

    linear approximation        sum_k g_ku a_ku                     (of the scaling; at the pixels: gradient x input)
    NormGrad                    the norm; of a convolution |g_u| |a_(u, N x N)|
    selective NormGrad          |(g_u * a_u)_+|                     (of the scaling)
    NormGrad of a convolution   |g_u^out| |a^in_(u, N x N)|         (of a convolution that is there)
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xai_widgets.core.hooks import record_inputs
from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import choice
from xai_widgets.methods.gradients import spatial_gradient
from xai_widgets.methods.registry import channel_sum, method

#: Which layer is thought of behind another one.
Identity = Literal["bias", "scaling", "1x1", "3x3"]


def _norm(summands: Tensor) -> Tensor:
    """Over the channels, (N, 1, h, w)."""
    return summands.norm(dim=1, keepdim=True)


@method(
    title="Linear approximation",
    reduce=channel_sum,
    source="Rebuffi et al. 2020",
    formula="g_ku a_ku at each place u and channel k",
    limits="To first order only: it misses what is saturated.",
)
def linear_approximation(model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None) -> Tensor:
    """Gradient times activation, g * a: by how much the score would fall, to first order, without a place.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.methods.Method`.
    layer : str, optional
        A layer with output (C, h, w). Default: the last one before pooling.

    Returns
    -------
    Tensor, (N, C, h, w)
        Signed, in the resolution of the layer.

    Raises
    ------
    ValueError
        For a layer that does not exist, with the nearest name, or whose output has no places.
    """
    activation, gradient = spatial_gradient(model, x, target, layer)
    return gradient * activation


@method(
    title="NormGrad",
    reduce=channel_sum,
    source="Rebuffi et al. 2020",
    formula="|g_u| |a_u|, or |g_u|, |g_u * a_u|, |g_u| |a_(3x3 around u)| by the identity layer",
    limits="Has no sign: what speaks against the class is as bright; maps of different classes are much alike.",
)
def norm_grad(
    model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None, identity: Identity = "1x1"
) -> Tensor:
    """NormGrad: the norm of what each place adds to the gradient of an identity layer behind a layer.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.methods.Method`.
    layer : str, optional
        A layer with output (C, h, w). Default: the last one before pooling.
    identity : {"bias", "scaling", "1x1", "3x3"}, default "1x1"
        The identity layer.

    Returns
    -------
    Tensor, (N, 1, h, w)
        At least 0, in the resolution of the layer.

    Raises
    ------
    ValueError
        For a layer that does not exist, with the nearest name, whose output has no places, or another identity.
    """
    choice(identity, "identity", get_args(Identity))
    activation, gradient = spatial_gradient(model, x, target, layer)
    if identity == "bias":
        return _norm(gradient)
    if identity == "scaling":
        return _norm(gradient * activation)
    side = int(identity[0])
    return _norm(gradient) * _patch_norm(activation, (side, side), padding=(side // 2, side // 2))


@method(
    title="Selective NormGrad",
    reduce=channel_sum,
    source="Rebuffi et al. 2020",
    formula="|(g_u * a_u)_+|",
    limits="As coarse as its layer; maps of different classes are alike where they share channels.",
)
def selective_norm_grad(model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None) -> Tensor:
    """The norm of the positive part of gradient times activation: of what speaks for the class.

    Parameters
    ----------
    model, x, target, layer
        As for :func:`linear_approximation`.

    Returns
    -------
    Tensor, (N, 1, h, w)
        At least 0, in the resolution of the layer.

    Raises
    ------
    ValueError
        As :func:`linear_approximation`.
    """
    activation, gradient = spatial_gradient(model, x, target, layer)
    return _norm((gradient * activation).relu())


@method(
    title="NormGrad of a convolution",
    reduce=channel_sum,
    source="Rebuffi et al. 2020",
    formula="|g_u^out| |a^in_(N x N around u)| of a convolution",
    limits="Refuses layers that are no nn.Conv2d; has no sign, and maps of different classes are much alike.",
)
def norm_grad_convolution(
    model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None
) -> Tensor:
    """NormGrad of a convolution of the network: how much each of its places adds to the gradient of its weights.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.methods.Method`.
    layer : str, optional
        An ``nn.Conv2d``. Default: the last one on the way to the scores with more than one position.

    Returns
    -------
    Tensor, (N, 1, h, w)
        At least 0, in the resolution of its output.

    Raises
    ------
    ValueError
        For a layer that does not exist or is no convolution, with the nearest one.
    """
    spatial = [
        each for each in model.layers() if each.grid is not None and each.grid.positions > 1 and each.used
    ]
    modules = model.find_layers([each.name for each in spatial])
    there = [name for name, module in modules.items() if isinstance(module, nn.Conv2d)]
    if not there:
        raise ValueError(
            f"{model.name} has no nn.Conv2d, wanted a network with one; the nearest method is 'norm_grad'"
        )
    layer = there[-1] if layer is None else layer
    convolution = model.find_layers([layer])[layer]
    with record_inputs({layer: convolution}) as kept:
        _, gradient = spatial_gradient(model, x, target, layer)
    if not isinstance(convolution, nn.Conv2d):
        raise ValueError(
            f"layer {layer!r} is a {type(convolution).__name__}, wanted an nn.Conv2d, such as {there[-1]!r}"
        )
    given = kept[layer].float()
    groups = convolution.groups
    if isinstance(convolution.padding, str) or convolution.padding_mode != "zeros":
        # As the convolution itself does it, whatever its mode; what is left has no padding.
        mode = "constant" if convolution.padding_mode == "zeros" else convolution.padding_mode
        given = F.pad(given, convolution._reversed_padding_repeated_twice, mode=mode)
        padding: tuple[int, ...] = (0, 0)
    else:
        padding = convolution.padding
    norms = [
        _norm(g) * _patch_norm(a, convolution.kernel_size, padding, convolution.stride, convolution.dilation)
        for g, a in zip(gradient.chunk(groups, 1), given.chunk(groups, 1), strict=True)
    ]
    return _norm(torch.cat(norms, 1))


def _patch_norm(
    activation: Tensor,
    size: tuple[int, ...],
    padding: tuple[int, ...],
    stride: tuple[int, ...] = (1, 1),
    dilation: tuple[int, ...] = (1, 1),
) -> Tensor:
    """The norm of the patch that a convolution sees at each of its places, (N, 1, h, w)."""
    squares = activation.square().sum(1, keepdim=True)
    ones = squares.new_ones(1, 1, *size)
    return F.conv2d(squares, ones, stride=stride, padding=padding, dilation=dilation).sqrt()
