"""Inverses of a super-resolution network, with a slider over lambda."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from ipywidgets import GridBox, Layout
from torch import Tensor, nn

from xai_widgets.core.images import to_images
from xai_widgets.data.low_resolution import blurred_pair
from xai_widgets.explorers.explorer import Explorer
from xai_widgets.explorers.layout import column, display_menu, header, stage
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.inverse import LayerWise, SolverSettings
from xai_widgets.inverse.evaluation import DISTANCES, Reconstruction
from xai_widgets.inverse.frequency import bands, kept_brightness, spectra
from xai_widgets.inverse.layer_wise import Regularizer, check_lambda
from xai_widgets.ops.color import luminance
from xai_widgets.studies.inverse import RegressionInverseStudy
from xai_widgets.views import CurveView, HeatmapView, RunBar, SliderView, link
from xai_widgets.views.static_repr import set_layout

#: From 0 to the lambda at which the bundled network keeps about half of the image; the published figures end at 0.4.
LAMBDAS = (0.0, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)

#: Width below which fewer than four images are in a row, CSS px.
NARROW = 110
#: Titles of the images.
TITLES = {
    "x": "Image x",
    "x^": "Inverse x̂ at λ",
    "alpha": "Kept: α = x̂ / x",
    "residual": "Residual Φ(x)",
    "residual of x^": "Residual Φ(x̂)",
    "result": "Result x + Φ(x)",
    "result of x^": "Result x + Φ(x̂)",
    "truth": "Truth g",
}
#: The images in rows of four, each beside that of the inverse: input and result, then residual; no bars in the first.
ORDER = ("x", "x^", "result", "result of x^", "residual", "residual of x^", "alpha", "truth")
#: The pairs of table 5.2; those with the truth come last.
PAIRS = ("x, x̂", "Φ(x), Φ(x̂)", "x + Φ(x), x + Φ(x̂)", "x + Φ(x), g", "x + Φ(x̂), g")


class RegressionInverseExplorer(Explorer):
    """Drag lambda and see which pixels a super-resolution network needs for the details that it adds.

    The residual Phi(x) is inverted for all lambda at once (:func:`~xai_widgets.inverse.layer_wise`). The slider
    switches every image without a kernel, and a position that is marked in one image is marked in all. Two plots show
    the distances between original and inverse over lambda, with the values at the chosen lambda in their legends; a
    third one shows the frequencies that are stronger in the focused patches.

    Parameters
    ----------
    network : nn.Module
        From luminance (N, 1, H, W) in [0, 1] to the residual, such as ``xw.load("scenes_sr")``; it is never changed.
    image
        One image of any kind; its luminance is used.
    scale : {2, 3, 4}, optional
        Use the image as the ground truth, and scale it down and up again by this factor. Default: the image is
        enlarged already.
    truth : optional
        The image at high resolution, of the same size. Default: with ``scale`` the image, else unknown.
    size : int, default 128
        Side of the center of the image to use, in pixels.
    lam : sequence of float, optional
        lambda, ascending.
    regularizer : {"activation", "l1", "l2"}, default "activation"
        R of the units.
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
        lambda.
    images : dict of str to HeatmapView
        "x", "x^", "alpha", "residual", "residual of x^", "result", "result of x^", and "truth" if it is known.
    similarity : CurveView
        The share of x that is kept, mean(alpha), and the structural similarity of the pairs d_A ... d_E, over lambda;
        d_D and d_E need the truth.
    psnr : CurveView
        PSNR of the same pairs in dB; d_C has that of d_B. Equal pairs have none.
    spectrum : CurveView
        Power of the focused over that of the other patches, in dB, by frequency; a curve for each lambda. Focused
        patches keep more of their light than the mean.
    display : DisplayMenu
        Smoothing and interpolation of the images.
    run_bar : RunBar
    result : LayerWise or None
        The inverse that is shown.
    reconstruction : Reconstruction or None
        The five distances, one row for each lambda; those to the truth are meaningless if it is unknown.

    Raises
    ------
    ValueError
        For several images, an unknown scale, a truth of another size, a bad lambda, or a network that is not a chain
        of units, with the reason.
    TypeError
        If ``network`` is not a torch module.

    Examples
    --------
    >>> RegressionInverseExplorer(xw.load("scenes_sr"), "photo.jpg", scale=2)  # doctest: +SKIP
    """

    question: ClassVar[str] = "What does the network keep of its input?"
    hint: ClassVar[str] = "Drag the slider of lambda."

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
        size: int = 128,
        lam: Sequence[float] = LAMBDAS,
        regularizer: Regularizer = "activation",
        settings: SolverSettings | None = None,
        batch_size: int = 8,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        self._start_worker()
        self._size, self._scale = size, scale
        self._settings, self._batch_size = settings, batch_size
        if not isinstance(network, nn.Module):
            raise TypeError(f"expected network to be a torch module, got {type(network).__name__}")
        if scale is not None and truth is not None:
            raise ValueError("expected scale or truth, got both")
        x, known = self._pair(image)
        if truth is not None:
            known = _luminance(truth, size, "truth")
        if known is not None and known.shape != x.shape:
            raise ValueError(
                f"expected a truth of {x.shape[2]} x {x.shape[3]} pixels, as the image, got {known.shape[2]} x "
                f"{known.shape[3]}"
            )
        self.network, self._x, self._truth = network, x, known
        self._lam, self._regularizer = check_lambda(lam), regularizer
        self.study = self._make_study()
        # Bad arguments are refused here: this makes the run without a step of it.
        self.study.run(regularizer)
        super().__init__(**kwargs)
        self._make_views()
        if start:
            self.compute()

    def _pair(self, image: Any) -> tuple[Tensor, Tensor | None]:
        """Return the input of the network for an image, and the truth if it is known."""
        x = _luminance(image, self._size, "image")
        return (x, None) if self._scale is None else blurred_pair(x, self._scale)

    def _make_study(self) -> RegressionInverseStudy:
        return RegressionInverseStudy(
            self.network,
            self._x,
            truth=self._truth,
            lam=self._lam,
            settings=self._settings,
            batch_size=self._batch_size,
        )

    @property
    def image(self) -> Tensor:
        """The input of the network, (1, 1, H, W) in [0, 1]; assign an image of any kind to replace it."""
        return self._x

    @image.setter
    def image(self, image: Any) -> None:
        if not self._opens():
            raise ValueError("expected an explorer without truth to replace its image; make another explorer")
        x, truth = self._pair(image)
        # First: a run about the old image must not draw on the new one.
        self.abandon()
        self._x, self._truth = x, truth
        self._replace_argument("image", image)
        self.study = self._make_study()
        self._show_inputs()
        self.compute()

    def _opens(self) -> bool:
        # A truth that was given is that of the first image only.
        return self._truth is None or self._scale is not None

    def _make_views(self) -> None:
        self.run_bar = RunBar(label="Run")
        self.slider = SliderView(
            label="Weight λ",
            values=self._lam,
            labels=[f"{lam:g}" for lam in self._lam],
            frame=len(self._lam) // 2,
        )
        names = [name for name in ORDER if name != "truth" or self._truth is not None]
        self.images = {name: _image_view(name) for name in names}
        self.similarity, self.psnr = (
            CurveView(x_label="λ", height=height, title=title)
            for title, height in (("SSIM", 84), ("PSNR, dB", 90))
        )
        self.spectrum = CurveView(height=80, title="Spectrum from coarse to fine: focused over others, dB")
        self.display = display_menu(*self.images.values(), settings=("smoothing", "interpolation"))
        curves = (self.similarity, self.psnr)
        views = list(self.images.values())
        link(
            (self.slider, "frame"),
            *((view, "frame") for view in (*views, self.spectrum)),
            *((view, "step") for view in curves),
        )
        for name in ("position", "viewport"):
            link(*((view, name) for view in views))
        link(*((view, "frame") for view in curves))
        self._assemble(self._layout())
        self._clear()
        self._show_inputs()

    def _show_inputs(self) -> None:
        self._show("x", self._x)
        if self._truth is not None:
            self._show("truth", self._truth)

    def _layout(self) -> list[Any]:
        views = list(self.images.values())
        set_layout(*views, width="auto", min_width="0", margin="0")
        # In pairs: an inverse is beside its image.
        columns = f"repeat(auto-fit, minmax(max({NARROW}px, 25%), 1fr))"
        grid = Layout(grid_template_columns=columns, grid_gap="0", align_items="flex-end")
        # The same height before and after the first result.
        for plot, height in ((self.similarity, 280), (self.psnr, 236), (self.spectrum, 176)):
            set_layout(plot, min_height=f"{height}px")
        controls = header(self.slider, self.display, self.run_bar)
        set_layout(self.slider, flex="3 1 300px")
        # Below one another, and side by side where they are below the images.
        curves = stage(*(column(plot, width=200) for plot in (self.similarity, self.psnr)))
        images = column(GridBox(views, layout=grid), self.spectrum, weight=6, width=480)
        return [controls, stage(images, (curves, 1))]

    # -- the computation ------------------------------------------------------------------------------------

    def _keys(self) -> list[Regularizer]:
        return [self._regularizer]

    def _message(self, key: Regularizer) -> str:
        result = self.study.result(key)
        return "" if result is None else f"{len(result.inverse.units)} units"

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw(self, changed: Regularizer | None = None) -> None:
        result = self.study.result(self._regularizer)
        if changed is None:
            self._clear()
        if result is None:
            return
        if self.images["residual"].maps is None:
            self._draw_residual(result.inverse.original_output)
        if result.reconstruction is not None and result.reconstruction is not self.reconstruction:
            self._draw_result(result.inverse, result.reconstruction)

    def _clear(self) -> None:
        """Clear all views but the image."""
        self.result = self.reconstruction = None
        for name, view in self.images.items():
            if name not in ("x", "truth"):
                view.maps, view.notes = None, []
        for curves in (self.similarity, self.psnr, self.spectrum):
            with curves.hold_sync():
                curves.x = curves.y = curves.steps = None
                curves.series, curves.lines = [], []

    def _draw_residual(self, residual: Tensor) -> None:
        """Draw the images that need no inverse."""
        limit = max(float(residual.abs().max()), 1e-6)
        for name in ("residual", "residual of x^"):
            self.images[name].limit = limit
        self._show("residual", residual)
        self._show("result", self._x + residual)

    def _draw_result(self, result: LayerWise, found: Reconstruction) -> None:
        self.result, self.reconstruction = result, found
        self._show("x^", result.x[0])
        self.images["x^"].notes = [
            "" if bool((x != 0).any()) else "Black: nothing of the image is kept." for x in result.x[0]
        ]
        self._show("alpha", result.alpha[0][:, None])
        self._show("residual of x^", found.residual_of_inverse)
        self._show("result of x^", self._x + found.residual_of_inverse)
        pairs = range(len(DISTANCES) if self._truth is not None else 3)
        kept = {"label": "kept of x: mean α", "frame": len(DISTANCES)}
        self._draw_curves(
            self.similarity,
            [*found.ssim.T[: len(pairs)], result.mean_alpha[0]],
            [*map(_pair, pairs), kept],
        )
        # The images beside the residuals are the same, so is their difference.
        rows = [pair for pair in pairs if DISTANCES[pair] != "C"]
        self._draw_curves(self.psnr, list(found.psnr.T[rows]), [_pair(pair) for pair in rows])
        self._draw_spectrum(result)

    def _draw_curves(self, view: CurveView, rows: list[Tensor], series: list[dict[str, Any]]) -> None:
        y = torch.stack(rows).float()
        with view.hold_sync():
            # A pair without a difference has no dB.
            view.x, view.y = self._lam, y.where(y.isfinite(), torch.nan)
            view.series, view.steps = series, self._lam

    def _draw_spectrum(self, result: LayerWise) -> None:
        ratios = []
        for inverse in result.x[0]:
            found = spectra(self._x, kept_brightness(self._x, inverse[None]))
            focused, others = bands(found.focused), bands(found.unfocused)
            ratios.append(10 * (focused / others.clamp(min=1e-20)).clamp(min=1e-20).log10())
        with self.spectrum.hold_sync():
            self.spectrum.x = torch.arange(len(ratios[0]))
            self.spectrum.y = torch.stack(ratios).float()
            self.spectrum.series = [{"label": f"λ = {lam:g}", "frame": k} for k, lam in enumerate(self._lam)]
            self.spectrum.lines = [{"y": 0.0, "label": "equal"}]

    def _show(self, name: str, maps: Tensor) -> None:
        self.images[name].maps = maps[:, 0].detach().float().cpu().numpy()


def _image_view(name: str) -> HeatmapView:
    signed = name.startswith("residual")
    return HeatmapView(
        title=TITLES[name],
        colormap="blue_orange" if signed else "inferno" if name == "alpha" else "gray",
        sign="both" if signed else "positive",
        limit=None if signed else 1.0,
        opacity=1.0,
        interpolation="pixelated",
        color_bar=signed or name in ("alpha", "truth"),
        controls=False,
        width=0,
    )


def _pair(index: int) -> dict[str, Any]:
    """Return the label of a pair; its color is the same in both plots."""
    return {"label": PAIRS[index], "note": f"d_{DISTANCES[index]}", "frame": index}


def _luminance(image: Any, size: int, name: str) -> Tensor:
    """Return the luminance of the center of one image, (1, 1, H, W) in [0, 1]."""
    if size < 16:
        raise ValueError(f"expected size of at least 16 pixels, got {size}")
    gray = isinstance(image, Tensor) and image.ndim >= 3 and image.shape[-3] == 1
    x = to_images(image, channels=1 if gray else 3)
    if len(x) != 1:
        raise ValueError(f"expected one image as {name}, got {len(x)}")
    x = luminance(x)
    top, left = (max(0, (extent - size) // 2) for extent in x.shape[2:])
    return x[:, :, top : top + size, left : left + size]
