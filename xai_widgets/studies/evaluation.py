"""Scores of methods by metrics on a data set: one for each method, layer, image and class, and their table."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Collection, Generator, Iterator, Mapping, MutableMapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.core.batching import fast_batch_size
from xai_widgets.core.model import ImageModel
from xai_widgets.core.resizing import interpolate
from xai_widgets.core.run import Run
from xai_widgets.core.target_scores import target_functions
from xai_widgets.core.writing import atomic_write
from xai_widgets.data.base import Example
from xai_widgets.errors import as_sentence, warn
from xai_widgets.methods import MethodLike
from xai_widgets.metrics import Explanation, Metric, metrics_by_name
from xai_widgets.metrics.pointing import SMALL
from xai_widgets.studies.attribution import RECENT, AttributionKey, AttributionStudy
from xai_widgets.studies.examples import Images
from xai_widgets.studies.store import Outcome
from xai_widgets.studies.study import Study

#: Maps of several images are scored together until their passes fill so many batches: the last one, which is filled
#: up, is then at most 3 % of the work.
BATCHES = 32


class Cell(NamedTuple):
    """The choices that a score depends on; target None is the predicted class, layer None the default of the method."""

    method: str
    layer: str | None
    image: int
    target: int | None
    metric: str


class Score(NamedTuple):
    """The score of one explanation, and the class that is explained."""

    value: float
    target: int


class Entry(NamedTuple):
    """One line of a :class:`Table`: the scores of a method, at a layer, by a metric."""

    method: str
    layer: str | None
    metric: str
    mean: float
    spread: float
    n: int
    failed: int


class Table(tuple[Entry, ...]):
    """Mean and spread of the scores of each method, layer and metric, with the numbers of scores and failures."""

    __slots__ = ()

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return the table as comma-separated values, and write them to a file if one is named."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Entry._fields)
        writer.writerows(["" if _empty(value) else value for value in entry] for entry in self)
        return _written(file.getvalue(), path)

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the table as a list of objects in JSON, NaN as null, and write it to a file if one is named."""
        rows = [
            {key: None if _empty(value) else value for key, value in entry._asdict().items()}
            for entry in self
        ]
        return _written(json.dumps(rows, indent=1) + "\n", path)

    def __repr__(self) -> str:
        lines = [
            f"  {entry.method}{f' at {entry.layer}' if entry.layer else ''}, {entry.metric}: {entry.mean:.3f}"
            + ("" if math.isnan(entry.spread) else f" ± {entry.spread:.3f}")
            + f" (n = {entry.n})"
            for entry in self[:20]
        ]
        more = [f"  ... ({len(self)} entries)"] if len(self) > 20 else []
        return "\n".join(["Table:", *lines, *more])


def _empty(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        with atomic_write(Path(path)) as partial:
            partial.write_text(text, encoding="utf-8")
    return text


class EvaluationStudy(Study[Cell, Score]):
    """Scores of methods by metrics on a data set.

    Each cell has its own score, error and warnings. With a :class:`DiskStore` an evaluation continues where it was
    interrupted; use one folder for each network, data set and choice of options.

    Parameters
    ----------
    model : ImageModel
        The network; it is not changed.
    images : Tensor, (N, C, H, W), or sequence
        Images of any kind, or :class:`~xai_widgets.data.Example` objects with masks of their classes. Those of a
        sequence are read when they are needed.
    methods : sequence
        Methods to compare; see :class:`AttributionStudy`.
    metrics : sequence of str or Metric
        Names in :data:`xai_widgets.metrics.METRICS`, or metrics of your own.
    targets : int or sequence of int, optional
        The class of all images, or one for each. Default: every class that has a mask, or else the labels of the
        example, or else the predicted class.
    masks : sequence of mapping, optional
        For each image, class index to mask (H, W). Default: those of the examples.
    layers : sequence of str, optional
        Layers of methods that take one. Default: the default layer of each method.
    permuted : ImageModel, optional
        A network trained on permuted labels, for the metric that needs one.
    store : mutable mapping, optional
        See :class:`Study`.

    Attributes
    ----------
    maps : AttributionStudy
        The maps that are scored.
    metrics : dict of str to Metric
    unreadable : dict of int to str
        Images that could not be read, or whose scores are not finite, with the reasons.

    Examples
    --------
    >>> study = EvaluationStudy(model, photos, ["gradient", "grad_cam"], ["deletion", "insertion"])
    >>> study.compute(study.cells())
    >>> study.table().to_csv("table.csv")
    """

    def __init__(
        self,
        model: ImageModel,
        images: Tensor | Sequence[Any],
        methods: MethodLike | Sequence[MethodLike],
        metrics: str | Metric | Sequence[str | Metric],
        *,
        targets: int | Sequence[int] | None = None,
        masks: Sequence[Mapping[int, NDArray[Any]]] | None = None,
        layers: Sequence[str] | None = None,
        permuted: ImageModel | None = None,
        store: MutableMapping[Cell, Outcome[Score]] | None = None,
    ) -> None:
        super().__init__(store)
        if target_functions(targets) is not None:
            raise TypeError(
                "expected targets as class indices, by which masks are found, got a callable; pass "
                "model.with_target(callable)"
            )
        self.model = model
        self.metrics = metrics_by_name(metrics)
        for metric in self.metrics.values():
            if "reference" in metric.needs:
                raise ValueError(f"expected metrics of one map, got {metric.name!r}, which compares two maps")
            if "permuted" in metric.needs and permuted is None:
                raise ValueError(
                    f"expected permuted, a network trained on permuted labels, for {metric.name!r}, got none"
                )
        for name, several in (("targets", targets), ("masks", masks)):
            if several is not None and not isinstance(several, int) and len(several) != len(images):
                raise ValueError(f"expected {name} for each of {len(images)} images, got {len(several)}")
        self._examples: Any = images
        self._targets, self._masks = targets, masks
        self._layers: Sequence[str | None] | None = layers
        self._permuted = permuted
        self._cells: list[Cell] | None = None
        self.maps = AttributionStudy(model, images if isinstance(images, Tensor) else Images(images), methods)
        self.unreadable: dict[int, str] = {}
        self._example = lru_cache(maxsize=RECENT)(self._read_example)
        #: The explanations of the latest images with their maps, and scores that were computed with others; None where
        #: common passes failed.
        self._explanations: dict[AttributionKey, tuple[Tensor, Explanation]] = {}
        self._together: dict[Cell, float | None] = {}
        #: Cells that were scored and stored with others, before their turn.
        self._stored: set[Cell] = set()
        #: The cells that are being computed.
        self._due: frozenset[Cell] = frozenset()

    def cells(self) -> list[Cell]:
        """Return all cells; metrics that need a mask are left out where there is none."""
        if self._cells is None:
            self._cells = [cell for image in range(len(self._examples)) for cell in self._cells_of(image)]
        return list(self._cells)

    def _cells_of(self, image: int) -> Iterator[Cell]:
        try:
            masks, targets = self.masks(image), self.targets(image)
        except Exception:  # an example that cannot be read: the error is that of each of its scores
            masks, targets = {}, [None]
        for name, method in self.maps.methods.items():
            for layer in self._layers if self._layers and method.takes_layer else [None]:
                for target in targets:
                    for metric in self.metrics.values():
                        if "mask" not in metric.needs or target in masks:
                            yield Cell(name, layer, image, target, metric.name)

    def _read_example(self, image: int) -> Any:
        return self._examples[image]

    def masks(self, image: int) -> Mapping[int, NDArray[Any]]:
        """Return the known masks of an image, by class."""
        if self._masks is not None:
            return self._masks[image]
        example = self._example(image)
        return example.masks if isinstance(example, Example) else {}

    def targets(self, image: int) -> list[int | None]:
        """Return the classes of an image that are explained; None is the predicted class."""
        if self._targets is None:
            example = self._example(image)
            labels = example.labels if isinstance(example, Example) else ()
            return [*(self.masks(image) or labels)] or [None]
        return [self._targets if isinstance(self._targets, int) else self._targets[image]]

    def title(self, key: Cell) -> str:
        """Return the title of the method."""
        return self.maps.methods[key.method].title

    def map_key(self, cell: Cell) -> AttributionKey:
        """Return the key of the map that a cell scores."""
        return AttributionKey(cell.method, cell.image, cell.target, cell.layer)

    def run(self, key: Cell, start: Score | None = None) -> Run[Score]:
        """Return the computation of one score, in a single step; cells of one map share it."""
        return Run((self._score(key) for _ in range(1)), total=1, name=self.title(key))

    def _score(self, cell: Cell) -> Score:
        try:
            self.maps.scores(cell.image)
            self.unreadable.pop(cell.image, None)
        except Exception as error:
            self.unreadable[cell.image] = as_sentence(error)
            raise
        outcome = self.maps.explain(self.map_key(cell))
        for message in outcome.warnings:
            warn(message)
        if outcome.result is None:
            raise ValueError(outcome.error)
        explanation, metric = self._explanation(cell), self.metrics[cell.metric]
        if metric.several is not None and not metric.defect(explanation):
            if cell not in self._together:
                self._score_together(cell)
            together = self._together.pop(cell, None)
            if together is not None:
                return Score(together, explanation.target)
        return Score(metric(explanation), explanation.target)

    def _score_together(self, cell: Cell) -> None:
        """Score maps of an image, and of the next ones, by a metric in common passes; each alone if that fails."""
        metric = self.metrics[cell.metric]
        group = self._group(cell, metric)
        try:
            scores = metric.score_several(list(group.values()))
            self._together.update(zip(group, scores, strict=True))
        except Exception:  # the map that fails is to be known
            self._together.update(dict.fromkeys(group))
            return
        # At once, so that a kill does not lose them before their turn.
        others = {other: self._finished(other, group[other]) for other in group if other != cell}
        self.store.update(others)
        self._stored.update(others)

    def _finished(self, cell: Cell, explanation: Explanation) -> Outcome[Score]:
        """Return the outcome of a cell that was scored with another one."""
        value = self._together[cell]
        assert value is not None
        warnings = self.maps.explain(self.map_key(cell)).warnings
        return Outcome(Score(value, explanation.target), "", warnings, complete=True)

    def _compute(
        self, key: Cell, store: MutableMapping[Cell, Outcome[Score]], again: bool
    ) -> Generator[Cell, None, None]:
        if key in self._stored:
            self._stored.remove(key)
            yield key
        else:
            yield from super()._compute(key, store, again)

    def _group(self, cell: Cell, metric: Metric) -> dict[Cell, Explanation]:
        """Return the explanations of an image, and of the next ones that are due, until their passes are enough."""
        own = self._explanation(cell)
        size = own.x.shape[1:]
        enough = BATCHES * fast_batch_size(self.model, (size[1], size[2]))
        group = self._ready(cell.image, cell, own)
        for image in range(cell.image + 1, min(cell.image + RECENT, len(self.maps))):
            if metric.passes is None or len(group) * metric.passes(own, **metric.options) >= enough:
                break
            try:
                # Tensors keep their size, and images of one size pass together.
                fits = self.maps.image(image).shape[1:] == size and self.maps.scores(image).isfinite().all()
            except Exception:  # an image that cannot be read does not stop the others
                continue
            group |= self._ready(image, cell, own) if fits else {}
        return group

    def _ready(self, image: int, cell: Cell, own: Explanation) -> dict[Cell, Explanation]:
        """Return the explanations of an image that are to be scored by the metric of a cell."""
        metric, ready = self.metrics[cell.metric], {}
        for other in self._cells_of(image):
            due = other.metric == cell.metric and (image == cell.image or other in self._due)
            if other == cell:
                ready[other] = own
            elif due and not self.outcome(other).complete:
                if self.maps.explain(self.map_key(other)).result is None:
                    continue
                explanation = self._explanation(other)
                if not metric.defect(explanation):
                    ready[other] = explanation
        return ready

    def missing(self, keys: Collection[Cell], **options: Any) -> Run[Cell]:
        """Return a run that computes the cells that are not complete; see :meth:`Study.missing`."""
        self._due = frozenset(key for key in keys if isinstance(key, Cell))
        self._explanations.clear()
        self._together.clear()
        self._stored.clear()
        return super().missing(keys, **options)

    def _explanation(self, cell: Cell) -> Explanation:
        """Return the map of a cell with everything that metrics need; those of the latest images are kept."""
        key = self.map_key(cell)
        kept = {known.image for known in self._explanations}
        if cell.image not in kept and len(kept) >= RECENT:
            self._explanations.clear()
        found = self._explanations.get(key)
        saliency = self.maps.explain(key).result
        assert saliency is not None
        if found is None or found[0] is not saliency:
            target = self.maps.class_of(key)
            mask = self._mask(cell.image, target)
            same = (each.x for known, (_, each) in self._explanations.items() if known.image == cell.image)
            x = next(same, None)
            x = self.maps.image(cell.image) if x is None else x
            explanation = Explanation(
                self.model,
                x,
                target,
                saliency[None].to(self.model.device),
                mask=mask,
                difficult=self._difficult(cell.image, mask),
                method=self.maps.methods[cell.method],
                options={} if cell.layer is None else {"layer": cell.layer},
                permuted=self._permuted,
            )
            found = self._explanations[key] = saliency, explanation
        return found[1]

    def _mask(self, image: int, target: int) -> Tensor | None:
        """Return the mask of a class, resized and cropped like the image; None if it is unknown."""
        mask = self.masks(image).get(target)
        if mask is None:
            return None
        pixels = np.where(np.asarray(mask), 255, 0).astype(np.uint8)
        if not self._is_tensor(image):
            return self.model.images(pixels)[0, 0] > 0.5
        # A tensor is not resized to the size of the network, and the mask follows it.
        height, width = self.maps.image(image).shape[2:]
        whole = interpolate(torch.from_numpy(pixels)[None, None] / 255, (height, width), "bilinear")
        return (whole[0, 0] > 0.5).to(self.model.device)

    def _is_tensor(self, image: int) -> bool:
        if isinstance(self._examples, Tensor):
            return True
        example = self._example(image)
        return isinstance(example.image if isinstance(example, Example) else example, Tensor)

    def _difficult(self, image: int, mask: Tensor | None) -> bool | None:
        """Return whether an object is in the difficult subset of the pointing game."""
        if mask is None:
            return None
        return bool(mask.float().mean() < SMALL) and len(self.masks(image)) > 1

    def scores(self) -> Iterator[tuple[Cell, Score]]:
        """Yield the scores that are known."""
        for cell in self.cells():
            if (result := self.outcome(cell).result) is not None:
                # A store on disk returns a plain tuple.
                yield cell, Score(*result)

    def table(self) -> Table:
        """Return the mean and spread of the scores that are known."""
        scores = dict(self.scores())
        groups: dict[tuple[str, str | None, str], list[Cell]] = {}
        for cell in self.cells():
            groups.setdefault((cell.method, cell.layer, cell.metric), []).append(cell)
        entries = []
        for (method, layer, name), cells in groups.items():
            known = [scores[cell] for cell in cells if cell in scores]
            values, targets = [score.value for score in known], [score.target for score in known]
            summary = self.metrics[name].summarize(values, targets)
            failed = sum(bool(self.outcome(cell).error) for cell in cells)
            entries.append(Entry(method, layer, name, *summary, failed))
        return Table(entries)
