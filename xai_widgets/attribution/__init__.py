"""Attribution: which pixels, or which places of a layer, a class score comes from.

Every method is called as ``method(model, x, target, *, ...)`` and returns a signed tensor, in input or layer
resolution; ``method.saliency(model, x, target, ...)`` is the (N, H, W) map that its source draws.
"""

from __future__ import annotations

# Methods are registered, and listed to people, in the order in which they are imported.
# isort: off
from xai_widgets.attribution.gradient import gradient, gradient_x_input
from xai_widgets.attribution.guided import deconvnet, guided_backprop
from xai_widgets.attribution.path import completeness_gap, guided_nonlinearity, integrated_gradients
from xai_widgets.attribution.noise import smoothgrad
from xai_widgets.attribution.activation import grad_cam
from xai_widgets.attribution.excitation import excitation_backprop, probability_gap
from xai_widgets.attribution.registry import METHODS, Method, as_method, get
# isort: on

__all__ = [
    "METHODS",
    "Method",
    "as_method",
    "completeness_gap",
    "deconvnet",
    "excitation_backprop",
    "get",
    "grad_cam",
    "gradient",
    "gradient_x_input",
    "guided_backprop",
    "guided_nonlinearity",
    "integrated_gradients",
    "probability_gap",
    "smoothgrad",
]
