"""Maps of several methods on one image while the layers of the network lose their weights."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, ClassVar, get_args

import numpy as np
from ipywidgets import HBox, Layout, VBox
from numpy.typing import NDArray

from xai_widgets.core.model import ImageModel, Target
from xai_widgets.core.validation import choice
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.explorers.default_methods import is_slow
from xai_widgets.explorers.image_explorer import ImageExplorer
from xai_widgets.explorers.layout import column, display_menu, header, stage
from xai_widgets.explorers.looks import Looks
from xai_widgets.explorers.method_choice import method_picker
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import dropdown, explanation, small_text
from xai_widgets.methods.registry import METHODS, MethodLike, methods_by_name
from xai_widgets.metrics.sanity import Randomization, Sanity
from xai_widgets.studies.sanity import UNCHANGED, SanityKey, SanityStudy, edge_detector
from xai_widgets.studies.store import Outcome
from xai_widgets.views import CurveView, HeatmapView, SliderView, link
from xai_widgets.views.static_repr import set_layout

#: Methods that are computed by default, beside an edge detector; the others can be chosen.
CHOSEN = ("gradient", "gradient_x_input", "guided_backprop", "grad_cam")
#: Measures of agreement by their names in `Sanity`.
MEASURES = {
    "spearman_abs": "rank correlation, no signs",
    "ssim": "SSIM",
    "pearson": "Pearson correlation",
    "spearman": "rank correlation",
}
#: Which network the maps belong to, by the order of the randomization.
ROWS = {
    "cascading": "Above: the trained network. Below: random weights from the output down to the depth of the slider.",
    "independent": "Above: the trained network. Below: random weights in the layer of the slider alone.",
}
#: Smallest and largest width of a map, and the space between two, CSS px.
NARROW, LANE, GAP = 110, 190, 8


class SanityExplorer(ImageExplorer):
    """Drag the depth from which weights are random, and see which maps change.

    The parameter randomization test of Adebayo et al. 2018: the blocks of a copy of the network get random weights,
    from the output to the input, one after the other ("cascading") or one at a time ("independent"). The map of the
    trained network is above, the map at the chosen depth below; curves show the agreement of both, and the probability
    of the class. A map that hardly changes while the class falls to chance depends on the image rather than on the
    trained weights, like that of the edge detector: it has a note, on the map and in the legend. So has a constant map,
    whose correlation is undefined. The slider, the measure and the display settings need no kernel. A method that is
    not defined for the network shows the reason, and the others continue.

    Parameters
    ----------
    model : ImageModel
        The network; it is never changed.
    image
        One image of any kind.
    methods : sequence, optional
        What to choose from: names of registered methods, :class:`~xai_widgets.methods.Method` objects, or your own
        ``explain(model, x, target)``, with a title as ``(title, explain)``; "edges" is an edge detector. All of them
        are computed. Default: every registered method and the edge detector, a few of them computed at once.
    target : int, str or callable, optional
        The class or a target (see :mod:`xai_widgets.targets`). Default: the predicted class.
    layers : sequence of str, optional
        Names in ``model.layers()``, from the output to the input; all weights within a layer such as a block are
        randomized together. Default: the blocks of the network, such as the stages of a ResNet.
    mode : {"cascading", "independent"}, default "cascading"
        Whether random weights add up from the output to the input, or one layer is random at a time.
    seed : int, default 0
        Seed of the random weights, which are the same for all methods.
    start : bool, default True
        Whether to compute at once; otherwise the button starts.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

    Attributes
    ----------
    target : int
        The class; assign an index to change it.
    trained : dict of str to HeatmapView
        The map of each method that was chosen, for the trained network.
    maps : dict of str to HeatmapView
        Its map at each depth; `frame` 0 is the trained network.
    heatmap : HeatmapView
        One of `trained`, whose position and zoom are those of all maps.
    slider : SliderView
        The depth.
    curves : CurveView
        The agreement of each method over the depth.
    probability : CurveView
        The probability of the class over the depth.
    measure_picker, mode_picker : SelectView
    display : DisplayMenu
    method_picker : MethodPicker
    class_picker : ClassPicker
    run_bar : RunBar

    Raises
    ------
    ValueError
        For an unknown method, class, layer or mode, with the nearest one, a layer without weights, or a bad image.
    TypeError
        If ``model`` is not an ImageModel, or a method cannot be called.

    Examples
    --------
    >>> SanityExplorer(model, "photo.jpg", ["gradient", "guided_backprop"])  # doctest: +SKIP
    """

    question: ClassVar[str] = "Which maps depend on the trained weights?"
    hint: ClassVar[str] = "Drag the depth from which weights are random."
    kernel_controls: ClassVar[tuple[str, ...]] = (
        *ImageExplorer.kernel_controls,
        *("method_picker", "mode_picker"),
    )

    study: SanityStudy

    @closed_on_error
    def __init__(
        self,
        model: ImageModel,
        image: Any,
        methods: Sequence[MethodLike] | None = None,
        *,
        target: Target = None,
        layers: Sequence[str] | None = None,
        mode: Randomization = "cascading",
        seed: int = 0,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, image, target=target, **kwargs)
        choice(mode, "mode", get_args(Randomization))
        edges = edge_detector()
        if methods is None:
            first = [*(METHODS[name] for name in CHOSEN), edges]
            given: list[MethodLike] = [*first, *(each for each in METHODS.values() if each not in first)]
        else:
            named = [methods] if isinstance(methods, str) or callable(methods) else methods
            given = [edges if isinstance(each, str) and each == edges.name else each for each in named]
        self._methods = methods_by_name(given)
        self._layers, self._seed = layers, check_seed(seed)
        self.study = self._make_study()
        chosen = [name for name in self._methods if methods is not None or name in (*CHOSEN, edges.name)]
        self._looks = Looks()
        self._make_views(chosen, mode)
        self._compute_on_change((self.method_picker, "selected"), (self.mode_picker, "value"))
        self._assemble(self._layout())
        self._draw()
        if start:
            self.compute()

    def _make_views(self, chosen: Sequence[str], mode: str) -> None:
        self.method_picker = method_picker(self._methods, chosen, self.model)
        self.mode_picker = dropdown("Randomize", get_args(Randomization), mode)
        self.mode_picker.help = "Random weights add up from the output to the input, or one layer is random"
        self.measure_picker = dropdown("Agreement", MEASURES, "spearman_abs", labels=MEASURES)
        self.measure_picker.help = "The measure of agreement with the map of the trained network"
        count = len(self.study.layers)
        self.slider = SliderView(values=range(count + 1), labels=["none", *self.study.layers])
        # A cursor between two depths would show neither.
        options: dict[str, Any] = {"snap": True, "height": 140, "controls": False}
        self.curves = CurveView(
            y_label="agreement", mode="spearman_abs", only_active=True, mode_buttons=False, **options
        )
        self.probability = CurveView(y_label=self.model.value_name, **options)
        link((self.slider, "fraction"), (self.curves, "fraction"), (self.probability, "fraction"))
        link((self.measure_picker, "value"), (self.curves, "mode"))
        self._trained: dict[str, HeatmapView] = {}
        self._maps: dict[str, HeatmapView] = {}
        self._lanes: dict[str, VBox] = {}
        self.heatmap = self._trained[chosen[0]] = self._map_view(self._methods[chosen[0]].title)
        self.display = display_menu(self.heatmap)
        # Aligned at the bottom, where a title of two lines does not move a map.
        grid = {"display": "grid", "grid_gap": f"{GAP}px", "align_items": "flex-end"}
        self._row = HBox(layout=Layout(**grid, width="100%", overflow="hidden"))
        self._add_lanes(chosen)

    @property
    def trained(self) -> dict[str, HeatmapView]:
        """The map of each method that was chosen, for the trained network."""
        return dict(self._trained)

    @property
    def maps(self) -> dict[str, HeatmapView]:
        """The map of each method that was chosen, at each depth."""
        return dict(self._maps)

    def _map_view(self, title: str) -> HeatmapView:
        view = HeatmapView(title=title, width=LANE, controls=False, color_bar=False, opacity=0.9)
        set_layout(view, width="100%", min_width="0", margin="0")
        return view

    def _add_lanes(self, names: Iterable[str]) -> None:
        """Add the views of methods that were not chosen before: all of them at once would take seconds."""
        for name in names:
            if name in self._lanes:
                continue
            if name not in self._trained:
                self._trained[name] = self._map_view(self._methods[name].title)
            trained = self._trained[name]
            view = self._maps[name] = self._map_view("")
            for part in (view, *([trained] if trained is not self.heatmap else [])):
                part.image = self._display
                link((self.heatmap, "position"), (part, "position"))
                link((self.heatmap, "viewport"), (part, "viewport"))
                for setting in self.display.shown:
                    link((self.display, setting), (part, setting))
            link((self.slider, "frame"), (view, "frame"))
            tight = Layout(margin="0", min_width="0", overflow="hidden", width="auto")
            self._lanes[name] = VBox([trained, view], layout=tight)
            self._adopt(self._lanes[name])
        self._row.children = [self._lanes[name] for name in self._methods if name in self._lanes]

    def _layout(self) -> list[Any]:
        self._rows = explanation("")
        set_layout(self.measure_picker, flex="0 0 auto")
        controls = (self.method_picker, self.mode_picker, self.display, self.run_bar)
        return [
            header(self.class_picker, *controls),
            # The maps and the curves that the slider changes are side by side.
            stage(
                column(self._rows, self._row, self.slider, weight=2, width=430),
                column(self.measure_picker, self.curves, self.probability, width=300),
            ),
        ]

    def _show_image(self) -> None:
        for view in (*self._trained.values(), *self._maps.values()):
            view.maps, view.image = None, self._display

    # -- the computation ------------------------------------------------------------------------------------

    def _make_study(self) -> SanityStudy:
        return SanityStudy(self.model, self._x, self._methods, layers=self._layers, seed=self._seed)

    def _keys(self) -> list[SanityKey]:
        mode = self.mode_picker.value
        names = sorted(self.method_picker.selected, key=lambda name: is_slow(self._methods[name]))
        return [SanityKey(name, self.target, mode) for name in names]

    def _message(self, key: SanityKey) -> str:
        outcome = self.study.outcome(key)
        done = 0 if outcome.result is None else outcome.result.done
        return f"{self.study.title(key)}: {outcome.error or f'{done} of {len(self.study.layers)} layers'}"

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw(self, changed: SanityKey | None = None) -> None:
        keys = {key.method: key for key in self._keys()}
        outcomes = {name: self.study.outcome(keys[name]) for name in self._methods if name in keys}
        self.method_picker.looks = self._looks.take(outcomes)
        self.method_picker.notes = {
            name: outcome.error for name, outcome in outcomes.items() if outcome.error
        }
        self._add_lanes(outcomes)
        self._row.layout.grid_template_columns = _tracks(len(outcomes))
        for name, lane in self._lanes.items():
            lane.layout.display = None if name in outcomes else "none"
            # The maps are large: those of the method that has changed are sent.
            if changed is None or changed == keys.get(name):
                self._draw_maps(name, outcomes.get(name, Outcome()))
        self._rows.value = small_text(ROWS[self.mode_picker.value])
        cascading = self.mode_picker.value == "cascading"
        label = "random layers, from the output" if cascading else "random layer, from the output"
        self.slider.label = "Random down to" if cascading else "Random layer"
        self._draw_curves(outcomes, label)
        self._draw_probability(outcomes.values(), label)

    def _draw_maps(self, name: str, outcome: Outcome[Sanity]) -> None:
        trained, view, result = self._trained[name], self._maps[name], outcome.result
        for each in (trained, view):
            each.veil = outcome.error or ("" if result is not None else "not computed yet")
            each.signs = [self._methods[name].sign] * (len(self.study.layers) + 1)
        if result is None:
            for each in (trained, view):
                each.maps, each.notes, each.labels = None, [], []
            return
        known = result.maps[:, 0].float().cpu().numpy()
        count = len(self.study.layers) + 1
        # Veiled until it is computed: a view would show its last map for any later frame.
        maps = np.full((count, *known.shape[1:]), np.nan, dtype=np.float32)
        maps[: len(known)] = known
        notes = [
            _constant(each) or "; ".join(words) for each, words in zip(known, result.warnings, strict=True)
        ]
        if verdict := _verdict(result):
            notes[-1] = "; ".join(filter(None, [verdict, notes[-1]]))
        values = [1.0, *_column(result, "spearman_abs")]
        with trained.hold_sync():
            trained.maps, trained.notes = known[:1], notes[:1]
        with view.hold_sync():
            view.labels = ["trained", *(_rank(value) for value in values[1:])]
            view.maps, view.notes = maps, notes

    def _draw_curves(self, outcomes: dict[str, Outcome[Sanity]], label: str) -> None:
        count = len(self.study.layers) + 1
        series: list[dict[str, Any]] = []
        rows = []
        for measure in MEASURES:
            for name, outcome in outcomes.items():
                title, result = self._methods[name].title, outcome.result
                entry = {"label": title, "frame": 0, "mode": measure, "look": self.method_picker.looks[name]}
                entry["note"] = outcome.error
                values = np.full(count, np.nan, dtype=np.float32)
                if result is not None:
                    # The trained map agrees with itself, unless no correlation of it is defined.
                    values[0] = np.nan if _constant(_map(result, 0)) else 1
                    values[1:] = _column(result, measure)
                    entry["note"] = _constant(_map(result, 0)) or _verdict(result)
                series.append(entry)
                rows.append(values)
        with self.curves.hold_sync():
            self.curves.x_label, self.curves.x = label, np.arange(count, dtype=np.float32)
            self.curves.series = series
            self.curves.y = np.array(rows, dtype=np.float32).reshape(len(rows), count)

    def _draw_probability(self, outcomes: Collection[Outcome[Sanity]], label: str) -> None:
        results = [outcome.result for outcome in outcomes if outcome.result is not None]
        count = len(self.study.layers) + 1
        values = np.full(count, np.nan, dtype=np.float32)
        if results:
            # All methods are shown the same random weights.
            longest = max(results, key=lambda result: result.done)
            values[:] = longest.scores[0].float().cpu().numpy()
        chance = 1 / max(1, len(self.model.labels))
        softmax = self.model.activation == "softmax" and len(self.model.labels) > 1
        with self.probability.hold_sync():
            self.probability.x_label, self.probability.x = label, np.arange(count, dtype=np.float32)
            self.probability.series = [{"label": self.model.labels[self.target]}]
            self.probability.lines = [{"y": chance, "label": "chance"}] if softmax else []
            self.probability.y = values[None]


def _tracks(count: int) -> str:
    """Return grid columns of equal width, which wrap where one would be narrow."""
    # Half a pixel less, so that rounding does not wrap them.
    share = f"calc((100% - {GAP * (count - 1)}px) / {max(1, count)} - 0.5px)"
    return f"repeat(auto-fill, min({LANE}px, max({NARROW}px, {share})))"


def _map(result: Sanity, at: int) -> NDArray[np.float32]:
    values: NDArray[np.float32] = result.maps[at, 0].float().cpu().numpy()
    return values


def _column(result: Sanity, measure: str) -> NDArray[np.float32]:
    values: NDArray[np.float32] = getattr(result, measure)[0].float().cpu().numpy()
    return values


def _constant(values: NDArray[np.float32]) -> str:
    """Return a note for a map whose correlation is undefined; "" for any other."""
    return "constant: no correlation is defined" if values.max() == values.min() else ""


def _rank(value: float) -> str:
    return "" if np.isnan(value) else f"rank corr. {value:.2f}".replace("-", "−")


def _verdict(result: Sanity) -> str:
    """Return a note for a map that stays what it was with all layers random; "" for any other."""
    if result.mode != "cascading" or result.done < len(result.layers):
        return ""
    last = float(result.spearman_abs[0, -1])
    return f"hardly changes: {last:.2f} with all layers random" if last >= UNCHANGED else ""
