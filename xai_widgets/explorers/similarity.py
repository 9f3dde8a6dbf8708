"""Hover over one patch and see it in every layer, picture and network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from ipywidgets import HBox

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.run import Run, Status, Worker
from xai_widgets.explorers.base import picture, row_layout, stretch
from xai_widgets.explorers.computing import Computing, wait_for
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.search import dropdown
from xai_widgets.explorers.similarity_place import THUMBNAIL, Asked, PlacePanel, hang
from xai_widgets.similarity import GeometricSeries
from xai_widgets.similarity.components import MOST
from xai_widgets.similarity.packing import RANK, check_rank
from xai_widgets.studies.similarity import SimilarityResult, Wanted, similarities
from xai_widgets.views import CurveView, GalleryView, RunBar, SimilarityView, link
from xai_widgets.views.shown import lay_out


class SimilarityExplorer(Computing):
    """Pictures by layers by networks, in which every place shows how alike it is to the one under the hand.

    The similarities are computed in the browser, so that hovering needs no kernel; see
    :class:`~xai_widgets.views.SimilarityView` for what the hand and the keys do. With components, groups of features
    are drawn below, and the patches that each is strongest in. With a geometric series, a chart shows how alike the
    corresponding place is in each picture. Around the hovered place its theoretical receptive field is drawn (dashed),
    which is what it can see, and the empirical one, which is what it really looks at, measured as the effective
    receptive field of Luo et al. 2016. The kernel tells the strongest channels of the hovered or pinned place, with the
    patches in which they are strongest, and with a corpus the patches of all its images that are most alike to it.

    Parameters
    ----------
    model : ImageModel or sequence of ImageModel
        The networks, of different names; they are never changed.
    images : list of images, or GeometricSeries
        The pictures: images of any kind, or those of :func:`~xai_widgets.similarity.rotations` or ``scalings``, which
        are shown by ascending values.
    layers : str, sequence of str or dict of str to sequence of str, optional
        Layers with places; for several networks by their names. Default: of each the last one before pooling.
    names : sequence of str, optional
        What each picture is called.
    components : int, default 0
        How many components at first, up to 12.
    corpus : optional
        Images of any kind that are searched, in the layer of the hovered place; its index is made when it is first
        hovered, and kept.
    seed : int, default 0
        Of the components.
    rank : int or None, default 256
        Wider layers are projected on so many directions, with the error shown; None keeps all channels.
    batch_size : int, default 32
        Images per pass.
    start : bool, default True
        Whether to compute at once; otherwise the button starts.

    Attributes
    ----------
    view : SimilarityView
        The pictures.
    curves : CurveView or None
        The similarity at the corresponding place over the geometric series.
    patches : GalleryView
        The top patches of each component.
    panel : PlacePanel
        What the kernel tells of the place.
    component_picker, layer_picker : ipywidgets.Dropdown
        How many components, and of which column.
    run_bar : RunBar
    result : SimilarityResult
        What is computed.

    Raises
    ------
    TypeError
        If a network is no ImageModel.
    ValueError
        For networks of one name, an unknown layer, with the nearest one, one without places, bad images, another
        number of components, or a rank or batch size below 1.

    Examples
    --------
    >>> SimilarityExplorer(model, photos, layers=["stage3", "stage4"], components=4)  # doctest: +SKIP
    >>> SimilarityExplorer(model, rotations(photo, range(-90, 91, 15)))  # doctest: +SKIP
    """

    _asking: ClassVar[tuple[str, ...]] = ("component_picker", "layer_picker", "run_bar", "panel")

    @closed_on_error
    def __init__(
        self,
        model: ImageModel | Sequence[ImageModel],
        images: Any,
        *,
        layers: str | Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        names: Sequence[str] | None = None,
        components: int = 0,
        corpus: Any = None,
        seed: int = 0,
        rank: int | None = RANK,
        batch_size: int = 32,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        # First of all: a constructor that raises is closed too.
        self._worker, self.panel = Worker(), PlacePanel()
        self.models = _check_models(model)
        self._layers = _layers_of(self.models, layers)
        if not 0 <= components <= MOST:
            raise ValueError(f"components is {components}, wanted 0 to {MOST}")
        check_rank(rank)
        batch_size = check_batch_size(batch_size)
        # A chart runs from left to right, whatever the order of the list.
        self._series = images.ascending() if isinstance(images, GeometricSeries) else None
        many = isinstance(images, list | tuple) or getattr(images, "ndim", 3) == 4
        self._images = self._series.images if self._series else images if many else [images]
        self._corpus, self._seed, self._rank, self._batch_size = corpus, seed, rank, batch_size
        self.result = SimilarityResult()
        super().__init__(**kwargs)

        columns = [(name, layer) for name, chosen in self._layers.items() for layer in chosen]
        several = len(self.models) > 1
        heads = [f"{name} {layer}" if several else layer for name, layer in columns]
        self.component_picker = dropdown("components", map(str, range(MOST + 1)), str(components))
        self.layer_picker = dropdown("of", heads, heads[0])
        self.run_bar = RunBar()
        labels = self._series.labels if self._series and names is None else names
        self.view = SimilarityView(
            images=picture(self.models[0].images(self._images)),
            names=[str(label) for label in labels or ()],
            position=[0.5, 0.5],
        )
        self.patches = GalleryView(title="Top patches of the components", columns=1, size=THUMBNAIL)
        self.curves = self._make_curves(heads)
        self._join()
        if start:
            self.compute()

    def _make_curves(self, heads: Sequence[str]) -> CurveView | None:
        series = self._series
        if series is None:
            return None
        self.view.transforms = series.transforms
        # The image itself comes first, or what is nearest to it.
        self.view.frame = int((series.transforms - torch.eye(2, 3)).abs().sum((1, 2)).argmin())
        curves = CurveView(
            x=series.values,
            stops=series.values,
            series=[{"label": head} for head in heads],
            x_label="degrees" if series.labels[0].endswith("°") else "scale",
            y_label="similarity",
            title="Similarity at the corresponding place",
            height=240,
        )
        link((self.view, "profile"), (curves, "y"))
        link((self.view, "marked"), (curves, "stop"))
        return curves

    def _join(self) -> None:
        views = [self.view, *([self.curves] if self.curves else []), self.patches]
        lay_out(*views, width="100%", min_width="0", margin="0")
        self.patches.layout.display = "none"
        stretch((self.run_bar, "3 1 240px"))
        pickers = HBox([self.component_picker, self.layer_picker, self.run_bar], layout=row_layout())
        self.children = [pickers, *views[:-1], self.panel, self.patches]
        self._adopt(*self.children)
        for picker in (self.component_picker, self.layer_picker):
            picker.observe(lambda _change: self.compute(), "value")
        self.run_bar.on_run(lambda _bar: self.compute(again=True))
        self.run_bar.on_cancel(lambda _bar: self.cancel())
        self.view.observe(lambda _change: self._follow(), ["position", "frame", "layer", "pins"])

    # -- the computation ------------------------------------------------------------------------------------

    def _run(self, start: SimilarityResult | None) -> Run[SimilarityResult]:
        return similarities(
            self.models,
            self._images,
            self._layers,
            wanted=Wanted(self.layer_picker.index, int(self.component_picker.value)),
            corpus=self._corpus,
            searched=min(self._at()["layer"], len(self.layer_picker.options) - 1),
            seed=self._seed,
            rank=self._rank,
            batch_size=self._batch_size,
            start=start,
        )

    def compute(self, *, again: bool = False) -> None:
        """Compute what is missing, in the background; replaces a computation under way.

        Parameters
        ----------
        again : bool, default False
            Whether to compute everything again, for instance after the network was trained further.
        """
        before = SimilarityResult() if again else self.result

        def on_snapshot(run: Run[SimilarityResult]) -> None:
            self.run_bar.progress = run.progress
            if run.latest is not None and run.latest is not self.result:
                self._show(run.latest)

        def on_end(_status: Status, _error: BaseException | None) -> None:
            self.run_bar.label = "Compute again"

        def after(status: Status) -> None:
            if status == "done":
                self._search()

        self._submit(
            lambda: self._run(before),
            on_start=lambda: None,
            on_snapshot=on_snapshot,
            on_end=on_end,
            after=after,
        )

    def wait(self, timeout: float | None = None) -> bool:
        """Block until nothing is computed any more; False if that took longer than ``timeout`` seconds."""
        return wait_for(timeout, self._worker, self.panel)

    # -- drawing --------------------------------------------------------------------------------------------

    def _show(self, result: SimilarityResult) -> None:
        before, self.result = self.result, result
        if result.packed is not before.packed:
            self.view.show(result.packed)
        if result.components is not before.components:
            self._show_components(result)
        if result.fields is not before.fields:
            self.view.fields = list(result.fields)
        if result.indexes is not before.indexes or result.channels is not before.channels:
            self.look()

    def _show_components(self, result: SimilarityResult) -> None:
        made, top = result.components, result.top
        self.patches.layout.display = "none" if made is None else None
        if made is None or top is None or result.wanted is None:
            self.view.components = self.patches.pictures = None
            return
        count = len(made.directions)
        peak = made.weights.max((0, 1, 2))
        with self.view.hold_sync():
            self.view.component_layer = result.wanted.column
            self.view.components = made.weights / (peak + (peak == 0))
            self.view.hidden = []
        with self.patches.hold_sync():
            head = result.head(result.wanted.column)
            self.patches.title = f"Top patches of the components of {head}, error {made.error:.1%}"
            hang(self.patches, top.patches(range(count)))
            self.patches.heads = [str(part + 1) for part in range(count)]

    def _follow(self) -> None:
        self.look()
        self._search()

    def _search(self) -> None:
        """Index the corpus in the hovered column, if it is not; what is computed is not broken off for that."""
        place = self._place()
        missing = self._corpus is not None and place is not None and place[1] not in self.result.indexes
        if missing and self._worker.status == "done":
            self.compute()

    def look(self) -> None:
        """Tell of the first pin, or of the hovered place, what the kernel knows, in the background."""
        if self._place() is not None:
            self.panel.show(self._asked)

    def _asked(self) -> Asked | None:
        place = self._place()
        return None if place is None else Asked(self.result, *place)

    def _place(self) -> tuple[int, int, tuple[int, int]] | None:
        """The picture, the column and the cell of the first pin or of the hovered place, if it is there."""
        at = self._at()
        fits = at["layer"] < len(self.result.packed) and at["frame"] < len(self.view.images)
        if at["position"] is None or not fits:
            return None
        _, rows, columns = self.result.packed[at["layer"]].norms.shape
        x, y = at["position"]
        return at["frame"], at["layer"], (min(int(y * rows), rows - 1), min(int(x * columns), columns - 1))

    def _at(self) -> dict[str, Any]:
        """The first pin, or the hovered place."""
        view = self.view
        if view.pins:
            return view.pins[0]
        return {"frame": view.frame, "layer": view.layer, "position": view.position}


def _check_models(model: ImageModel | Sequence[ImageModel]) -> list[ImageModel]:
    models: list[Any] = list(model) if isinstance(model, list | tuple) else [model]
    for one in models:
        check_model(one)
    names = [one.name for one in models]
    if not models or len(set(names)) < len(names):
        raise ValueError(f"the networks are named {names}, wanted names that differ: ImageModel(..., name=)")
    return models


def _layers_of(
    models: Sequence[ImageModel], layers: str | Sequence[str] | Mapping[str, Sequence[str]] | None
) -> dict[str, list[str]]:
    """The layers of each network, by its name."""
    if isinstance(layers, Mapping):
        if set(layers) != {model.name for model in models}:
            raise ValueError(
                f"layers are of {sorted(layers)}, wanted those of {sorted(model.name for model in models)}"
            )
        chosen = {model.name: layers[model.name] for model in models}
    else:
        chosen = {model.name: [model.default_layer()] if layers is None else layers for model in models}
    made = {name: [some] if isinstance(some, str) else list(some) for name, some in chosen.items()}
    for model in models:
        known = {layer.name: layer for layer in model.layers()}
        model.find_layers(made[model.name])
        for name in made[model.name]:
            model.check_places(name, known[name].shape)
    return made
