"""Extremal perturbations of an image, with a slider over their area."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from xai_widgets.core.model import ImageModel, Target
from xai_widgets.core.validation import numbers
from xai_widgets.explorers.image_explorer import SearchExplorer
from xai_widgets.explorers.layout import column, header, stage
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import (
    ENDS,
    TOP,
    score_name,
    scores_title,
    search_settings,
    void_scores,
)
from xai_widgets.ops.perturb import Perturbation, perturb, pyramid
from xai_widgets.perturbation.extremal import Extremal
from xai_widgets.perturbation.mask_search import SearchSettings
from xai_widgets.perturbation.scored_masks import Variant
from xai_widgets.studies.layers import spatial_layers
from xai_widgets.studies.masks import ExtremalKey, ExtremalStudy
from xai_widgets.views import CurveView, GalleryView, MaskView, ScoresView, SelectView, link
from xai_widgets.views.mask_view import MODES
from xai_widgets.views.static_repr import set_layout

#: Side of an image of the strip, in pixels.
THUMBNAIL = 84

#: The choice of masking the image, not a layer.
IMAGE = "image"

#: Titles of the image by the objective of the mask.
TITLES: dict[Variant, str] = {
    "preserve": "Mask that keeps the class",
    "delete": "Mask that removes the class",
    "hybrid": "Mask that keeps or removes the class",
    "contrastive": "Mask that keeps the class ahead",
}


class ExtremalExplorer(SearchExplorer):
    """Drag the area and see the smallest part of the image that keeps, or removes, a class.

    The masks of all areas are searched at once (:func:`~xai_widgets.perturbation.extremal`) and are shown while they
    improve. The slider, the cursor of the curves and their mark a* need no kernel. The button stops the search and
    resumes it from its masks, which never get worse.

    Parameters
    ----------
    model : ImageModel
        The network; it is never changed.
    image
        One image of any kind.
    target : int, str or callable, optional
        The class or a target (see :mod:`xai_widgets.targets`). Default: the predicted class.
    areas : sequence of float, optional
        Ascending shares of the image below 1. Default: ten from 0.01 to 0.8, as far as there are pixels for them.
    variant : {"preserve", "delete", "hybrid", "contrastive"}, default "preserve"
        The first objective.
    perturbation : {"blur", "fade"}, default "blur"
        The first perturbation outside of the mask.
    layer : str, optional
        Layer whose activation is masked at first. Default: the image is masked.
    settings : ExtremalSettings, optional
        Settings of the search. Default: ``ExtremalSettings()``, with ``steps=20, scan=5`` for an image of more than
        128 x 128 pixels; the button continues the search.
    tau : float, default 1.0
        Share of the score that is enough for a*.
    batch_size : int, optional
        Masked images per pass. Default: those of the best throughput.
    start : bool, default True
        Whether to search at once; otherwise the button starts.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

    Attributes
    ----------
    target : int
        The class; assign an index to change it.
    mask : MaskView
        The image under the mask of the chosen area.
    curves : CurveView
        Score of the preserved part, and of the rest, over the area.
    scores : ScoresView
        The best classes there.
    strip : GalleryView
        The preserved part for each area.
    variant_picker, perturbation_picker, layer_picker : SelectView
    class_picker : ClassPicker
    run_bar : RunBar
    result : Extremal or None
        The result that is shown.

    Raises
    ------
    ValueError
        For areas that no mask can have, an unknown class, variant, perturbation or layer, or a bad image.
    TypeError
        If ``model`` is not an ImageModel.

    Examples
    --------
    >>> ExtremalExplorer(model, "photo.jpg", variant="delete")  # doctest: +SKIP
    """

    question: ClassVar[str] = "How little of the image is enough?"
    hint: ClassVar[str] = "Drag the area."
    kernel_controls: ClassVar[tuple[str, ...]] = (
        *SearchExplorer.kernel_controls,
        "variant_picker",
        "perturbation_picker",
        "layer_picker",
    )
    shared: ClassVar[Mapping[str, str]] = {**SearchExplorer.shared, "layer": "layer_picker.value"}

    study: ExtremalStudy

    @closed_on_error
    def __init__(
        self,
        model: ImageModel,
        image: Any,
        *,
        target: Target = None,
        areas: Sequence[float] | None = None,
        variant: Variant = "preserve",
        perturbation: Perturbation = "blur",
        layer: str | None = None,
        settings: SearchSettings | None = None,
        tau: float = 1.0,
        batch_size: int | None = None,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, image, target=target, **kwargs)
        self._settings, self._tau, self._batch_size = settings, tau, batch_size
        self._areas = None if areas is None else tuple(numbers(areas, "areas"))
        self.study = self._make_study()
        # Bad arguments are refused here: this makes the run without a step of it.
        self._if_finite(lambda: self.study.run(ExtremalKey(self.target, variant, perturbation, layer)))

        self.variant_picker = SelectView(
            title="Objective",
            options=get_args(Variant),
            value=variant,
            help="Whether the mask keeps the score of the class, its deletion removes it, both, or the mask keeps "
            "the class ahead of all others",
        )
        self.perturbation_picker = SelectView(
            title="Outside",
            options=get_args(Perturbation),
            value=perturbation,
            help="Whether the image is blurred outside of the mask, or fades to black",
        )
        layers = spatial_layers(self.model)
        layers += [layer] if layer is not None and layer not in layers else []
        self.layer_picker = SelectView(
            title="Mask on",
            options=[IMAGE, *layers],
            value=layer or IMAGE,
            help="Whether the image is masked, or the activation of a layer",
        )
        mode = _mode(variant)
        self.mask = MaskView(width=480, area=0.1, mode=mode, display=mode, title=_title(variant, layer))
        self.curves = CurveView(
            x_label="area",
            y_label=score_name(self.model),
            x_percent=True,
            fraction=0.1,
            mode=mode,
            height=200,
        )
        self.scores = ScoresView(
            labels=self.model.labels,
            target=self.target,
            fraction=0.1,
            mode=mode,
            series=[{"label": each, "frame": 0, "mode": each} for each in MODES],
            title=scores_title(self.model),
            x_percent=True,
        )
        self.strip = GalleryView(title="All areas", size=THUMBNAIL, columns=10)
        link((self.curves, "fraction"), (self.scores, "fraction"), (self.mask, "area"))
        link((self.curves, "frame"), (self.scores, "frame"))
        link((self.curves, "mode"), (self.scores, "mode"), (self.mask, "mode"))
        for name in ("frame", "viewport"):
            link((self.strip, name), (self.mask, name))
        self._given_title = self.mask.title
        # Before the computation: the image shows the part that the mask stands for.
        self.variant_picker.observe(lambda change: self._follow_variant(), "value")
        pickers = self.variant_picker, self.perturbation_picker, self.layer_picker
        self._compute_on_change(*((picker, "value") for picker in pickers))
        self._assemble(self._layout())
        if start:
            self.compute()

    def _layout(self) -> list[Any]:
        controls = header(
            self.class_picker, self.variant_picker, self.perturbation_picker, self.layer_picker, self.run_bar
        )
        # Keep the width for each objective: no choice breaks the line of controls.
        set_layout(self.variant_picker, flex="0 0 170px")
        # The slider and all that it changes are side by side.
        plots = stage(column(self.curves, weight=1.5, width=200), column(self.scores, width=170))
        return [
            controls,
            stage(column(self.mask, width=260), column(plots, self.strip, weight=2.5, width=370)),
        ]

    def _show_image(self) -> None:
        self.scores.reference = self._probabilities()

    # -- the computation ------------------------------------------------------------------------------------

    def _make_study(self) -> ExtremalStudy:
        return ExtremalStudy(
            self.model,
            self._x,
            areas=self._areas,
            settings=search_settings(self._x) if self._settings is None else self._settings,
            tau=self._tau,
            batch_size=self._batch_size,
        )

    def _key(self) -> ExtremalKey:
        layer = self.layer_picker.value
        return ExtremalKey(
            self.target,
            self.variant_picker.value,
            self.perturbation_picker.value,
            None if layer == IMAGE else layer,
        )

    def _message(self, key: ExtremalKey) -> str:
        result = self.study.result(key)
        return "" if result is None else f"{key.variant}: {len(result.areas)} areas"

    def _follow_variant(self) -> None:
        """Show the part that the mask of the objective stands for."""
        self.mask.mode = self.curves.mode = self.scores.mode = _mode(self.variant_picker.value)

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw_result(self, key: ExtremalKey, result: Extremal | None) -> None:
        levels = pyramid(self._x, key.perturbation)
        self._name_mask(_title(key.variant, key.layer))
        with self.mask.hold_sync():
            self.mask.masks = None
            self.mask.levels = self.model.to_rgb(levels[0])
            self.mask.areas = None if result is None else result.areas.cpu().numpy()
            self.mask.masks = None if result is None else result.masks[0].cpu().numpy()
            self.mask.best = None if result is None else float(result.best_area[0])
            self.mask.caption, self.mask.note = self._caption(key, result), self._note(key, result)
        self._draw_strip(levels, result)
        self._draw_curves(key, result)

    def _name_mask(self, title: str) -> None:
        """Title the image, unless a user has given it a title."""
        if self.mask.title == self._given_title:
            self.mask.title = self._given_title = title

    def _caption(self, key: ExtremalKey, result: Extremal | None) -> str:
        """Return the meaning of the star, or that there is none."""
        name = "smallest sufficient area (a*)"
        if result is None:
            return f"{name}: not computed yet"
        best = float(result.best_area[0])
        if not math.isnan(best):
            return f"\u2605 {name}: {100 * best:.3g} %"
        return f"{name}: {'not reached' if self.study.outcome(key).complete else 'none yet'}"

    def _note(self, key: ExtremalKey, result: Extremal | None) -> str:
        """Return why the masks mean little, or nothing."""
        if result is None:
            return ""
        low, high = float(result.perturbed[0]), float(result.whole[0])
        if note := void_scores(self.model, key.target, low, high, ENDS[key.perturbation]):
            return note
        label = self.model.labels[key.target]
        if not self.study.outcome(key).complete:
            return ""
        if key.variant == "delete" and float(result.complement_scores.min()) >= high:
            return f"These masks do nothing: none lowers the score of {label}."
        if key.variant != "delete" and float(result.scores.max()) <= low:
            return f"These masks do nothing: none scores above the image that is {ENDS[key.perturbation]}."
        return ""

    def _draw_strip(self, levels: torch.Tensor, result: Extremal | None) -> None:
        with self.strip.hold_sync():
            if result is None:
                # The strip keeps its room: nothing jumps when the images of another objective come.
                self.strip.values, self.strip.marked = None, -1
                if self.strip.images is not None:
                    self.strip.images = np.zeros_like(self.strip.images)
                    self.strip.present = np.zeros(len(self.strip.images), dtype=np.uint8)
                return
            self.strip.present = None
            masks = F.interpolate(result.masks, result.size, mode="nearest-exact")
            deleted = _mode(result.variant) == "deleted"
            shown = perturb(levels, 1 - masks if deleted else masks)[0]
            side = min(1.0, THUMBNAIL / min(result.size))
            small = F.interpolate(shown, scale_factor=side, mode="area") if side < 1 else shown
            areas = result.areas.tolist()
            best = float(result.best_area[0])
            self.strip.columns = min(len(areas), 10)
            self.strip.images = self.model.to_rgb(small)
            self.strip.labels = [f"{100 * area:.3g} %" for area in areas]
            self.strip.marked = -1 if math.isnan(best) else areas.index(best)
            # Figure 5 of the source: from the fully perturbed image to a quarter above Phi_0.
            low = result.perturbed[0]
            scores = result.complement_scores if deleted else result.scores
            share = (scores[0] - low) / (result.tau * result.whole[0] - low).clamp(min=1e-6)
            self.strip.value_limits = [0.0, 1.25]
            self.strip.values = share.clamp(0, 1.25)

    def _draw_curves(self, key: ExtremalKey, result: Extremal | None) -> None:
        if result is None:
            self.scores.x = self.scores.values = self.scores.indices = self.scores.target_values = None
            with self.curves.hold_sync():
                # Axes and a legend without curves have the size of those with them.
                self.curves.steps, self.curves.x = None, np.array([0, 1], dtype=np.float32)
                self.curves.y = np.full((len(MODES), 2), np.nan, dtype=np.float32)
                self.curves.lines, self.curves.marks, self.curves.series = [], [], _series()
            return
        areas = result.areas.tolist()
        inner = [index for index, area in enumerate(areas) if area < 1]
        x = np.array([0.0, *(areas[index] for index in inner), 1.0], dtype=np.float32)
        low, high = result.perturbed[:1], result.whole[:1]
        preserved = torch.cat([low, result.scores[0, inner], high])
        left = torch.cat([high, result.complement_scores[0, inner], low])
        best = float(result.best_area[0])
        with self.curves.hold_sync():
            self.curves.x = x
            # The cursor stops where there is a mask.
            self.curves.steps = np.array(areas, dtype=np.float32)
            self.curves.y = torch.stack([preserved, left])
            self.curves.series = _series()
            self.curves.lines = [
                {
                    "y": float(result.tau * high),
                    "label": "unperturbed" if result.tau == 1 else f"{result.tau:.3g} of unperturbed",
                },
                {"y": float(low), "label": ENDS[key.perturbation]},
            ]
            self.curves.marks = [] if math.isnan(best) else [{"x": best, "label": f"a* = {100 * best:.3g} %"}]
        self._draw_scores(key, result, x, inner)

    def _draw_scores(
        self, key: ExtremalKey, result: Extremal, x: NDArray[np.float32], inner: list[int]
    ) -> None:
        low, high = result.end_scores[0].split(1)
        scores = result.class_scores[0, inner]
        deleted = torch.cat([high, scores[:, 1], low])
        preserved = torch.cat([low, scores[:, 0], high])
        probs = self.model.probabilities(torch.stack([preserved, deleted]))
        best = probs.topk(min(TOP, probs.shape[-1]), dim=-1)
        with self.scores.hold_sync():
            self.scores.target = key.target
            self.scores.value_limits = self._limits(best.values.cpu(), probs[..., key.target].cpu())
            self.scores.x = x
            self.scores.indices, self.scores.values = best.indices.int(), best.values
            self.scores.target_values = probs[:, :, key.target]


def _mode(variant: Variant) -> str:
    """Return whether the mask of an objective is preserved or deleted."""
    return "deleted" if variant == "delete" else "preserved"


def _series() -> list[dict[str, Any]]:
    """Return the entries of the curves in the legend."""
    return [
        {"label": f"mask {mode}", "frame": 0, "mode": mode, "style": style}
        for mode, style in zip(MODES, ("solid", "dashed"), strict=True)
    ]


def _title(variant: Variant, layer: str | None) -> str:
    """Return the title of the image for an objective and the layer that is masked."""
    return TITLES[variant] if layer is None else f"{TITLES[variant]}, on {layer}"
