"""Gradients with another backward rule for ReLU: DeconvNet and guided backprop.

Zeiler and Fergus 2014; Springenberg et al. 2015. With g the gradient at the output of a ReLU of input z:

    gradient          g * 1[z > 0]
    DeconvNet         relu(g)
    guided backprop   relu(g) * 1[z > 0]
"""

from __future__ import annotations

from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.errors import warn
from xai_widgets.methods.gradients import score_gradient, spatial_gradient
from xai_widgets.methods.registry import max_abs, method
from xai_widgets.rules import deconv_relu, guided_relu, relu_rules


@method(
    title="DeconvNet",
    reduce=max_abs,
    source="Zeiler and Fergus 2014",
    formula="dS_c/dx with relu(g) for g * 1[z > 0] in the backward pass of every ReLU of z",
    limits="Requires a network with ReLU; stripes without max-pooling, whose switches hold positions; depends little "
    "on the class and the upper layers (Nie et al. 2018, Sixt et al. 2020).",
    requires=("relu",),
)
def deconvnet(model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
    """DeconvNet: ReLU backpropagates the positive part of the gradient, regardless of its input.

    Max-pooling and convolutions are backpropagated as in the gradient, by switches and transposed convolutions.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.

    Returns
    -------
    Tensor, (N, C, H, W)

    Raises
    ------
    ValueError
        If the network has no ReLU.
    """
    # Only to count max-poolings, which keep their own backward.
    with relu_rules(model, "DeconvNet", relu=deconv_relu, max_pool=lambda y: y) as mode:
        result = score_gradient(model, x, target)
    if not mode.switching:
        # Nie et al. 2018: only the switches of max-pooling depend on the image.
        warn(
            f"{model.name} has no max-pooling, so its DeconvNet is the same for all images; the nearest method that "
            "depends on the image is 'guided_backprop'"
        )
    elif not mode.met["max_pool"]:
        warn(
            f"{model.name} has no max-pooling, whose switches hold the positions of the image, so its DeconvNet shows "
            "the stripes of strided convolutions; the nearest method that shows the image is 'guided_backprop'"
        )
    return result


@method(
    title="Guided backprop",
    layer_optional=True,
    reduce=max_abs,
    source="Springenberg et al. 2015",
    formula="dS_c/dx with relu(g) * 1[z > 0] in the backward pass of every ReLU of z",
    limits="Requires a network with ReLU; fails the sanity checks: the map hardly changes if the weights of the "
    "upper layers are randomized (Adebayo et al. 2018).",
    requires=("relu",),
)
def guided_backprop(model: ImageModel, x: Tensor, target: Tensor, *, layer: str | None = None) -> Tensor:
    """Guided backprop: ReLU backpropagates the positive part of the gradient where its input was positive.

    Parameters
    ----------
    model, x, target
        See :class:`~xai_widgets.methods.Method`.
    layer : str, optional
        A spatial layer, by its name in ``model.layers()`` (Rebuffi et al. 2020, table 2). Default: the pixels.

    Returns
    -------
    Tensor, (N, C, H, W), or (N, K, h, w) at a layer

    Raises
    ------
    ValueError
        If the network has no ReLU; for an unknown layer, one without positions, or one that the score does not depend
        on.
    """
    with relu_rules(model, "guided backprop", relu=guided_relu):
        if layer is None:
            return score_gradient(model, x, target)
        return spatial_gradient(model, x, target, layer)[1]
