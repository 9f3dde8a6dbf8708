"""Inverses of a network for one image, with sliders over lambda and depth."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import numpy as np
import torch
import torch.nn.functional as F
from ipywidgets import GridBox, Layout
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.core.model import ImageModel, Target
from xai_widgets.explorers.image_explorer import SearchExplorer
from xai_widgets.explorers.layout import column, display_menu, header, stage
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import TOP, dropdown, is_large
from xai_widgets.inverse import Inverted, LayerWise, SolverSettings
from xai_widgets.inverse.chain import Chain
from xai_widgets.inverse.layer_wise import Regularizer, check_lambda
from xai_widgets.methods.registry import MethodLike, methods_by_name
from xai_widgets.studies.inverse import InverseKey, InverseResult, InverseStudy
from xai_widgets.views import CurveView, HeatmapView, ScoresView, SliderView, link
from xai_widgets.views.static_repr import set_layout

#: lambda: finest where the inverse gets simple and keeps the class, and on to where a network may lose it.
LAMBDAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0, 1.5)
#: Those for large images, which take half of the time.
FEW_LAMBDAS = (0.0, 0.2, 0.4, 0.7, 1.5)

#: Settings of the solver for large images.
QUICK = SolverSettings(steps=50)

#: Methods of the source that need a few passes, for comparison.
METHODS = ("gradient_x_input", "integrated_gradients", "guided_backprop", "grad_cam")

#: Largest side of a map that is sent, in cells: there is one for each depth and lambda.
MAP_SIDE = 64


@dataclass(frozen=True)
class _Depth:
    """A position along the network: its name, the number of units inverted before it, and its size (h, w)."""

    name: str
    after: int
    size: tuple[int, ...]


class InverseExplorer(SearchExplorer):
    """Drag lambda and see which part of an image the inverse of a network keeps, and up to where it keeps the class.

    The layer-wise inverse x^ of a class (:func:`~xai_widgets.inverse.layer_wise`) is computed for all lambda at once,
    unit by unit from the output down; the slider then switches x^, its scores and its point in the plot without a
    kernel. The plot shows the probability of the class for x^ over the share of the image that x^ keeps, mean(alpha):
    a curve over lambda with its cursor at the chosen one, and points of the operation-wise inverse and of other
    methods, whose maps are scaled to [0, 1] and multiplied with the image (equation 5.13 of the source). A second
    slider over the units shows both inverses at the input of each, summed over channels; the maps are resized to the
    largest resolution of at most 64 cells a side. Units that did not converge are marked.

    A stopped computation keeps its complete parts: each inverse, and each method. An inverse that was stopped on its
    way starts at the output again, and is replaced once the new one has come farther.

    Parameters
    ----------
    model : ImageModel
        The network; it is never changed.
    image
        One image of any kind.
    target : int, str or callable, optional
        The class or a target (see :mod:`xai_widgets.targets`). Default: the predicted class.
    lam : sequence of float, optional
        lambda, at least 0, ascending. Default: (0, 0.1, ..., 0.7, 1, 1.5), and (0, 0.2, 0.4, 0.7, 1.5) for images of
        more than 128 x 128 pixels.
    regularizer : {"activation", "l1", "l2"}, default "activation"
        The first regularizer.
    methods : sequence, optional
        Methods to compare with: registered names, methods, or your own callables, with a title as
        ``(title, explain)``. Default: gradient x input, integrated gradients, guided backpropagation and Grad-CAM.
        May be empty.
    settings : SolverSettings, optional
        Settings of the solver. Default: ``SolverSettings()``, with ``steps=50`` for an image of more than 128 x 128
        pixels.
    batch_size : int, default 64
        Inverses, or images, at once.
    start : bool, default True
        Whether to compute at once; otherwise the button starts.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

    Attributes
    ----------
    target : int
        The class; assign an index to change it.
    slider : SliderView
        lambda; the star marks the largest one up to which the class is kept.
    depth : SliderView
        The units, from the image on.
    image_view, inverse_view, operation_view : HeatmapView
        x, and x^ of both inverses.
    layer_map, operation_map : HeatmapView
        Both inverses at the chosen depth.
    curves : CurveView
        Output reconstruction over input simplicity.
    scores : ScoresView
        The best classes of x^.
    regularizer_picker : SelectView
    display : DisplayMenu
        Opacity and colors of the images.
    class_picker : ClassPicker
    run_bar : RunBar
    result : InverseResult or None
        The result that is shown.

    Raises
    ------
    ValueError
        For an unknown class, regularizer or method, a network that cannot be inverted, with the reason, bad numbers,
        or a bad image.
    TypeError
        If ``model`` is not an ImageModel, or ``settings`` are not SolverSettings.

    Examples
    --------
    >>> InverseExplorer(model, "photo.jpg", lam=(0, 0.4, 0.7))  # doctest: +SKIP
    """

    question: ClassVar[str] = "What does the network keep of the image?"
    hint: ClassVar[str] = "Drag the slider of lambda."
    kernel_controls: ClassVar[tuple[str, ...]] = (*SearchExplorer.kernel_controls, "regularizer_picker")

    study: InverseStudy

    @closed_on_error
    def __init__(
        self,
        model: ImageModel,
        image: Any,
        *,
        target: Target = None,
        lam: Sequence[float] | None = None,
        regularizer: Regularizer = "activation",
        methods: Sequence[MethodLike] | None = None,
        settings: SolverSettings | None = None,
        batch_size: int = 64,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, image, target=target, **kwargs)
        methods = METHODS if methods is None else methods
        self._methods = {} if isinstance(methods, list | tuple) and not methods else methods_by_name(methods)
        if lam is None:
            lam = FEW_LAMBDAS if is_large(self._x) else LAMBDAS
        if settings is None and is_large(self._x):
            settings = QUICK
        self._lam, self._settings, self._batch_size = lam, settings, batch_size
        #: The result that is drawn already; its parts are not sent again.
        self._shown = InverseResult()
        self.study = self._make_study()
        # Bad arguments are refused here: this makes the run without a step of it.
        self._if_finite(lambda: self.study.run(InverseKey(self.target, regularizer)))
        self._count, self._depths = 0, [_Depth("image", 0, tuple(self._x.shape[2:]))]
        self._if_finite(self._find_depths)

        self.regularizer_picker = dropdown("Regularizer", get_args(Regularizer), regularizer)
        self.slider = SliderView(label="Weight λ", values=check_lambda(lam), frame=0)
        self.depth = SliderView(label="Depth", values=range(len(self._depths)))
        self.image_view, self.inverse_view, self.operation_view = (
            HeatmapView(width=0, controls=False, interpolation="pixelated", title=title, help=formula)
            for title, formula in (
                ("Image", "x"),
                ("Layer-wise inverse", "x̂ = α ⊙ x at the chosen λ, layer by layer"),
                ("Operation-wise inverse", "x̂ = α ⊙ x, operation by operation, without λ"),
            )
        )
        self.layer_map, self.operation_map = (
            HeatmapView(
                width=0,
                controls=False,
                interpolation="pixelated",
                colormap="inferno",
                title=title,
                help=f"x̂ of the {kind} inverse at the input of the chosen unit, summed over channels",
            )
            for title, kind in (
                ("Layer-wise, at the depth", "layer-wise"),
                ("Operation-wise, at the depth", "operation-wise"),
            )
        )
        self.curves = CurveView(
            x_label="share of the image that is kept",
            y_label=f"{self.model.value_name} of the class",
            height=144,
            title="Is the class kept, and by how little?",
        )
        self.scores = ScoresView(
            labels=self.model.labels,
            target=self.target,
            series=[{"label": "λ ="}],
            title="Best classes of the inverse",
        )
        self.display = display_menu(*self._image_views())
        self._draw_depth(self._shown, self._shown)
        self._link()
        self._compute_on_change((self.regularizer_picker, "value"))
        self._assemble(self._layout())
        if start:
            self.compute()

    def _image_views(self) -> tuple[HeatmapView, ...]:
        return (self.image_view, self.inverse_view, self.operation_view, self.layer_map, self.operation_map)

    def _link(self) -> None:
        link(
            (self.slider, "frame"),
            (self.inverse_view, "frame"),
            (self.layer_map, "frame"),
            (self.curves, "step"),
        )
        link((self.depth, "frame"), (self.layer_map, "group"), (self.operation_map, "group"))
        link((self.slider, "fraction"), (self.scores, "fraction"))
        for name in ("position", "viewport"):
            link(*((view, name) for view in self._image_views()))

    def _layout(self) -> list[Any]:
        set_layout(*self._image_views(), self.depth, width="auto", min_width="0", margin="0")
        # Both inverses stand in columns, with the depth of the lower ones beside them.
        views = [self.image_view, self.inverse_view, self.operation_view]
        views += [self.depth, self.layer_map, self.operation_map]
        grid = Layout(
            grid_template_columns="repeat(3, minmax(0, 1fr))", grid_gap="2px 12px", align_items="flex-end"
        )
        images = GridBox(views, layout=grid)
        # Keep one height before and after the first result.
        set_layout(self.curves, min_height="366px")
        set_layout(self.scores, min_height="168px")
        return [
            header(self.class_picker, self.regularizer_picker, self.display, self.run_bar),
            stage(
                column(self.slider, images, weight=1.5, width=360),
                column(self.curves, self.scores, width=240),
            ),
        ]

    def _take_image(self) -> None:
        super()._take_image()
        self._if_finite(self._find_depths)

    def _find_depths(self) -> None:
        """Find the depths of the network for the image."""
        chain = self.study.chain or Chain.of(self.model, self._x)
        self._count = len(chain.units)
        #: The spatial inputs of units, from the image on.
        self._depths = [
            _Depth(
                "image" if index == 0 else f"input of {unit.name}",
                self._count - 1 - index,
                tuple(x.shape[2:]),
            )
            for index, (unit, x) in enumerate(zip(chain.units, chain.inputs, strict=True))
            if x.ndim == 4 and x.shape[2] * x.shape[3] > 1
        ]

    def _show_image(self) -> None:
        for view in (self.image_view, self.layer_map, self.operation_map):
            view.image = self._display
        self.scores.reference = self._probabilities()

    def _make_study(self) -> InverseStudy:
        return InverseStudy(
            self.model,
            self._x,
            lam=self._lam,
            methods=self._methods.values(),
            settings=self._settings,
            batch_size=self._batch_size,
        )

    def _key(self) -> InverseKey:
        return InverseKey(self.target, self.regularizer_picker.value)

    def _message(self, key: InverseKey) -> str:
        result = self.study.result(key) or InverseResult()
        for title, inverse in (("layer-wise", result.layer_wise), ("operation-wise", result.operation_wise)):
            if inverse is not None and inverse.output is None:
                return f"{title}: unit {len(inverse.units) + 1} of {self._count}"
        return f"other methods: {len(result.points) + len(result.failed)} of {len(self._methods)}"

    def _failures(self) -> dict[str, str]:
        return dict(self.result.failed) if self.result is not None else {}

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw_result(self, key: InverseKey, result: InverseResult | None) -> None:
        result = InverseResult() if result is None else result
        before, self._shown = self._shown, result
        layers, operations = result.layer_wise, result.operation_wise
        if layers is not before.layer_wise:
            self._draw_maps(self.layer_map, layers)
            self._draw_inverse(key, layers)
        if operations is not before.operation_wise:
            self._draw_maps(self.operation_map, operations)
            reached = operations is not None and operations.output is not None
            self.operation_view.image = (
                self.model.to_rgb(operations.x[0, 0]) if operations and reached else None
            )
        self._draw_depth(before, result)
        self._draw_curves(result)
        self._draw_notes(result)

    def _draw_notes(self, result: InverseResult) -> None:
        """Show a sentence on the image of an inverse that shows nothing."""
        layers, operations = result.layer_wise, result.operation_wise
        reached = layers is not None and layers.output is not None
        same = (
            "The network is one unit for this decomposition: λ changes nothing." if self._count == 1 else ""
        )
        self.inverse_view.notes = [same or _if_black(x) for x in layers.x[0]] if layers and reached else []
        ended = operations is not None and operations.output is not None
        self.operation_view.notes = [_if_black(operations.x[0, 0])] if operations and ended else []

    def _draw_maps(self, view: HeatmapView, inverse: Inverted | None) -> None:
        """Draw a group for each depth, with a map for each lambda; missing cells are transparent."""
        with view.hold_sync():
            view.groups = len(self._depths)
            view.maps = None if inverse is None or not inverse.units else self._maps(inverse)

    def _maps(self, inverse: Inverted) -> Tensor:
        sizes = [depth.size for depth in self._depths if max(depth.size) <= MAP_SIDE]
        size = max(sizes, default=(MAP_SIDE, MAP_SIDE))
        nothing = inverse.image.new_full((inverse.units[0].x.shape[1], *size), torch.nan)
        maps = []
        for depth in self._depths:
            if depth.after >= len(inverse.units):
                maps.append(nothing)
                continue
            mode = "area" if max(depth.size) > max(size) else "nearest-exact"
            maps.append(F.interpolate(inverse.units[depth.after].map, size, mode=mode)[0])
        return torch.cat(maps)

    def _draw_inverse(self, key: InverseKey, layers: LayerWise | None) -> None:
        """Draw x^ and its scores."""
        if layers is None or layers.output is None:
            self.inverse_view.images = self.scores.x = None
            self.scores.values = self.scores.indices = self.scores.target_values = None
            return
        self.inverse_view.images = self.model.to_rgb(layers.x[0])
        probs = self.model.probabilities(layers.output[0])
        best = probs.topk(min(TOP, probs.shape[-1]), dim=-1)
        with self.scores.hold_sync():
            self.scores.target = key.target
            self.scores.value_limits = self._limits(best.values.cpu(), probs[:, key.target].cpu())
            self.scores.x = layers.lam
            self.scores.values, self.scores.indices = best.values[None], best.indices[None].int()
            self.scores.target_values = probs[None, :, key.target]

    def _draw_depth(self, before: InverseResult, result: InverseResult) -> None:
        """Show the depths that are reached; the slider follows them to the image unless the user moved it."""
        was, now = self._newest(before), self._newest(result)
        falling = {
            index
            for inverse in (result.layer_wise, result.operation_wise)
            for index, unit in enumerate(inverse.units if inverse else ())
            if not bool(unit.converged.all())
        }
        with self.depth.hold_sync():
            self.depth.labels = [
                depth.name + (" (not converged)" if depth.after in falling else "") for depth in self._depths
            ]
            self.depth.values = list(range(len(self._depths)))
            self.depth.ready = [now is not None and index >= now for index in range(len(self._depths))]
            if now is not None and (was is None or self.depth.frame == was):
                self.depth.frame = now

    def _newest(self, result: InverseResult) -> int | None:
        """Return the deepest depth reached by either inverse, None before the first."""
        done = max(
            len(inverse.units) if inverse else 0 for inverse in (result.layer_wise, result.operation_wise)
        )
        return next((index for index, depth in enumerate(self._depths) if depth.after < done), None)

    def _draw_curves(self, result: InverseResult) -> None:
        """Draw the curve over the mean of alpha, the points of other methods, and the last lambda with the class."""
        layers, operations = result.layer_wise, result.operation_wise
        if layers is None or layers.output is None:
            with self.curves.hold_sync():
                self.curves.x = self.curves.y = self.curves.steps = None
                self.curves.series, self.curves.marks = [], []
            self.slider.marked, self.slider.mark_label = -1, ""
            return
        points = [(point.title, point.mean_alpha, point.probability) for point in result.points]
        if operations is not None and operations.output is not None:
            kept, probability = operations.mean_alpha.item(), operations.probability.item()
            points.insert(0, ("operation-wise", kept, probability))
        stops = _distinct(layers.mean_alpha[0].cpu().numpy())
        positions = np.array([mean for _, mean, _ in points], dtype=np.float32)
        refused = [f"{title}: {reason}" for title, reason in result.failed]
        notes = {title: [words] for title, words in result.warnings}
        x = np.unique(np.concatenate([stops, positions]))
        # A failed method has a row in the legend, without a point.
        y = np.full((1 + len(points) + len(refused), len(x)), np.nan, dtype=np.float32)
        y[0, np.searchsorted(x, stops)] = layers.probability[0].cpu().numpy()
        for row, (mean, (_, _, probability)) in enumerate(zip(positions, points, strict=True), start=1):
            y[row, np.searchsorted(x, mean)] = probability
        # Plain numbers have no class that could be lost.
        kept_class = int(layers.reidentified[0].long().cumprod(0).sum()) if layers.has_probabilities else 0
        last = kept_class - 1
        label = "" if last < 0 else f"kept up to λ = {layers.lam[last].item():.4g}"
        with self.curves.hold_sync():
            self.curves.x, self.curves.y, self.curves.steps = x, y, stops
            self.curves.series = [
                {"label": "layer-wise, over λ", "note": ""},
                *(
                    {
                        "label": title,
                        "note": "; ".join([f"α {mean:.2f}, p {value:.2f}", *notes.get(title, [])]),
                    }
                    for title, mean, value in points
                ),
                *({"label": words, "note": ""} for words in refused),
            ]
            self.curves.marks = [] if last < 0 else [{"x": stops[last], "label": label}]
        with self.slider.hold_sync():
            self.slider.marked, self.slider.mark_label = last, label


def _if_black(x: Tensor) -> str:
    """Return a sentence for an inverse that keeps nothing, else an empty one."""
    return "" if bool((x != 0).any()) else "Black: it keeps nothing of the image."


def _distinct(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Separate equal values by the smallest step, so that each has its own position on an axis."""
    made = values.copy()
    order = np.argsort(made, kind="stable")
    for low, high in itertools.pairwise(order):
        if made[high] <= made[low]:
            made[high] = np.nextafter(made[low], np.float32(np.inf))
    return made
