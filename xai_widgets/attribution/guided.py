"""Gradients whose way back through ReLU is changed: DeconvNet and guided backprop.

Zeiler and Fergus 2014; Springenberg et al. 2015. With g the gradient that comes back to a ReLU of input z:

    gradient          g * 1[z > 0]
    DeconvNet         relu(g)
    guided backprop   relu(g) * 1[z > 0]
"""

from __future__ import annotations

from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.errors import warn
from xai_widgets.methods.gradients import score_gradient
from xai_widgets.methods.registry import max_abs, method
from xai_widgets.rules import deconv_relu, guided_relu, relu_rules


@method(
    title="DeconvNet",
    reduce=max_abs,
    source="Zeiler and Fergus 2014",
    formula="dS_c/dx with relu(g) for g * 1[z > 0] on the way back through every ReLU of z",
    limits="Refuses networks without ReLU; draws edges of the image, depends little on the class and on the "
    "weights of upper layers (Nie et al. 2018, Sixt et al. 2020).",
    requires=("relu",),
)
def deconvnet(model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
    """DeconvNet: ReLU lets the positive part of the gradient pass, whatever its input was.

    Max-pooling goes back through its switches, convolutions through their transposes, as in the gradient.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.methods.Method`.

    Returns
    -------
    Tensor, (N, C, H, W)

    Raises
    ------
    ValueError
        If the network has no ReLU.
    """
    with relu_rules(model, "DeconvNet", relu=deconv_relu) as mode:
        made = score_gradient(model, x, target)
    if not mode.switching:
        # Nie et al. 2018: only the switches of max-pooling know of the image.
        warn(
            f"{model.name} has no max-pooling, so its DeconvNet is the same for all images; the nearest method that "
            "depends on the image is 'guided_backprop'"
        )
    return made


@method(
    title="Guided backprop",
    reduce=max_abs,
    source="Springenberg et al. 2015",
    formula="dS_c/dx with relu(g) * 1[z > 0] on the way back through every ReLU of z",
    limits="Refuses networks without ReLU; fails the sanity checks: nearly the same map when upper layers have "
    "random weights (Adebayo et al. 2018).",
    requires=("relu",),
)
def guided_backprop(model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
    """Guided backprop: ReLU lets the positive part of the gradient pass where its input was positive.

    Parameters
    ----------
    model, x, target
        As for every :class:`~xai_widgets.methods.Method`.

    Returns
    -------
    Tensor, (N, C, H, W)

    Raises
    ------
    ValueError
        If the network has no ReLU.
    """
    with relu_rules(model, "guided backprop", relu=guided_relu):
        return score_gradient(model, x, target)
