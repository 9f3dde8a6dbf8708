"""Inverses: which activations, and at last which pixels, made a network say what it says.

Both inverses are called as ``method(model, x, target, *, ...)`` and return a :class:`~xai_widgets.core.run.Run`. They
need activations of at least 0: see :func:`~xai_widgets.inverse.find_units` for what a network is cut into.
"""

from __future__ import annotations

from xai_widgets.inverse.chain import Inverted, UnitInverse
from xai_widgets.inverse.evaluation import Reconstruction, Reidentification, reconstruction, reidentification
from xai_widgets.inverse.frequency import Spectra, chirp, spectra
from xai_widgets.inverse.layer_wise import LayerWise, layer_wise
from xai_widgets.inverse.operation_wise import OperationWise, operation_wise
from xai_widgets.inverse.patterns import FeaturePatterns, feature_patterns
from xai_widgets.inverse.reproductions import (
    Reproduction,
    reproduce_deconvnet,
    reproduce_excitation_backprop,
    reproduce_grad_cam,
    reproduce_integrated_gradients,
)
from xai_widgets.inverse.solver import SolverSettings
from xai_widgets.inverse.units import Unit, find_units

__all__ = [
    "FeaturePatterns",
    "Inverted",
    "LayerWise",
    "OperationWise",
    "Reconstruction",
    "Reidentification",
    "Reproduction",
    "SolverSettings",
    "Spectra",
    "Unit",
    "UnitInverse",
    "chirp",
    "feature_patterns",
    "find_units",
    "layer_wise",
    "operation_wise",
    "reconstruction",
    "reidentification",
    "reproduce_deconvnet",
    "reproduce_excitation_backprop",
    "reproduce_grad_cam",
    "reproduce_integrated_gradients",
    "spectra",
]
