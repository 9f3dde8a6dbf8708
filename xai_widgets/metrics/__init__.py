"""Metrics of explanations."""

from __future__ import annotations

from xai_widgets.metrics.agreement import (
    dice,
    kl_divergence,
    l1_similarity,
    pearson,
    spearman,
    ssim,
    structural_similarity,
)
from xai_widgets.metrics.base import METRICS, Explanation, Metric, Summary, get, metric, metrics_by_name
from xai_widgets.metrics.boxes import (
    SuppressingBoxes,
    ThresholdChoice,
    choose_threshold,
    localization_iou,
    salient_part,
    suppressing_boxes,
)
from xai_widgets.metrics.class_maps import class_sensitivity
from xai_widgets.metrics.completeness import infidelity, sensitivity_n
from xai_widgets.metrics.complexity import image_similarity, png_bytes
from xai_widgets.metrics.costs import MethodCost, method_cost
from xai_widgets.metrics.deletion import (
    Curve,
    default_steps,
    deletion,
    insertion,
    ordering,
)
from xai_widgets.metrics.identity_layer import VirtualIdentity, virtual_identity
from xai_widgets.metrics.imputation import Road, impute, road
from xai_widgets.metrics.information import InformationCurve, information_curve
from xai_widgets.metrics.mask_overlap import mask_auc, relevance_mass, relevance_rank
from xai_widgets.metrics.monotonicity import Monotonicity, monotonicity
from xai_widgets.metrics.permuted_labels import data_randomization
from xai_widgets.metrics.pixel_flipping import abpc, lerf, morf
from xai_widgets.metrics.pointing import Pointing, PointingTask, pointing_game
from xai_widgets.metrics.random_orders import random_order
from xai_widgets.metrics.regions import RegionCurves, part_means, region_curves
from xai_widgets.metrics.sanity import Sanity, weight_randomization
from xai_widgets.metrics.shifted_input import constant_shift
from xai_widgets.metrics.simplicity import OutputReconstruction, output_reconstruction
from xai_widgets.ops.resize import resize_map

__all__ = [
    "METRICS",
    "Curve",
    "Explanation",
    "InformationCurve",
    "MethodCost",
    "Metric",
    "Monotonicity",
    "OutputReconstruction",
    "Pointing",
    "PointingTask",
    "RegionCurves",
    "Road",
    "Sanity",
    "Summary",
    "SuppressingBoxes",
    "ThresholdChoice",
    "VirtualIdentity",
    "abpc",
    "choose_threshold",
    "class_sensitivity",
    "constant_shift",
    "data_randomization",
    "default_steps",
    "deletion",
    "dice",
    "get",
    "image_similarity",
    "impute",
    "infidelity",
    "information_curve",
    "insertion",
    "kl_divergence",
    "l1_similarity",
    "lerf",
    "localization_iou",
    "mask_auc",
    "method_cost",
    "metric",
    "metrics_by_name",
    "monotonicity",
    "morf",
    "ordering",
    "output_reconstruction",
    "part_means",
    "pearson",
    "png_bytes",
    "pointing_game",
    "random_order",
    "region_curves",
    "relevance_mass",
    "relevance_rank",
    "resize_map",
    "road",
    "salient_part",
    "sensitivity_n",
    "spearman",
    "ssim",
    "structural_similarity",
    "suppressing_boxes",
    "virtual_identity",
    "weight_randomization",
]
