"""``xai-widgets evaluate``: scores of methods by metrics."""

from __future__ import annotations

import argparse
import csv
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from xai_widgets.cli import outputs
from xai_widgets.cli.errors import DONE, FAILED, CommandError, UsageError
from xai_widgets.cli.inputs import knows_scenes, read_examples
from xai_widgets.cli.networks import DEFAULT_NETWORK, check_layer, class_index, read_methods, read_network
from xai_widgets.cli.progress import compute
from xai_widgets.core.model import ImageModel
from xai_widgets.core.writing import atomic_write
from xai_widgets.data import Example
from xai_widgets.metrics import METRICS, Metric, Summary
from xai_widgets.studies import Cell, EvaluationStudy, Score, ScoreStore
from xai_widgets.studies.scoring import checked_store, seeded_metric


class Row(NamedTuple):
    """The scores of one map by the names of the metrics; metrics that do not apply are missing."""

    image: int
    target: int
    method: str
    scores: dict[str, float]


def run(options: argparse.Namespace) -> int:
    """Compute the scores, print the table, write the file, and return the exit code."""
    if options.csv is not None:
        outputs.check_parent(Path(options.csv))
    else:
        outputs.check_open()
    examples = read_examples(options)
    methods = read_methods(options.methods, options.seed)
    model = read_network(options)
    with_masks = options.scenes is not None and knows_scenes(model)
    metrics = choose_metrics(options.metrics, masks=with_masks)
    target = class_index(model, options.target)
    check_layer(model, methods, options.layer)
    check_steps(model, options.steps)
    if options.steps is not None:
        metrics = [
            metric.with_options(steps=options.steps) if "steps" in metric.option_names else metric
            for metric in metrics
        ]
    images = examples if with_masks else [example.image for example in examples]
    study = EvaluationStudy(
        model,
        images,
        list(methods.values()),
        [seeded_metric(metric, options.seed) for metric in metrics],
        targets=target,
        layers=None if options.layer is None else [options.layer],
        permuted=read_permuted(options, metrics),
        store=read_store(options, model, images, metrics),
    )

    def describe(cell: Cell) -> str:
        return f"{examples[cell.image].name}, {study.title(cell)}"

    compute(study, study.cells(), unit="score", quiet=options.quiet, describe=describe)
    failures = describe_failures(study, examples)
    for text, names in failures.items():
        outputs.note(f"{', '.join(names)}: {text}")
    rows = list(score_rows(study))
    if not rows:
        raise CommandError("nothing could be measured")
    print(outputs.table(summarize(study, rows)))
    if options.csv is not None:
        write(Path(options.csv), rows, study, examples)
    return FAILED if failures else DONE


def choose_metrics(names: Sequence[str] | None, *, masks: bool) -> list[Metric]:
    """Return the named metrics, or the quickest ones; ``masks`` is whether the masks of objects are known."""
    if names is None:
        names = ["deletion", "insertion", *(["pointing"] if masks else [])]
    for name in names:
        if "mask" in METRICS[name].needs and not masks:
            raise UsageError(
                f"expected images with masks of their objects for {name}, got none; use --scenes N and a network of "
                f"their classes, such as {DEFAULT_NETWORK!r}"
            )
    return [METRICS[name] for name in names]


def read_permuted(options: argparse.Namespace, metrics: Sequence[Metric]) -> ImageModel | None:
    """Return the network of ``--permuted``; UsageError if a metric needs one and none is named."""
    if options.permuted is not None:
        return read_network(argparse.Namespace(**{**vars(options), "model": options.permuted}))
    for metric in metrics:
        if "permuted" in metric.needs:
            raise UsageError(
                f"expected --permuted NAME, a network trained on permuted labels, for {metric.name}, got none; for "
                f"example '{DEFAULT_NETWORK}_permuted'"
            )
    return None


def read_store(
    options: argparse.Namespace, model: ImageModel, images: Sequence[object], metrics: Sequence[Metric]
) -> ScoreStore | None:
    """Return the file of ``--store``; UsageError if it holds the scores of another evaluation."""
    if options.store is None:
        return None
    outputs.check_parent(Path(options.store))
    try:
        named = {metric.name: metric for metric in metrics}
        return checked_store(options.store, model.name, model, images, named, options.seed)
    except ValueError as error:
        raise UsageError(str(error)) from error


def check_steps(model: ImageModel, steps: int | None) -> None:
    """Raise UsageError for more steps than an image has pixels."""
    pixels = model.size[0] * model.size[1]
    if steps is not None and steps > pixels:
        raise UsageError(f"expected --steps of at most {pixels}, the number of pixels, got {steps}")


def describe_failures(study: EvaluationStudy, examples: Sequence[Example]) -> dict[str, list[str]]:
    """Return what failed, with the names of the images."""
    failures: dict[str, dict[str, None]] = defaultdict(dict)
    for cell, error in study.failures(study.cells()).items():
        title = study.title(cell)
        if cell.image in study.unreadable:
            text = f"not measured: {error}"
        elif study.maps.outcome(study.map_key(cell)).error:
            text = f"{title} failed: {error}"
        else:
            text = f"{title} could not be measured: {error}"
        failures[text][examples[cell.image].name] = None
    return {text: list(names) for text, names in failures.items()}


def score_rows(study: EvaluationStudy) -> Iterator[Row]:
    """Yield the scores of each map that has any."""
    rows: dict[Cell, list[tuple[Cell, Score]]] = defaultdict(list)
    for cell, score in study.scores():
        rows[cell._replace(metric="")].append((cell, score))
    for key, scores in rows.items():
        values = {cell.metric: score.value for cell, score in scores}
        yield Row(key.image, scores[0][1].target, key.method, values)


def summarize(study: EvaluationStudy, rows: Sequence[Row]) -> list[list[str]]:
    """Return the rows of the table: the number of maps of each method, and mean and spread of each metric."""
    metrics = study.metrics.values()
    table = [["method", "maps", *(f"{metric.name} (best {metric.best:g})" for metric in metrics)]]
    for method in study.maps.methods:
        own = [row for row in rows if row.method == method]
        summaries = [
            metric.summarize(
                [row.scores.get(metric.name, math.nan) for row in own], [row.target for row in own]
            )
            for metric in metrics
        ]
        table.append([method, str(len(own)), *map(format_summary, summaries)])
    return table


def format_summary(summary: Summary) -> str:
    """Return a mean with its spread, if it has one."""
    if summary.n == 0:
        return "-"
    return f"{summary.mean:.3f}" + ("" if math.isnan(summary.spread) else f" ± {summary.spread:.3f}")


def write(path: Path, rows: Sequence[Row], study: EvaluationStudy, examples: Sequence[Example]) -> None:
    """Write the scores of each image, class and method as comma-separated values."""
    with atomic_write(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "class", "method", *study.metrics])
        for row in rows:
            scores = [row.scores.get(name, math.nan) for name in study.metrics]
            shown = ["" if math.isnan(score) else f"{score:.6g}" for score in scores]
            writer.writerow([examples[row.image].name, study.model.labels[row.target], row.method, *shown])
    outputs.report(path, outputs.count(len(rows), "row"))
