"""Noise masks of an image, over layers, networks and weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from ipywidgets import Tab
from torch import Tensor

from xai_widgets.core.model import ImageModel
from xai_widgets.core.validation import check_finite, instance, numbers
from xai_widgets.explorers.explorer import Explorer
from xai_widgets.explorers.layout import column, display_menu, header, stage
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import THUMBNAIL, dropdown, is_large
from xai_widgets.perturbation.noise_mask import Noise, NoiseMask, NoiseMaskSettings
from xai_widgets.studies.noise_mask import NoiseMaskKey, NoiseMaskStudy, late_layers
from xai_widgets.views import CurveView, GalleryView, HeatmapView, RunBar, SliderView, link
from xai_widgets.views.static_repr import set_layout

#: Weights of the loss, in units of beta_0, which is the weight of the source.
BETAS = (0.25, 0.5, 1.0, 2.0, 4.0)
#: Settings for images of at most 128 x 128 pixels, and for larger ones, whose passes take longer: the source makes 5000
#: to 15000 steps.
QUICK = NoiseMaskSettings.within(1000)
QUICKER = replace(NoiseMaskSettings.within(300), window=75)
#: Name of the scores among the layers.
SCORES = "scores"
#: Points of a curve over the steps.
POINTS = 300


class NoiseMaskExplorer(Explorer):
    """Choose a layer and see which pixels it needs to keep its output while noise covers all others.

    A mask (:func:`~xai_widgets.perturbation.noise_mask`) is searched for the later layers and the scores of each
    network. As in figures 9 to 11 of the source, a table shows the masks by network and layer with the loss that is
    left, as a percentage of that of pure noise. A click on a mask, or the lists, choose the one that is shown over the
    image, and beside it the image under it as the network sees it. The slider switches its weight beta, a multiple of
    beta_0, with which both terms are balanced in each layer.

    Masks appear while they are searched. The search is stopped and continued by the button; a mask that has not
    converged is marked, and Resume searches on.

    Parameters
    ----------
    model : ImageModel, or sequence of these
        The networks; they are never changed.
    image
        One image of any kind.
    layers : sequence of str, or one for each network, optional
        Layers from early to late, as many for each network; "scores" are the scores before softmax. Default: up to five
        blocks of the later half, and the scores.
    betas : sequence of float, default (0.25, 0.5, 1, 2, 4)
        Weights of the loss, ascending, in units of beta_0.
    noise : {"uniform", "normal"}, default "uniform"
        Distribution of the noise.
    settings : NoiseMaskSettings, optional
        Settings of the searches. Default: ``NoiseMaskSettings.within(1000)``, and for an image of more than 128 x 128
        pixels ``NoiseMaskSettings.within(300)``, checked for convergence each 75 steps. The source takes
        ``NoiseMaskSettings()``, which takes an hour for all masks of a large network without a GPU.
    seed : int, default 0
        Seed of the noise.
    start : bool, default True
        Whether to search at once; otherwise the button starts.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

    Attributes
    ----------
    slider : SliderView
        beta.
    model_picker, layer_picker : SelectView
        The network, if there are several, and the layer.
    mask : HeatmapView
        The mask over the image.
    masked : HeatmapView
        The image under the mask, with noise outside (figure 12).
    gallery : GalleryView
        Masks by network and layer at the chosen beta, with their losses.
    losses : CurveView
        Loss in percent over the layers at the chosen beta, a curve for each network; its cursor is at the chosen layer.
    steps : CurveView
        Share of the image that is kept and loss, in percent, over the steps of the chosen search.
    tabs : ipywidgets.Tab
        Both plots.
    display : DisplayMenu
        Opacity and colors of the mask.
    run_bar : RunBar
    result : NoiseMask or None
        The result that is shown.

    Raises
    ------
    ValueError
        For an unknown layer, another number of layers for a network, betas that do not ascend from above 0, or a bad
        image.
    TypeError
        If a network is not an ImageModel, or ``settings`` are not NoiseMaskSettings.

    Examples
    --------
    >>> NoiseMaskExplorer([vgg, resnet], "photo.jpg")  # doctest: +SKIP
    """

    question: ClassVar[str] = "Which pixels does a layer need?"
    hint: ClassVar[str] = "Click a mask of the table."
    kernel_controls: ClassVar[tuple[str, ...]] = ("run_bar", "model_picker", "layer_picker")
    kernel_views: ClassVar[tuple[str, ...]] = ("gallery",)

    study: NoiseMaskStudy
    result: NoiseMask | None = None

    @closed_on_error
    def __init__(
        self,
        model: ImageModel | Sequence[ImageModel],
        image: Any,
        *,
        layers: Sequence[str] | Sequence[Sequence[str]] | None = None,
        betas: Sequence[float] = BETAS,
        noise: Noise = "uniform",
        settings: NoiseMaskSettings | None = None,
        seed: int = 0,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        self._start_worker()
        self._models: list[Any] = list(model) if isinstance(model, list | tuple) else [model]
        if not self._models:
            raise ValueError("expected at least one network, got none")
        for one in self._models:
            instance(one, "model", ImageModel)
        self._layers = _layers_of(self._models, layers)
        self._betas = _check_betas(betas)
        large = is_large(self._models[0].images(image))
        self._options: dict[str, Any] = {
            "settings": settings or (QUICKER if large else QUICK),
            "noise": noise,
            "seed": seed,
        }
        self.study = NoiseMaskStudy(self._models, image, **self._options)
        for index, names in enumerate(self._layers):
            for name in names:
                # Bad arguments are refused here: this makes the run without a step of it.
                self.study.run(NoiseMaskKey(index, _layer(name)))
        super().__init__(**kwargs)
        self._make_controls()
        self._make_views()
        if start:
            self.compute()

    @property
    def image(self) -> Tensor:
        """The image as the first network gets it, (1, C, H, W) in [0, 1]; assign one of any kind to replace it."""
        return self.study.images[0]

    @image.setter
    def image(self, image: Any) -> None:
        study = NoiseMaskStudy(self._models, image, **self._options)
        # First: a run about the old image must not draw on the new one.
        self.abandon()
        self._replace_argument("image", image)
        self.study = study
        self.compute()

    # -- controls and views ---------------------------------------------------------------------------------

    def _make_controls(self) -> None:
        self.run_bar = RunBar()
        names = [f"{number}. {model.name}" for number, model in enumerate(self._models, 1)]
        labels = {name: model.name for name, model in zip(names, self._models, strict=True)}
        self.model_picker = dropdown("Network", names, names[0], labels)
        self.model_picker.help = "The network whose mask is shown"
        self.model_picker.layout.display = None if len(names) > 1 else "none"
        # By number, as layers of several networks differ in their names.
        numbers = [str(number) for number in range(1, len(self._layers[0]) + 1)]
        self.layer_picker = dropdown("Layer", numbers, numbers[-1], self._layer_labels(0))
        self.layer_picker.help = "The layer whose output the mask preserves"
        begin = min(range(len(self._betas)), key=lambda index: abs(self._betas[index] - 1))
        self.slider = SliderView(
            label="Weight β / β₀",
            values=self._betas,
            labels=[f"{beta:g}" for beta in self._betas],
            frame=begin,
        )

    def _layer_labels(self, index: int) -> dict[str, str]:
        return {str(number): name for number, name in enumerate(self._layers[index], 1)}

    def _make_views(self) -> None:
        self.mask = HeatmapView(
            width=0, title="Mask", colormap="inferno", sign="positive", limit=1.0, help="1 keeps a pixel"
        )
        self.masked = HeatmapView(
            width=0,
            controls=False,
            title="What the network sees",
            interpolation="pixelated",
            help="m ⊙ x + (1 − m) ⊙ noise",
        )
        self.gallery = GalleryView(
            title="Masks by layer",
            size=THUMBNAIL,
            columns=len(self._layers[0]),
            row_labels=[model.name for model in self._models] if len(self._models) > 1 else [],
            interpolation="smooth",
        )
        self.losses = CurveView(
            x_label="number of the layer, from early to late", height=110, title="Loss, % of noise"
        )
        self.steps = CurveView(x_label="step", height=110, title="Search, %")
        self.display = display_menu(self.mask, settings=("opacity", "colormap", "gray", "smoothing"))
        link((self.slider, "frame"), (self.mask, "frame"), (self.masked, "frame"))
        for name in ("position", "viewport"):
            link((self.mask, name), (self.masked, name))
        self.tabs = Tab(children=[self.losses, self.steps])
        for number, title in enumerate(("Layers", "Steps")):
            self.tabs.set_title(number, title)
        controls = header(self.slider, self.model_picker, self.layer_picker, self.display, self.run_bar)
        set_layout(self.slider, flex="2 1 220px")
        images = stage((self.mask, 1), (self.masked, 1), width=180)
        # A table of several rows has the plots beside it, so that all fit one screen.
        several = len(self._models) > 1
        for plot in (self.losses, self.steps):
            plot.height = 80 if several else 110
            set_layout(plot, min_height=f"{190 if several else 230}px")
        left = column(images, *([self.tabs] if several else []), weight=1.2 if several else 1.4, width=380)
        right = column(self.gallery, *([] if several else [self.tabs]), weight=1, width=320)
        if several:
            set_layout(left, max_width="680px")
        # A click has an effect in Python, so that the gallery returns to its choice without it.
        self.gallery._needs_kernel = True
        set_layout(self.tabs, max_width="640px")
        self._assemble([controls, stage(left, right)])
        self.model_picker.observe(lambda _change: self._name_layers(), "value")
        self.gallery.observe(lambda change: self._choose_cell(change["new"]), "frame")
        self.losses.observe(lambda change: self._choose_layer(change["new"]), "step")
        pickers = ((self.model_picker, "value"), (self.layer_picker, "value"), (self.slider, "frame"))
        self._compute_on_change(*pickers)
        self._draw()

    def _name_layers(self) -> None:
        self.layer_picker.labels = self._layer_labels(self.model_picker.index)

    def _choose_cell(self, cell: int) -> None:
        """Choose the network and layer of a cell of the table."""
        if cell >= 0:
            row, number = divmod(cell, len(self._layers[0]))
            self.model_picker.value = self.model_picker.options[row]
            self._choose_layer(number)

    def _choose_layer(self, number: int) -> None:
        if number >= 0:
            self.layer_picker.value = self.layer_picker.options[number]

    # -- the computation ------------------------------------------------------------------------------------

    def _key(self, beta: float | None = None) -> NoiseMaskKey:
        index = self.model_picker.index
        layer = _layer(self._layers[index][self.layer_picker.index])
        return NoiseMaskKey(index, layer, self._beta() if beta is None else beta)

    def _beta(self) -> float:
        return self._betas[self.slider.frame]

    def _cells(self) -> list[NoiseMaskKey]:
        """Return the keys of the table, network by network."""
        return [
            NoiseMaskKey(index, _layer(name), self._beta())
            for index, names in enumerate(self._layers)
            for name in names
        ]

    def _keys(self) -> list[NoiseMaskKey]:
        """Return the key that is shown, then those of the table, then those of the slider."""
        betas = [self._key(beta) for beta in self._betas]
        return list(dict.fromkeys([self._key(), *self._cells(), *betas]))

    def _check(self) -> None:
        for model, x in zip(self._models, self.study.images, strict=True):
            check_finite(model.scores(x), model.name)

    def _message(self, key: NoiseMaskKey) -> str:
        result = self.study.result(key)
        steps = "" if result is None else f": step {result.step}"
        return f"{super()._message(key)}{steps}"

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw(self, changed: NoiseMaskKey | None = None) -> None:
        shown = [self._key(beta) for beta in self._betas]
        self.result = self.study.result(self._key())
        if changed is None or changed in shown:
            self._draw_mask(shown)
            self._draw_steps()
        if changed is None or changed in self._cells():
            self._draw_table()

    def _draw_mask(self, keys: Sequence[NoiseMaskKey]) -> None:
        """Draw the mask of each beta over the image, and the image under it."""
        model, x = self._models[keys[0].model], self.study.images[keys[0].model]
        results = [self.study.result(key) for key in keys]
        missing = x.new_full(x.shape[2:], torch.nan)
        notes = [self._note(key, result) for key, result in zip(keys, results, strict=True)]
        with self.mask.hold_sync():
            self.mask.image = model.to_rgb(x)[0]
            maps = [missing if result is None else result.masks[0, 0] for result in results]
            self.mask.maps = torch.stack(maps).float().cpu().numpy()
            self.mask.labels = [_summary(result) for result in results]
            self.mask.notes = notes
        with self.masked.hold_sync():
            images = [self.study.masked(key) for key in keys]
            self.masked.images = np.concatenate(
                [model.to_rgb(torch.full_like(x, 0.5) if image is None else image) for image in images]
            )
            self.masked.notes = ["" if result is not None else "Not computed yet." for result in results]

    def _note(self, key: NoiseMaskKey, result: NoiseMask | None) -> str:
        """Return whether a mask is final."""
        outcome = self.study.outcome(key)
        if outcome.error:
            return outcome.error
        if result is None:
            return "Not computed yet."
        if bool(result.flat.all()):
            return ""
        if not outcome.complete:
            return f"Step {result.step}: the search is not complete."
        return f"Not converged after {result.step} steps; Resume searches further."

    def _draw_table(self) -> None:
        keys = self._cells()
        results = [self.study.result(key) for key in keys]
        count = len(self._layers[0])
        with self.gallery.hold_sync():
            self.gallery.title = f"Masks by layer at β = {self._beta():g} β₀, with their losses"
            self.gallery.images = np.stack([_thumbnail(result) for result in results])
            self.gallery.present = np.array([result is not None for result in results], dtype=np.uint8)
            names = [name for names in self._layers for name in names]
            self.gallery.labels = [
                f"{name} {_percent(result)}" for name, result in zip(names, results, strict=True)
            ]
            self.gallery.frame = self.model_picker.index * count + self.layer_picker.index
        losses = torch.tensor([torch.nan if r is None else float(r.loss_percent[0]) for r in results])
        with self.losses.hold_sync():
            self.losses.title = f"Loss at β = {self._beta():g} β₀, % of noise"
            self.losses.x = self.losses.steps = torch.arange(1, count + 1)
            self.losses.step = self.layer_picker.index
            self.losses.y = losses.view(len(self._models), count)
            self.losses.series = [
                {"label": model.name, "frame": index} for index, model in enumerate(self._models)
            ]
            self.losses.frame = self.model_picker.index

    def _draw_steps(self) -> None:
        result = self.result
        with self.steps.hold_sync():
            if result is None:
                self.steps.x = self.steps.y = None
                self.steps.series = []
                return
            every = max(1, len(result.areas) // POINTS)
            both = torch.stack([result.areas[:, 0], result.losses[:, 0]])[:, ::every]
            self.steps.x = 1 + every * torch.arange(both.shape[1])
            self.steps.y = 100 * both.cpu()
            self.steps.series = [{"label": "kept share of the image"}, {"label": "loss"}]


def _layer(name: str) -> str | None:
    return None if name == SCORES else name


def _layers_of(models: Sequence[ImageModel], layers: Any) -> list[list[str]]:
    """Return the names of the layers of each network; ValueError unless there are as many for each."""
    if layers is None:
        return [[*names, SCORES] for names in late_layers(models)]
    given = [layers] if layers and all(isinstance(name, str) for name in layers) else layers
    found = [list(names) for names in given]
    if len(found) != len(models) or not found[0] or len(set(map(len, found))) > 1:
        raise ValueError(
            f"expected as many layers for each of {len(models)} networks, got {[len(names) for names in found]}; pass "
            "one list for each network"
        )
    return found


def _check_betas(betas: Sequence[float]) -> list[float]:
    """Return the betas as floats; ValueError unless they ascend from above 0."""
    values = [float(beta) for beta in numbers(betas, "betas")]
    if not values or values[0] <= 0 or values != sorted(set(values)):
        raise ValueError(f"expected betas as ascending numbers above 0, got {values}")
    return values


def _percent(result: NoiseMask | None) -> str:
    return "" if result is None else f"{float(result.loss_percent[0]):.0f}\u00a0%"


def _summary(result: NoiseMask | None) -> str:
    """Return how much a mask keeps, and the loss that is left."""
    if result is None:
        return ""
    return f"keeps {100 * float(result.masks[0].mean()):.0f} %, loss {_percent(result)}"


def _thumbnail(result: NoiseMask | None) -> Any:
    """Return a small mask in gray."""
    if result is None:
        return np.zeros((THUMBNAIL, THUMBNAIL, 3), dtype=np.uint8)
    small = F.interpolate(result.masks, (THUMBNAIL, THUMBNAIL), mode="area")[0, 0].cpu()
    return (255 * small).round().byte().numpy()[..., None].repeat(3, axis=-1)
