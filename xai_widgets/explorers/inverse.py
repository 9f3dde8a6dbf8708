"""Inverses of a network for one image, with sliders over lambda and depth, and tabs of comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, get_args

import numpy as np
from ipywidgets import Box, GridBox, Layout
from numpy.typing import NDArray
from traitlets import Enum
from traitlets import link as link_in_python

from xai_widgets.core.model import ImageModel, Target
from xai_widgets.explorers.image_explorer import SearchExplorer
from xai_widgets.explorers.inverse_drawing import InverseDrawing
from xai_widgets.explorers.inverse_plots import Depth, find_depths
from xai_widgets.explorers.inverse_start import StartControls
from xai_widgets.explorers.inverse_tabs import InverseTabs
from xai_widgets.explorers.layout import column, display_menu, header, stage
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import dropdown, is_large, plain_images, scores_title, wide
from xai_widgets.inverse import SolverSettings
from xai_widgets.inverse.chain import Chain
from xai_widgets.inverse.interval import Empty
from xai_widgets.inverse.layer_wise import Regularizer, check_lambda
from xai_widgets.methods.registry import MethodLike, methods_by_name
from xai_widgets.studies.inverse import InverseKey, InverseResult, InverseStudy
from xai_widgets.views import CurveView, GalleryView, HeatmapView, ScoresView, SliderView, link
from xai_widgets.views.static_repr import set_layout

#: lambda: finest where the inverse gets simple and keeps the class, and on to where a network may lose it.
LAMBDAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0, 1.5)
#: Those for large images, which take half of the time.
FEW_LAMBDAS = (0.0, 0.4, 0.7, 1.0, 1.5)

#: Settings of the solver for large images.
QUICK = SolverSettings(steps=60)

#: Largest width of an image where there is nothing beside three of them.
LARGEST = "360px"

#: Methods of the source that need a few passes, for comparison.
METHODS = ("gradient_x_input", "integrated_gradients", "guided_backprop", "grad_cam")


class InverseExplorer(InverseDrawing, InverseTabs):
    """Drag lambda and see which part of an image the inverse of a network keeps, and up to where it keeps the class.

    The layer-wise inverse x^ of a class (:func:`~xai_widgets.inverse.layer_wise`) is computed for all lambda at once,
    unit by unit from the output down; the slider then switches x^, its scores and its point in the plot without a
    kernel. The plot shows the probability of the class for x^ over the share of the image that x^ keeps, mean(alpha):
    a curve over lambda with its cursor at the chosen one, the curve of uniform fading, the baseline, and points of the
    operation-wise inverse and of other methods, with x~ = m + alpha (x - m) (equation 5.13 of the source); a list shows
    all images x~. Pixels of which nothing is left have the color m, the mean color or black.

    The tab "At a depth" shows both inverses at the input of each unit, summed over channels and resized to the largest
    resolution of at most 64 cells a side. There a unit, a channel and a position can be chosen to be inverted in place
    of the class. Further tabs, computed when they are opened, show curves over many images, the three regularizers at
    equal alpha, the reproductions of other methods beside their originals, and feature patterns of a channel. Limits
    are noted on the images: units that did not converge, or a unit that spans most of the network.

    To compare two networks, show two explorers of one image and link their sliders: ``link((a.slider, "frame"),
    (b.slider, "frame"))``.

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
        lambda, at least 0, ascending. Default: (0, 0.1, ..., 0.7, 1, 1.5), and (0, 0.4, 0.7, 1, 1.5) for images of
        more than 128 x 128 pixels.
    regularizer : {"activation", "l1", "l2"}, default "activation"
        The first regularizer.
    empty : {"mean", "black"}, default "mean"
        The color of a pixel of which nothing is left: the mean color, which the network sees as zeros, or black.
    methods : sequence, optional
        Methods to compare with: registered names, methods, or your own callables, with a title as
        ``(title, explain)``. Default: gradient x input, integrated gradients, guided backpropagation and Grad-CAM.
        May be empty.
    images : optional
        Images of any kind, or a data set, for the tabs of curves over many images and of feature patterns.
    settings : SolverSettings, optional
        Settings of the solver. Default: ``SolverSettings()``, with ``steps=60`` for an image of more than 128 x 128
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
    empty : str
        The color of a pixel of which nothing is left; assign "mean" or "black" to change it.
    slider : SliderView
        lambda; the star marks the largest one up to which the class is kept.
    depth : SliderView
        The units, from the image on.
    image_view, inverse_view, operation_view : HeatmapView
        x, and x^ of both inverses.
    layer_map, operation_map : HeatmapView
        Both inverses at the chosen depth.
    start_picker, channel_picker : SelectView
        The class, or the unit and channel that are inverted in place of it.
    start_map : HeatmapView
        The activation there; a click chooses a position, and Escape all positions.
    curves : CurveView
        Output reconstruction over input simplicity.
    gallery : GalleryView
        The images x~ of all methods.
    scores : ScoresView
        The best classes of x^.
    regularizer_picker, empty_picker : SelectView
    display : DisplayMenu
        Opacity and colors of the images.
    tabs : ipywidgets.Tab
        The tabs.
    images
        The images of the tabs about many images; None for none.
    parts : dict of str to Explorer
        The tabs that were opened: "images", "regularizers", "settings" and "patterns", each with a run bar.
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
    kernel_controls: ClassVar[tuple[str, ...]] = (
        *SearchExplorer.kernel_controls,
        *("regularizer_picker", "empty_picker", "start_picker", "channel_picker"),
    )
    kernel_views: ClassVar[tuple[str, ...]] = ("start_map",)

    study: InverseStudy
    empty = Enum(get_args(Empty), "mean", help="The color of a pixel of which nothing is left.")

    @closed_on_error
    def __init__(
        self,
        model: ImageModel,
        image: Any,
        *,
        target: Target = None,
        lam: Sequence[float] | None = None,
        regularizer: Regularizer = "activation",
        empty: Empty = "mean",
        methods: Sequence[MethodLike] | None = None,
        images: Any = None,
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
        self.images = plain_images(images)
        #: The result that is drawn already; its parts are not sent again.
        self._shown = InverseResult()
        self.parts = {}
        self.study = self._make_study()
        # Bad arguments are refused here: this makes the run without a step of it.
        self._if_finite(lambda: self.study.run(InverseKey(self.target, regularizer, empty)))
        self._count, self._depths = 0, [Depth("image", 0, tuple(self._x.shape[2:]))]
        self._start = StartControls()
        self.start_picker, self.channel_picker = self._start.unit, self._start.channel
        self.start_map = self._start.map
        self._if_finite(self._find_depths)
        self.regularizer_picker = dropdown("Regularizer", get_args(Regularizer), regularizer)
        self.empty_picker = dropdown("Nothing looks like", get_args(Empty), empty, {"mean": "the mean color"})
        self._make_views(check_lambda(lam))
        self.empty = empty
        link_in_python((self, "empty"), (self.empty_picker, "value"))
        self._draw_depth(self._shown, self._shown)
        self._link()
        self._compute_on_change((self.regularizer_picker, "value"), (self, "empty"))
        for part, trait in self._start.parts():
            part.observe(lambda _change: self._on_start(), trait)
        self._assemble(self._layout())
        if start:
            self.compute()

    def _make_views(self, lam: Sequence[float]) -> None:
        self.slider, self.weight = (SliderView(label="Weight λ", values=lam, frame=0) for _ in range(2))
        self.depth = SliderView(label="Depth", values=range(len(self._depths)))
        self.image_view, self.inverse_view, self.operation_view = (
            HeatmapView(width=0, controls=False, interpolation="pixelated", title=title, help=formula)
            for title, formula in (
                ("Image", "x"),
                ("Layer-wise inverse", "x̂ = m + α ⊙ (x − m) at the chosen λ, layer by layer"),
                ("Operation-wise inverse", "x̂ = m + α ⊙ (x − m), operation by operation, without λ"),
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
                ("Layer-wise", "layer-wise"),
                ("Operation-wise", "operation-wise"),
            )
        )
        self.curves = CurveView(
            x_label="share of the image that is kept",
            y_label=f"{self.model.value_name} of the class",
            height=170,
            legend=False,
            title="Is the class kept, and by how little?",
        )
        self.gallery = GalleryView(title="What each of them keeps", columns=2, size=76)
        self.scores = ScoresView(
            labels=self.model.labels,
            target=self.target,
            series=[{"label": "λ ="}],
            title=scores_title(self.model, "of the inverse"),
        )
        self.display = display_menu(*self._image_views())

    def _image_views(self) -> tuple[HeatmapView, ...]:
        return (self.image_view, self.inverse_view, self.operation_view, self.layer_map, self.operation_map)

    def _link(self) -> None:
        sliders = ((self.slider, "frame"), (self.weight, "frame"))
        link(*sliders, (self.inverse_view, "frame"), (self.layer_map, "frame"), (self.curves, "step"))
        link((self.depth, "frame"), (self.layer_map, "group"), (self.operation_map, "group"))
        link((self.slider, "fraction"), (self.scores, "fraction"))
        link((self.curves, "frame"), (self.gallery, "frame"))
        for name in ("position", "viewport"):
            link(*((view, name) for view in self._image_views()))

    def _layout(self) -> list[Any]:
        set_layout(*self._image_views(), self.start_map, width="auto", min_width="0", margin="0")
        # Keep one height before and after the first result.
        set_layout(self.scores, min_height="168px")
        set_layout(self.gallery, min_height="176px")
        set_layout(self.curves, min_height="240px")
        inverse = stage(
            column(
                self.slider,
                _row(self.image_view, self.inverse_view, self.operation_view),
                self.gallery,
                weight=1.5,
                width=360,
            ),
            column(self.run_bar, self.curves, self.scores, width=240),
        )
        depth = Box(
            [
                header(self.start_picker, self.channel_picker),
                stage((self.weight, 1), (self.depth, 1)),
                _row(self.start_map, self.layer_map, self.operation_map, align="flex-start", largest=LARGEST),
            ],
            layout=wide(),
        )
        set_layout(depth, flex_flow="column", grid_gap="8px")
        own = {"inverse": inverse, "depth": depth}
        self._make_tabs(own)
        controls = header(self.class_picker, self.regularizer_picker, self.empty_picker, self.display)
        return [controls, self.tabs]

    # -- the choices ----------------------------------------------------------------------------------------

    def _take_image(self) -> None:
        super()._take_image()
        self._if_finite(self._find_depths)
        for part in self.parts.values():
            part.take_image()

    def _find_depths(self) -> None:
        """Find the depths of the network for the image."""
        chain = self.study.chain or Chain.of(self.model, self._x)
        self._count, self._depths = len(chain.units), find_depths(chain)
        self._start.take(chain)

    @property
    def display_pixels(self) -> NDArray[np.uint8]:
        """The image in its own resolution, (H, W, 3)."""
        return self._display

    def _show_image(self) -> None:
        for view in (self.image_view, self.layer_map, self.operation_map, self.start_map):
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
        return InverseKey(self.target, self.regularizer_picker.value, self.empty, self._start.value())

    def _on_start(self) -> None:
        # A click on the image chooses nothing while the class is inverted.
        if self._asked != (self.study, self._keys()):
            self.compute()

    def _message(self, key: InverseKey) -> str:
        result = self.study.result(key) or InverseResult()
        for title, inverse in (("layer-wise", result.layer_wise), ("operation-wise", result.operation_wise)):
            if inverse is not None and inverse.output is None:
                return f"{title}: unit {len(inverse.units) + 1} of {self._count - self._skipped()}"
        return f"other methods: {len(result.points) + len(result.failed)} of {len(self._methods)}"

    def _failures(self) -> dict[str, str]:
        return dict(self.result.failed) if self.result is not None else {}


def _row(*views: Any, align: str = "flex-end", largest: str = "1fr") -> GridBox:
    """Return images side by side; aligned at the bottom, a title of two lines moves none of them."""
    return GridBox(
        list(views),
        layout=Layout(
            grid_template_columns=f"repeat({len(views)}, minmax(0, {largest}))",
            grid_gap="2px 12px",
            align_items=align,
        ),
    )
