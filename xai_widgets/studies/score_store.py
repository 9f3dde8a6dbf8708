"""Scores of an evaluation in an SQLite file, which a killed process leaves as it was after the last score."""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Iterator, MutableMapping
from contextlib import closing
from pathlib import Path
from typing import Any

from xai_widgets.core.validation import brief
from xai_widgets.studies.evaluation import Cell, Score
from xai_widgets.studies.store import Outcome

_TABLES = """
create table if not exists scores (
    model text not null, method text not null, layer text, image integer not null, target integer, metric text not null,
    value real, explained integer, error text not null, warnings text not null
);
create unique index if not exists cells on scores (
    model, method, ifnull(layer, ''), image, ifnull(target, -1), metric
);
create table if not exists facts (name text primary key, value text not null);
"""
_CELL = "model = ? and method = ? and layer is ? and image = ? and target is ? and metric = ?"


class ScoreStore(MutableMapping[Cell, Outcome[Score]]):
    """Outcomes of one model by cell, for :class:`EvaluationStudy`.

    Complete outcomes are written in transactions: after a crash, or a kill, the file holds every score that was
    finished and nothing else. Incomplete outcomes are kept in memory. Several processes may write to one file.

    Parameters
    ----------
    path : str or Path
        The file, which is made if it does not exist.
    model : str
        Name of the model in the file, which may hold several.

    Raises
    ------
    ValueError
        If the file is not an SQLite database.
    """

    def __init__(self, path: str | os.PathLike[str], model: str) -> None:
        self.path, self.model = Path(path), model
        self._unfinished: dict[Cell, Outcome[Score]] = {}
        try:
            with closing(self._connect()) as connection, connection:
                connection.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            raise ValueError(
                f"expected {str(self.path)!r} to be a file of scores or a new one, got another file ({error})"
            ) from error

    def _connect(self) -> sqlite3.Connection:
        # One for each access: connections cannot be shared between threads and processes.
        return sqlite3.connect(self.path, timeout=60)

    def __getitem__(self, cell: Cell) -> Outcome[Score]:
        if cell in self._unfinished:
            return self._unfinished[cell]
        with closing(self._connect()) as connection:
            row = connection.execute(
                f"select value, explained, error, warnings from scores where {_CELL}", (self.model, *cell)
            ).fetchone()
        if row is None:
            raise KeyError(cell)
        return _outcome(*row)

    def __setitem__(self, cell: Cell, outcome: Outcome[Score]) -> None:
        self.update({cell: outcome})

    def update(self, outcomes: Any = (), /, **_: Any) -> None:
        """Set the outcomes of several cells; the complete ones in one transaction."""
        known = dict(outcomes)
        rows = []
        for cell, outcome in known.items():
            if not outcome.complete:
                self._unfinished[cell] = outcome
                continue
            score = outcome.result
            value = None if score is None or math.isnan(score[0]) else float(score[0])
            explained = None if score is None else int(score[1])
            rows.append((self.model, *cell, value, explained, outcome.error, json.dumps(outcome.warnings)))
        if not rows:
            return
        with closing(self._connect()) as connection, connection:
            connection.executemany(
                "insert or replace into scores values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
        for cell, outcome in known.items():
            if outcome.complete:
                self._unfinished.pop(cell, None)

    def __delitem__(self, cell: Cell) -> None:
        known = self._unfinished.pop(cell, None)
        with closing(self._connect()) as connection, connection:
            deleted = connection.execute(f"delete from scores where {_CELL}", (self.model, *cell)).rowcount
        if not deleted and known is None:
            raise KeyError(cell)

    def items_on_disk(self) -> dict[Cell, Outcome[Score]]:
        """Return all complete outcomes, read at once."""
        with closing(self._connect()) as connection:
            rows = connection.execute(
                "select method, layer, image, target, metric, value, explained, error, warnings from scores "
                "where model = ?",
                (self.model,),
            ).fetchall()
        return {Cell(*row[:5]): _outcome(*row[5:]) for row in rows}

    def check_facts(self, facts: dict[str, Any]) -> None:
        """Note facts about an evaluation, or compare them with those that are noted.

        Raises
        ------
        ValueError
            If the file holds the scores of another evaluation, with the first fact that differs.
        """
        with closing(self._connect()) as connection, connection:
            for name, value in facts.items():
                key, text = f"{self.model}: {name}", json.dumps(value, sort_keys=True)
                connection.execute("insert or ignore into facts values (?, ?)", (key, text))
                (known,) = connection.execute("select value from facts where name = ?", (key,)).fetchone()
                if known != text:
                    raise ValueError(
                        f"expected {str(self.path)!r} to hold scores of this evaluation, got those of one that differs "
                        f"in its {name}: {brief(known)} in the file, {brief(text)} now; use another file"
                    )

    def facts(self) -> dict[str, Any]:
        """Return the facts of all models in the file, by "model: fact"."""
        with closing(self._connect()) as connection:
            rows = connection.execute("select name, value from facts").fetchall()
        return {name: json.loads(value) for name, value in rows}

    def __iter__(self) -> Iterator[Cell]:
        return iter({**self.items_on_disk(), **self._unfinished})

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"ScoreStore({str(self.path)!r}, {self.model!r}, {len(self.items_on_disk())} scores)"


def _outcome(value: float | None, explained: int | None, error: str, warnings: str) -> Outcome[Score]:
    score = None if explained is None else Score(math.nan if value is None else value, explained)
    return Outcome(score, error, tuple(json.loads(warnings)), complete=True)
