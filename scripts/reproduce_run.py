"""The parts that all tables share: settings of a run, configured methods, and scores by ``studies.evaluate``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reproduce_tables import Cell, Cells, Row, Table
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS, Method
from xai_widgets.metrics import METRICS, Metric
from xai_widgets.perturbation.noise_mask import NoiseMaskSettings
from xai_widgets.studies import Cell as Key
from xai_widgets.studies import evaluate
from xai_widgets.studies.score_tables import Evaluation

#: Value of an option that stands for the color that the normalization maps to 0.
TRAINING_MEAN = "training_mean"

#: Options that would else depend on the cost of a pass. The authors of RISE mask normalized images, whose
#: 0 is the mean color.
FIXED: dict[str, dict[str, Any]] = {
    "rise": {"masks": 8000, "tolerance": 0.0, "fill": TRAINING_MEAN},
    "lime": {"samples": 1000},
    "noise_mask": {"settings": NoiseMaskSettings()},
}

#: Options of the methods and metrics in quick trials, besides ``Method.quick``.
QUICK: dict[str, dict[str, Any]] = {
    "deletion": {"steps": 8},
    "insertion": {"steps": 8},
    "abpc": {"steps": 8},
    "occlusion": {"window": 32, "stride": 22},
    "variable_occlusion": {"stride": 32},
    "feedback_layers": {"iterations": 1},
}


@dataclass(frozen=True)
class Setup:
    """Choices of one run.

    Attributes
    ----------
    data : Path
        Folder of the data sets.
    out : Path
        Folder of the results.
    weights : mapping of str to str
        File of each network, or "torchvision" or "random"; the key "" is for all others.
    images : int, optional
        Number of images. Default: that of the source.
    size : int, optional
        Side of the images in pixels. Default: that of the source.
    rows, networks : collection of str
        Rows and networks to measure; all if they are empty.
    quick : bool
        Whether methods take few steps, for a trial.
    extra : mapping of str to str
        Further paths, such as "boxes".
    client
        Dask client.
    progress : bool
    """

    data: Path
    out: Path
    weights: Mapping[str, str]
    images: int | None = None
    size: int | None = None
    rows: Collection[str] = ()
    networks: Collection[str] = ()
    quick: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)
    client: Any = None
    progress: bool = True

    def chosen(self, network: str) -> bool:
        """Return whether a network is measured."""
        return not self.networks or network in self.networks

    def wants(self, row: Row) -> bool:
        """Return whether a row is measured."""
        return not row.missing and (not self.rows or row.key in self.rows)

    def facts(self) -> list[str]:
        """Return why the numbers of this run cannot be those of the source."""
        found = []
        if "random" in self.weights.values():
            found.append(
                "Random weights: the numbers are a trial of the command and describe no trained network."
            )
        if self.quick:
            found.append("Quick: methods and curves have few steps or samples, not those of the source.")
        if self.size:
            found.append(f"Images of {self.size} pixels, not those of the source.")
        if self.images:
            found.append(f"{self.images} images at most, not those of the source.")
        return found


@dataclass(frozen=True)
class Reproduction:
    """A table and the function that measures it."""

    table: Table
    measure: Callable[[Setup], Cells]


@dataclass(frozen=True, eq=False)
class Configured:
    """The function of a registered method with options, which a Dask client can send to its workers."""

    name: str
    options: Mapping[str, Any]

    def __call__(self, model: ImageModel, x: Tensor, target: Tensor, **more: Any) -> Tensor:
        """Return the attribution."""
        options = {**self.options, **more}
        for key, value in options.items():
            if isinstance(value, str) and value == TRAINING_MEAN:
                options[key] = model.mean.to(x).clamp(0, 1).expand_as(x[:1])
        return METHODS[self.name].function(model, x, target, **options)


def configured(
    setup: Setup, key: str, name: str, *, reduce: Callable[[Tensor], Tensor] | None = None, **options: Any
) -> Method:
    """Return a registered method under the key of a row, with options and with a reduction of its channels."""
    base = METHODS[name]
    options = {**FIXED.get(name, {}), **options}
    if setup.quick:
        options |= {**base.quick, **QUICK.get(name, {})}
    return replace(base, function=Configured(name, options), name=key, reduce=reduce or base.reduce)


def metric_of(setup: Setup, name: str) -> Metric:
    """Return a registered metric, with few steps in a quick trial."""
    return METRICS[name].with_options(**(QUICK.get(name, {}) if setup.quick else {}))


def scored(
    setup: Setup,
    part: str,
    models: Mapping[str, ImageModel],
    dataset: Sequence[Any],
    methods: Sequence[Method],
    metrics: Sequence[Metric],
) -> Evaluation:
    """Score methods on a data set, resumably, in the file ``part`` of the folder of the results."""
    setup.out.mkdir(parents=True, exist_ok=True)
    settings = {
        "data": str(setup.data),
        "weights": dict(setup.weights),
        "images": len(dataset),
        "size": setup.size,
        "quick": setup.quick,
    }
    path = setup.out / f"{part}.json"
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != settings:
        raise ValueError(
            f"expected the settings in {str(path)!r}, got others; use another folder for the results"
        )
    path.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    return evaluate(
        models,
        dataset,
        list(methods),
        list(metrics),
        path=setup.out / f"{part}.sqlite",
        references=False,
        client=setup.client,
        progress=setup.progress,
    )


def subset(evaluation: Evaluation, chosen: Callable[[Key], bool]) -> Evaluation:
    """Return the scores of some cells."""
    return Evaluation(
        evaluation.metrics,
        {
            name: {key: outcome for key, outcome in outcomes.items() if chosen(key)}
            for name, outcomes in evaluation.outcomes.items()
        },
    )


def cells_of(
    evaluation: Evaluation, *, scale: float = 1.0, spread: bool = False
) -> dict[tuple[str, str, str], Cell]:
    """Return the mean of each model, method and metric with its interval, multiplied by ``scale``."""
    groups: dict[tuple[str, str, str], dict[Key, Any]] = {}
    for name, outcomes in evaluation.outcomes.items():
        for key, outcome in outcomes.items():
            groups.setdefault((name, key.method, key.metric), {})[key] = outcome
    found = {}
    for each in evaluation.intervals():
        group = groups[each.model, each.method, each.metric]
        reason = next((outcome.error for outcome in group.values() if outcome.error), "no image has a score")
        known = {
            key: outcome.result
            for key, outcome in group.items()
            if outcome.result is not None and not math.isnan(outcome.result[0])
        }
        summary = evaluation.metrics[each.metric].summarize(
            [score[0] for score in known.values()], [score[1] for score in known.values()]
        )
        found[each.model, each.method, each.metric] = Cell(
            scale * each.mean,
            scale * each.low,
            scale * each.high,
            scale * summary.spread if spread else math.nan,
            each.n,
            len({key.image for key in known}),
            each.missed,
            each.failed,
            reason if math.isnan(each.mean) else "",
        )
    return found


def unmeasured(rows: Iterable[Row], columns: Iterable[str], reason: str) -> dict[tuple[str, str], Cell]:
    """Return cells without a number, for one reason."""
    return {(row.key, column): Cell(note=reason) for row in rows for column in columns}
