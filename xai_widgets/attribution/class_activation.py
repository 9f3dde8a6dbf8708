"""Maps made of the activations of one layer, other than Grad-CAM itself.

With a_k the channels of a layer, u its places, g_ku = dS_c / da_ku and S_c the score of the class:

    CAM                L = sum_k w_k^c a_k,   S_c = sum_k w_k^c mean_u a_ku + b_c          Zhou et al. 2016
    Grad-CAM++         w_k = sum_u A_ku relu(g_ku),   A_ku = g_ku^2 / (2 g_ku^2 + g_ku^3 sum_v a_kv),
                       L = relu(sum_k w_k a_k)                                             Chattopadhyay et al. 2018
    Smooth Grad-CAM++  the same with g, g^2 and g^3 averaged over noisy copies of x        Omeiza et al. 2019
    guided Grad-CAM    guided backprop times Grad-CAM, enlarged                            Selvaraju et al. 2017
    FEM                L = sum_k mu_k 1[a_ku >= mu_k + K sigma_k]                          Fuad et al. 2020

Grad-CAM++ is derived for exp S_c: its derivatives are those of S_c times exp S_c, which leaves A as it is and makes all
w_k larger by one factor. That factor is left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.attribution.grad_cam import grad_cam
from xai_widgets.attribution.guided import guided_backprop
from xai_widgets.attribution.noise import noisy_copies
from xai_widgets.core.arguments import dtype_of
from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import number
from xai_widgets.methods.gradients import layer_gradient, spatial_gradient
from xai_widgets.methods.path_points import last, weighted_sums
from xai_widgets.methods.registry import Cost, channel_sum, max_abs, method

#: Of the largest value; two numbers that differ by less are the same to a network in single precision.
ROUNDING = 1e-4


@method(
    title="CAM",
    reduce=channel_sum,
    source="Zhou et al. 2016",
    formula="sum_k w_k^c a_k, S_c = sum_k w_k^c mean(a_k) + b_c",
    cost=Cost(note="besides one forward of a blank image, which shows what is behind the layer"),
    guarantees="its mean is S_c(x) - b_c",
    limits="Refuses whatever is more than a global average and one linear layer behind the layer; as coarse as "
    "that.",
    requires=("global_average",),
)
def cam(model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None) -> Tensor:
    """Class activation map: the channels before a global average, weighted as the linear layer after it does.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.methods.Method`.
    layer : str, optional
        The layer with output (C, h, w) that is averaged. Default: the last one before pooling.

    Returns
    -------
    Tensor, (N, 1, h, w)
        Signed, in the resolution of the layer; its mean is the score without the bias.

    Raises
    ------
    ValueError
        For a layer that does not exist, with the nearest name, one without places, or one that is not followed by just
        a global average and a linear layer.
    """
    layer = model.default_layer() if layer is None else layer
    made, back = layer_gradient(model, x, target, layer)
    activation, gradient = model.spatial(layer, made), model.spatial(layer, back)
    places = activation[0, 0].numel()
    weights = gradient.mean((2, 3), keepdim=True)
    spread = (gradient - weights).abs().amax()
    # What is computed in half precision is the same to it where the digits that it has are.
    if spread > _rounding(model) * gradient.abs().amax() or not _is_affine(model, layer, made, back, target):
        raise ValueError(
            f"layer {layer!r} of {model.name} is followed by more, wanted just a global average and one linear layer, "
            "which CAM is defined for; the nearest method is 'grad_cam'"
        )
    return places * (weights * activation).sum(1, keepdim=True)


def _rounding(model: ImageModel) -> float:
    dtype = torch.get_autocast_dtype(model.device.type) if _autocast(model) else dtype_of(model.module)
    return max(ROUNDING, 8 * torch.finfo(dtype).eps)


def _autocast(model: ImageModel) -> bool:
    return torch.is_autocast_enabled(model.device.type)


def _is_affine(model: ImageModel, layer: str, activation: Tensor, gradient: Tensor, target: Tensor) -> bool:
    """Whether a score changes by the gradient times what an activation does, down to an activation of 0."""
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
    limits="As coarse as its layer; the denominator may be near 0 or below where gradients are negative, so "
    "that single channels rule the map.",
)
def grad_cam_plus_plus(model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None) -> Tensor:
    """Grad-CAM++: Grad-CAM in which places count the more the fewer of them a channel needs.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.methods.Method`.
    layer : str, optional
        A layer with output (C, h, w), behind a ReLU. Default: the last one before pooling.

    Returns
    -------
    Tensor, (N, 1, h, w)
        At least 0, in the resolution of the layer.

    Raises
    ------
    ValueError
        For a layer that does not exist, with the nearest name, or whose output has no places.
    """
    activation, gradient = spatial_gradient(model, x, target, layer)
    return _plus_plus(activation, gradient, gradient**2, gradient**3)


def _plus_plus(activation: Tensor, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """The map of Grad-CAM++ for the powers of the gradient."""
    below = 2 * second + third * activation.sum((2, 3), keepdim=True)
    share = torch.where(below != 0, second / below, 0)
    weights = (share * first.relu()).sum((2, 3), keepdim=True)
    return (weights * activation).sum(1, keepdim=True).relu()


@method(
    title="Smooth Grad-CAM++",
    reduce=channel_sum,
    source="Omeiza et al. 2019",
    formula="as Grad-CAM++, with g, g^2 and g^3 averaged over noisy copies of x",
    cost=Cost(1, 0, "samples", 1, 1),
    limits="As Grad-CAM++; the activation is that of the clean image, while the gradients are those of noisy "
    "ones.",
    quick={"samples": 4},
)
def smooth_grad_cam_plus_plus(
    model: ImageModel,
    x: Tensor,
    target: Tensor,
    *,
    layer: str | None = None,
    samples: int = 25,
    sigma: float = 0.15,
    seed: int = 0,
    batch_size: int | None = None,
) -> Tensor:
    """Grad-CAM++ with the derivatives averaged over noisy copies; the activation is that of the clean image.

    Parameters
    ----------
    model, x, target, layer
        As for :func:`grad_cam_plus_plus`.
    samples, sigma, seed, batch_size
        As for :func:`smoothgrad`.

    Returns
    -------
    Tensor, (N, 1, h, w)
        At least 0, in the resolution of the layer.

    Raises
    ------
    ValueError
        As :func:`grad_cam_plus_plus`, or for samples below 1 or a sigma below 0.
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
    formula="guided backprop * Grad-CAM, enlarged",
    cost=Cost(2, 2),
    limits="Refuses networks without ReLU; its detail is that of guided backprop, which depends little on the "
    "class.",
    requires=("relu",),
)
def guided_grad_cam(model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None) -> Tensor:
    """Guided backprop times Grad-CAM, which is enlarged bilinearly.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.methods.Method`.
    layer : str, optional
        The layer of Grad-CAM. Default: the last one before pooling.

    Returns
    -------
    Tensor, (N, C, H, W)
        Signed.

    Raises
    ------
    ValueError
        As :func:`grad_cam` and :func:`guided_backprop`.
    """
    what = guided_backprop.function(model, x, target)
    where = grad_cam.function(model, x, target, layer=layer)
    return what * F.interpolate(where, (x.shape[2], x.shape[3]), mode="bilinear", align_corners=False)


@method(
    title="FEM",
    reduce=channel_sum,
    source="Fuad et al. 2020",
    formula="sum_k mu_k 1[a_ku >= mu_k + K sigma_k], mu_k and sigma_k of channel k over its places",
    cost=Cost(1, 0),
    guarantees="its largest magnitude is 1",
    limits="Looks at no class: all have the same map.",
    uses_class=False,
)
def fem(model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None, k: float = 1.0) -> Tensor:
    """Feature explanation method: where the channels of a layer are unusually large, whatever the class.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.methods.Method`; the target plays no part.
    layer : str, optional
        A layer with output (C, h, w). Default: the last one before pooling.
    k : float, default 1
        K, how many standard deviations above its mean a channel has to be.

    Returns
    -------
    Tensor, (N, 1, h, w)
        Divided by its largest magnitude, in the resolution of the layer; at least 0 behind a ReLU.

    Raises
    ------
    ValueError
        For a layer that does not exist, with the nearest name, or whose output has no places.
    """
    k = number(k, "k")
    layer = model.default_layer() if layer is None else layer
    activation = model.spatial(layer, model.activations(x, [layer])[layer].detach().float())
    mu = activation.mean((2, 3), keepdim=True)
    sigma = activation.std((2, 3), correction=0, keepdim=True)
    # A channel that is the same everywhere has nothing that is rare.
    strong = (activation >= mu + k * sigma) & (sigma > 0)
    made = (mu * strong).sum(1, keepdim=True)
    return made / made.abs().amax((1, 2, 3), keepdim=True).clamp(min=torch.finfo(made.dtype).tiny)
