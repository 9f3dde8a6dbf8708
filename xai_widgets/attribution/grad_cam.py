"""Grad-CAM, Selvaraju et al. 2017.

With a_k the channels of a layer and g_k = dS_c/da_k:

    w_k = mean over positions of g_k,   L = relu(sum_k w_k a_k)
"""

from __future__ import annotations

from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.methods.gradients import spatial_gradient
from xai_widgets.methods.registry import channel_sum, method


@method(
    title="Grad-CAM",
    reduce=channel_sum,
    source="Selvaraju et al. 2017",
    formula="relu(sum_k w_k a_k), w_k = mean over positions of dS_c/da_k",
    limits="Has the low resolution of its layer, for which 'combine' is an alternative; in early layers the weights "
    "are not meaningful.",
    signed=False,
)
def grad_cam(model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None) -> Tensor:
    """Grad-CAM, relu(sum_k w_k a_k) with w_k the mean gradient of channel k.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
    layer : str, optional
        A layer with output (C, h, w), by its name in ``model.layers()``. Default: the last one before pooling.

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
    weights = gradient.mean((2, 3), keepdim=True)
    return (weights * activation).sum(1, keepdim=True).relu()
