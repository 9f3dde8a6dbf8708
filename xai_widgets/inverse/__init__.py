"""Inverses of networks: the part of the activations, and finally of the pixels, that produces a given output.

The methods are those of Hyuk Jin Kwon, "Inverse-Based Approach to Explaining and Visualizing Convolutional Neural
Networks", Ph.D. dissertation, Seoul National University, 2021, cited as Kwon 2021.

The two inverses, :func:`~xai_widgets.inverse.operation_wise` (chapter 4) and :func:`~xai_widgets.inverse.layer_wise`
(chapter 5), are called as ``method(model, x, target, *, ...)`` and return a :class:`~xai_widgets.core.run.Run`; as
attribution methods they are called ``operation_wise_inverse`` and ``layer_wise_inverse``. They divide a network into
units with activations at both ends; see :func:`~xai_widgets.inverse.find_units`.
"""

from __future__ import annotations

from xai_widgets.inverse.evaluation import (
    Reconstruction,
    Reidentification,
    UniformFading,
    reconstruction,
    reidentification,
    uniform,
    weighted,
)
from xai_widgets.inverse.frequency import Spectra, chirp, spectra
from xai_widgets.inverse.inverted import Inverted, UnitInverse
from xai_widgets.inverse.layer_wise import LayerWise, layer_wise
from xai_widgets.inverse.operation_wise import OperationWise, operation_wise
from xai_widgets.inverse.patterns import FeaturePatterns, feature_patterns
from xai_widgets.inverse.registered import layer_wise_inverse, operation_wise_inverse
from xai_widgets.inverse.reproductions import (
    Reproduction,
    reproduce_deconvnet,
    reproduce_excitation_backprop,
    reproduce_grad_cam,
    reproduce_integrated_gradients,
)
from xai_widgets.inverse.solver import SolverSettings
from xai_widgets.inverse.units import Unit, find_units
from xai_widgets.methods import METHODS as _ALL

#: The methods of this family by name; :data:`xai_widgets.methods.METHODS` holds all.
METHODS = _ALL.registered("inverse")

__all__ = [
    "METHODS",
    "FeaturePatterns",
    "Inverted",
    "LayerWise",
    "OperationWise",
    "Reconstruction",
    "Reidentification",
    "Reproduction",
    "SolverSettings",
    "Spectra",
    "UniformFading",
    "Unit",
    "UnitInverse",
    "chirp",
    "feature_patterns",
    "find_units",
    "layer_wise",
    "layer_wise_inverse",
    "operation_wise",
    "operation_wise_inverse",
    "reconstruction",
    "reidentification",
    "reproduce_deconvnet",
    "reproduce_excitation_backprop",
    "reproduce_grad_cam",
    "reproduce_integrated_gradients",
    "spectra",
    "uniform",
    "weighted",
]
