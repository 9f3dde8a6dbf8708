"""Explorers on a network: each is created with quick options, computed to its end, and its results are checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from reliability_checks import Trial, differ

import xai_widgets as xw
from xai_widgets.concepts import Descent
from xai_widgets.data import Concept, ConceptImages, Example
from xai_widgets.inverse import SolverSettings
from xai_widgets.metrics import METRICS
from xai_widgets.perturbation.area_search import AreaSettings

#: Seconds for an explorer.
PATIENCE = 90
#: A search of few steps.
SEARCH = AreaSettings(steps=4, scan=2)
AREAS = (0.1, 0.3)
#: Contrasts of the images of a concept.
CONTRASTS = torch.linspace(0.6, 1, 10).view(-1, 1, 1, 1)
Faults = Iterator[tuple[str, str]]
Call = tuple[Callable[[], Any], Callable[[Any], Faults]]


class Squares(ConceptImages):
    """Images of any number of channels, with a bright or a dark square on noise."""

    concepts = (Concept("bright"), Concept("dark"))

    def __init__(self, count: int, channels: int) -> None:
        self.total, self.channels = count, channels

    def __len__(self) -> int:
        return self.total

    def _read(self, index: int) -> Example:
        generator = np.random.default_rng(index)
        pixels = generator.uniform(0.3, 0.7, (32, 32, self.channels)).astype(np.float32)
        top, left = generator.integers(0, 16, 2)
        mask = np.zeros((32, 32), bool)
        mask[top : top + 16, left : left + 16] = True
        pixels[mask] = 1 - index % 2
        return Example(pixels, f"square {index}", {index % 2: mask})


def _explorer(make: Callable[[Trial], Any], check: Callable[[Trial, Any], Faults]) -> Callable[[Trial], Call]:
    def call(trial: Trial) -> Call:
        def run() -> Any:
            explorer = make(trial)
            try:
                ended = explorer.wait(PATIENCE)
                bar = explorer.run_bar
                if not ended or bar.status not in ("done", "error"):
                    return [("end", f"it did not end: {bar.status}")]
                if bar.status == "error":
                    # The reason that the run bar shows is judged like that of a function.
                    raise ValueError(bar.message)
                return list(check(trial, explorer))
            finally:
                explorer.close()

        return run, iter

    return call


def _value(trial: Trial, target: int) -> float:
    """Return the value of a class, probability or score, for the whole image."""
    value: float = trial.model.probabilities(trial.model.scores(trial.images[:1]))[0, target].item()
    return value


def _deletion(trial: Trial, explorer: Any) -> Faults:
    known = _value(trial, explorer.target)
    # One end of each computed curve is the value of the whole image.
    drawn = [row for row in np.asarray(explorer.curves.y) if np.isfinite(row).all()]
    if not drawn:
        yield "value", "it shows no curve"
    for row in drawn:
        if min(abs(row[0] - known), abs(row[-1] - known)) > 1e-3 * max(1.0, abs(known)):
            yield "value", f"a curve has {row[0]:.3g} and {row[-1]:.3g} at its ends, the image {known:.3g}"
    if drawn and all(np.ptp(row) == 0 for row in drawn):
        yield "constant", "its curves are flat"


def _attribution(trial: Trial, explorer: Any) -> Faults:
    states, notes = explorer.view.states, explorer.view.notes
    if not any(state == "done" for row in states for state in row):
        yield "value", "it shows no map"
    for row, (line, reasons) in enumerate(zip(states, notes, strict=True)):
        for column, (state, note) in enumerate(zip(line, reasons, strict=True)):
            if state not in ("done", "failed", "absent") or (state == "failed" and not note):
                yield "end", f"a cell stays {state}"
            if state == "done" and not np.isfinite(explorer.view.map_at(row, column)).all():
                yield "finite", "a map is not finite"


def _similarity(trial: Trial, explorer: Any) -> Faults:
    grids = explorer.result.grids
    if not grids:
        yield "value", "it has no layer"
    for layer in dict.fromkeys(grid.layer for grid in grids):
        first, second = (grid.raw.float() for grid in grids if grid.layer == layer)
        if not (first.isfinite().all() and second.isfinite().all()):
            yield "finite", f"activations of {layer!r} are not finite"
        elif not differ(first, second):
            yield "images", f"it is the same for two images at {layer!r}"
        elif not differ(first, first[:1, :1]):
            yield "constant", f"it is the same at every position of {layer!r}"


def _extremal(trial: Trial, explorer: Any) -> Faults:
    result = explorer.study.outcome(explorer._key()).result
    if result is None or not result.masks.isfinite().all():
        yield "finite", "a mask is not finite"
        return
    for area, mask in zip(AREAS, result.masks.flatten(0, 1), strict=True):
        if not 0.5 * area < mask.mean() < 2 * area:
            yield "value", f"the mask of area {area} covers {mask.mean():.3g}"
    if not np.isfinite(np.asarray(explorer.curves.y)[:1]).all():
        yield "finite", "its curve is not finite"


def _comparison(_trial: Trial, explorer: Any) -> Faults:
    drawn = [row for row in np.asarray(explorer.curves.y) if np.isfinite(row).any()]
    if len(drawn) < 2:
        yield "value", f"it shows {len(drawn)} curves of 2 methods"
    if any(not np.isfinite(row).all() for row in drawn):
        yield "finite", "a curve is not finite"


def _sanity(trial: Trial, explorer: Any) -> Faults:
    known = _value(trial, explorer.target)
    values = np.asarray(explorer.probability.y)[0]
    if not np.isfinite(values).all():
        yield "finite", "a value of the class is not finite"
    if abs(values[0] - known) > 1e-3 * max(1.0, abs(known)):
        yield "value", f"it begins at {values[0]:.3g}, the image has {known:.3g}"
    if np.ptp(values) == 0:
        yield "constant", "random weights do not change the value of the class"
    drawn = [view for view in explorer.maps.values() if view.maps is not None]
    if not drawn or not all(np.isfinite(view.maps).all() for view in drawn):
        yield "finite", "a map is not finite"


def _leaderboard(_trial: Trial, explorer: Any) -> Faults:
    mean, notes = np.asarray(explorer.table.mean), explorer.table.notes
    for row, line in enumerate(mean):
        for column, value in enumerate(line):
            if not np.isfinite(value) and not notes[row][column]:
                yield "finite", f"{explorer.table.rows[row]['label']} has no score, and no reason"
    if not np.isfinite(mean).any():
        yield "value", "it shows no score"
    if len(explorer.deciding.shown()) == 0 and np.ptp(mean[:2, 0]) > 0:
        yield "images", "no image decides between two methods of different scores"


def _channel(_trial: Trial, explorer: Any) -> Faults:
    result = explorer.study.outcome(explorer._key()).result
    if result is None or not result.masks.isfinite().all():
        yield "finite", "a mask of channels is not finite"
    if not np.isfinite(np.asarray(explorer.curves.y)).any():
        yield "value", "it shows no curve"


def _class(_trial: Trial, explorer: Any) -> Faults:
    result = explorer.result
    if result is None or not result.importances.isfinite().all():
        yield "finite", "an importance of a concept is not finite"
    if not np.isfinite(np.asarray(explorer.heatmap.maps)).all():
        yield "finite", "a map of a concept is not finite"


def _concept(_trial: Trial, explorer: Any) -> Faults:
    result = explorer.result
    if result is None or result.combined is None:
        yield "value", "it learned no concept"
        return
    trained = result.single.trained
    for name, ious in (("filter", result.single.iou_set), ("combination", result.combined.iou_set)):
        if not ious[trained].isfinite().all() or not ((ious[trained] >= 0) & (ious[trained] <= 1)).all():
            yield "value", f"an IoU of a {name} is not from 0 to 1"
    if not np.isfinite(np.asarray(explorer.map.vectors)[trained.numpy()]).all():
        yield "finite", "a vector of a concept is not finite"


def _prediction(trial: Trial, explorer: Any) -> Faults:
    result = explorer.result
    if result is None or not result.contributions.isfinite().all():
        yield "finite", "a contribution of a concept is not finite"
        return
    known = trial.model.scores(trial.images[:1])[0, explorer.target].item()
    total = float(result.contributions.sum()) + result.residual + result.remainder
    if abs(total - known) > 1e-3 * max(1.0, abs(known)):
        yield "value", f"the contributions sum to {total:.3g}, the score is {known:.3g}"


def _brush(trial: Trial, explorer: Any) -> Faults:
    shown = {label: values for label, values in zip(explorer.scores.labels, _bars(explorer), strict=False)}
    if not shown:
        yield "value", "it shows no scores"
    if not all(np.isfinite(value) for value in shown.values()):
        yield "finite", "a score is not finite"


def _bars(explorer: Any) -> list[float]:
    return [float(value) for value in np.ravel(np.asarray(explorer.scores.scores))]


def _inverse(trial: Trial, explorer: Any) -> Faults:
    result = explorer.study.outcome(explorer._key()).result
    layer_wise = None if result is None else result.layer_wise
    if layer_wise is None:
        reasons = "; ".join(reason for _, reason in result.failed) if result else "no result"
        raise ValueError(reasons)
    if not layer_wise.x.isfinite().all():
        yield "finite", "an inverse is not finite"
    if not differ(layer_wise.x[:, 0], layer_wise.x[:, 1]):
        yield "units", "lambda changes nothing"


def _feature(_trial: Trial, explorer: Any) -> Faults:
    outcome = explorer.study.outcome(explorer._key())
    if outcome.error:
        raise ValueError(outcome.error)
    result = outcome.result
    if not result.images.isfinite().all() or not result.history.isfinite().all():
        yield "finite", "an image or its objective is not finite"
    if result.images.min() < 0 or result.images.max() > 1:
        yield "value", "an image is not in [0, 1]"
    if not result.influence.any() and not outcome.warnings:
        yield "constant", "no pixel changes the objective, and nothing warns of it"
    if not explorer.wall.present.all():
        failed = explorer.study.failures(explorer._wall_keys())
        yield "value", f"small images are missing: {next(iter(failed.values()), 'no reason')}"
    if explorer.examples.images is None:
        yield "value", "it has no real examples"


CALLS: dict[str, Callable[[Trial], Call]] = {
    "DeletionExplorer": _explorer(
        lambda trial: xw.DeletionExplorer(trial.model, trial.images[0], steps=8), _deletion
    ),
    "AttributionExplorer": _explorer(
        lambda trial: xw.AttributionExplorer(trial.model, trial.images[:1]), _attribution
    ),
    "SimilarityExplorer": _explorer(
        lambda trial: xw.SimilarityExplorer(trial.model, trial.images[[0, 2]]), _similarity
    ),
    "ExtremalExplorer": _explorer(
        lambda trial: xw.ExtremalExplorer(trial.model, trial.images[0], areas=AREAS, settings=SEARCH),
        _extremal,
    ),
    "MaskComparison": _explorer(
        lambda trial: xw.MaskComparison(
            trial.model,
            trial.images[0],
            ["gradient", "extremal"],
            areas=AREAS,
            options={"extremal": {"settings": SEARCH}},
        ),
        _comparison,
    ),
    "SanityExplorer": _explorer(
        lambda trial: xw.SanityExplorer(trial.model, trial.images[0], ["gradient", "gradient_x_input"]),
        _sanity,
    ),
    "LeaderboardExplorer": _explorer(
        lambda trial: xw.LeaderboardExplorer(
            trial.model,
            list(trial.images),
            ["gradient"],
            [METRICS["deletion"].with_options(steps=4), "png_size"],
        ),
        _leaderboard,
    ),
    "ChannelExplorer": _explorer(
        lambda trial: xw.ChannelExplorer(trial.model, trial.images[0], settings=SEARCH), _channel
    ),
    "ClassExplorer": _explorer(
        lambda trial: xw.ClassExplorer(trial.model, trial.images[:2], count=3, design=4, scored=1), _class
    ),
    "ConceptExplorer": _explorer(
        lambda trial: xw.ConceptExplorer(
            trial.model,
            Squares(24, trial.model.channels),
            Squares(12, trial.model.channels),
            images=24,
            counts=(1,),
            settings=Descent(epochs=1),
        ),
        _concept,
    ),
    "FeatureExplorer": _explorer(
        lambda trial: xw.FeatureExplorer(
            trial.model, images=trial.images, steps=3, wall=2, wall_steps=1, batch_size=2
        ),
        _feature,
    ),
    "PredictionConceptsExplorer": _explorer(
        lambda trial: xw.PredictionConceptsExplorer(
            trial.model,
            trial.images[0],
            {"bright": trial.images[0] * CONTRASTS, "dark": 1 - trial.images[0] * CONTRASTS},
        ),
        _prediction,
    ),
    "PerturbationBrush": _explorer(
        lambda trial: xw.PerturbationBrush(trial.model, trial.images[0], start="gradient", settings=SEARCH),
        _brush,
    ),
    "InverseExplorer": _explorer(
        lambda trial: xw.InverseExplorer(
            trial.model,
            trial.images[0],
            lam=(0.0, 0.5),
            methods=("gradient",),
            settings=SolverSettings(steps=4, window=2),
        ),
        _inverse,
    ),
}
