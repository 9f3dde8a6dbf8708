"""Gradients of a class score with respect to the pixels.

Simonyan et al. 2014; Shrikumar et al. 2016 (gradient x input).
"""

from __future__ import annotations

from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.methods.gradients import score_gradient, spatial_gradient
from xai_widgets.methods.registry import channel_sum, max_abs, method


@method(
    title="Gradient",
    layer_optional=True,
    reduce=max_abs,
    source="Simonyan et al. 2014",
    formula="dS_c/dx",
    limits="Local sensitivity, not the contribution of a pixel to the score: near 0 where the score is saturated.",
)
def gradient(model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None) -> Tensor:
    """Gradient of the class score, dS_c/dx, or dS_c/da at a layer.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
    layer : str, optional
        A spatial layer, by its name in ``model.layers()`` (Rebuffi et al. 2020, table 2). Default: the pixels.

    Returns
    -------
    Tensor, (N, C, H, W)
        Score per unit of pixel value, or (N, K, h, w) per unit of activation. Its saliency map is the maximum over
        channels of the absolute value.

    Raises
    ------
    ValueError
        For an unknown layer, one without positions, or one that the score does not depend on.
    """
    return score_gradient(model, x, target) if layer is None else spatial_gradient(model, x, target, layer)[1]


@method(
    title="Gradient x input",
    reduce=channel_sum,
    source="Shrikumar et al. 2016",
    formula="x * dS_c/dx",
    limits="Near 0 where the score is saturated; black pixels always get 0.",
)
def gradient_x_input(model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
    """Gradient times input, x * dS_c/dx: the linear approximation of the score at the input.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.

    Returns
    -------
    Tensor, (N, C, H, W)
        In units of the score, for a black image as the reference. Its saliency map is the sum over channels.
    """
    return x * score_gradient(model, x, target)
