"""Methods x metrics with bootstrap intervals on a data set, and the images that decide between two methods."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from traitlets import link as link_in_python

from xai_widgets.core.caching import fingerprint
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.run import Status
from xai_widgets.core.validation import brief
from xai_widgets.explorers.explorer import Explorer
from xai_widgets.explorers.layout import column, display_menu, header, stage
from xai_widgets.explorers.leaderboard_drawing import Sent, interval_values, item_labels, table_caption
from xai_widgets.explorers.method_choice import method_picker
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.methods.registry import METHODS, Method, MethodLike, methods_by_name
from xai_widgets.metrics import METRICS, Metric, metrics_by_name
from xai_widgets.studies.attribution import AttributionKey
from xai_widgets.studies.evaluation import Cell
from xai_widgets.studies.examples import as_examples
from xai_widgets.studies.leaderboard import Leaderboard, leaderboard, reasons
from xai_widgets.studies.leaderboard_study import (
    LeaderboardStudy,
    model_in,
    open_scores,
    scored_methods,
    scored_metrics,
    seed_of,
)
from xai_widgets.studies.paired import Row
from xai_widgets.studies.reference_maps import reference_methods
from xai_widgets.studies.score_store import ScoreStore
from xai_widgets.studies.score_tables import Evaluation
from xai_widgets.studies.scoring import QUICK_METHODS, QUICK_METRICS, evaluation_facts
from xai_widgets.views import ExplorerMenu, LeaderboardView, PairView, RunBar, link
from xai_widgets.views.explorer_menu import SavedFile

#: Steps of a curve of the default metrics, an eighth of those of RISE.
STEPS = 28
#: A drawing takes at most this share of the time.
SHARE = 0.1


class LeaderboardExplorer(Explorer):
    """Score methods by metrics on a data set, and see by which images two of them differ.

    The table has the mean of each method and metric with its bootstrap interval over the images, and fills while the
    scores are computed, image by image. A star marks the best mean of a metric, "≈" each method whose paired difference
    from it does not exclude 0. Random maps, the center and a map without a class are always among the rows: a method
    that does not differ from them has not shown anything by that metric. Maps that count as a miss, and methods that
    failed, have a flag with the reason. The head of a column sorts; two rows are chosen by clicks, and the images on
    which they differ most by the metric are shown with both maps. Sorting and the choice of rows need no kernel.

    Parameters
    ----------
    model : ImageModel
        The network; it is never changed.
    images : sequence, str or Path
        The data set: images of any kind, :class:`~xai_widgets.data.Example` objects, scenes, or a folder; see
        :func:`~xai_widgets.studies.evaluate`.
    methods : sequence, optional
        What to choose from: names of registered methods, :class:`~xai_widgets.methods.Method` objects, or your own
        ``explain(model, x, target)``, with a title as ``(title, explain)``. All of them are computed. Default: those of
        ``scores``, or else every registered method, a few of them computed at once.
    metrics : sequence of str or Metric, optional
        Names in :data:`~xai_widgets.metrics.METRICS`, or metrics of your own. Default: those of ``scores``, or else
        deletion and insertion in 28 steps.
    scores : Evaluation, str or Path, optional
        Scores that are known: a result of :func:`~xai_widgets.studies.evaluate`, or its SQLite file. They are not
        computed again; what is missing is, and is added to the file. A file that does not exist is made.
    targets, layers, permuted : optional
        See :func:`~xai_widgets.studies.evaluate`.
    seed : int, optional
        Seed of all methods and metrics that draw random numbers and of the random maps, which a file of scores records.
        Default: that of ``scores``, or 0.
    start : bool, default True
        Whether to compute at once; otherwise the button starts.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

    Attributes
    ----------
    table : LeaderboardView
        The table, with the choices `sort`, `metric` and `pair`.
    deciding : PairView
        The images that decide between the two rows of `pair`.
    result : Leaderboard or None
        The numbers of the table; None before the first score.
    method_picker : MethodPicker
    display : DisplayMenu
    run_bar : RunBar

    Raises
    ------
    ValueError
        For an unknown method or metric, with the nearest one, an empty data set, or scores of another network, data set
        or choice of targets.
    TypeError
        If ``model`` is not an ImageModel, or a method cannot be called.

    Examples
    --------
    >>> LeaderboardExplorer(model, "photos", ["gradient", "grad_cam"], ["deletion"])  # doctest: +SKIP
    """

    question: ClassVar[str] = "Which explanation is right?"
    hint: ClassVar[str] = "Click two rows to see the images that decide between them."
    kernel_controls: ClassVar[tuple[str, ...]] = ("run_bar", "method_picker")

    study: LeaderboardStudy

    @closed_on_error
    def __init__(
        self,
        model: ImageModel,
        images: Sequence[Any] | str | os.PathLike[str],
        methods: MethodLike | Sequence[MethodLike] | None = None,
        metrics: str | Metric | Sequence[str | Metric] | None = None,
        *,
        scores: Evaluation | str | os.PathLike[str] | None = None,
        targets: int | Sequence[int] | None = None,
        layers: Sequence[str] | None = None,
        permuted: ImageModel | None = None,
        seed: int | None = None,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        self._start_worker()
        check_model(model)
        self.model, self._examples = model, as_examples(images, model.labels)
        known, found = _known_scores(model, scores)
        seed = seed_of(known, seed)
        options = _methods(methods, found)
        scored = metrics_by_name(metrics) if metrics is not None else _metrics(known, found)
        if isinstance(known, ScoreStore):
            known.check_facts(evaluation_facts(model, self._examples, scored, seed))
        self.study = LeaderboardStudy(
            model,
            self._examples,
            options,
            scored,
            scores=known,
            targets=targets,
            layers=layers,
            permuted=permuted,
            seed=seed,
        )
        scored_already = {cell.method for cell in found}
        chosen = list(options)
        if methods is None:
            chosen = [name for name in options if name in (scored_already or QUICK_METHODS)]
        self.result: Leaderboard | None = None
        self._cells: list[Cell] = []
        self._cost = 0.0
        super().__init__(**kwargs)
        self._make_views(options, chosen)
        self._take_methods()
        self.method_picker.observe(lambda _change: self._on_methods(), "selected")
        for name in ("pair", "metric"):
            self.deciding.observe(lambda _change: self._on_pair(), name)
        self._assemble(self._layout())
        self._draw()
        if start:
            self.compute()

    def _make_views(self, options: Mapping[str, Method], chosen: Sequence[str]) -> None:
        self.run_bar = RunBar()
        self.method_picker = method_picker(options, chosen, self.model)
        metrics = self.study.metrics.values()
        columns = [
            {"name": each.name, "label": each.title, "direction": each.direction, "help": each.measures}
            for each in metrics
        ]
        first = next(iter(self.study.metrics))
        # Two that were asked for; a single one is compared with noise.
        pair = [*chosen, *reference_methods()][:2]
        self.table = LeaderboardView(
            columns=columns, references=list(reference_methods()), metric=first, pair=pair
        )
        self.deciding = PairView(columns=columns)
        for name in ("metric", "pair"):
            link((self.table, name), (self.deciding, name))
            # Without a browser, too: the pair chooses what is computed.
            link_in_python((self.table, name), (self.deciding, name))
        self._sent = Sent(self.model, self.study, self._examples)

    def _layout(self) -> list[Any]:
        self.display = display_menu(self.deciding)
        return [
            header(self.method_picker, self.display, self.run_bar),
            stage(column(self.table, weight=1, width=620), column(self.deciding, weight=1, width=520)),
        ]

    # -- the computation ------------------------------------------------------------------------------------

    def _take_methods(self) -> None:
        """Take the cells of the chosen methods, image by image."""
        chosen = [*self.method_picker.selected, *reference_methods()]
        order = {name: at for at, name in enumerate(chosen)}
        self.study.chosen = frozenset(order)
        cells = [cell for cell in self.study.cells() if cell.method in order]
        self._cells = sorted(cells, key=lambda cell: (cell.image, order[cell.method]))
        self._rows = list(dict.fromkeys(Row(cell.method, cell.layer) for cell in self._cells))

    def _keys(self) -> list[Cell | AttributionKey]:
        # Maps are known from the scores, unless these were computed before.
        cells: list[Cell | AttributionKey] = list(self._cells)
        known = self.study.known.scores
        if self._cells and all((one := known.get(cell)) is not None and one.complete for cell in self._cells):
            cells += [key for key in self._map_keys() if not self.study.outcome(key).error]
        return cells

    def _map_keys(self) -> list[AttributionKey]:
        """Return the keys of the maps of the images that decide between the chosen rows."""
        result = self.result
        if result is None or len(self.table.pair) < 2:
            return []
        rows = {row.name: row for row in result.rows}
        if not all(name in rows for name in self.table.pair):
            return []
        return [
            AttributionKey(
                rows[name].method, result.items[item].image, result.items[item].target, rows[name].layer
            )
            for item in self.deciding.shown()
            for name in self.table.pair
        ]

    def _on_methods(self) -> None:
        self._take_methods()
        self.compute()

    def _on_pair(self) -> None:
        self._draw_images()
        # A computation of scores goes on, with the maps of the images at its end.
        if self.run_bar.status != "running" and self._missing_maps():
            self.compute()

    def _missing_maps(self) -> bool:
        keys = self._keys()[len(self._cells) :]
        return any(not self.study.outcome(key).complete for key in keys)

    def _after(self, status: Status) -> None:
        # Which images decide is known now.
        if status == "done" and self._missing_maps():
            self.compute()

    def _is_due(self, key: Any) -> bool:
        return super()._is_due(key) and time.monotonic() - self._drawn_at >= self._cost / SHARE

    def _message(self, key: Cell | AttributionKey) -> str:
        outcome = self.study.outcome(key)
        failed = ": failed" if outcome.error else ""
        what = f", {self.study.metrics[key.metric].title}" if isinstance(key, Cell) else ", map"
        return f"image {key.image + 1} of {len(self._examples)}: {self.study.title(key)}{what}{failed}"

    def _failures(self) -> Mapping[str, str]:
        failed = self.study.failures(self._cells)
        return {self.study.title(key): error for key, error in failed.items()}

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw(self, changed: Any = None) -> None:
        began = time.monotonic()
        cells = [cell for cell in self._cells if (one := self.study.known.scores.get(cell)) and one.complete]
        rows = self._rows
        evaluation = self.study.evaluation(cells)
        self.result = result = leaderboard(evaluation, self.model.name, rows) if cells else None
        self._draw_table(rows, result, evaluation)
        self._draw_images()
        self._cost = time.monotonic() - began

    def _draw_table(self, rows: Sequence[Row], result: Leaderboard | None, evaluation: Evaluation) -> None:
        entries = [{"name": row.name, "label": self._label(row)} for row in rows]
        outcomes = evaluation.outcomes[self.model.name]
        table = self.table
        with table.hold_sync():
            table.rows = entries
            shape = len(rows), len(self.study.metrics)
            for name in ("mean", "low", "high"):
                table.set_trait(name, interval_values(result, name, shape))
            table.count = interval_values(result, "n", shape)
            table.marks = np.zeros(shape, np.uint8) if result is None else result.marks
            table.notes = reasons(outcomes, rows, list(self.study.metrics))
            table.caption, table.warning = table_caption(self.model, self._examples, self._cells, result)
        failed = {cell.method: one.error for cell, one in outcomes.items() if one.error}
        for cell, one in outcomes.items():
            if not one.error:
                failed.pop(cell.method, None)
        self.method_picker.notes = {
            name: failed[name] for name in self.method_picker.options if name in failed
        }

    def _label(self, row: Row) -> str:
        title = self.study.maps.methods[row.method].title
        return title if row.layer is None else f"{title} at {row.layer}"

    def _draw_images(self) -> None:
        result, view = self.result, self.deciding
        with view.hold_sync():
            view.rows = self.table.rows
            if result is None:
                view.scores = view.differences = view.images = view.maps = None
                view.labels, view.classes, view.image_items, view.map_rows, view.map_items = (
                    [],
                    [],
                    [],
                    [],
                    [],
                )
                return
            view.scores, view.differences = result.scores, result.differences
            view.labels, view.classes = item_labels(self.model, self._examples, result)
            view.signs = [self.study.maps.methods[row.method].sign for row in result.rows]
            view.pending = "not computed yet"
            self._sent.show(view, result)

    # -- taking away ----------------------------------------------------------------------------------------

    @property
    def evaluation(self) -> Evaluation:
        """The scores of the chosen methods that are known."""
        return self.study.evaluation(self._cells)

    def _make_menu(self) -> ExplorerMenu:
        menu = super()._make_menu()
        menu.add_file(
            "Save CSV", "One row for each score", lambda: SavedFile("scores.csv", self.to_csv().encode())
        )
        menu.add_file(
            "Save LaTeX",
            "Means and intervals, the best in bold",
            lambda: SavedFile("scores.tex", self.to_latex().encode()),
        )
        return menu

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return one row for each score as comma-separated values, and write them to a file if one is named."""
        return self.evaluation.to_csv(path)

    def to_latex(self, path: str | Path | None = None) -> str:
        """Return a LaTeX table of means and intervals, and write it to a file if one is named."""
        return self.evaluation.to_latex(path)


def _known_scores(model: ImageModel, scores: Any) -> tuple[Evaluation | ScoreStore | None, Collection[Cell]]:
    """Return known scores, and the cells of this model in them."""
    if scores is None:
        return None, ()
    if isinstance(scores, Evaluation):
        return scores, scores.outcomes[model_in(scores, model)]
    if not isinstance(scores, str | os.PathLike):
        raise TypeError(f"expected scores to be a result of evaluate or its file, got {brief(scores)}")
    store = open_scores(scores, model, fingerprint(model))
    return store, store.items_on_disk()


def _methods(methods: Any, found: Collection[Cell]) -> dict[str, Method]:
    """Return the methods to choose from, without the references, which are always there."""
    if methods is not None:
        options = methods_by_name(methods)
    else:
        first = {name: METHODS[name] for name in QUICK_METHODS}
        options = {**scored_methods(dict.fromkeys(found), {}), **first, **METHODS}
    references = reference_methods()
    return {name: each for name, each in options.items() if name not in references}


def _metrics(known: Any, found: Collection[Cell]) -> dict[str, Metric]:
    if isinstance(known, Evaluation):
        return dict(known.metrics)
    quick = [METRICS[name].with_options(steps=STEPS) for name in QUICK_METRICS]
    known_metrics = scored_metrics(known) if found else {}
    return known_metrics or metrics_by_name(quick)
