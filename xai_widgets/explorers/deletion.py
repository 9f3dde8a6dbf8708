"""Live deletion and insertion curves of several methods on one image."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from xai_widgets.core.model import ImageModel, Target
from xai_widgets.core.run import Status
from xai_widgets.explorers.default_methods import DefaultMethods, is_slow
from xai_widgets.explorers.deletion_arrays import BestClasses, flip
from xai_widgets.explorers.image_explorer import ImageExplorer
from xai_widgets.explorers.layout import column, display_menu, header, stage
from xai_widgets.explorers.looks import Looks
from xai_widgets.explorers.method_choice import method_picker
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import TOP, scores_title
from xai_widgets.methods.registry import MethodLike, methods_by_name
from xai_widgets.metrics import Curve
from xai_widgets.metrics.deletion import FILLS, curve_fill
from xai_widgets.studies.deletion import (
    CURVES,
    RANDOM,
    RANDOM_TITLE,
    DeletionKey,
    DeletionResult,
    DeletionStudy,
)
from xai_widgets.studies.store import Outcome
from xai_widgets.views import CurveView, HeatmapView, OrderedMaskView, ScoresView, link

#: Methods that are computed by default; the others can be chosen.
DEFAULTS = DefaultMethods(
    ("gradient", "guided_backprop", "integrated_gradients", "grad_cam"),
    spare=("gradient_x_attention", "gradient_x_input", "smoothgrad", "expected_gradients"),
)

#: Default steps of a curve: half of those of RISE, in half of the time.
STEPS = 112

#: Largest width of an image, CSS px.
IMAGE_WIDTH = 480

#: Color of the curves of a random order, which has 3:1 against both themes.
RANDOM_COLOR = "#808080"


class DeletionExplorer(ImageExplorer):
    """Compare deletion and insertion curves of several methods while they are computed, and drag along them.

    The curves follow the protocol of RISE (:mod:`xai_widgets.metrics.deletion`) and are drawn from coarse to fine,
    those of the active method first. Gray curves show pixels in random order, the mean of some orders with their range,
    which not every method beats. A diamond marks where the predicted class changes. If a method is not defined for the
    network, the legend shows the reason and the others continue. Dragging the cursor, which stops at the computed
    steps, shows the image with that share of its pixels deleted, or inserted, and the best classes there; a click on
    one of them explains it. The cursor, the opacity, the color map and the choice among computed curves need no kernel.

    Parameters
    ----------
    model : ImageModel
        The network; it is never changed.
    image
        One image of any kind.
    methods : sequence, optional
        What to choose from: names of registered methods, :class:`~xai_widgets.methods.Method` objects, or your
        own ``explain(model, x, target)``, with a title as ``(title, explain)``. All of them are computed.
        Default: every registered method, a few of them computed at once, those that the network allows.
    target : int, str or callable, optional
        The class or a target (see :mod:`xai_widgets.targets`). Default: the predicted class.
    steps : int, optional
        Steps of a curve, 224 in RISE. Default: 112, or the number of pixels if that is less.
    batch_size : int, default 32
        Images per pass of the network.
    start : bool, default True
        Whether to compute at once; otherwise the button starts.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

    Attributes
    ----------
    target : int
        The class whose score is followed; assign an index to change it.
    heatmap : HeatmapView
        The map of the active method on the image.
    masked : OrderedMaskView
        The image at the cursor's fraction.
    scores : ScoresView
        The best classes there.
    curves : CurveView
        The curves with the cursor.
    class_picker : ClassPicker
    method_picker : MethodPicker
    display : DisplayMenu
    run_bar : RunBar

    Raises
    ------
    ValueError
        For an unknown method or class, with the nearest one, or a bad image.
    TypeError
        If ``model`` is not an ImageModel, or a method cannot be called.

    Examples
    --------
    >>> DeletionExplorer(model, "photo.jpg", methods=["gradient", ("mine", my_explainer)])
    """

    question: ClassVar[str] = "Which map finds the pixels that matter?"
    hint: ClassVar[str] = "Drag the line in the plot."
    kernel_controls: ClassVar[tuple[str, ...]] = (*ImageExplorer.kernel_controls, "method_picker")

    study: DeletionStudy

    @closed_on_error
    def __init__(
        self,
        model: ImageModel,
        image: Any,
        methods: Sequence[MethodLike] | None = None,
        *,
        target: Target = None,
        steps: int | None = None,
        batch_size: int = 32,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, image, target=target, **kwargs)
        self._methods = methods_by_name(DEFAULTS.options() if methods is None else methods)
        self._steps = min(STEPS, self._x[0, 0].numel()) if steps is None else steps
        self._batch_size = batch_size
        self.study = self._make_study()
        titles = {name: method.title for name, method in self._methods.items()}
        chosen = [name for name in self._methods if methods is not None or name in DEFAULTS.names]
        #: The choice as long as the user has made none.
        self._default: list[str] | None = chosen if methods is None else None

        self._looks = Looks()
        self.method_picker = method_picker(self._methods, chosen, self.model)
        self.heatmap = HeatmapView(labels=list(titles.values()), fade=True, opacity=0.9, width=IMAGE_WIDTH)
        self.masked = OrderedMaskView(width=IMAGE_WIDTH, title="Image at the cursor")
        self.scores = ScoresView(
            labels=self.model.labels,
            target=self.target,
            series=[
                {"label": label, "frame": frame, "mode": mode}
                for frame in range(len(titles) + 1)
                for mode, label in (("deletion", "deleted"), ("insertion", "inserted"))
            ],
            title=scores_title(self.model, "at the cursor"),
            x_percent=True,
            exact=True,
        )
        self.curves = CurveView(
            x_label="share of pixels deleted or inserted",
            y_label=self.model.value_name,
            mode="deletion",
            # Most curves fall or rise within the first few percent.
            **{"x_scale": "sqrt", "x_percent": True, "y_range": "fit", "snap": True, "height": 0},
        )
        views = self.curves, self.heatmap, self.masked, self.scores
        for name in ("frame", "mode", "fraction", "position", "viewport"):
            link(*[(view, name) for view in views if view.has_trait(name)])
        self._assemble(self._layout())
        self.method_picker.observe(lambda _change: self._on_methods(), "selected")
        if start:
            self.compute()

    def _layout(self) -> list[Any]:
        self.display = display_menu(self.heatmap)
        # The image keeps its pixels: they are those that the network is given.
        self.masked.controls = False
        # Side by side in a narrow column, too.
        images = stage(self.heatmap, self.masked, width=150)
        left = column(images, self.scores, weight=5, width=330)
        left.layout.max_width = f"{2 * IMAGE_WIDTH + 16}px"
        right = column(self.curves, weight=4, width=300)
        return [
            header(self.class_picker, self.method_picker, self.display, self.run_bar),
            stage(left, right),
        ]

    def _show_image(self) -> None:
        shown = self.model.to_rgb(self._x[0])
        with self.heatmap.hold_sync(), self.masked.hold_sync():
            self.heatmap.image = self._display
            self.masked.image = shown
            self.masked.baselines = np.stack(
                [self.model.to_rgb(curve_fill(self.model, self._x, fill)[0]) for fill in FILLS.values()]
            )

    # -- the computation ------------------------------------------------------------------------------------

    def _make_study(self) -> DeletionStudy:
        return DeletionStudy(
            self.model,
            self._x,
            self._methods,
            curve_steps=self._steps,
            batch_size=self._batch_size,
            top=TOP,
        )

    def _key(self, name: str) -> DeletionKey:
        return DeletionKey(name, self.target)

    def _keys(self) -> list[DeletionKey]:
        # In the order of the legend, but methods of many passes come last.
        return sorted(
            self._shown_keys(), key=lambda key: key.method != RANDOM and is_slow(self._methods[key.method])
        )

    def _shown_keys(self) -> list[DeletionKey]:
        """Return the keys of the chosen methods, followed by the random order."""
        names = self._names()
        return [self._key(name) for name in [*names, *([RANDOM] if names else [])]]

    def _names(self) -> list[str]:
        """Return the chosen methods; of a default choice those that failed are replaced by others."""
        names = list(self.method_picker.selected)
        if names != self._default:
            return names
        return DEFAULTS.replaced(lambda name: self.study.outcome(self._key(name)).error)

    def _choose(self, keys: Collection[DeletionKey]) -> DeletionKey:
        """Return the active method first, then rough curves before fine ones, and methods of many passes last."""
        rows = [*self._methods, RANDOM]
        active = rows[self.curves.frame] if 0 <= self.curves.frame < len(rows) else None

        def order(key: DeletionKey) -> tuple[bool, bool, bool]:
            first = key.method == active
            slow = not first and key.method != RANDOM and is_slow(self._methods[key.method])
            return slow, not self.study.is_rough(key), not first

        return min(keys, key=order)

    def _replacements(self, key: DeletionKey) -> Iterable[DeletionKey]:
        return self._keys()

    def _failures(self) -> dict[str, str]:
        keys = map(self._key, dict.fromkeys([*self.method_picker.selected, *self._names()]))
        return {self.study.title(key): error for key, error in self.study.failures(keys).items()}

    def _message(self, key: DeletionKey) -> str:
        outcome = self.study.outcome(key)
        last = list(outcome.result.curves)[-1:] if outcome.result is not None else ["failed"]
        return f"{self.study.title(key)}: {(last or ['map'])[0]}"

    def _after(self, status: Status) -> None:
        names = self._names()
        if status == "done" and self._default and names != self._default:
            self._default = [name for name in self._methods if name in names]
            self.method_picker.selected = self._default

    def _on_methods(self) -> None:
        # A method that replaced a failed one is computed already.
        if list(self.method_picker.selected) != self._default:
            self._default = None
            self.compute()

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw(self, changed: DeletionKey | None = None) -> None:
        """Draw all arrays anew; a value that is not known is NaN."""
        outcomes = {key.method: self.study.outcome(key) for key in self._shown_keys()}
        failed = {name: outcome.error for name, outcome in outcomes.items() if outcome.error}
        # The maps are large: they are sent when one of them is new.
        known = (
            outcomes[changed.method].result if changed is not None and changed.method in outcomes else None
        )
        if known is None or not known.curves:
            self._draw_maps(failed)
        self.method_picker.notes = {
            name: outcome.error
            for name in self._methods
            if (outcome := self.study.outcome(self._key(name))).error
        }
        self.method_picker.looks = self._looks.take(name for name in outcomes if name != RANDOM)
        self._draw_curves(outcomes, failed)

    def _draw_curves(
        self, outcomes: Mapping[str, Outcome[DeletionResult]], failed: Mapping[str, str]
    ) -> None:
        rows = [*self._methods, RANDOM]
        fractions = np.linspace(0, 1, self.study.curve_steps + 1, dtype=np.float32)
        best = BestClasses.empty((len(rows), len(CURVES), len(fractions)), min(TOP, len(self.model.labels)))
        series, y, bands = [], [], []
        for name, outcome in outcomes.items():
            row = rows.index(name)
            curves = outcome.result.curves if outcome.result is not None else {}
            for at, metric in enumerate(CURVES if name not in failed else ()):
                entry = self._series(name, row, metric)
                band = np.full((2, len(fractions)), np.nan, dtype=np.float32)
                if curve := curves.get(metric):
                    # Those of the random order differ by less than a pixel.
                    fractions = fractions if name == RANDOM else curve.fractions.numpy()
                    best.take(row, at, curve)
                    entry |= self._facts(name, curve, outcome.warnings)
                    if curve.band is not None:
                        band = curve.band[:, 0].numpy()
                series.append(entry)
                bands.append(band)
                y.append(best.target_values[row, at].copy())
        # A failed method has a row in the legend, without a curve.
        for name, error in failed.items():
            title = self._title(name)
            series.append(
                {"label": f"{title}: {error}", "name": title, "warning": error, "frame": rows.index(name)}
            )
            y.append(np.full(len(fractions), np.nan, dtype=np.float32))
            bands.append(np.full((2, len(fractions)), np.nan, dtype=np.float32))
        # Hidden curves are given by row: with other rows the same curves stay hidden.
        hidden = {entry["label"] for row, entry in enumerate(self.curves.series) if row in self.curves.hidden}
        with self.curves.hold_sync():
            self.curves.series = series
            self.curves.hidden = [row for row, entry in enumerate(series) if entry["label"] in hidden]
            self.curves.x = fractions
            self.curves.y = np.stack(y) if y else np.zeros((0, len(fractions)), dtype=np.float32)
            self.curves.band = np.stack(bands, axis=1) if bands else None
        best.take_image(self._probabilities(), self.target)
        with self.scores.hold_sync():
            limits = self._limits(best.values, best.target_values)
            self.scores.target, self.scores.value_limits = self.target, limits
            self.scores.x = fractions
            self.scores.indices = best.indices.reshape(-1, *best.indices.shape[2:])
            self.scores.values = best.values.reshape(-1, *best.values.shape[2:])
            self.scores.target_values = best.target_values.reshape(-1, len(fractions))

    def _title(self, name: str) -> str:
        return RANDOM_TITLE if name == RANDOM else self._methods[name].title

    def _series(self, name: str, row: int, metric: str) -> dict[str, Any]:
        """Return the entry of a curve in the legend."""
        title = self._title(name)
        style = "dashed" if metric == "deletion" else "solid"
        look = {"color": RANDOM_COLOR} if name == RANDOM else {"look": self.method_picker.looks[name]}
        label = f"{title}, {metric}"
        # With a label from the start, the line below the table does not appear later.
        flip = {"flip_label": ""} if len(self.model.labels) > 1 else {}
        return {"label": label, "name": title, "frame": row, "mode": metric, "style": style, **flip, **look}

    def _facts(self, name: str, curve: Curve, warnings: Sequence[str]) -> dict[str, Any]:
        """Return the parts of the entry of a curve that are known from its values."""
        facts: dict[str, Any] = {}
        if not np.isnan(auc := curve.auc.item()):
            facts |= {"auc": auc, "note": f"AUC {auc:.3f}"}
            if warnings:
                facts["warning"] = "; ".join(warnings)
        # The mean of random orders has no predicted class.
        step = None if name == RANDOM else flip(curve, self._predicted())
        if step is not None:
            classes = curve.top_classes[0, :, 0]
            known = (classes[:step] >= 0).nonzero().flatten()
            before, after = (self.model.labels[int(classes[at])] for at in (known[-1], step))
            share = curve.fractions[step].item()
            facts |= {"flip": share, "flip_label": f"{before} → {after} at {100 * share:.1f} %"}
        return facts

    def _draw_maps(self, failed: Iterable[str]) -> None:
        methods = list(self._methods)
        results = {key.method: self.study.result(key) for key in self._shown_keys()}
        # Maps after the last chosen one are not sent, and the last row is the random order: a view shows its last row
        # for any later frame.
        chosen = [methods.index(name) for name in results if name != RANDOM]
        rows = [*methods[: max(chosen, default=-1) + 1], RANDOM]
        height, width = self._x.shape[2:]
        # In one array, each in the corner: a coarse map is enlarged where it is drawn.
        sizes = {name: result.saliency.shape for name, result in results.items() if result is not None}
        maps = np.full((len(rows), *np.max([(1, 1), *sizes.values()], axis=0)), np.nan, dtype=np.float32)
        # A rank that no fraction reaches: a method without a map deletes nothing.
        ranks = np.full((len(rows), height, width), height * width, dtype=np.int32)
        for name, result in results.items():
            if result is not None:
                own_height, own_width = result.saliency.shape
                maps[rows.index(name), :own_height, :own_width] = result.saliency
                ranks[rows.index(name)] = result.ranks
        warned = {key.method: " ".join(self.study.outcome(key).warnings) for key in self._shown_keys()}
        with self.heatmap.hold_sync():
            self.heatmap.labels = [self._title(name) for name in rows]
            self.heatmap.notes = [warned.get(name, "") for name in rows]
            self.heatmap.signs = ["auto" if name == RANDOM else self._methods[name].sign for name in rows]
            self.heatmap.sizes = [list(sizes.get(name, maps.shape[1:])) for name in rows]
            self.heatmap.maps = maps
        self.masked.ranks = ranks
        active = [methods.index(name) for name in results if name not in failed and name != RANDOM]
        if active and self.curves.frame not in [*active, len(methods)]:
            for part in (self.curves, self.heatmap, self.masked, self.scores):
                part.frame = active[0]
