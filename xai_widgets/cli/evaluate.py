"""``xai-widgets evaluate``: how well the maps of methods tell what a network looks at."""

from __future__ import annotations

import argparse
import csv
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from tqdm import tqdm

from xai_widgets.cli import outputs
from xai_widgets.cli.failures import DONE, FAILED, Failure, Mistake, sentence
from xai_widgets.cli.inputs import Picture, knows_scenes, pictures
from xai_widgets.cli.networks import OF_SCENES, check_layer, class_of, methods, network
from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import check_finite
from xai_widgets.core.writing import atomic_write
from xai_widgets.methods import Method
from xai_widgets.metrics import Curve, PointingTask, deletion, insertion, monotonicity, pointing_game
from xai_widgets.studies import AttributionStudy

#: Steps of the way on which monotonicity is tested: each shows so much more that noise is no fall.
STAIRS = 20
#: The side of the images that the tolerance of the pointing game is meant for.
REFERENCE = 224


@dataclass(frozen=True)
class Case:
    """One picture, and one class in it.

    Attributes
    ----------
    name : str
        Of the picture.
    x : Tensor, (1, C, H, W)
        Its pixels.
    target : int
        The class.
    mask : Tensor of bool, (H, W), or None
        Where the class is, if that is known.
    """

    name: str
    x: Tensor
    target: int
    mask: Tensor | None


@dataclass(frozen=True)
class Map:
    """The map (1, h, w) of a method for a case, the network, and the steps of the curves."""

    model: ImageModel
    case: Case
    saliency: Tensor
    steps: int | None


@dataclass(frozen=True)
class Row:
    """What was measured of a method for a case, by the names of the measures; NaN where it makes no sense."""

    case: Case
    method: str
    values: dict[str, float]


# -- the measures -----------------------------------------------------------------------------------------------


def of_deletion(made: Map) -> float:
    """Area under the deletion curve."""
    run = deletion(made.model, made.case.x, made.saliency, made.case.target, steps=made.steps)
    return run.result(progress=False).auc.item()


def of_insertion(made: Map) -> float:
    """Area under the insertion curve."""
    return _inserted(made, made.steps).auc.item()


def of_monotonicity(made: Map) -> float:
    """1 if the probability does not fall on the way to that of the whole image, else 0."""
    curve = _inserted(made, min(STAIRS, made.case.x[0, 0].numel()))
    return monotonicity(curve.fractions[1:], curve.scores[:, 1:], curve.scores[:, -1]).share


def of_pointing(made: Map) -> float:
    """1 if the highest place is on the object, else 0; NaN for a class that is not in the picture."""
    if made.case.mask is None:
        return math.nan
    task = PointingTask.from_masks([{made.case.target: made.case.mask}])
    return pointing_game(made.saliency, task, reference=REFERENCE).hits.float().item()


def _inserted(made: Map, steps: int | None) -> Curve:
    return insertion(made.model, made.case.x, made.saliency, made.case.target, steps=steps).result(
        progress=False
    )


MEASURES: dict[str, Callable[[Map], float]] = {
    "deletion": of_deletion,
    "insertion": of_insertion,
    "monotonicity": of_monotonicity,
    "pointing": of_pointing,
}
#: Those that are 0 or 1, of which a spread says nothing.
SHARES = ("monotonicity", "pointing")


# -- the command ------------------------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> int:
    """Measure, print the table and write the file; the exit code."""
    if options.csv is not None:
        outputs.check_parent(Path(options.csv))
    else:
        outputs.check_open()
    given = pictures(options)
    chosen = methods(options.methods)
    model = network(options)
    measures = check_measures(options.metrics, pointing=options.scenes is not None and knows_scenes(model))
    target = class_of(model, options.target)
    check_layer(model, chosen, options.layer)
    check_steps(model, options.steps)
    troubles: dict[str, list[str]] = defaultdict(list)
    rows: list[Row] = []
    # None: only where somebody is looking, at a terminal.
    with tqdm(total=len(given) * len(chosen), unit="map", leave=False, disable=options.quiet or None) as bar:
        for picture in given:
            try:
                cases = cases_of(model, picture, target)
            except Exception as error:  # one picture takes no other with it
                troubles[f"not measured: {sentence(error)}"].append(picture.name)
                bar.update(len(chosen))
                continue
            for name in chosen:
                bar.set_description_str(f"{picture.name}, {chosen[name].title}", refresh=False)
                rows += measured(model, cases, chosen, name, measures, options, troubles)
                bar.update()
    for words, where in troubles.items():
        outputs.note(f"{', '.join(dict.fromkeys(where))}: {words}")
    if not rows:
        raise Failure("nothing could be measured")
    print(outputs.table(summary(rows, list(chosen), measures)))
    if options.csv is not None:
        write(Path(options.csv), rows, measures, model)
    return FAILED if troubles else DONE


def check_measures(given: Sequence[str] | None, *, pointing: bool) -> list[str]:
    """The measures that are named, or those that take least; `pointing` tells whether it is known what is where."""
    if given is None:
        return ["deletion", "insertion", *(["pointing"] if pointing else [])]
    if "pointing" in given and not pointing:
        raise Mistake(
            "pointing has to know what is where, wanted --scenes N and a network that knows their classes, such as "
            f"{OF_SCENES!r}"
        )
    return list(given)


def check_steps(model: ImageModel, steps: int | None) -> None:
    """Refuse more steps than a picture has pixels."""
    pixels = model.size[0] * model.size[1]
    if steps is not None and steps > pixels:
        raise Mistake(f"--steps is {steps}, wanted at most {pixels}, the number of pixels")


def cases_of(model: ImageModel, picture: Picture, target: int | None) -> list[Case]:
    """The picture with the class that is named; else with each that is known to be in it, or the predicted one."""
    x = model.images(picture.image)
    known = picture.classes if knows_scenes(model) else {}
    masks = {
        k: model.images(np.where(mask, 255, 0).astype(np.uint8))[0, 0] > 0.5 for k, mask in known.items()
    }
    scores = check_finite(model.scores(x), model.name)
    targets = [target] if target is not None else list(known) or scores.argmax(1).tolist()
    return [Case(picture.name, x, k, masks.get(k)) for k in targets]


def measured(
    model: ImageModel,
    cases: Sequence[Case],
    methods: dict[str, Method],
    name: str,
    measures: Sequence[str],
    options: argparse.Namespace,
    troubles: dict[str, list[str]],
) -> Iterator[Row]:
    """The rows of one method; what cannot be measured is noted among the troubles."""
    for case in cases:
        study = AttributionStudy(model, case.x, methods[name])
        (key,) = study.keys(case.target, options.layer)
        list(study._compute(key, study.store, False))
        outcome = study.outcome(key)
        if outcome.result is None:
            troubles[f"{methods[name].title} failed: {outcome.error}"].append(case.name)
            continue
        made = Map(model, case, outcome.result[None].to(model.device), options.steps)
        values: dict[str, float] = {}
        for measure in measures:
            try:
                values[measure] = MEASURES[measure](made)
            except Exception as error:  # one measure takes no other with it
                troubles[f"{methods[name].title} could not be measured: {sentence(error)}"].append(case.name)
        if values:
            yield Row(case, name, {measure: values.get(measure, math.nan) for measure in measures})


# -- what is told of it -----------------------------------------------------------------------------------------


def summary(rows: Sequence[Row], methods: Sequence[str], measures: Sequence[str]) -> list[list[str]]:
    """The table: of each method how many maps were measured, and mean and deviation of each measure."""
    made = [["method", "maps", *(f"{name} (best {int(name != 'deletion')})" for name in measures)]]
    for method in methods:
        own = [row for row in rows if row.method == method]
        made.append([method, str(len(own)), *(spread(own, name) for name in measures)])
    return made


def spread(rows: Sequence[Row], measure: str) -> str:
    """Mean and sample standard deviation; of a share the mean, that of pointing over the classes."""
    values = [(row.case.target, row.values[measure]) for row in rows if not math.isnan(row.values[measure])]
    if not values:
        return "-"
    if measure == "pointing":
        classes = defaultdict(list)
        for target, value in values:
            classes[target].append(value)
        return f"{statistics.fmean(map(statistics.fmean, classes.values())):.3f}"
    plain = [value for _, value in values]
    mean = f"{statistics.fmean(plain):.3f}"
    return mean if measure in SHARES or len(plain) < 2 else f"{mean} ± {statistics.stdev(plain):.3f}"


def write(path: Path, rows: Iterable[Row], measures: Sequence[str], model: ImageModel) -> None:
    """The values of each picture, class and method, in a file of comma-separated values."""
    rows = list(rows)
    with atomic_write(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "class", "method", *measures])
        for row in rows:
            values: list[Any] = [row.values[name] for name in measures]
            shown = ["" if math.isnan(value) else f"{value:.6g}" for value in values]
            writer.writerow([row.case.name, model.labels[row.case.target], row.method, *shown])
    outputs.tell(path, outputs.counted(len(rows), "row"))
