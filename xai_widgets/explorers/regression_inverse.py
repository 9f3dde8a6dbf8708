"""Inverses of a super-resolution network, with a slider over lambda."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ipywidgets import HTML, GridBox, Layout, Tab
from torch import Tensor, nn

from xai_widgets.core.display import single_images
from xai_widgets.explorers.explorer import Explorer
from xai_widgets.explorers.layout import column, display_menu, header, stage
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import caption, dropdown, image_names
from xai_widgets.explorers.regression_views import (
    AS_GIVEN,
    COLORED,
    GIVEN,
    ORDER,
    READINGS,
    WHOLE,
    box_around,
    box_dropdown,
    distinct_names,
    draw_distances,
    draw_spectra,
    facts_html,
    image_view,
    masked,
    mean_distances,
    scale_dropdown,
    show,
    show_colored,
    table_html,
)
from xai_widgets.explorers.state import DERIVED
from xai_widgets.inverse import LayerWise, Reconstruction, SolverSettings
from xai_widgets.inverse.layer_wise import Regularizer, check_lambda
from xai_widgets.inverse.start import Box
from xai_widgets.studies.regression import (
    Pair,
    RegressionInverseStudy,
    RegressionKey,
    RegressionResult,
    Returns,
    check_box,
)
from xai_widgets.views import CurveView, RunBar, SliderView, link
from xai_widgets.views.static_repr import set_layout

#: From 0 to the lambda at which the bundled network keeps about half of the image; the published figures end at 0.4.
LAMBDAS = (0.0, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
#: The lambda of the source, at which the slider begins.
FIRST = 0.15
#: Width below which fewer than four images are in a row, and above which they do not grow, CSS px.
NARROW, WIDE = 110, 800


class RegressionInverseExplorer(Explorer):
    """Drag lambda and see which pixels a super-resolution network needs for the details that it adds.

    The residual Phi(x) is inverted for all lambda at once (:func:`~xai_widgets.inverse.layer_wise`). The slider
    switches every image without a kernel. Plots show the distances between original and inverse over lambda, and the
    power spectra of the patches on which the inverse is focused and of the others (figure 5.13); a table has the mean
    distances over all images (table 5.3). Images in color have the chrominance of the input, as the network takes
    luminance; the opacity of the display menu covers it by the luminance.

    The network may return the residual or the image x + Phi(x); a line below the views reports which. A box inverts a
    part of the output: the pixels that the network needs for the details in it, and for none outside of it.

    Parameters
    ----------
    network : nn.Module
        From luminance (N, 1, H, W) in [0, 1] to the residual, such as ``xw.load("scenes_sr")``, or to the image; it is
        never changed.
    image
        One image of any kind, or a list of them, which are inverted one after the other.
    scale : {2, 3, 4}, optional
        Use the image as the ground truth, and scale it down and up again by this factor. Default: the image is
        enlarged already.
    truth : optional
        The image at high resolution, of the same size. Default: with ``scale`` the image, else unknown.
    box : (int, int, int, int), optional
        Top, left, height and width of the part of the output to invert, in pixels. Default: all of it.
    size : int, default 128
        Side of the center of the image to use, in pixels.
    lam : sequence of float, optional
        lambda, ascending.
    regularizer : {"activation", "l1", "l2"}, default "activation"
        R of the units.
    returns : {"residual", "image"}, optional
        Kind of the output. Default: "image" if the network adds its input to the output of its last unit, or if its
        output is nearer to the image than to 0.
    names : sequence of str, optional
        Names of the images.
    settings : SolverSettings, optional
        Settings of the solver.
    batch_size : int, default 8
        Values of lambda to solve at once.
    start : bool, default True
        Whether to compute at once; otherwise the button starts.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

    Attributes
    ----------
    slider : SliderView
        lambda; it begins at the value nearest to 0.15, as in the source.
    image_picker, scale_picker, box_picker : SelectView
        The image that is shown, its scale, and the part of the output: all, or a box around the marked position.
    images : dict of str to HeatmapView
        "x", "x^", "alpha", "residual", "residual of x^", "result", "result of x^", and "truth".
    similarity, mse, psnr : CurveView
        SSIM, MSE in thousandths, and PSNR in dB of the pairs d_A ... d_E over lambda, and with SSIM the share of x that
        is kept, mean(alpha). d_D and d_E need the truth, d_C has the MSE and PSNR of d_B, and equal pairs have no PSNR.
        With a box, they compare the pixels inside it.
    spectrum : CurveView
        Power of the focused, the other and all patches in dB, for 64 frequencies in zigzag order.
    focus_picker : SelectView
        Whether a patch is focused if its mean alpha, or its share of the light that is kept, is above the mean.
    table : ipywidgets.HTML
        Means of the distances over the images at the chosen lambda; see :meth:`means`. Plots and table are ``tabs``.
    facts : ipywidgets.HTML
        What the network returns, and the limits of the inverse.
    display : DisplayMenu
        Opacity of the luminance over the colors, smoothing and interpolation of the images.
    run_bar : RunBar
    result : LayerWise or None
        The inverse that is shown.
    reconstruction : Reconstruction or None
        The five distances, one row for each lambda; those to the truth are meaningless if it is unknown.

    Raises
    ------
    ValueError
        For an unknown scale, a truth of another size or of several images, a box outside of the image, a bad lambda, or
        a network that cannot be inverted or returns another size, with the reason.
    TypeError
        If ``network`` is not a torch module.

    Examples
    --------
    >>> RegressionInverseExplorer(xw.load("scenes_sr"), "photo.jpg", scale=2)  # doctest: +SKIP
    """

    question: ClassVar[str] = "What does the network keep of its input?"
    hint: ClassVar[str] = "Drag the slider of lambda."
    kernel_controls: ClassVar[tuple[str, ...]] = ("run_bar", "image_picker", "scale_picker", "box_picker")
    derived: ClassVar[tuple[str, ...]] = (*DERIVED, "table", "facts")

    study: RegressionInverseStudy
    result: LayerWise | None = None
    reconstruction: Reconstruction | None = None

    @closed_on_error
    def __init__(
        self,
        network: nn.Module,
        image: Any,
        *,
        scale: int | None = None,
        truth: Any = None,
        box: Box | None = None,
        size: int = 128,
        lam: Sequence[float] = LAMBDAS,
        regularizer: Regularizer = "activation",
        returns: Returns | None = None,
        names: Sequence[str] | None = None,
        settings: SolverSettings | None = None,
        batch_size: int = 8,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        self._start_worker()
        if not isinstance(network, nn.Module):
            raise TypeError(f"expected network to be a torch module, got {type(network).__name__}")
        if scale is not None and truth is not None:
            raise ValueError("expected scale or truth, got both")
        self.network, self._images, self._truth = network, list(single_images(image)), truth
        if not self._images:
            raise ValueError("expected at least one image, got none")
        if truth is not None and len(self._images) > 1:
            raise ValueError(f"expected one image with a truth, got {len(self._images)}; pass `scale`")
        self._names = distinct_names(image_names(self._images, names))
        self._lam, self._regularizer = check_lambda(lam), regularizer
        self._options: dict[str, Any] = {
            "size": size,
            "returns": returns,
            "settings": settings,
            "batch_size": batch_size,
        }
        self.study = self._make_study()
        # Bad arguments are refused here: this makes the run without a step of it.
        self.study.run(RegressionKey(0, scale, None, regularizer))
        self._given_box = check_box(box, self.study.pair(0, scale).x.shape[2:])
        self._position: Any = None
        super().__init__(**kwargs)
        self._make_controls(scale)
        self._make_views()
        if start:
            self.compute()

    def _make_study(self) -> RegressionInverseStudy:
        return RegressionInverseStudy(
            self.network, self._images, truth=self._truth, lam=self._lam, **self._options
        )

    @property
    def image(self) -> Tensor:
        """The input of the network, (1, 1, H, W) in [0, 1]; assign an image of any kind to replace it."""
        return self._pair().x

    @image.setter
    def image(self, image: Any) -> None:
        if not self._opens():
            raise ValueError("expected an explorer without truth to replace its image; make another explorer")
        before, self._images = self._images, [*self._images]
        self._images[self.image_picker.index] = image
        study = self._make_study()
        try:
            study.run(RegressionKey(self.image_picker.index, self._scale(), None, self._regularizer))
        except Exception:
            self._images = before
            raise
        # First: a run about the old image must not draw on the new one.
        self.abandon()
        self._replace_argument("image", image if len(before) == 1 else self._images)
        self.study = study
        self._clear()
        self._show_inputs()
        self.compute()

    def _opens(self) -> bool:
        # A truth that was given is that of the first image.
        return self._truth is None

    # -- controls and views ---------------------------------------------------------------------------------

    def _make_controls(self, scale: int | None) -> None:
        self.run_bar = RunBar(label="Run")
        begin = min(range(len(self._lam)), key=lambda index: abs(self._lam[index] - FIRST))
        labels = [f"{lam:g}" for lam in self._lam]
        self.slider = SliderView(label="Weight λ", values=self._lam, labels=labels, frame=begin)
        self.image_picker = dropdown("Image", self._names, self._names[0])
        self.scale_picker = scale_dropdown(scale)
        side = min(self.study.pair(0, scale).x.shape[2:])
        self.box_picker = box_dropdown(side, given=self._given_box is not None)
        self.focus_picker = dropdown("Focused by", READINGS, "alpha", READINGS)
        self.focus_picker.help = "A patch is focused if this is above the mean over all patches"
        self.table, self.facts = HTML(), caption()
        self.facts.layout.display = None
        for picker, many in (
            (self.image_picker, len(self._images) > 1),
            (self.scale_picker, self._truth is None),
        ):
            picker.layout.display = None if many else "none"

    def _make_views(self) -> None:
        self.images = {name: image_view(name) for name in ORDER}
        self.similarity, self.mse, self.psnr = (
            CurveView(x_label="λ", height=150, title=title) for title in ("SSIM", "MSE, 10⁻³", "PSNR, dB")
        )
        self.spectrum = CurveView(
            x_label="frequency, in zigzag order",
            height=190,
            title="Power of 8 × 8 patches, dB",
            mode="alpha",
            only_active=True,
        )
        views = list(self.images.values())
        self.display = display_menu(*views, settings=("smoothing", "interpolation"))
        colored = [(self.images[name], "opacity") for name in COLORED]
        self.images["x"].opacity = float(self._pair().color.shape[1] == 1)
        link(*colored, (self.display, "opacity"))
        self.display.shown = ["opacity", "smoothing", "interpolation"]
        self.display.help = "Opacity of the luminance over the colors, and other settings of the images"
        curves = (self.similarity, self.mse, self.psnr)
        link(
            (self.slider, "frame"),
            *((view, "frame") for view in (*views, self.spectrum)),
            *((view, "step") for view in curves),
        )
        link((self.focus_picker, "value"), (self.spectrum, "mode"))
        for name in ("position", "viewport"):
            link(*((view, name) for view in views))
        link(*((view, "frame") for view in curves))
        self._assemble(self._layout())
        self._clear()
        self._show_inputs()
        self.slider.observe(lambda _change: self._draw_table(), "frame")
        for view in views:
            view.observe(lambda change: self._move_box(change["new"]), "position")
        pickers = self.image_picker, self.scale_picker, self.box_picker
        self._compute_on_change(*((picker, "value") for picker in pickers))

    def _layout(self) -> list[Any]:
        views = list(self.images.values())
        set_layout(*views, width="auto", min_width="0", margin="0")
        # In pairs: an inverse is beside its image.
        columns = f"repeat(auto-fit, minmax(max({NARROW}px, 25%), 1fr))"
        grid = Layout(
            grid_template_columns=columns, grid_gap="0", align_items="flex-end", max_width=f"{WIDE}px"
        )
        # The same height before and after the first result.
        set_layout(self.similarity, min_height="345px")
        set_layout(self.mse, self.psnr, self.spectrum, min_height="300px")
        spectrum = column(self.focus_picker, self.spectrum, width=200)
        set_layout(self.focus_picker, flex="0 0 auto")
        self.tabs = Tab(children=[self.similarity, self.mse, self.psnr, spectrum, self.table])
        for number, title in enumerate(("SSIM", "MSE", "PSNR", "Spectrum", "Table")):
            self.tabs.set_title(number, title)
        pickers = (self.image_picker, self.scale_picker, self.box_picker)
        controls = header(self.slider, *pickers, self.display, self.run_bar)
        set_layout(self.slider, flex="3 1 240px")
        images = column(GridBox(views, layout=grid), weight=3, width=440)
        set_layout(images, max_width=f"{WIDE}px")
        return [controls, stage(images, column(self.tabs, weight=2, width=260)), self.facts]

    def _move_box(self, position: Any) -> None:
        """Invert the box around another position, if one is inverted."""
        if position is not None and position != self._position:
            self._position = position
            if self.box_picker.value not in (WHOLE, GIVEN):
                self.compute()

    # -- the computation ------------------------------------------------------------------------------------

    def _scale(self) -> int | None:
        return None if self.scale_picker.value == AS_GIVEN else int(self.scale_picker.value)

    def _box(self) -> Box | None:
        chosen, size = self.box_picker.value, self._pair().x.shape[2:]
        if chosen == GIVEN:
            return check_box(self._given_box, size)
        return None if chosen == WHOLE else box_around(self._position, int(chosen), size)

    def _pair(self) -> Pair:
        return self.study.pair(self.image_picker.index, self._scale())

    def _key(self) -> RegressionKey:
        return RegressionKey(self.image_picker.index, self._scale(), self._box(), self._regularizer)

    def _keys(self) -> list[RegressionKey]:
        """Return the key of the shown image, and without a box those of the others, for the table."""
        shown = self._key()
        others = range(len(self._images)) if shown.box is None else ()
        return [shown, *(shown._replace(image=image) for image in others if image != shown.image)]

    def _message(self, key: RegressionKey) -> str:
        result = self.study.result(key)
        if result is None or result.reconstruction is not None:
            return self.study.title(key)
        text = f"{len(result.inverse.units)} of {result.units} units"
        return ": ".join(filter(None, (self.study.title(key), text)))

    def means(self) -> dict[str, dict[str, float]]:
        """Return table 5.3 at the chosen lambda: the means over the images that are computed.

        Returns
        -------
        dict
            "A" ... "E", each with "mse", "psnr" and "ssim"; those with the truth are meaningless if it is unknown.
            Empty before the first result.
        """
        results = [result for _, result in self._complete()]
        return mean_distances(results, self.slider.frame) if results else {}

    def _complete(self) -> list[tuple[Pair, RegressionResult]]:
        """Return the complete results of the chosen scale and box, with their images."""
        found = [(key, self.study.result(key)) for key in sorted(self._keys())]
        complete = [(key, one) for key, one in found if one is not None and one.reconstruction is not None]
        return [(self.study.pair(key.image, key.scale), one) for key, one in complete]

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw(self, changed: RegressionKey | None = None) -> None:
        key = self._key()
        if changed is None:
            self._clear()
            self._show_inputs()
        result = self.study.result(key)
        self.facts.value = facts_html(self.study, result)
        if result is None:
            return
        if self.images["residual"].maps is None:
            self._draw_residual(key, result.residual)
        if result.reconstruction is not None and result.reconstruction is not self.reconstruction:
            self._draw_result(key, result)
        outcome = None if changed is None else self.study.outcome(changed)
        if changed is None or (outcome is not None and outcome.complete):
            self._draw_all_images()

    def _show_inputs(self) -> None:
        pair = self._pair()
        show_colored(self.images["x"], pair.x, pair.color)
        truth = self.images["truth"]
        if pair.truth is None or pair.true_color is None:
            truth.maps, truth.images, truth.veil = None, None, "not known: choose a scale"
        else:
            truth.veil = ""
            show_colored(truth, pair.truth, pair.true_color)

    def _clear(self) -> None:
        """Clear all views but the image and the truth."""
        self.result = self.reconstruction = None
        for name, view in self.images.items():
            if name not in ("x", "truth"):
                view.maps, view.images, view.notes = None, None, []
        for curves in (self.similarity, self.mse, self.psnr, self.spectrum):
            with curves.hold_sync():
                curves.x = curves.y = curves.steps = None
                curves.series = []
        self._draw_table()

    def _draw_residual(self, key: RegressionKey, residual: Tensor) -> None:
        """Draw the images that need no inverse."""
        pair, shown = self._pair(), masked(residual, key.box)
        limit = max(float(shown[shown.isfinite()].abs().max()), 1e-6)
        for name in ("residual", "residual of x^"):
            self.images[name].limit = limit
        show(self.images["residual"], shown)
        show_colored(self.images["result"], pair.x + residual, pair.color)

    def _draw_result(self, key: RegressionKey, result: RegressionResult) -> None:
        found, inverse, pair = result.reconstruction, result.inverse, self._pair()
        assert found is not None
        self.result, self.reconstruction = inverse, found
        show_colored(self.images["x^"], inverse.x[0], pair.color)
        self.images["x^"].notes = [
            "" if bool((x != 0).any()) else "Black: nothing of the image is kept." for x in inverse.x[0]
        ]
        show(self.images["alpha"], inverse.alpha[0][:, None])
        show(self.images["residual of x^"], masked(found.residual_of_inverse, key.box))
        show_colored(self.images["result of x^"], pair.x + found.residual_of_inverse, pair.color)
        views = {"ssim": self.similarity, "mse": self.mse, "psnr": self.psnr}
        draw_distances(views, self._lam, result, known=pair.truth is not None)

    def _draw_all_images(self) -> None:
        """Draw the spectra and the table of all images that are computed."""
        if complete := self._complete():
            draw_spectra(self.spectrum, self._lam, complete)
        self._draw_table()

    def _draw_table(self) -> None:
        self.table.value = table_html(
            self._complete(), self._lam, self.slider.frame, inside=self._box() is not None
        )
