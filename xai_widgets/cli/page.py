"""The page of ``xai-widgets explain``: the table of maps as a widget, exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xai_widgets.explorers.attribution_table import map_cell
from xai_widgets.exporting import export
from xai_widgets.studies import AttributionKey, AttributionStudy
from xai_widgets.views import MapGridView

#: Largest width of a map in a page, CSS px.
CELL = 240


def write_page(
    path: Path,
    study: AttributionStudy,
    keys: Sequence[Sequence[AttributionKey]],
    pixels: NDArray[np.uint8],
    *,
    title: str,
    columns: Sequence[str],
    captions: Sequence[str],
) -> None:
    """Write a page with the table of maps, methods in rows and images in columns."""
    view = MapGridView(images=pixels, size=CELL)
    try:
        view.show(
            [[map_cell(study.outcome(key), study.model.name) for key in row] for row in keys],
            row_labels=[study.title(row[0]) for row in keys],
            column_labels=columns,
            column_captions=captions,
            row_signs=[study.methods[row[0].method].sign for row in keys],
        )
        export(view, path, title=title)
    finally:
        view.close()
