"""Measures of attributions."""

from __future__ import annotations

from xai_widgets.metrics.agreement import pearson, spearman, ssim, structural_similarity
from xai_widgets.metrics.deletion import Curve, default_steps, deletion, insertion, ordering
from xai_widgets.metrics.monotonicity import Monotonicity, monotonicity
from xai_widgets.metrics.pointing import Pointing, PointingTask, pointing_game
from xai_widgets.metrics.sanity import Sanity, weight_randomization

__all__ = [
    "Curve",
    "Monotonicity",
    "Pointing",
    "PointingTask",
    "Sanity",
    "default_steps",
    "deletion",
    "insertion",
    "monotonicity",
    "ordering",
    "pearson",
    "pointing_game",
    "spearman",
    "ssim",
    "structural_similarity",
    "weight_randomization",
]
