"""Explainers that are trained, occlusions for training, and adversarial probes."""

from __future__ import annotations

from xai_widgets.learned.gradient_sign import fgsm, iterated_fgsm
from xai_widgets.learned.map_changes import MapChange, dice, map_change
from xai_widgets.learned.mask_defense import Detection, Recovery, detect_probed, recover_labels
from xai_widgets.learned.nearest_boundary import deep_fool
from xai_widgets.learned.pixel_search import OnePixelSettings, one_pixel
from xai_widgets.learned.probed import Probe, Probed

__all__ = [
    "Detection",
    "MapChange",
    "OnePixelSettings",
    "Probe",
    "Probed",
    "Recovery",
    "deep_fool",
    "detect_probed",
    "dice",
    "fgsm",
    "iterated_fgsm",
    "map_change",
    "one_pixel",
    "recover_labels",
]
