"""Explainers that are trained, occlusions for training, and adversarial probes."""

from __future__ import annotations

from xai_widgets.learned.adversarial_pair import AdversarialExplanation, adversarial_explanation
from xai_widgets.learned.generators import GeneratorSettings
from xai_widgets.learned.gradient_sign import fgsm, iterated_fgsm
from xai_widgets.learned.map_changes import MapChange, dice, map_change
from xai_widgets.learned.mask_defense import Detection, Recovery, detect_probed, recover_labels
from xai_widgets.learned.masking_loss import MaskingSettings
from xai_widgets.learned.nearest_boundary import deep_fool
from xai_widgets.learned.occlusion_masks import (
    best_windows,
    cutout_masks,
    hide_and_seek_masks,
    occlude,
    saliency_patch_masks,
)
from xai_widgets.learned.occlusion_transforms import BatchAugmentation, Cutout, HideAndSeek, JointCollate
from xai_widgets.learned.pixel_search import OnePixelSettings, one_pixel
from xai_widgets.learned.probed import Probe, Probed
from xai_widgets.learned.real_time import RealTimeSaliency, real_time_saliency

__all__ = [
    "AdversarialExplanation",
    "BatchAugmentation",
    "Cutout",
    "Detection",
    "GeneratorSettings",
    "HideAndSeek",
    "JointCollate",
    "MapChange",
    "MaskingSettings",
    "OnePixelSettings",
    "Probe",
    "Probed",
    "RealTimeSaliency",
    "Recovery",
    "adversarial_explanation",
    "best_windows",
    "cutout_masks",
    "deep_fool",
    "detect_probed",
    "dice",
    "fgsm",
    "hide_and_seek_masks",
    "iterated_fgsm",
    "map_change",
    "occlude",
    "one_pixel",
    "real_time_saliency",
    "recover_labels",
    "saliency_patch_masks",
]
