"""Class activation maps of one layer, other than Grad-CAM.

With a_k the channels of a layer, u its positions, g_ku = dS_c / da_ku and S_c the score of the class:

    CAM                L = sum_k w_k^c a_k,   S_c = sum_k w_k^c mean_u a_ku + b_c          Zhou et al. 2016
    Grad-CAM++         w_k = sum_u A_ku relu(g_ku),   A_ku = g_ku^2 / (2 g_ku^2 + g_ku^3 sum_v a_kv),
                       L = relu(sum_k w_k a_k)                                             Chattopadhyay et al. 2018
    Smooth Grad-CAM++  the same with g, g^2 and g^3 averaged over noisy copies of x        Omeiza et al. 2019
    guided Grad-CAM    guided backprop times upsampled Grad-CAM                            Selvaraju et al. 2017
    FEM                L = sum_k mu_k 1[a_ku >= mu_k + K sigma_k]                          Fuad et al. 2020

Grad-CAM++ is derived for exp S_c: its derivatives are those of S_c times exp S_c, which does not change A and scales
all w_k by the same factor. That factor is omitted.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.attribution.grad_cam import grad_cam
from xai_widgets.attribution.guided import guided_backprop
from xai_widgets.attribution.noise import SIGMA, noisy_copies
from xai_widgets.core.arguments import dtype_of
from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import number
from xai_widgets.methods.gradients import layer_gradient, spatial_gradient
from xai_widgets.methods.path_points import last, weighted_sums
from xai_widgets.methods.registry import Cost, channel_sum, max_abs, method

#: Relative tolerance for rounding in single precision.
ROUNDING = 1e-4


@method(
    title="CAM",
    reduce=channel_sum,
    source="Zhou et al. 2016",
    formula="sum_k w_k^c a_k, S_c = sum_k w_k^c mean(a_k) + b_c",
    cost=Cost(note="plus one forward of a blank image, which checks the layers after the chosen one"),
    guarantees="its mean is S_c(x) - b_c",
    limits="Requires a global average and one linear layer after the chosen layer, with or without a ReLU; has its low "
    "resolution, for which 'combine' is an alternative; equals Grad-CAM there, but for its ReLU.",
    requires=("global_average",),
)
def cam(model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None) -> Tensor:
    """Class activation map: the channels before the global average, weighted by the linear layer after it.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
    layer : str, optional
        The layer with output (C, h, w) before the global average. Default: the last one before pooling.

    Notes
    -----
    For such a network, CAM, Grad-CAM and the linear approximation at this layer are the same up to a factor and the
    ReLU of Grad-CAM. For a finer map see :data:`combine`, or an earlier ``layer`` of Grad-CAM.

    Returns
    -------
    Tensor, (N, 1, h, w)
        Signed, in the resolution of the layer; its mean is the score without the bias.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, one without spatial positions, or one that is not followed by
        exactly a global average and a linear layer.
    """
    layer = model.default_layer() if layer is None else layer
    result, back = layer_gradient(model, x, target, layer)
    activation, gradient = model.spatial(layer, result), model.spatial(layer, back)
    positions = activation[0, 0].numel()
    weights = gradient.mean((2, 3), keepdim=True)
    spread = (gradient - weights).abs().amax()
    # The tolerance follows from the precision of the network.
    limit = _rounding(model) * gradient.abs().amax()
    if spread > limit:
        # A ReLU that is not a layer, as in the DenseNet of torchvision: the gradient is 0 where it is inactive.
        active = activation > 0
        weights = gradient.sum((2, 3), keepdim=True) / active.sum((2, 3), keepdim=True).clamp(min=1)
        spread = (gradient - weights * active).abs().amax()
        activation = activation.relu()
    if spread > limit or not _is_affine(model, layer, result, back, target):
        raise ValueError(
            f"expected a layer that only a global average and a linear layer follow, got {layer!r} of {model.name}, "
            "for which CAM is not defined; the nearest method is 'grad_cam'"
        )
    return positions * (weights * activation).sum(1, keepdim=True)


def _rounding(model: ImageModel) -> float:
    dtype = torch.get_autocast_dtype(model.device.type) if _autocast(model) else dtype_of(model.module)
    return max(ROUNDING, 8 * torch.finfo(dtype).eps)


def _autocast(model: ImageModel) -> bool:
    return torch.is_autocast_enabled(model.device.type)


def _is_affine(model: ImageModel, layer: str, activation: Tensor, gradient: Tensor, target: Tensor) -> bool:
    """Return whether the score is an affine function of the activation, between the activation and 0."""
    if not model.is_bottleneck(layer):
        return False
    with torch.no_grad():
        ends = torch.cat([activation, torch.zeros_like(activation)])
        scores = model.forward_from(layer, ends).gather(1, target.repeat(2)[:, None])[:, 0]
    full, none = scores.split(len(activation))
    change = (gradient * activation).flatten(1)
    scale = change.abs().sum(1) + full.abs() + none.abs()
    return bool(((full - none - change.sum(1)).abs() <= _rounding(model) * scale).all())


@method(
    title="Grad-CAM++",
    reduce=channel_sum,
    source="Chattopadhyay et al. 2018",
    formula="relu(sum_k w_k a_k), w_k = sum_u relu(g_ku) g_ku^2 / (2 g_ku^2 + g_ku^3 sum_v a_kv)",
    limits="Has the low resolution of its layer; the denominator may be near 0 or negative where gradients are "
    "negative, so that single channels dominate the map.",
    signed=False,
)
def grad_cam_plus_plus(model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None) -> Tensor:
    """Grad-CAM++: Grad-CAM with weights for each position, larger for channels that are active at few positions.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
    layer : str, optional
        A layer with output (C, h, w), after a ReLU. Default: the last one before pooling.

    Returns
    -------
    Tensor, (N, 1, h, w)
        At least 0, in the resolution of the layer.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, or one without spatial positions.
    """
    activation, gradient = spatial_gradient(model, x, target, layer)
    return _plus_plus(activation, gradient, gradient**2, gradient**3)


def _plus_plus(activation: Tensor, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """Return the map of Grad-CAM++ for the powers of the gradient."""
    denominator = 2 * second + third * activation.sum((2, 3), keepdim=True)
    alpha = torch.where(denominator != 0, second / denominator, 0)
    weights = (alpha * first.relu()).sum((2, 3), keepdim=True)
    return (weights * activation).sum(1, keepdim=True).relu()


@method(
    title="Smooth Grad-CAM++",
    reduce=channel_sum,
    source="Omeiza et al. 2019",
    formula="Grad-CAM++ with g, g^2 and g^3 averaged over noisy copies of x",
    cost=Cost(1, 0, "samples", 1, 1),
    limits="Those of Grad-CAM++; combines the activation of the clean image with the gradients of noisy images.",
    quick={"samples": 4},
    signed=False,
)
def smooth_grad_cam_plus_plus(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    layer: str | None = None,
    samples: int = 25,
    sigma: float = SIGMA,
    seed: int = 0,
    batch_size: int | None = None,
) -> Tensor:
    """Smooth Grad-CAM++: Grad-CAM++ with the derivatives averaged over noisy copies of the image.

    Parameters
    ----------
    model, x, target, layer
        See :func:`grad_cam_plus_plus`.
    samples, sigma, seed, batch_size
        See :func:`smoothgrad`.

    Returns
    -------
    Tensor, (N, 1, h, w)
        At least 0, in the resolution of the layer.

    Raises
    ------
    ValueError
        See :func:`grad_cam_plus_plus`; also for samples below 1 or a sigma below 0.
    """
    layer = model.default_layer() if layer is None else layer
    copies = noisy_copies(x, samples, sigma, seed)

    def powers(model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
        _, gradient = spatial_gradient(model, x, target, layer)
        return torch.stack([gradient, gradient**2, gradient**3], 1)

    first, second, third = last(weighted_sums(model, x, target, copies, powers, batch_size)).unbind(1)
    activation = model.spatial(layer, model.activations(x, [layer])[layer].float())
    return _plus_plus(activation, first, second, third)


@method(
    title="Guided Grad-CAM",
    reduce=max_abs,
    source="Selvaraju et al. 2017",
    formula="guided backprop * upsampled Grad-CAM",
    cost=Cost(2, 2),
    limits="Requires a network with ReLU; its details are those of guided backprop, which depend little on the "
    "class.",
    requires=("relu",),
)
def guided_grad_cam(model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None) -> Tensor:
    """Guided Grad-CAM: guided backprop times bilinearly upsampled Grad-CAM.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
    layer : str, optional
        The layer of Grad-CAM. Default: the last one before pooling.

    Returns
    -------
    Tensor, (N, C, H, W)
        Signed.

    Raises
    ------
    ValueError
        See :func:`grad_cam` and :func:`guided_backprop`.
    """
    details = guided_backprop.function(model, x, target)
    cam = grad_cam.function(model, x, target, layer=layer)
    return details * F.interpolate(cam, (x.shape[2], x.shape[3]), mode="bilinear", align_corners=False)


@method(
    title="FEM",
    reduce=channel_sum,
    source="Fuad et al. 2020",
    formula="sum_k mu_k 1[a_ku >= mu_k + K sigma_k], mu_k and sigma_k of channel k over its positions",
    cost=Cost(1, 0),
    guarantees="its largest magnitude is 1",
    limits="Ignores the class: the map is the same for all classes.",
    uses_class=False,
    signed=None,
)
def fem(model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None, k: float = 1.0) -> Tensor:
    """Feature explanation method (FEM): the positions at which channels of a layer are unusually large.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`; the target is ignored.
    layer : str, optional
        A layer with output (C, h, w). Default: the last one before pooling.
    k : float, default 1
        K, the threshold in standard deviations above the mean of a channel.

    Returns
    -------
    Tensor, (N, 1, h, w)
        Divided by its largest magnitude, in the resolution of the layer; at least 0 after a ReLU.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, or one without spatial positions.
    """
    k = number(k, "k")
    layer = model.default_layer() if layer is None else layer
    activation = model.spatial(layer, model.activations(x, [layer])[layer].detach().float())
    mu = activation.mean((2, 3), keepdim=True)
    sigma = activation.std((2, 3), correction=0, keepdim=True)
    # A constant channel has no unusually large values.
    strong = (activation >= mu + k * sigma) & (sigma > 0)
    result = (mu * strong).sum(1, keepdim=True)
    return result / result.abs().amax((1, 2, 3), keepdim=True).clamp(min=torch.finfo(result.dtype).tiny)
