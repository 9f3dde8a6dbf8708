"""What the kernel tells of one place: its strongest channels, and the patches of a corpus that are most alike to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.run import Run, Status, Worker
from xai_widgets.errors import as_sentence
from xai_widgets.explorers.base import picture
from xai_widgets.explorers.panel import Panel
from xai_widgets.explorers.similarities import SimilarityResult
from xai_widgets.similarity import Matches
from xai_widgets.views import GalleryView

#: Largest side of a patch that is sent, in pixels.
THUMBNAIL = 64
#: How many of its channels are told.
CHANNELS = 5


@dataclass(frozen=True, eq=False)
class Told:
    """What is known of a place.

    Attributes
    ----------
    title : str
        Which place.
    column : int
        Its column.
    channels : Tensor, (n,)
        Its strongest channels, the strongest first.
    values : Tensor, (n,)
        Their activations.
    patches : Tensor, (n, k, C, s, s), or None
        Where each of them is strongest; NaN where there is no image.
    matches : Matches or None
        The patches of the corpus most alike to the place; None without a corpus, or as long as it is not indexed.
    """

    title: str
    column: int
    channels: Tensor
    values: Tensor
    patches: Tensor | None
    matches: Matches | None


class Asked(NamedTuple):
    """A place to tell of.

    ``result`` is what is known, ``frame`` and ``column`` are the picture and the column, and ``cell`` the row and the
    column of the place in the grid of the latter.
    """

    result: SimilarityResult
    frame: int
    column: int
    cell: tuple[int, int]


class PlacePanel(Panel):
    """Two galleries about one place, filled on a thread of their own, where the latest place wins.

    Attributes
    ----------
    channels : GalleryView
        The strongest channels, each with its top patches.
    matches : GalleryView
        The patches of the corpus most alike to the place.
    told : Told or None
        What is shown.
    """

    def __init__(self) -> None:
        self._worker = Worker()
        self.channels = GalleryView(columns=1, size=THUMBNAIL, layout=_hidden())
        self.matches = GalleryView(size=THUMBNAIL, layout=_hidden())
        self.told: Told | None = None
        super().__init__([self.matches, self.channels])
        self._adopt(*self.children)

    def show(self, asked: Callable[[], Asked | None]) -> None:
        """Tell of a place, in the background.

        Parameters
        ----------
        asked : callable
            What is known, and the place. It is called when its turn comes and not before: whoever asks last, from
            whichever thread, is told of the place that is hovered then by all that is known then.
        """
        answered: list[SimilarityResult] = []

        def play() -> Iterator[Told]:
            ask = asked()
            if ask is not None:
                answered.append(ask.result)
                yield _tell(*ask)

        def on_snapshot(run: Run[Told]) -> None:
            self.told = run.latest
            if run.latest is not None:
                self._draw(run.latest, answered[0])

        def on_end(_status: Status, error: BaseException | None) -> None:
            if error is not None:
                self.told = None
                self.channels.title = f"Nothing is known of this place: {as_sentence(error)}"
                self.channels.images = None
                self.channels.layout.display = None

        self._worker.submit(
            lambda: Run(play(), total=1, name="place"), on_snapshot=on_snapshot, on_end=on_end
        )

    def wait(self, timeout: float | None = None) -> bool:
        """Block until nothing is looked for any more; False if that took longer than ``timeout`` seconds."""
        return self._worker.wait(timeout)

    def close(self) -> None:
        """Stop, and close both galleries."""
        self._worker.cancel()
        super().close()

    def _draw(self, told: Told, result: SimilarityResult) -> None:
        if told.patches is not None:
            with self.channels.hold_sync():
                self.channels.title = told.title
                hang(self.channels, told.patches)
                self.channels.row_labels = [
                    f"channel {channel}: {value:.3g}"
                    for channel, value in zip(told.channels.tolist(), told.values.tolist(), strict=True)
                ]
            self.channels.layout.display = None
        if told.matches is None:
            self.matches.layout.display = "none"
        else:
            index = result.indexes[told.column]
            size = f"{index.nbytes / 1e6:.0f} MB, indexed in {index.seconds:.1f} s"
            with self.matches.hold_sync():
                self.matches.title = (
                    f"Most alike of {len(index)} images in {result.head(told.column)} ({size})"
                )
                self.matches.images = picture(thumbnails(told.matches.patches[None])[0])
                self.matches.labels = [f"{value:.3f}" for value in told.matches.values.tolist()]
            self.matches.layout.display = None


def _hidden() -> dict[str, str]:
    return {"width": "100%", "min_width": "0", "margin": "0", "display": "none"}


def _tell(result: SimilarityResult, frame: int, column: int, cell: tuple[int, int]) -> Told:
    grid = result.column(column)[frame]
    vector = grid.raw[cell]
    values, channels = vector.topk(min(CHANNELS, len(vector)))
    patches = result.channels[column].patches(channels) if result.channels else None
    index = result.indexes.get(column)
    matches = None if index is None else index.search(vector)
    at = f"row {cell[0]}, col {cell[1]}"
    title = f"Strongest channels of {result.head(column)} at {at}, and where they are strongest"
    return Told(title, column, channels, values, patches, matches)


def hang(gallery: GalleryView, patches: Tensor) -> None:
    """Show patches (M, k, C, s, s), M rows of k; one that is missing, all NaN, is gray and dimmed."""
    small = thumbnails(patches).flatten(0, 1)
    there = ~small.isnan().flatten(1).all(1)
    gallery.columns = patches.shape[1]
    gallery.images = picture(small.nan_to_num(0.5))
    gallery.active = None if there.all() else there.numpy()


def thumbnails(patches: Tensor) -> Tensor:
    """Patches (M, k, C, s, s) of at most THUMBNAIL pixels a side."""
    if patches.shape[-1] <= THUMBNAIL:
        return patches
    small = F.interpolate(patches.flatten(0, 1), (THUMBNAIL, THUMBNAIL), mode="area")
    return small.view(*patches.shape[:2], *small.shape[1:])
