"""Attribution methods: the contribution of pixels, or of the positions of a layer, to a class score.

Every method is called as ``method(model, x, target, *, ...)`` and returns a signed tensor, in input or layer
resolution; ``method.saliency(model, x, target, ...)`` returns the (N, H, W) saliency map of its source.
"""

from __future__ import annotations

# Methods are registered and listed in the order of these imports.
# isort: off
from xai_widgets.attribution.gradient import gradient, gradient_x_input
from xai_widgets.attribution.guided import deconvnet, guided_backprop
from xai_widgets.attribution.path import completeness_gap, guided_nonlinearity, integrated_gradients
from xai_widgets.attribution.expected import expected_gradients, gradient_shap
from xai_widgets.attribution.noise import smoothgrad, smoothgrad_squared
from xai_widgets.attribution.grad_cam import grad_cam
from xai_widgets.attribution.class_activation import (
    cam, fem, grad_cam_plus_plus, guided_grad_cam, smooth_grad_cam_plus_plus,
)  # fmt: skip
from xai_widgets.attribution.norm_grad import (
    linear_approximation, norm_grad, norm_grad_convolution, selective_norm_grad,
)  # fmt: skip
from xai_widgets.attribution.excitation import (
    contrastive_excitation_backprop,
    excitation_backprop,
    probability_gap,
)
from xai_widgets.attribution.lrp import conservation_gap, lrp
from xai_widgets.attribution.lrp_rules import COMPOSITES, Composite
from xai_widgets.attribution.attention import attention_rollout, gradient_x_attention, legrad
from xai_widgets.attribution.deep_lift import deep_lift
from xai_widgets.attribution.patterns import (
    Patterns, estimate_patterns, pattern_attribution, pattern_net,
)  # fmt: skip
from xai_widgets.attribution.feedback import feedback_layers
from xai_widgets.attribution.meta_saliency import meta_saliency
from xai_widgets.attribution.combination import combine, depths, layer_weights

# isort: on
from xai_widgets.methods import METHODS as _ALL

#: The methods of this family by name; :data:`xai_widgets.methods.METHODS` holds all.
METHODS = _ALL.registered("attribution")

__all__ = [
    "COMPOSITES",
    "METHODS",
    "Composite",
    "Patterns",
    "attention_rollout",
    "cam",
    "combine",
    "completeness_gap",
    "conservation_gap",
    "contrastive_excitation_backprop",
    "deconvnet",
    "deep_lift",
    "depths",
    "estimate_patterns",
    "excitation_backprop",
    "expected_gradients",
    "feedback_layers",
    "fem",
    "grad_cam",
    "grad_cam_plus_plus",
    "gradient",
    "gradient_shap",
    "gradient_x_attention",
    "gradient_x_input",
    "guided_backprop",
    "guided_grad_cam",
    "guided_nonlinearity",
    "integrated_gradients",
    "layer_weights",
    "legrad",
    "linear_approximation",
    "lrp",
    "meta_saliency",
    "norm_grad",
    "norm_grad_convolution",
    "pattern_attribution",
    "pattern_net",
    "probability_gap",
    "selective_norm_grad",
    "smooth_grad_cam_plus_plus",
    "smoothgrad",
    "smoothgrad_squared",
]
