"""Evaluation of methods in one call, on this machine or on the workers of a Dask cluster."""

from __future__ import annotations

import inspect
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from xai_widgets.core.caching import digest_of, fingerprint
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.optional import optional
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.data.base import Example
from xai_widgets.errors import warn
from xai_widgets.methods import METHODS, Method, MethodLike, methods_by_name
from xai_widgets.metrics import Metric, metrics_by_name
from xai_widgets.studies.evaluation import Cell, EvaluationStudy, Score
from xai_widgets.studies.examples import as_examples
from xai_widgets.studies.reference_maps import reference_methods
from xai_widgets.studies.score_store import ScoreStore
from xai_widgets.studies.score_tables import Evaluation
from xai_widgets.studies.store import Outcome

#: Methods and metrics of an evaluation that names none: quick ones.
QUICK_METHODS = ("gradient", "guided_backprop", "integrated_gradients", "grad_cam")
QUICK_METRICS = ("deletion", "insertion")
#: How often lost tasks are given to a cluster again.
ATTEMPTS = 10
#: Seconds after which an evaluation ends if all workers of its cluster were lost, and between looks at them.
PATIENCE, POLL = 300.0, 10.0
#: Most images in a task of a cluster, and least tasks for each worker.
MOST_IMAGES, TASKS = 8, 4


def evaluate(
    models: ImageModel | Mapping[str, ImageModel],
    dataset: Iterable[Any] | str | os.PathLike[str],
    methods: MethodLike | Sequence[MethodLike] = QUICK_METHODS,
    metrics: str | Metric | Sequence[str | Metric] = QUICK_METRICS,
    *,
    path: str | os.PathLike[str] | None = None,
    targets: int | Sequence[int] | None = None,
    layers: Sequence[str] | None = None,
    references: bool = True,
    permuted: Mapping[str, ImageModel] | ImageModel | None = None,
    seed: int = 0,
    client: Any = None,
    progress: bool = True,
) -> Evaluation:
    """Score methods by metrics on a data set.

    Every score is written to ``path`` when it is finished. The same call after an interruption, a crash or a kill
    continues there, without losing or repeating a finished score.

    Parameters
    ----------
    models : ImageModel or mapping of str to ImageModel
        The networks by name; they are not changed.
    dataset : sequence, data set of torch, iterable, array, tensor, str or Path
        Images of any kind, :class:`~xai_widgets.data.Example` objects with masks of their classes, scenes, or pairs
        (image, class number); or a folder, of whose images the predicted classes are explained. A data set of torch,
        such as an ``ImageFolder``, is read as it is needed, any other iterable into memory.
    methods : sequence, default ("gradient", "guided_backprop", "integrated_gradients", "grad_cam")
        Names of methods, or whatever :func:`~xai_widgets.methods.as_method` takes.
    metrics : sequence of str or Metric, default ("deletion", "insertion")
        Names in :data:`~xai_widgets.metrics.METRICS`, or metrics of your own. ``METRICS[name].with_options(...)``
        sets options.
    path : str or Path, optional
        SQLite file of the scores. Default: they are kept in memory alone.
    targets, layers
        See :class:`EvaluationStudy`.
    references : bool, default True
        Whether random maps, the center of the image and a map without a class are among the rows.
    permuted : ImageModel or mapping of str to ImageModel, optional
        Networks trained on permuted labels, by the names of the models, for the metric "data_randomization".
    seed : int, default 0
        Seed of all methods and metrics that draw random numbers and of the random maps, except of metrics whose seed is
        among their options. Two calls with one seed have the same scores.
    client : distributed.Client, optional
        Dask client: each worker gets the networks once and computes whole images, on its own GPU if it has one. The
        scores are those of a local run, with the same number of threads for each image.
    progress : bool, default True
        Whether to show a progress bar.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        If ``path`` holds the scores of another evaluation, a network, method or metric is refused, the data set is
        empty, or no score at all could be computed, with the first reason.

    Examples
    --------
    >>> result = evaluate(model, photos, ["grad_cam", "gradient"], ["deletion"], path="scores.sqlite")  # doctest: +SKIP
    >>> result.table()  # doctest: +SKIP
    """
    named = {models.name: models} if isinstance(models, ImageModel) else dict(models)
    for model in named.values():
        check_model(model)
    labels = {tuple(model.labels) for model in named.values()}
    dataset = as_examples(dataset, labels.pop() if len(labels) == 1 else ())
    given = methods_by_name(methods)
    rows = {**reference_methods(), **given} if references else given
    scored = metrics_by_name(metrics)
    second = dict.fromkeys(named, permuted) if isinstance(permuted, ImageModel) else dict(permuted or {})
    bundle = Bundle(named, dataset, rows, scored, targets, layers, second, check_seed(seed))
    stores: dict[str, ScoreStore | None] = dict.fromkeys(named)
    if path is not None:
        for name, model in named.items():
            stores[name] = checked_store(path, name, model, dataset, scored, seed)
    studies = {name: bundle.study(name, stores[name]) for name in named}
    _check_masks(studies.values(), scored)
    if client is None:
        for study in studies.values():
            _compute(study, study.cells(), progress=progress)
    else:
        _compute_there(bundle, studies, client, progress)
    outcomes = {
        name: {cell: study.outcome(cell) for cell in study.cells()} for name, study in studies.items()
    }
    every = [outcome for cells in outcomes.values() for outcome in cells.values()]
    if every and all(outcome.error for outcome in every):
        raise ValueError(f"expected at least one score, got none: {every[0].error}")
    return Evaluation(scored, outcomes, bundle.seed)


def _check_masks(studies: Iterable[EvaluationStudy], metrics: Mapping[str, Metric]) -> None:
    """Warn about metrics that are left out because no example has a mask; ValueError if none is left."""
    known = {cell.metric for study in studies for cell in study.cells()}
    without = [metric.title for name, metric in metrics.items() if name not in known]
    if len(without) == len(metrics):
        raise ValueError(f"expected examples with masks for {', '.join(without)}, got none with a mask")
    if without:
        warn(f"no example has a mask: {', '.join(without)} left out")


def checked_store(
    path: str | os.PathLike[str],
    name: str,
    model: ImageModel,
    dataset: Sequence[Any],
    metrics: Mapping[str, Metric],
    seed: int,
) -> ScoreStore:
    """Return the scores of a model in a file; ValueError if they are those of another evaluation."""
    store = ScoreStore(Path(path), name)
    store.check_facts(evaluation_facts(model, dataset, metrics, check_seed(seed)))
    return store


def evaluation_facts(
    model: ImageModel, dataset: Sequence[Any], metrics: Mapping[str, Metric], seed: int = 0
) -> dict[str, Any]:
    """Return the facts by which a file of scores recognizes its evaluation: network, images, seed and options."""
    facts = {"network": fingerprint(model), "number of images": len(dataset)}
    facts |= {"data set": _digest(dataset), "seed": seed}
    return facts | {f"options of {each.name}": _described(each.options) for each in metrics.values()}


def _digest(dataset: Any) -> str:
    """Return a digest of the paths, names and arrays of a list; of a data set that is read as needed its kind alone."""
    if not isinstance(dataset, list | tuple | Tensor):
        return type(dataset).__name__
    parts: list[Any] = []
    for one in dataset:
        image = one.image if isinstance(one, Example) else one
        if isinstance(image, str | os.PathLike):
            parts.append(str(image))
        else:
            parts.append(image if isinstance(image, Tensor) else torch.as_tensor(np.array(image)))
        parts.append(one.name if isinstance(one, Example) else "")
    return digest_of(*parts)


class Bundle:
    """All that a worker needs to score any image; sent once, it makes a study of each model when needed."""

    def __init__(
        self,
        models: Mapping[str, ImageModel],
        dataset: Sequence[Any],
        methods: Mapping[str, Method],
        metrics: Mapping[str, Metric],
        targets: int | Sequence[int] | None,
        layers: Sequence[str] | None,
        permuted: Mapping[str, ImageModel],
        seed: int = 0,
    ) -> None:
        self.models, self.dataset, self.methods, self.metrics = (
            dict(models),
            dataset,
            dict(methods),
            dict(metrics),
        )
        self.targets, self.layers, self.permuted, self.seed = targets, layers, dict(permuted), seed
        self._studies: dict[str, EvaluationStudy] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        # Registered methods by name, as the functions of a module are not those in its methods.
        known = _known_methods()
        methods = {
            name: None if known.get(name) == method else method for name, method in self.methods.items()
        }
        return {**self.__dict__, "methods": methods, "_studies": {}, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
        known = _known_methods()
        self.methods = {
            name: known[name] if method is None else method for name, method in self.methods.items()
        }

    def study(self, name: str, store: ScoreStore | None = None) -> EvaluationStudy:
        """Return a new study of a model."""
        return EvaluationStudy(
            self.models[name],
            self.dataset,
            [seeded_method(each, self.seed) for each in self.methods.values()],
            [seeded_metric(each, self.seed) for each in self.metrics.values()],
            targets=self.targets,
            layers=self.layers,
            permuted=self.permuted.get(name),
            store=store,
        )

    def score(self, name: str, cells: Sequence[Cell], threads: int) -> list[tuple[Cell, Outcome[Score]]]:
        """Return the outcomes of cells, computed with so many threads on the GPU of this process, if it has one."""
        with self._lock:
            torch.set_num_threads(threads)
            if name not in self._studies:
                if torch.cuda.is_available():
                    self.models[name].to("cuda")
                    if name in self.permuted:
                        self.permuted[name].to("cuda")
                self._studies[name] = self.study(name)
            study = self._studies[name]
            _compute(study, cells, progress=False)
            outcomes = [(cell, study.outcome(cell)) for cell in cells]
            # The maps and scores of an image are not needed again.
            study.clear()
            study.maps.clear()
            return outcomes


def seeded_method(method: Method, seed: int) -> Method:
    """Return a method whose random numbers have a seed; one that draws none is returned as it is."""
    if seed == 0 or "seed" not in inspect.signature(method.function).parameters:
        return method
    return replace(method, function=partial(method.function, seed=seed))


def seeded_metric(metric: Metric, seed: int) -> Metric:
    """Return a metric whose random numbers have a seed, unless its options have one or it draws none."""
    if "seed" not in metric.option_names or "seed" in metric.options:
        return metric
    return metric.with_options(seed=seed)


def _known_methods() -> dict[str, Method]:
    return {**METHODS, **reference_methods()}


def _compute(study: EvaluationStudy, cells: Sequence[Cell], *, progress: bool) -> None:
    """Compute cells; that all of them failed is in their outcomes, and does not stop the other models."""
    try:
        study.compute(cells, progress=progress)
    except ValueError:
        if not all(study.outcome(cell).complete for cell in cells):
            raise


def _compute_there(
    bundle: Bundle, studies: Mapping[str, EvaluationStudy], client: Any, progress: bool
) -> None:
    """Give the images whose scores are missing to the workers, and store each result as it comes."""
    distributed = optional("distributed", "evaluations on a cluster")
    threads = torch.get_num_threads()
    reason: BaseException | None = None
    left = {(name, image): cells for name, study in studies.items() for image, cells in _missing(study)}
    with tqdm(total=sum(map(len, left.values())), disable=not progress, unit="score") as bar:
        for attempt in range(ATTEMPTS):
            if not left:
                return
            try:
                # A queue may take hours to start the first one; one that was lost comes back soon or never.
                client.wait_for_workers(1, timeout=PATIENCE if attempt else None)
            except distributed.TimeoutError as error:
                reason = error
                break
            try:
                # On every worker, so that it survives the loss of one.
                resident = client.scatter(bundle, broadcast=True, hash=False)
            except OSError as error:  # a worker was lost on the way
                reason = error
                continue
            futures = {}
            for name, images in _tasks(left, len(client.nthreads())):
                cells = [cell for image in images for cell in left[name, image]]
                future = client.submit(_score_on_worker, resident, name, cells, threads, pure=False)
                futures[future] = name, images
            for future in _completed(client, futures):
                name, images = futures[future]
                if future.status != "finished":
                    reason = future.exception() if future.status == "error" else reason
                    continue
                try:
                    found = future.result()
                except (OSError, CancelledError) as error:  # lost with its worker
                    reason = error
                    continue
                studies[name].store.update(found)
                bar.update(sum(len(left.pop((name, image))) for image in images))
                future.release()
    if not left:
        return
    lost = (
        f"no worker for {PATIENCE:.0f} s" if not client.nthreads() else f"no result after {ATTEMPTS} attempts"
    )
    raise RuntimeError(
        f"expected the workers to score {len(left)} more images, got {lost}"
        + (f": {reason}" if reason else "")
    ) from reason


def _completed(client: Any, futures: Iterable[Any]) -> Iterator[Any]:
    """Yield futures as they are completed, until no worker is left for :data:`PATIENCE` seconds."""
    distributed = optional("distributed", "evaluations on a cluster")
    left, alone = list(futures), 0.0
    while left and alone < PATIENCE:
        began = time.monotonic()
        try:
            for future in distributed.as_completed(left, timeout=POLL):
                left.remove(future)
                yield future
        except distributed.TimeoutError:
            # Tasks without a worker wait for one, and are never completed.
            alone = 0.0 if client.nthreads() else alone + time.monotonic() - began


def _tasks(left: Iterable[tuple[str, int]], workers: int) -> Iterator[tuple[str, list[int]]]:
    """Yield the images of each task, several for common passes, but so few that all workers are busy to the end."""
    by_model: dict[str, list[int]] = {}
    for name, image in left:
        by_model.setdefault(name, []).append(image)
    for name, images in by_model.items():
        number = min(MOST_IMAGES, max(1, len(images) // (TASKS * max(1, workers))))
        for start in range(0, len(images), number):
            yield name, images[start : start + number]


def _score_on_worker(
    bundle: Bundle, name: str, cells: Sequence[Cell], threads: int
) -> list[tuple[Cell, Outcome[Score]]]:
    return bundle.score(name, cells, threads)


def _missing(study: EvaluationStudy) -> Iterable[tuple[int, list[Cell]]]:
    """Return the cells of each image that have no complete outcome."""
    images: dict[int, list[Cell]] = {}
    known = study.store.items_on_disk() if isinstance(study.store, ScoreStore) else {}
    for cell in study.cells():
        if cell not in known:
            images.setdefault(cell.image, []).append(cell)
    return images.items()


def _described(options: Mapping[str, Any]) -> dict[str, str]:
    return {name: repr(value)[:200] for name, value in sorted(options.items())}
