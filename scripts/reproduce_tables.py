"""Tables of a source: their layout, their published numbers, and the numbers of this run beside them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

#: The entry of a row that has no number in the source.
NONE = "-"
#: The reason of a number that was left out by an option.
NOT_CHOSEN = "not chosen for this run"


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    key : str
        Unique name.
    heads : tuple of str
        The lines of its heading, the outermost first.
    digits : int
        Decimal digits that are printed.
    """

    key: str
    heads: tuple[str, ...]
    digits: int = 4


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes
    ----------
    key : str
        Unique name.
    title : str
    missing : str
        The reason why it cannot be measured.
    digits : int, optional
        Decimal digits that are printed, in place of those of the columns.
    """

    key: str
    title: str
    missing: str = ""
    digits: int | None = None

    def digits_of(self, column: Column) -> int:
        """Return the decimal digits of the number in a column."""
        return column.digits if self.digits is None else self.digits


@dataclass(frozen=True)
class Cell:
    """One number of this run.

    Attributes
    ----------
    value : float
        NaN if it is missing, for the reason in ``note``.
    low, high : float
        Ends of its bootstrap interval over the images; NaN if it has none.
    spread : float
        Standard deviation of the scores; NaN if the source prints none.
    maps, images : int
        Number of the maps that were scored, and of the images that they explain.
    missed, failed : int
        Maps that are constant or have a NaN, and maps that raised an error.
    note : str
        A fact about this number, such as the layer that was chosen.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    spread: float = math.nan
    maps: int = 0
    images: int = 0
    missed: int = 0
    failed: int = 0
    note: str = ""


#: Cells by the keys of their row and column.
Cells = Mapping[tuple[str, str], Cell]


@dataclass(frozen=True)
class Table:
    """A table of a source.

    Attributes
    ----------
    name : str
        Name on the command line.
    source : str
        Document and number of the table.
    caption : str
    rows : tuple of Row
    columns : tuple of Column
    published : mapping of (str, str) to float
        The printed numbers by the keys of row and column.
    spreads : mapping of (str, str) to float
        The printed standard deviations.
    protocol, differences : tuple of str
        The protocol of the source that is followed, and the parts that cannot be the same.
    corner : str
        Heading of the titles of the rows.
    """

    name: str
    source: str
    caption: str
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    published: Mapping[tuple[str, str], float] = field(repr=False)
    spreads: Mapping[tuple[str, str], float] = field(default_factory=dict, repr=False)
    protocol: tuple[str, ...] = field(default=(), repr=False)
    differences: tuple[str, ...] = field(default=(), repr=False)
    corner: str = "method"


def published(rows: Sequence[str], columns: Sequence[Column]) -> dict[tuple[str, str], float]:
    """Return the printed numbers of rows such as "gradient 0.0672 - 0.0791", "-" for no number."""
    found = {}
    for row in rows:
        key, *numbers = row.split()
        for column, number in zip(columns, numbers, strict=True):
            if number != NONE:
                found[key, column.key] = float(number)
    return found


def _number(value: float, digits: int) -> str:
    return NONE if math.isnan(value) else f"{value:.{digits}f}"


def _ours(cell: Cell, digits: int) -> str:
    if math.isnan(cell.value):
        return NONE
    text = _number(cell.value, digits)
    if not math.isnan(cell.spread):
        text += f" ± {_number(cell.spread, digits)}"
    if not math.isnan(cell.low):
        text += f" [{_number(cell.low, digits)}, {_number(cell.high, digits)}]"
    return text


def _theirs(table: Table, cell: Cell, key: tuple[str, str], digits: int) -> str:
    value = table.published.get(key, math.nan)
    text = _number(value, digits)
    if key in table.spreads:
        text += f" ± {_number(table.spreads[key], digits)}"
    difference = cell.value - value
    return text if math.isnan(difference) else f"{text} ({difference:+.{digits}f})"


def missing(table: Table, cells: Cells) -> list[str]:
    """Return the reasons of the missing numbers: those of whole columns first, then those of rows."""
    reasons: dict[tuple[str, str], str] = {}
    for row in table.rows:
        for column in table.columns:
            cell = cells.get((row.key, column.key), Cell())
            if math.isnan(cell.value):
                reasons[row.key, column.key] = row.missing or cell.note or NOT_CHOSEN
    lines = []
    regular = [row for row in table.rows if not row.missing]
    whole: dict[str, list[Column]] = {}
    for column in table.columns:
        found = {reasons.get((row.key, column.key), "") for row in regular}
        if len(found) == 1 and (reason := found.pop()):
            whole.setdefault(reason, []).append(column)
    for reason, columns in whole.items():
        lines.append(f"{', '.join(' '.join(column.heads) for column in columns)}: {reason}")
    left = [column for column in table.columns if all(column not in columns for columns in whole.values())]
    for row in table.rows:
        by_reason: dict[str, list[str]] = {}
        for column in table.columns if row.missing else left:
            if reason := reasons.get((row.key, column.key)):
                by_reason.setdefault(reason, []).append(" ".join(column.heads))
        for reason, names in by_reason.items():
            some = "" if len(names) == len(table.columns) else f" ({', '.join(names)})"
            lines.append(f"{row.title}{some}: {reason}")
    return lines


def counts(table: Table, cells: Cells) -> list[str]:
    """Return the number of images and maps of each column, and the maps without a regular score."""
    lines = []
    for column in table.columns:
        some = [cells.get((row.key, column.key), Cell()) for row in table.rows]
        scored = [cell for cell in some if cell.maps]
        if not scored:
            continue
        images, maps = (sorted({getattr(cell, name) for cell in scored}) for name in ("images", "maps"))
        line = f"{' '.join(column.heads)}: {_span(images, 'image')}, {_span(maps, 'map')} of each method"
        for name, words in (("missed", "constant or not finite"), ("failed", "failed")):
            if total := sum(getattr(cell, name) for cell in some):
                line += f", {total} {words}"
        lines.append(line)
    if len({line.partition(": ")[2] for line in lines}) == 1 and len(lines) > 1:
        return [f"Every column: {lines[0].partition(': ')[2]}"]
    return lines


def _span(values: Sequence[int], what: str) -> str:
    span = f"{values[0]}" if len(values) == 1 else f"{values[0]} to {values[-1]}"
    return f"{span} {what}" + ("" if values[-1] == 1 else "s")


def to_markdown(table: Table, cells: Cells, facts: Sequence[str]) -> str:
    """Return the table as a page: the numbers of this run above those of the source, and the facts below.

    Parameters
    ----------
    table : Table
    cells : mapping
    facts : sequence of str
        Facts of this run that keep its numbers from being those of the source, such as random weights.
    """
    heads = [" ".join(column.heads) for column in table.columns]
    lines = [f"# {table.source}", "", table.caption, ""]
    lines += [
        "In each cell: this run, with its 95 % bootstrap interval over the images; below it the published number, and "
        "in parentheses the difference.",
        "",
        f"| {table.corner} | {' | '.join(heads)} |",
        "|---|" + "---:|" * len(heads),
    ]
    for row in table.rows:
        entries = []
        for column in table.columns:
            key = (row.key, column.key)
            cell = cells.get(key, Cell())
            digits = row.digits_of(column)
            entries.append(f"{_ours(cell, digits)}<br>{_theirs(table, cell, key, digits)}")
        lines.append(f"| {row.title} | {' | '.join(entries)} |")
    notes = [
        f"{row.title}, {' '.join(column.heads)}: {cell.note}"
        for row in table.rows
        for column in table.columns
        if (cell := cells.get((row.key, column.key))) and cell.note and not math.isnan(cell.value)
    ]
    sections = {
        "Images": counts(table, cells),
        "This run": list(facts),
        "Missing": missing(table, cells),
        "Chosen": notes,
        "Protocol": list(table.protocol),
        "Differences from the source": list(table.differences),
    }
    for title, items in sections.items():
        if items:
            lines += ["", f"## {title}", "", *(f"- {item}" for item in items)]
    return "\n".join(lines) + "\n"


def to_csv(table: Table, cells: Cells) -> str:
    """Return the table as comma-separated values: a line for each row, six columns for each of its columns."""
    parts = ("", " low", " high", " published", " difference", " images")
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        [table.corner, *(" ".join(column.heads) + part for column in table.columns for part in parts)]
    )
    for row in table.rows:
        line: list[object] = [row.title]
        for column in table.columns:
            key = (row.key, column.key)
            cell, value = cells.get(key, Cell()), table.published.get(key, math.nan)
            numbers = [cell.value, cell.low, cell.high, value, cell.value - value]
            line += ["" if math.isnan(number) else f"{number:.6g}" for number in numbers]
            line.append(cell.images or "")
        writer.writerow(line)
    return file.getvalue()


def to_latex(table: Table, cells: Cells) -> str:
    """Return the table in LaTeX, in the layout of the source, the published numbers in parentheses."""
    lines = [f"% {table.source}: this run (published)", r"\begin{tabular}{l" + "r" * len(table.columns) + "}"]
    lines.append(r"\hline")
    levels = max(len(column.heads) for column in table.columns)
    for level in range(levels):
        names = [column.heads[level] if level < len(column.heads) else "" for column in table.columns]
        prefixes = [column.heads[: level + 1] for column in table.columns]
        entries = []
        for _, group in groupby(zip(prefixes, names, strict=True), key=lambda pair: pair[0]):
            same = list(group)
            name = _escaped(same[0][1])
            entries.append(rf"\multicolumn{{{len(same)}}}{{c}}{{{name}}}" if len(same) > 1 else name)
        lines.append(" & ".join(["" if level < levels - 1 else table.corner.capitalize(), *entries]) + r" \\")
    lines.append(r"\hline")
    for row in table.rows:
        entries = []
        for column in table.columns:
            key = (row.key, column.key)
            value = cells.get(key, Cell()).value
            printed = _number(table.published.get(key, math.nan), row.digits_of(column))
            ours = "--" if math.isnan(value) else _number(value, row.digits_of(column))
            entries.append(ours if printed == NONE else f"{ours} ({printed})")
        lines.append(" & ".join([_escaped(row.title), *entries]) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}"]) + "\n"


def _escaped(text: str) -> str:
    for character in "&%$#_{}":
        text = text.replace(character, f"\\{character}")
    return text.replace("α", r"$\alpha$").replace("±", r"$\pm$")
