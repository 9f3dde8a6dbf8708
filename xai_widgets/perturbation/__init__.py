"""Perturbation methods: hide parts of an image or of a layer, and measure how the output of the network changes.

Every method is called as ``method(model, x, target, *, ...)`` and returns a :class:`~xai_widgets.core.run.Run`, whose
snapshots have a ``saliency()`` of shape (N, H, W). In ``xai_widgets.methods.METHODS`` each is a
:class:`~xai_widgets.methods.Method`, which runs to the end and can be used like any attribution method.
"""

from __future__ import annotations

# The documentation lists the methods in this order.
# isort: off
from xai_widgets.perturbation.occlusion import Occlusion, VariableOcclusion, occlusion, variable_occlusion
from xai_widgets.perturbation.rise import Rise, rise
from xai_widgets.perturbation.surrogate import Surrogate, kernel_shap, lime
from xai_widgets.perturbation.regions import GreedyRegions, MinimalImage, greedy_regions, minimal_image
from xai_widgets.perturbation.difference import Difference, prediction_difference
from xai_widgets.perturbation.meaningful import Meaningful, MeaningfulSettings, meaningful_perturbation
from xai_widgets.perturbation.noise_mask import NoiseMask, NoiseMaskSettings, noise_mask
from xai_widgets.perturbation.extremal import Extremal, ExtremalSettings, extremal
from xai_widgets.perturbation.channel import ChannelExtremal, ClassChannels, channel_extremal, class_channels
from xai_widgets.perturbation.objective import score_masks
from xai_widgets.perturbation.scored_masks import ScoredMasks
from xai_widgets.perturbation.torchray_search import TorchRaySettings

# isort: on
from xai_widgets.methods import METHODS as _ALL

#: The methods of this family by name; :data:`xai_widgets.methods.METHODS` holds all.
METHODS = _ALL.registered("perturbation")

__all__ = [
    "METHODS",
    "ChannelExtremal",
    "ClassChannels",
    "Difference",
    "Extremal",
    "ExtremalSettings",
    "GreedyRegions",
    "Meaningful",
    "MeaningfulSettings",
    "MinimalImage",
    "NoiseMask",
    "NoiseMaskSettings",
    "Occlusion",
    "Rise",
    "ScoredMasks",
    "Surrogate",
    "TorchRaySettings",
    "VariableOcclusion",
    "channel_extremal",
    "class_channels",
    "extremal",
    "greedy_regions",
    "kernel_shap",
    "lime",
    "meaningful_perturbation",
    "minimal_image",
    "noise_mask",
    "occlusion",
    "prediction_difference",
    "rise",
    "score_masks",
    "variable_occlusion",
]
