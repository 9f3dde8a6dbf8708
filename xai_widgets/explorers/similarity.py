"""Similarity of one position to all others, in every layer, image and network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from traitlets import link as link_in_python

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel
from xai_widgets.core.run import Status
from xai_widgets.core.validation import choice
from xai_widgets.explorers.explorer import Choice, Explorer, wait_for
from xai_widgets.explorers.layout import column, display_menu, header, stage
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import (
    THUMBNAIL,
    dropdown,
    image_names,
    show_patches,
)
from xai_widgets.explorers.position_panel import PositionPanel, PositionQuery
from xai_widgets.explorers.similarity_choices import (
    COLORS,
    COMPONENT_KINDS,
    MIDDLE,
    RANGES,
    SCOPES,
    SIDE,
    SIMILARITIES,
    check_models,
    layers_of,
)
from xai_widgets.explorers.similarity_series import change_chart, changes, position_chart
from xai_widgets.features import TopActivations
from xai_widgets.similarity import Components, GeometricSeries
from xai_widgets.similarity.components import MOST_COMPONENTS
from xai_widgets.similarity.measure import distinctive_position
from xai_widgets.similarity.packing import RANK, check_rank
from xai_widgets.studies.similarity import SimilarityKey, SimilarityResult, SimilarityStudy
from xai_widgets.views import CurveView, GalleryView, RunBar, SimilarityView, link
from xai_widgets.views.linking import join
from xai_widgets.views.similarity_view import POSITION
from xai_widgets.views.static_repr import set_layout

#: Layers that are shown in a dashboard.
COLUMNS = 3


class SimilarityExplorer(Explorer):
    """Hover over a position of one image and see the similar positions in every image, layer and network.

    The similarities are computed in the browser, so that hovering needs no kernel; see
    :class:`~xai_widgets.views.SimilarityView` for mouse and keys. Components, which are groups of features, are drawn
    over the images, with the patches in which each is strongest. For a geometric series, a chart shows the similarity
    of the corresponding position in each image, and another one how far all features move and the probability changes.
    Two boxes around the hovered position show its theoretical receptive
    field (dashed), the pixels that can influence it, and its effective receptive field (Luo et al. 2016), the pixels
    that do. For the hovered or pinned position the kernel shows the strongest channels, with the patches in which they
    are strongest, and with a corpus the most similar patches of all its images.

    Parameters
    ----------
    model : ImageModel or sequence of ImageModel
        The networks, of different names; they are never changed.
    images : list of images, or GeometricSeries
        Images of any kind, or those of :func:`~xai_widgets.similarity.rotations`, ``scalings``, ``shifts``,
        ``flips`` or ``occlusions``, which are shown by ascending values.
    layers : str, sequence of str or dict of str to sequence of str, optional
        Spatial layers; for several networks by their names. Default: ``feature_layer()`` of each; for a
        transformer after an inner block, whose positions distinguish parts; for a coarse layer after the last layer of
        a finer grid, see :func:`~xai_widgets.studies.layers.fine_and_deep`.
    names : sequence of str, optional
        Names of the images. Default: the names of files, else "image 1" and so on.
    components : int, default 0
        The first number of components, up to 12.
    component_kind : {"auto", "nmf", "pca", "colors", "kmeans"}, default "auto"
        The first factorization, see :func:`~xai_widgets.similarity.factorize`. "colors" shows the first three
        components of PCA as red, green and blue.
    component_images : optional
        Images of any kind on which the components are fitted, such as many, of which few are shown. Default: `images`.
    corpus : optional
        Images of any kind to search in the layer of the hovered position; each layer is indexed once, when it is first
        hovered.
    seed : int, default 0
        Seed of the components.
    rank : int or None, default 384
        Wider layers are projected to this number of directions, with the error shown; None keeps all channels.
    batch_size : int, optional
        Images per pass. Default: as many as are computed fastest in bounded memory.
    start : bool, default True
        Whether to compute at once; otherwise the button starts.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

    Attributes
    ----------
    view : SimilarityView
        The images.
    curves : CurveView or None
        The similarity at the corresponding position over the geometric series.
    changes : CurveView or None
        For the whole image, the relative distance of its features to those of the original, and the probability of the
        class that is predicted for the original (Zeiler and Fergus 2014).
    patches : GalleryView
        The top patches of each component.
    panel : PositionPanel
        Details of the position.
    component_picker, kind_picker, layer_picker : SelectView
        The number of components, their factorization, and their layer.
    similarity_picker, scope_picker, range_picker, source_picker : SelectView
        The measure of similarity, whether images are compared with the hovered patch or each with its own, the range of
        the colors, and for networks with a class token whether it is compared instead; the traits `kind`, `scope`,
        `color_range` and `source` of the view.
    display : DisplayMenu
        Opacity and colors of the view.
    run_bar : RunBar
    result : SimilarityResult
        All results so far.

    Raises
    ------
    TypeError
        If a network is not an ImageModel.
    ValueError
        For networks of one name, an unknown layer, with the nearest one, a layer that is not spatial, bad images,
        another number of components, or a rank or batch size below 1.

    Examples
    --------
    >>> SimilarityExplorer(model, photos, layers=["stage3", "stage4"], components=4)  # doctest: +SKIP
    >>> SimilarityExplorer(model, rotations(photo, range(-90, 91, 15)))  # doctest: +SKIP
    >>> SimilarityExplorer(dino, photos, component_kind="colors").view.source = "class token"  # doctest: +SKIP
    """

    question: ClassVar[str] = "What is similar to this position, for the network?"
    hint: ClassVar[str] = "Hover over an image."
    hint_until: ClassVar[str] = "hover"
    kernel_controls: ClassVar[tuple[str, ...]] = (
        "component_picker",
        "kind_picker",
        "layer_picker",
        "run_bar",
        "panel",
    )
    shared: ClassVar[Mapping[str, str]] = {"frame": "view.frame", "layer": "layer_picker.value"}

    study: SimilarityStudy

    @closed_on_error
    def __init__(
        self,
        model: ImageModel | Sequence[ImageModel],
        images: Any,
        *,
        layers: str | Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        names: Sequence[str] | None = None,
        components: int = 0,
        component_kind: str = "auto",
        component_images: Any = None,
        corpus: Any = None,
        seed: int = 0,
        rank: int | None = RANK,
        batch_size: int | None = None,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        self._start_worker()
        self.panel = PositionPanel()
        self.models = check_models(model)
        self._layers = layers_of(self.models, layers)
        if not 0 <= components <= MOST_COMPONENTS:
            raise ValueError(f"expected components from 0 to {MOST_COMPONENTS}, got {components}")
        check_rank(rank)
        batch_size = None if batch_size is None else check_batch_size(batch_size)
        # A chart runs from left to right, whatever the order of the list.
        self._series = images.ascending() if isinstance(images, GeometricSeries) else None
        many = isinstance(images, list | tuple) or getattr(images, "ndim", 3) == 4
        self._images = self._series.images if self._series else images if many else [images]
        self.study = SimilarityStudy(
            self.models,
            self._images,
            self._layers,
            corpus=corpus,
            component_images=component_images,
            seed=seed,
            rank=rank,
            batch_size=batch_size,
        )
        #: The results that are drawn already, which are not sent again.
        self._drawn = SimilarityResult()
        self._drawn_components: tuple[Components | None, bool] = (None, False)
        super().__init__(**kwargs)

        columns = [(name, layer) for name, chosen in self._layers.items() for layer in chosen]
        several = len(self.models) > 1
        heads = [f"{name} {layer}" if several else layer for name, layer in columns]
        counts = map(str, range(MOST_COMPONENTS + 1))
        self.component_picker = dropdown("Components", counts, str(components), {"0": "off"})
        choice(component_kind, "component_kind", list(COMPONENT_KINDS))
        self.kind_picker = dropdown("Factorization", COMPONENT_KINDS, component_kind, COMPONENT_KINDS)
        self.layer_picker = dropdown("Layer", heads, heads[0])
        self.similarity_picker = dropdown("Similarity", SIMILARITIES, "cosine", SIMILARITIES)
        self.scope_picker = dropdown("Compare with", SCOPES, "across", SCOPES)
        self.range_picker = dropdown("Color range", RANGES, "fixed", RANGES)
        tokens = [name for one, layer in self.study.columns for name in one.grid(layer).prefix_names]
        sources = list(dict.fromkeys([POSITION, *tokens]))
        self.source_picker = dropdown("Source", sources, POSITION, {POSITION: "hovered patch"})
        self.run_bar = RunBar()
        if names is None:
            names = self._series.labels if self._series else image_names(self._images)
        self.view = SimilarityView(
            images=self.models[0].to_rgb(self.models[0].images(self._images)),
            labels=[str(label) for label in names],
            layer_labels=heads,
            position=MIDDLE,
        )
        self.patches = GalleryView(title="Top patches of the components", columns=1, size=THUMBNAIL)
        self.curves: CurveView | None = None
        self.changes: CurveView | None = None
        if self._series is not None:
            self._make_charts(self._series, heads)
        self._make_layout()
        if start:
            self.compute()

    @classmethod
    def from_choice(cls, model: ImageModel, choice: Choice, **options: Any) -> SimilarityExplorer:
        """Return an explorer of all images of a dashboard, in some of its layers and in the chosen one."""
        step = max(1, len(choice.layers) // COLUMNS)
        layers = {*choice.layers[step - 1 :: step][:COLUMNS], choice.layer}
        shown = [name for name in choice.layers if name in layers] or None
        return cls(model, choice.images, **{"layers": shown, "names": choice.names or None, **options})

    def _make_charts(self, series: GeometricSeries, heads: Sequence[str]) -> None:
        self.view.transforms = series.transforms
        # Show the image itself first, or the one nearest to it.
        self.view.frame = series.original
        self.curves, self.changes = position_chart(series, heads), change_chart(series)
        join((self.view, "_profile"), (self.curves, "y"))
        for chart in (self.curves, self.changes):
            link((self.view, "marked"), (chart, "step"))

    def _make_layout(self) -> None:
        chosen = [self.component_picker, self.kind_picker, self.layer_picker]
        self._compute_on_change(*((picker, "value") for picker in chosen))
        compared = [self.similarity_picker, self.range_picker]
        if len(self._images) > 1:
            compared.insert(1, self.scope_picker)
        if len(self.source_picker.options) > 1:
            chosen.append(self.source_picker)
        for trait, picker in (
            ("kind", self.similarity_picker),
            ("scope", self.scope_picker),
            ("color_range", self.range_picker),
            ("source", self.source_picker),
        ):
            link((self.view, trait), (picker, "value"))
            # A page without a browser that joins them, such as an export, has the same values.
            link_in_python((self.view, trait), (picker, "value"))
        self._adopt(self.scope_picker, self.source_picker)
        self.display = display_menu(self.view)
        self.patches.layout.display = "none"
        charts = [self.curves, self.changes] if self.curves and self.changes else []
        details = [*charts, self.patches, self.panel]
        # A chart needs more room than patches.
        weight, width = (2, 280) if charts else (3, 180)
        side = column(*details, width=width)
        set_layout(side, height=SIDE, overflow="hidden auto")
        for part in details:
            # Scrolled, not shrunk: a box would shrink to nothing below charts or patches.
            set_layout(part, flex="0 0 auto")
        images = column(self.view, weight=weight, width=400)
        controls = [header(*compared, self.display), header(*chosen, self.run_bar)]
        self._assemble([*controls, stage(images, side)])
        self.view.observe(lambda _change: self._follow(), ["position", "frame", "layer", "pins"])
        self.panel.channels.observe(self._open_channel_patch, "frame")
        self.patches.observe(self._open_component_patch, "frame")

    # -- the computation ------------------------------------------------------------------------------------

    @property
    def result(self) -> SimilarityResult:
        """All results so far."""
        key = self._component_key()
        return self.study.known(*key[1:]) if key else self.study.known(self.layer_picker.index)

    def _component_key(self) -> SimilarityKey | None:
        """Return the key of the chosen components; None for no components."""
        count, kind = int(self.component_picker.value), self.kind_picker.value
        if kind == COLORS:
            count, kind = 3, "pca"
        return SimilarityKey("components", self.layer_picker.index, count, kind) if count else None

    def _keys(self) -> list[SimilarityKey]:
        keys = [SimilarityKey("grids")]
        if self._series:
            keys.append(SimilarityKey("scores"))
        if key := self._component_key():
            keys.append(key)
        keys.append(SimilarityKey("channels"))
        if self.study.corpus is not None:
            keys.append(SimilarityKey("index", min(self._at()["layer"], len(self.study.columns) - 1)))
        return keys

    def _failures(self) -> dict[str, str]:
        failed = super()._failures()
        # No view shows the reason.
        return {f"{title} ({error})": error for title, error in failed.items()}

    def _after(self, status: Status) -> None:
        if status == "done":
            self._index()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the computation has ended; False if that took longer than ``timeout`` seconds."""
        return wait_for(timeout, self._worker, self.panel)

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw(self, changed: SimilarityKey | None = None) -> None:
        before, result = self._drawn, self.result
        self._drawn = result
        if result.packed is not before.packed:
            self.view.show(result.packed)
            if not before.packed and self.view.position == MIDDLE and not self.view.pins:
                self.view.position = self._distinctive()
        if self.changes and (result.packed is not before.packed or len(result.scores) > len(before.scores)):
            self._draw_changes(result)
        colors = self.kind_picker.value == COLORS
        if (result.components, colors) != self._drawn_components:
            self._drawn_components = (result.components, colors)
            self._draw_components(result, colors)
        if result.fields is not before.fields:
            self.view.fields = list(result.fields)
        if result.indexes.keys() != before.indexes.keys() or result.channels is not before.channels:
            self.look()

    def _draw_changes(self, result: SimilarityResult) -> None:
        assert self._series is not None
        assert self.changes is not None
        y, entries = changes(self._series, self.models, result)
        with self.changes.hold_sync():
            self.changes.y, self.changes.series = y, entries

    def _distinctive(self) -> list[float]:
        """Return a position of the shown image at which its parts differ, so that the first view shows something."""
        members = self.result.members(min(self.view.layer, len(self.result.packed) - 1))
        grid = members[min(self.view.frame, len(members) - 1)].raw
        row, column = distinctive_position(grid)
        return [(column + 0.5) / grid.shape[1], (row + 0.5) / grid.shape[0]]

    def _draw_components(self, result: SimilarityResult, colors: bool) -> None:
        components, top = result.components, result.top
        self.patches.layout.display = "none" if components is None or colors else None
        if components is None or top is None:
            self.view.components = self.patches.images = None
            self.view.title = ""
            return
        names = components.part_names
        label = result.label(result.column)
        with self.view.hold_sync():
            self.view.component_layer = result.column
            self.view.components = components.colors() if colors else components.shades
            self.view.component_names = [] if colors else names
            if colors != (self.view.component_mode == "rgb"):
                self.view.component_mode = "rgb" if colors else "mix"
                self.view.component_opacity = 1 if colors else SimilarityView.component_opacity.default_value
            self.view.hidden = []
            what = "The first three components as red, green and blue" if colors else "Components"
            self.view.title = f"{what}, {label} ({components.summary})"
        with self.patches.hold_sync():
            self.patches.title = (
                f"Patches where the components of {label} are strongest ({components.summary})"
            )
            show_patches(self.models[0], self.patches, top.patches(range(len(names))))
            self.patches.row_labels = names

    def _follow(self) -> None:
        self.look()
        self._index()

    def _open_channel_patch(self, change: dict[str, Any]) -> None:
        """Move to the position of a patch of a channel, if it is in an image that is shown."""
        details, result = self.panel.details, self.result
        if details is None or self.study.corpus is not None or not result.channels:
            return
        channels = result.channels[details.column]
        self._open_patch(self.panel.channels, channels, details.column, details.channels.tolist())

    def _open_component_patch(self, change: dict[str, Any]) -> None:
        result = self.result
        if result.top is not None and self.study.component_images is None:
            self._open_patch(self.patches, result.top, result.column, range(len(result.top.images)))

    def _open_patch(
        self, gallery: GalleryView, top: TopActivations, column: int, rows: Sequence[int]
    ) -> None:
        """Move to the position of the chosen patch of a gallery with a row of patches for each of `rows`."""
        if gallery.frame < 0:
            return
        row, number = divmod(gallery.frame, gallery.columns)
        y, x = top.positions[rows[row], number].tolist()
        position = [(x + 0.5) / top.grid[1], (y + 0.5) / top.grid[0]]
        self.view.set_state(
            {"frame": int(top.images[rows[row], number]), "layer": column, "position": position, "pins": []}
        )

    def _index(self) -> None:
        """Index the corpus in the hovered column if it is not; a running computation is not interrupted."""
        query = self._query()
        if self.study.corpus is None or query is None or self._worker.status != "done":
            return
        if not self.study.outcome(SimilarityKey("index", query.column)).complete:
            self.compute()

    def look(self) -> None:
        """Show details of the first pin or of the hovered position, in the background."""
        if self._query() is not None:
            self.panel.show(self._query)

    def _query(self) -> PositionQuery | None:
        """Return the image, column and cell of the first pin or of the hovered position, if there is one."""
        at, result = self._at(), self.result
        exists = at["layer"] < len(result.packed) and at["frame"] < len(self.view.images)
        if at["position"] is None or not exists:
            return None
        _, rows, columns = result.packed[at["layer"]].norms.shape
        x, y = at["position"]
        cell = min(int(y * rows), rows - 1), min(int(x * columns), columns - 1)
        return PositionQuery(self.models[0], result, at["frame"], at["layer"], cell)

    def _at(self) -> dict[str, Any]:
        """Return the first pin, or the hovered position."""
        view = self.view
        if view.pins:
            return view.pins[0]
        return {"frame": view.frame, "layer": view.layer, "position": view.position}
