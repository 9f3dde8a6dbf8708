"""Details of one position: its strongest channels, and the patches of a corpus that are most similar to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
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
from xai_widgets.views import CheckView, GalleryView
from xai_widgets.views.colors import STEPS, color_table
from xai_widgets.views.static_repr import set_layout

#: Strongest channels to show, and patches of each.
CHANNELS, PATCHES = 5, 4
#: Maps of channels: most of them, number in a row, and their side in pixels.
MOST_MAPS, MAP_COLUMNS, MAP_SIDE = 512, 6, 40


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
    maps : ndarray of uint8, (M, h, w, 3), or None
        The activation of each channel on the image, as colors: the strongest at the position first. None if it is not
        asked for.
    order : Tensor, (M,)
        The channels of the maps.
    strengths : Tensor, (M,)
        Their activations at the position.
    """

    title: str
    column: int
    channels: Tensor
    values: Tensor
    patches: Tensor | None
    matches: Matches | None
    maps: NDArray[np.uint8] | None
    order: Tensor
    strengths: Tensor


class PositionQuery(NamedTuple):
    """A position to describe: network, results so far, image, column, and row and column of the cell."""

    model: ImageModel
    result: SimilarityResult
    frame: int
    column: int
    cell: tuple[int, int]


class PositionPanel(Panel):
    """Galleries about one position, filled on a thread of their own; the latest position wins.

    Attributes
    ----------
    all_channels : CheckView
        Whether the maps of all channels are shown.
    maps : GalleryView
        The activation of every channel on the image, the strongest at the position first. A chosen one is also shown
        in `channels`, with its top patches.
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
        self.all_channels = CheckView(
            title="Maps of all channels",
            help="Show the activation of every channel on the image, the strongest at the position first",
        )
        self.maps = GalleryView(columns=MAP_COLUMNS, size=MAP_SIDE)
        self.all_channels._needs_kernel = self.maps._needs_kernel = True
        set_layout(self.maps, width="100%", min_width="0", margin="0")
        self.matches.layout.display = self.maps.layout.display = "none"
        self.details: PositionDetails | None = None
        #: The last question, to answer it again with or without the maps.
        self._asked: Callable[[], PositionQuery | None] | None = None
        #: The channel that was chosen among the maps.
        self._chosen: int | None = None
        super().__init__([self.matches, self.all_channels, self.maps, self.channels])
        self._adopt(*self.children)
        self.all_channels.observe(self._switch, "value")
        self.maps.observe(self._choose, "frame")

    def _switch(self, _change: object) -> None:
        self.maps.layout.display = None if self.all_channels.value else "none"
        self._chosen = None
        if self._asked is not None:
            self.show(self._asked)

    def _choose(self, change: dict[str, int]) -> None:
        """Show the patches of the channel whose map is chosen."""
        if change["new"] < 0 or self.details is None or self._asked is None:
            return
        self._chosen = int(self.details.order[change["new"]])
        self.show(self._asked)

    def show(self, query: Callable[[], PositionQuery | None]) -> None:
        """Show the details of a position, in the background.

        Parameters
        ----------
        query : callable
            Returns the position and the results so far. It is called when the details are computed and not before, so
            that the last request, from whichever thread, uses the position and the results of that moment.
        """
        self._asked = query
        queries: list[PositionQuery] = []

        def steps() -> Iterator[PositionDetails]:
            if (latest := query()) is not None:
                queries.append(latest)
                if self.details is not None and self.details.column != latest.column:
                    self._chosen = None
                yield _details(latest, chosen=self._chosen, maps=self.all_channels.value)

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
        if details.maps is not None:
            count, width = len(details.maps), result.members(details.column)[0].raw.shape[-1]
            of = f"{count} channels" if count == width else f"{count} strongest of {width} channels"
            with self.maps.hold_sync():
                self.maps.title = (
                    f"The {of} of {result.label(details.column)}, the strongest at the position first"
                )
                self.maps.images = details.maps
                self.maps.labels = [str(channel) for channel in details.order.tolist()]
                self.maps.frame = -1 if self._chosen is None else details.order.tolist().index(self._chosen)
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


def _details(query: PositionQuery, *, chosen: int | None, maps: bool) -> PositionDetails:
    _, result, frame, column, cell = query
    grid = result.members(column)[frame].raw
    vector = grid[cell]
    order = vector.argsort(descending=True, stable=True)
    channels = order[:CHANNELS]
    if chosen is not None and chosen < len(vector):
        others = channels[channels != chosen][: CHANNELS - 1]
        channels = torch.cat([torch.tensor([chosen], device=others.device), others])
    patches = result.channels[column].patches(channels) if result.channels else None
    index = result.indexes.get(column)
    matches = None if index is None else index.search(vector)
    title = (
        f"Strongest channels of {result.label(column)} at row {cell[0]}, col {cell[1]}, and their top patches"
    )
    order = order[:MOST_MAPS]
    return PositionDetails(
        title,
        column,
        channels,
        vector[channels],
        patches,
        matches,
        channel_maps(grid[..., order].movedim(-1, 0)) if maps else None,
        order.cpu(),
        vector[order].cpu(),
    )


def channel_maps(activation: Tensor) -> NDArray[np.uint8]:
    """Return the activations of channels (M, h, w) as colors, each relative to its largest magnitude."""
    longest = max(activation.shape[1:])
    height, width = (max(1, round(extent * min(1, MAP_SIDE / longest))) for extent in activation.shape[1:])
    values = F.adaptive_avg_pool2d(activation.float().cpu(), (height, width))
    peak = values.abs().amax((1, 2), keepdim=True)
    scaled = (values / torch.where(peak > 0, peak, 1)).numpy()
    signed = bool((scaled < 0).any())
    table = color_table("auto", "both" if signed else "positive")[:, :3]
    share = (scaled + 1) / 2 if signed else scaled
    return np.asarray(table[np.rint(share * (STEPS - 1)).astype(int)])
