"""Every explorer, and the dashboard of all of them, as exported pages: small searches, so that all take seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import xai_widgets as xw
from xai_widgets import data
from xai_widgets.concepts import Descent
from xai_widgets.data import low_resolution, scenes
from xai_widgets.inverse import SolverSettings
from xai_widgets.metrics import METRICS
from xai_widgets.perturbation import ExtremalSettings
from xai_widgets.perturbation.noise_mask import NoiseMaskSettings

#: Longest wait for one explorer, in seconds.
PATIENCE = 600
AREAS = (0.05, 0.1, 0.2, 0.4)
LAM = (0.1, 1.0, 10.0)
QUICK = ExtremalSettings(steps=10, scan=3)
SOLVER = SolverSettings(steps=10)


def _images(number: int, split: str = "test") -> list[Any]:
    return [scenes.scene(n, split=split, background="photograph").image for n in range(number)]


def _deletion(model: xw.ImageModel) -> Any:
    return xw.DeletionExplorer(model, _images(3), ["gradient", "grad_cam", "guided_backprop"], steps=8)


def _extremal(model: xw.ImageModel) -> Any:
    return xw.ExtremalExplorer(model, _images(1), areas=AREAS, settings=QUICK)


def _inverse(model: xw.ImageModel) -> Any:
    return xw.InverseExplorer(
        model, _images(1), lam=LAM, settings=SOLVER, methods=["gradient", "guided_backprop"]
    )


def _regression_inverse(_model: xw.ImageModel) -> Any:
    image = low_resolution.load_photograph("astronaut")[:, :, 60:124, 160:224]
    return xw.RegressionInverseExplorer(xw.load("scenes_sr"), image, scale=2, lam=LAM, settings=SOLVER)


def _noise_mask(model: xw.ImageModel) -> Any:
    settings = NoiseMaskSettings(max_steps=40, learning_rate=0.1, window=10)
    layers = ["stage2", "stage3", "scores"]
    return xw.NoiseMaskExplorer(model, _images(1), layers=layers, betas=(0.5, 1, 2), settings=settings)


def _attribution(model: xw.ImageModel) -> Any:
    return xw.AttributionExplorer(model, _images(3), ["gradient", "guided_backprop", "grad_cam"])


def _mask_comparison(model: xw.ImageModel) -> Any:
    return xw.MaskComparison(model, _images(1), ["gradient", "grad_cam"], areas=AREAS)


def _sanity(model: xw.ImageModel) -> Any:
    return xw.SanityExplorer(model, _images(1), ["gradient", "grad_cam"])


def _leaderboard(model: xw.ImageModel) -> Any:
    metrics = [METRICS[name].with_options(steps=4) for name in ("deletion", "insertion")]
    return xw.LeaderboardExplorer(model, _images(4), ["gradient", "grad_cam"], metrics)


def _brush(model: xw.ImageModel) -> Any:
    return xw.PerturbationBrush(model, _images(1), start="grad_cam", settings=QUICK)


def _channel(model: xw.ImageModel) -> Any:
    images = _images(12, "train")
    return xw.ChannelExplorer(model, _images(1), layer="stage3", images=images, settings=QUICK, rows=6)


def _class(model: xw.ImageModel) -> Any:
    images = [scenes.scene(n, label=scenes.CUE_CLASS, split="test").image for n in range(8)]
    return xw.ClassExplorer(model, images, scenes.CUE_CLASS, count=6, scored=4, design=8)


def _feature(model: xw.ImageModel) -> Any:
    images = _images(6, "train")
    return xw.FeatureExplorer(model, "stage3", 5, images=images, steps=12, wall_steps=4, wall=12)


def _prediction_concepts(model: xw.ImageModel) -> Any:
    return xw.PredictionConceptsExplorer(model, _images(1), data.scene_concepts(60), without=["object"])


def _similarity(model: xw.ImageModel) -> Any:
    return xw.SimilarityExplorer(
        model, _images(4), layers=["stage2", "stage3"], components=3, corpus=_images(12, "train")
    )


def _concept(model: xw.ImageModel) -> Any:
    settings = Descent(learning_rate=5e-4, batch_size=16, epochs=2)
    return xw.ConceptExplorer(
        model, layer="stage3", images=40, concept="body", counts=(1, 8), settings=settings
    )


def _dashboard(model: xw.ImageModel) -> Any:
    options = {
        "attribution": {"methods": ["gradient", "grad_cam"]},
        "deletion": {"methods": ["gradient"], "steps": 8},
        "features": {"steps": 12, "wall_steps": 4, "wall": 12},
    }
    board = xw.dashboard(model, _images(3), options=options)
    board.show("deletion")
    board.wait(PATIENCE)
    board.show("attribution")
    return board


EXPLORERS: dict[str, Callable[[xw.ImageModel], Any]] = {
    "deletion": _deletion,
    "extremal": _extremal,
    "feature": _feature,
    "inverse": _inverse,
    "regression_inverse": _regression_inverse,
    "noise_mask": _noise_mask,
    "attribution": _attribution,
    "mask_comparison": _mask_comparison,
    "sanity": _sanity,
    "leaderboard": _leaderboard,
    "brush": _brush,
    "channel": _channel,
    "class": _class,
    "prediction_concepts": _prediction_concepts,
    "similarity": _similarity,
    "concept": _concept,
    "dashboard": _dashboard,
}


def export(name: str, model: xw.ImageModel, folder: Path) -> Path:
    """Compute an explorer, write it as a page to ``folder``, and return the file."""
    explorer = EXPLORERS[name](model)
    try:
        assert explorer.wait(PATIENCE), f"the {name} explorer took longer than {PATIENCE} s"
        bar = getattr(explorer, "run_bar", None)
        assert bar is None or bar.status in ("idle", "done"), f"{name}: {bar.error}"
        return xw.export(explorer, folder / f"{name}.html").path
    finally:
        explorer.close()
