"""Metrics of explanations."""

from __future__ import annotations

from xai_widgets.metrics.agreement import pearson, spearman, ssim, structural_similarity
from xai_widgets.metrics.base import METRICS, Explanation, Metric, Summary, get, metric, metrics_by_name
from xai_widgets.metrics.deletion import (
    Curve,
    default_steps,
    deletion,
    insertion,
    ordering,
    random_maps,
    random_order,
)  # fmt: skip
from xai_widgets.metrics.monotonicity import Monotonicity, monotonicity
from xai_widgets.metrics.pointing import Pointing, PointingTask, pointing_game
from xai_widgets.metrics.sanity import Sanity, weight_randomization
from xai_widgets.ops.resize import resize_map

__all__ = [
    "METRICS",
    "Curve",
    "Explanation",
    "Metric",
    "Monotonicity",
    "Pointing",
    "PointingTask",
    "Sanity",
    "Summary",
    "default_steps",
    "deletion",
    "get",
    "insertion",
    "metric",
    "metrics_by_name",
    "monotonicity",
    "ordering",
    "pearson",
    "pointing_game",
    "random_maps",
    "random_order",
    "resize_map",
    "spearman",
    "ssim",
    "structural_similarity",
    "weight_randomization",
]
