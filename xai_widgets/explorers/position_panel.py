"""Details of one position: its strongest channels, and the patches of a corpus that are most similar to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Run, Status
from xai_widgets.core.worker import Worker
from xai_widgets.errors import as_sentence
from xai_widgets.explorers.panel import Panel
from xai_widgets.explorers.parts import THUMBNAIL, show_patches
from xai_widgets.ops.resize import shrink
from xai_widgets.similarity import Matches
from xai_widgets.studies.similarity import SimilarityResult
from xai_widgets.views import GalleryView
from xai_widgets.views.static_repr import set_layout

#: Strongest channels to show, and patches of each.
CHANNELS, PATCHES = 5, 4


@dataclass(frozen=True, eq=False)
class PositionDetails:
    """Details of a position.

    Attributes
    ----------
    title : str
        The position in words.
    column : int
        Its column.
    channels : Tensor, (n,)
        Its strongest channels, the strongest first.
    values : Tensor, (n,)
        Their activations.
    patches : Tensor, (n, k, C, s, s), or None
        The patches in which each of them is strongest; NaN where there is no image.
    matches : Matches or None
        The patches of the corpus most similar to the position; None without an index of the corpus.
    """

    title: str
    column: int
    channels: Tensor
    values: Tensor
    patches: Tensor | None
    matches: Matches | None


class PositionQuery(NamedTuple):
    """A position to describe: network, results so far, image, column, and row and column of the cell."""

    model: ImageModel
    result: SimilarityResult
    frame: int
    column: int
    cell: tuple[int, int]


class PositionPanel(Panel):
    """Two galleries about one position, filled on a thread of their own; the latest position wins.

    Attributes
    ----------
    channels : GalleryView
        The strongest channels, each with its top patches.
    matches : GalleryView
        The patches of the corpus most similar to the position.
    details : PositionDetails or None
        The details that are shown.
    """

    def __init__(self) -> None:
        self._worker = Worker(urgent=True)
        # Shown from the start, so that the first result moves nothing.
        self.channels = GalleryView(
            title="Strongest channels of the hovered patch", columns=1, size=THUMBNAIL
        )
        self.matches = GalleryView(size=THUMBNAIL)
        set_layout(self.channels, self.matches, width="100%", min_width="0", margin="0")
        self.matches.layout.display = "none"
        self.details: PositionDetails | None = None
        super().__init__([self.matches, self.channels])
        self._adopt(*self.children)

    def show(self, query: Callable[[], PositionQuery | None]) -> None:
        """Show the details of a position, in the background.

        Parameters
        ----------
        query : callable
            Returns the position and the results so far. It is called when the details are computed and not before, so
            that the last request, from whichever thread, uses the position and the results of that moment.
        """
        queries: list[PositionQuery] = []

        def steps() -> Iterator[PositionDetails]:
            if (latest := query()) is not None:
                queries.append(latest)
                yield _details(latest)

        def on_snapshot(run: Run[PositionDetails]) -> None:
            self.details = run.latest
            if run.latest is not None:
                self._draw(run.latest, queries[0])

        def on_end(_status: Status, error: BaseException | None) -> None:
            if error is not None:
                self.details = None
                self.channels.title = f"No details of this position: {as_sentence(error)}"
                self.channels.images = None

        self._worker.submit(
            lambda: Run(steps(), total=1, name="position"), on_snapshot=on_snapshot, on_end=on_end
        )

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the details are shown; False if that took longer than ``timeout`` seconds."""
        return self._worker.wait(timeout)

    def close(self) -> None:
        """Stop, and close both galleries."""
        self._worker.cancel()
        super().close()

    def _draw(self, details: PositionDetails, query: PositionQuery) -> None:
        result, model = query.result, query.model
        if details.patches is not None:
            with self.channels.hold_sync():
                self.channels.title = details.title
                show_patches(model, self.channels, details.patches[:, :PATCHES])
                self.channels.row_labels = [
                    f"channel {channel}: {value:.3g}"
                    for channel, value in zip(details.channels.tolist(), details.values.tolist(), strict=True)
                ]
        if details.matches is None:
            self.matches.layout.display = "none"
        else:
            index = result.indexes[details.column]
            size = f"{index.nbytes / 1e6:.0f} MB, indexed in {index.seconds:.1f} s"
            with self.matches.hold_sync():
                self.matches.title = (
                    f"Most similar of {len(index)} images in {result.label(details.column)} ({size})"
                )
                self.matches.images = model.to_rgb(shrink(details.matches.patches, THUMBNAIL))
                self.matches.labels = [f"{value:.3f}" for value in details.matches.values.tolist()]
            self.matches.layout.display = None


def _details(query: PositionQuery) -> PositionDetails:
    _, result, frame, column, cell = query
    vector = result.members(column)[frame].raw[cell]
    values, channels = vector.topk(min(CHANNELS, len(vector)))
    patches = result.channels[column].patches(channels) if result.channels else None
    index = result.indexes.get(column)
    matches = None if index is None else index.search(vector)
    title = (
        f"Strongest channels of {result.label(column)} at row {cell[0]}, col {cell[1]}, and their top patches"
    )
    return PositionDetails(title, column, channels, values, patches, matches)
