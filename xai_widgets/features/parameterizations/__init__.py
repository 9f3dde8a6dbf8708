"""Parameterizations of images: pixels, spectra, and networks that draw."""

from __future__ import annotations

from xai_widgets.features.parameterizations.base import Drawing, Parameterization
from xai_widgets.features.parameterizations.colors import from_colors, to_colors
from xai_widgets.features.parameterizations.cppn import CPPN
from xai_widgets.features.parameterizations.deep_prior import DeepPrior
from xai_widgets.features.parameterizations.fourier import Fourier
from xai_widgets.features.parameterizations.generated import Generated
from xai_widgets.features.parameterizations.magnitude import MagnitudeConstrained
from xai_widgets.features.parameterizations.paired import Paired
from xai_widgets.features.parameterizations.pixels import Pixels

__all__ = [
    "CPPN",
    "DeepPrior",
    "Drawing",
    "Fourier",
    "Generated",
    "MagnitudeConstrained",
    "Paired",
    "Parameterization",
    "Pixels",
    "from_colors",
    "to_colors",
]
