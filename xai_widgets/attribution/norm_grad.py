"""NormGrad and linear approximation: the contribution of each position to the gradient of shared weights.

Rebuffi et al. 2020, tables 1 and 2. The gradient of weights that are shared by all positions u of a layer is a sum over
the positions. With a the activations and g = dS_c / da, the summands for the weights of an identity layer inserted
after the layer are

    bias      g_u            scaling   g_u * a_u            N x N convolution   g_u a_(u, N x N)^T

a_(u, N x N) is the vector of the N x N patch around u, zero-padded. They are reduced to one number per position by

    linear approximation        sum_k g_ku a_ku                     (scaling; for pixels: gradient x input)
    NormGrad                    the norm; for a convolution |g_u| |a_(u, N x N)|
    selective NormGrad          |(g_u * a_u)_+|                     (scaling)
    NormGrad of a convolution   |g_u^out| |a^in_(u, N x N)|         (a convolution of the network)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xai_widgets.core.function_calls import argument
from xai_widgets.core.guard import FunctionMode
from xai_widgets.core.hooks import record_inputs
from xai_widgets.core.model import ImageModel
from xai_widgets.core.replica import replica
from xai_widgets.core.validation import choice
from xai_widgets.methods.gradients import spatial_gradient
from xai_widgets.methods.registry import channel_sum, method

#: The identity layer that is inserted after a layer.
Identity = Literal["bias", "scaling", "1x1", "3x3"]


def _norm(summands: Tensor) -> Tensor:
    """Return the norm over the channels, (N, 1, h, w)."""
    return summands.norm(dim=1, keepdim=True)


@method(
    title="Linear approximation",
    reduce=channel_sum,
    source="Rebuffi et al. 2020",
    formula="g_ku a_ku at each position u and channel k",
    limits="First order only: near 0 where the score is saturated.",
)
def linear_approximation(model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None) -> Tensor:
    """Gradient times activation, g * a: to first order, the drop of the score if a position were set to 0.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
    layer : str, optional
        A layer with output (C, h, w). Default: the last one before pooling.

    Returns
    -------
    Tensor, (N, C, h, w)
        Signed, in the resolution of the layer.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, or one without spatial positions.
    """
    activation, gradient = spatial_gradient(model, x, target, layer)
    return gradient * activation


@method(
    title="NormGrad",
    reduce=channel_sum,
    source="Rebuffi et al. 2020",
    formula="|g_u| |a_u|, or |g_u|, |g_u * a_u|, |g_u| |a_(3x3 around u)| by the identity layer",
    limits="Unsigned: evidence for and against the class look the same; maps of different classes are similar.",
    signed=False,
)
def norm_grad(
    model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None, identity: Identity = "1x1"
) -> Tensor:
    """NormGrad: the norm of the contribution of each position to the gradient of an inserted identity layer.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
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
        For an unknown layer or identity, with the nearest name, or a layer without spatial positions.
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
    signed=False,
)
def selective_norm_grad(model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None) -> Tensor:
    """Selective NormGrad: the norm of the positive part of gradient times activation, the evidence for the class.

    Parameters
    ----------
    model, x, target, layer
        See :func:`linear_approximation`.

    Returns
    -------
    Tensor, (N, 1, h, w)
        At least 0, in the resolution of the layer.

    Raises
    ------
    ValueError
        See :func:`linear_approximation`.
    """
    activation, gradient = spatial_gradient(model, x, target, layer)
    return _norm((gradient * activation).relu())


@method(
    title="NormGrad of a convolution",
    reduce=channel_sum,
    source="Rebuffi et al. 2020",
    formula="|g_u^out| |a^in_(N x N around u)| of a convolution",
    limits="Requires an nn.Conv2d; unsigned, and maps of different classes are similar.",
    signed=False,
)
def norm_grad_convolution(
    model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None
) -> Tensor:
    """NormGrad of a convolution: the norm of the contribution of each position to the gradient of its weights.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
    layer : str, optional
        An ``nn.Conv2d``. Default: the last one with more than one position that contributes to the scores.

    Returns
    -------
    Tensor, (N, 1, h, w)
        At least 0, in the resolution of its output.

    Raises
    ------
    ValueError
        For a layer that does not exist or is not a convolution, with the nearest one.
    """
    spatial = [
        each for each in model.layers() if each.grid is not None and each.grid.positions > 1 and each.used
    ]
    modules = model.find_layers([each.name for each in spatial])
    convolutions = [name for name, module in modules.items() if isinstance(module, nn.Conv2d)]
    if not convolutions:
        raise ValueError(
            f"expected a network with an nn.Conv2d, got {model.name}; the nearest method is 'norm_grad'"
        )
    layer = convolutions[-1] if layer is None else layer
    convolution = model.find_layers([layer])[layer]
    with record_inputs({layer: convolution}) as inputs:
        _, gradient = spatial_gradient(model, x, target, layer)
    if not isinstance(convolution, nn.Conv2d):
        raise ValueError(
            f"expected layer to be an nn.Conv2d, got {layer!r}, a {type(convolution).__name__}; try "
            f"{convolutions[-1]!r}"
        )
    called = _convolution_call(convolution, inputs[layer])
    if called is None:
        raise ValueError(
            f"expected a convolution that calls torch.nn.functional.conv2d once, got {layer!r}, a "
            f"{type(convolution).__name__}; the nearest method is 'norm_grad'"
        )
    activation, size, settings = called
    groups = convolution.groups
    norms = [
        _norm(g) * _patch_norm(a, size, **settings)
        for g, a in zip(gradient.chunk(groups, 1), activation.float().chunk(groups, 1), strict=True)
    ]
    return _norm(torch.cat(norms, 1))


class _Calls(FunctionMode):
    """Records the arguments of the convolutions of a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[Tensor, tuple[int, ...], dict[str, Any]]] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.conv2d:
            settings = {
                name: argument(args, kwargs, index, name, default)
                for index, name, default in ((3, "stride", 1), (4, "padding", 0), (5, "dilation", 1))
            }
            x, weight = argument(args, kwargs, 0, "input"), argument(args, kwargs, 1, "weight")
            self.found.append((x, tuple(weight.shape[2:]), settings))
        return func(*args, **kwargs)


def _convolution_call(
    convolution: nn.Conv2d, x: Tensor
) -> tuple[Tensor, tuple[int, ...], dict[str, Any]] | None:
    """Return the input, the size of the kernel and the settings of the only call of a module, which may pad by itself.

    For instance, the padding of timm's ``Conv2dSame`` depends on the size of the image.
    """
    with torch.no_grad(), _Calls() as calls:
        replica(convolution, frozen=True)(x)
    return calls.found[0] if len(calls.found) == 1 else None


def _patch_norm(
    activation: Tensor,
    size: tuple[int, ...],
    *,
    stride: int | tuple[int, ...] = 1,
    padding: str | int | tuple[int, ...] = 0,
    dilation: int | tuple[int, ...] = 1,
) -> Tensor:
    """Return the norm of the input patch of a convolution at each position, (N, 1, h, w)."""
    squares = activation.square().sum(1, keepdim=True)
    ones = squares.new_ones(1, 1, *size)
    return F.conv2d(squares, ones, None, stride, padding, dilation).sqrt()
