"""Scores of an evaluation and the maps behind them as one study, whose scores may come from an earlier evaluation."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run
from xai_widgets.core.validation import brief
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.errors import unknown_name
from xai_widgets.methods import METHODS, Method
from xai_widgets.metrics import METRICS, Metric
from xai_widgets.studies.attribution import AttributionKey
from xai_widgets.studies.evaluation import Cell, EvaluationStudy, Score
from xai_widgets.studies.reference_maps import reference_methods
from xai_widgets.studies.score_store import ScoreStore
from xai_widgets.studies.score_tables import Evaluation
from xai_widgets.studies.scoring import seeded_method, seeded_metric
from xai_widgets.studies.store import Outcome, ResultStore

Key = Cell | AttributionKey


class ScoresAndMaps(MutableMapping[Any, Outcome[Any]]):
    """Outcomes of scores, kept in full, and of maps, in bounded memory.

    Parameters
    ----------
    file : ScoreStore, optional
        Scores in it are read at once; new ones are written to it. Scores that are discarded stay in it until they are
        computed again.
    """

    def __init__(self, file: ScoreStore | None = None) -> None:
        self.file = file
        self.scores: dict[Cell, Outcome[Score]] = {} if file is None else file.items_on_disk()
        self.maps: ResultStore[AttributionKey, Tensor] = ResultStore()

    def _part(self, key: Any) -> MutableMapping[Any, Outcome[Any]]:
        return self.scores if isinstance(key, Cell) else self.maps

    def __getitem__(self, key: Any) -> Outcome[Any]:
        return self._part(key)[key]

    def __setitem__(self, key: Any, outcome: Outcome[Any]) -> None:
        if self.file is not None and isinstance(key, Cell) and outcome.complete:
            self.file[key] = outcome
        self._part(key)[key] = outcome

    def __delitem__(self, key: Any) -> None:
        del self._part(key)[key]

    def __iter__(self) -> Iterator[Any]:
        return iter([*list(self.scores), *self.maps])

    def __len__(self) -> int:
        return len(self.scores) + len(self.maps)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.scores)} scores, {len(self.maps)} maps)"


class LeaderboardStudy(EvaluationStudy):
    """An :class:`EvaluationStudy` whose keys are also the keys of its maps.

    Parameters
    ----------
    model, images, methods, metrics, **options
        See :class:`EvaluationStudy`. Methods that are not given are the reference maps, which are added.
    scores : Evaluation or ScoreStore, optional
        Known scores; those of a file are completed in it.
    seed : int, default 0
        Seed of methods and metrics, that of ``scores``; see :func:`~xai_widgets.studies.evaluate`.

    Raises
    ------
    ValueError
        If ``scores`` has none of this model, or has one of another image or class.
    """

    def __init__(
        self,
        model: ImageModel,
        images: Sequence[Any],
        methods: Mapping[str, Method],
        metrics: Mapping[str, Metric],
        *,
        scores: Evaluation | ScoreStore | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        store = ScoresAndMaps(scores if isinstance(scores, ScoreStore) else None)
        references = reference_methods()
        rows = {**{name: each for name, each in methods.items() if name not in references}, **references}
        self.known, self.seed = store, seed
        #: Names of the methods whose maps are scored together; None for all.
        self.chosen: frozenset[str] | None = None
        seeded = [seeded_method(each, seed) for each in rows.values()]
        scored = [seeded_metric(each, seed) for each in metrics.values()]
        super().__init__(model, images, seeded, scored, store=store, **options)
        self.maps.store = store.maps
        # All of them, before some are chosen.
        self.cells()
        if isinstance(scores, Evaluation):
            store.scores.update(scores.outcomes[model_in(scores, model)])
        if scores is not None:
            self._check(store.scores)

    def _check(self, scores: Mapping[Cell, Outcome[Score]]) -> None:
        cells = set(self.cells())
        for cell in scores:
            if cell.method in self.maps.methods and cell.metric in self.metrics and cell not in cells:
                raise ValueError(
                    f"expected scores of these {len(self.maps)} images, with the same targets and layers, got one of "
                    f"image {cell.image} for target {cell.target} at layer {cell.layer}"
                )

    def _cells_of(self, image: int) -> Iterator[Cell]:
        cells = super()._cells_of(image)
        return (cell for cell in cells if self.chosen is None or cell.method in self.chosen)

    def run(self, key: Key, start: Any = None) -> Run[Any]:
        """Return the computation of a score, or of a map, in a single step."""
        return self.maps.run(key) if isinstance(key, AttributionKey) else super().run(key, start)

    def outcome(self, key: Key) -> Outcome[Any]:
        """Return the outcome of a score or of a map; an empty one if it was never computed."""
        return self.known.get(key) or Outcome()

    def title(self, key: Key) -> str:
        """Return the title of the method."""
        return self.maps.methods[key.method].title

    def evaluation(self, cells: Sequence[Cell]) -> Evaluation:
        """Return the scores of cells that are known, under the name of the model."""
        found = {
            cell: one for cell in cells if (one := self.known.scores.get(cell)) is not None and one.complete
        }
        return Evaluation(self.metrics, {self.model.name: found}, self.seed)


def model_in(evaluation: Evaluation, model: ImageModel) -> str:
    """Return the name under which an evaluation has the scores of a model: its own, or the only one."""
    names = list(evaluation.outcomes)
    if model.name in names or len(names) != 1:
        if model.name not in names:
            raise ValueError(unknown_name("model of scores", model.name, names))
        return model.name
    return names[0]


def open_scores(path: str | os.PathLike[str], model: ImageModel, network: str) -> ScoreStore:
    """Return the scores of a model in a file, under the name that its network has there.

    Parameters
    ----------
    path : str or Path
        The SQLite file, which is made if it does not exist.
    model : ImageModel
        The network.
    network : str
        Its fingerprint.
    """
    store = ScoreStore(Path(path), model.name)
    names = [name for name, value in store.facts().items() if value == network and name.endswith(": network")]
    found = [name.removesuffix(": network") for name in names]
    return store if not found or model.name in found else ScoreStore(Path(path), found[0])


def seed_of(scores: Evaluation | ScoreStore | None, seed: int | None) -> int:
    """Return the seed of known scores, or the given one; ValueError if an evaluation has another one.

    That a file has another one is found with its other facts (:meth:`ScoreStore.check_facts`).
    """
    known: int | None = None
    if isinstance(scores, Evaluation):
        known = scores.seed
    elif scores is not None:
        known = scores.facts().get(f"{scores.model}: seed")
    if seed is None:
        return 0 if known is None else known
    seed = check_seed(seed)
    if isinstance(scores, Evaluation) and seed != known:
        raise ValueError(
            f"expected the seed of the scores, {known}, got {seed}; leave out seed, or evaluate with seed={seed}"
        )
    return seed


def scored_methods(scores: Mapping[Cell, Any], given: Mapping[str, Method]) -> dict[str, Method]:
    """Return the methods of scores, but not the reference maps; those that are not registered must be given."""
    known = {**METHODS, **given}
    names = dict.fromkeys(cell.method for cell in scores if cell.method not in reference_methods())
    return {name: _named(name, known, "method") for name in names}


def scored_metrics(store: ScoreStore) -> dict[str, Metric]:
    """Return the registered metrics of a file, with the options that it was made with."""
    facts = store.facts()
    metrics = {}
    for name in dict.fromkeys(cell.metric for cell in store.items_on_disk()):
        written = facts.get(f"{store.model}: options of {name}", {})
        try:
            options = {option: ast.literal_eval(value) for option, value in written.items()}
        except (ValueError, SyntaxError) as error:
            raise ValueError(
                f"expected options of {name!r} as numbers and texts in the file, got {brief(written)}; pass metrics"
            ) from error
        metrics[name] = _named(name, METRICS, "metric").with_options(**options)
    return metrics


def _named(name: str, known: Mapping[str, Any], what: str) -> Any:
    if name not in known:
        raise ValueError(
            f"expected {what}s to have {brief(name)}, of which there are scores, got none of this name; pass it"
        )
    return known[name]
