"""Channels of a layer that a class needs, with a slider over their number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, get_args

import numpy as np
import torch
from ipywidgets import HBox, Layout, VBox

from xai_widgets.core.model import ImageModel, Target
from xai_widgets.core.validation import items
from xai_widgets.explorers.explorer import Choice, SearchExplorer
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import (
    THUMBNAIL,
    TOP,
    dropdown,
    fill_width,
    row_layout,
    score_name,
    stretch,
)
from xai_widgets.perturbation.area_search import AreaSettings
from xai_widgets.perturbation.channel import ChannelExtremal
from xai_widgets.perturbation.scored_masks import Variant
from xai_widgets.studies.layers import spatial_layers
from xai_widgets.studies.masks import ChannelKey, ChannelStudy, Patches
from xai_widgets.views import CurveView, GalleryView, HeatmapView, ScoresView, SliderView, link


class ChannelExplorer(SearchExplorer):
    """Drag the number of channels of a layer and see how few of them keep, or remove, a class.

    For each number, the best set of channels is searched (:func:`~xai_widgets.perturbation.channel_extremal`). The
    slider switches the map of their activations, the scores and the highlighted channels, without a kernel; the curve
    marks a*, the smallest number that is enough. The channels that are in most of the sets come first in the list, each
    with the patch of the image, and those of other images, to which it responds most.

    Parameters
    ----------
    model : ImageModel
        The network; it is never changed.
    image
        One image of any kind.
    target : int, str or callable, optional
        The class or a target (see :mod:`xai_widgets.targets`). Default: the predicted class.
    layer : str, optional
        The first layer, a spatial one. Default: the last one before pooling.
    variant : {"preserve", "delete", "hybrid"}, default "preserve"
        The first objective.
    images : optional
        Images of any kind in which top patches of the channels are searched for. Default: only those of the image
        itself are shown.
    channels : sequence of int, optional
        Ascending numbers of channels. Default: two per octave, and all; numbers above the width of a layer are left
        out.
    rows : int, default 10
        Number of channels in the list.
    patches : int, default 5
        Patches of `images` for each of them.
    settings : AreaSettings, optional
        Settings of the search.
    tau : float, default 1.0
        Share of the score that is enough for a*.
    batch_size : int, default 32
        Masked activations, or images, per pass.
    start : bool, default True
        Whether to search at once; otherwise the button starts.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

    Attributes
    ----------
    target : int
        The class; assign an index to change it.
    slider : SliderView
        The number of channels.
    heatmap : HeatmapView
        The sum of their activations over the image (equation 11).
    curves : CurveView
        Score with these channels alone, and without them, over their number.
    scores : ScoresView
        The best classes there.
    gallery : GalleryView
        The channels that are needed most, each with its top patches and the first number that it is among.
    variant_picker, layer_picker : SelectView
    class_picker : ClassPicker
    run_bar : RunBar
    result : ChannelExtremal or None
        The result that is shown.

    Raises
    ------
    ValueError
        For an unknown class, variant or layer, a layer that is not spatial, bad numbers, or a bad image.
    TypeError
        If ``model`` is not an ImageModel.

    Examples
    --------
    >>> ChannelExplorer(model, "photo.jpg", images=photos, layer="layer3")  # doctest: +SKIP
    """

    question: ClassVar[str] = "Which channels are needed?"
    hint: ClassVar[str] = "Drag the slider of the channels."
    kernel_controls: ClassVar[tuple[str, ...]] = (
        *SearchExplorer.kernel_controls,
        "variant_picker",
        "layer_picker",
    )
    shared: ClassVar[Mapping[str, str]] = {**SearchExplorer.shared, "layer": "layer_picker.value"}

    study: ChannelStudy

    @closed_on_error
    def __init__(
        self,
        model: ImageModel,
        image: Any,
        *,
        target: Target = None,
        layer: str | None = None,
        variant: Variant = "preserve",
        images: Any = None,
        channels: Sequence[int] | None = None,
        rows: int = 10,
        patches: int = 5,
        settings: AreaSettings | None = None,
        tau: float = 1.0,
        batch_size: int = 32,
        start: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, image, target=target, **kwargs)
        for name, value in (("rows", rows), ("patches", patches)):
            if value < 1:
                raise ValueError(f"expected {name} of at least 1, got {value}")
        self._images, self._rows, self._patches = images, rows, patches
        self._channels = None if channels is None else tuple(items(channels, "channels"))
        self._settings, self._tau, self._batch_size = settings, tau, batch_size
        #: Patches of `images` by layer, which serve every image and class.
        self._other_patches: dict[str, Patches] = {}
        self.study = self._make_study()
        layer = self.model.default_layer() if layer is None else layer
        # Bad arguments are refused here: this makes the run without a step of it.
        self._if_finite(lambda: self.study.run(ChannelKey(self.target, variant, layer)))
        # A layer without positions is refused, too.
        model.spatial(layer, torch.empty(1, *model.layer(layer).shape, device="meta"))

        layers = spatial_layers(self.model)
        layers += [layer] if layer not in layers else []
        self.layer_picker = dropdown("Layer", layers, layer)
        self.variant_picker = dropdown("Objective", get_args(Variant), variant)
        counts = list(self.study.counts(layer) or [])
        self.slider = SliderView(label="Channels", values=counts, frame=len(counts) // 2)
        self.heatmap = HeatmapView(width=400, controls=False, title="What these channels see")
        self.curves = CurveView(
            x_label="number of channels",
            y_label=score_name(self.model),
            x_scale="log",
            height=240,
        )
        self.scores = ScoresView(
            labels=self.model.labels,
            target=self.target,
            series=[{"label": "channels preserved"}, {"label": "channels deleted"}],
            title="Best classes",
        )
        self.gallery = GalleryView(
            title="The channels that are needed most", columns=1 + patches, size=THUMBNAIL
        )
        link((self.slider, "fraction"), (self.curves, "fraction"), (self.scores, "fraction"))
        link((self.curves, "frame"), (self.scores, "frame"))
        link((self.slider, "frame"), (self.heatmap, "frame"), (self.gallery, "step"))
        self._compute_on_change((self.variant_picker, "value"), (self.layer_picker, "value"))
        self._assemble(self._layout())
        if start:
            self.compute()

    @classmethod
    def from_choice(cls, model: ImageModel, choice: Choice, **options: Any) -> ChannelExplorer:
        """Return an explorer of the image, class and layer of a dashboard."""
        explorer = super().from_choice(model, choice, **{"layer": choice.layer or None, **options})
        assert isinstance(explorer, ChannelExplorer)
        return explorer

    def _layout(self) -> list[Any]:
        stretch((self.class_picker, "1 1 220px"), (self.curves, "3 1 320px"), (self.scores, "1 1 200px"))
        fill_width(self.heatmap, self.slider, self.gallery)
        measures = HBox([self.curves, self.scores], layout=row_layout())
        left, right = (
            VBox(parts, layout=Layout(flex=flex, min_width="0", overflow="hidden", grid_gap="8px"))
            for parts, flex in (
                ([self.heatmap, self.slider], "2 1 260px"),
                ([measures, self.gallery], "4 1 320px"),
            )
        )
        return [
            HBox([self.class_picker, self.variant_picker, self.layer_picker], layout=row_layout()),
            self.run_bar,
            HBox([left, right], layout=row_layout()),
        ]

    def _show_image(self) -> None:
        self.heatmap.image = self._display
        self.scores.reference = self._probabilities()

    def _make_study(self) -> ChannelStudy:
        return ChannelStudy(
            self.model,
            self._x,
            channels=self._channels,
            images=self._images,
            patches=self._patches,
            patch_size=THUMBNAIL,
            other_patches=self._other_patches,
            settings=self._settings,
            tau=self._tau,
            batch_size=self._batch_size,
        )

    def _key(self) -> ChannelKey:
        return ChannelKey(self.target, self.variant_picker.value, self.layer_picker.value)

    def _message(self, key: ChannelKey) -> str:
        return f"{key.variant}: channels of {key.layer}"

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw_result(self, key: ChannelKey, result: ChannelExtremal | None) -> None:
        self._draw_slider(key, result)
        with self.heatmap.hold_sync():
            self.heatmap.maps = None if result is None else result.maps()[0].cpu().numpy()
        self._draw_gallery(key, result)
        self._draw_curves(key, result)

    def _draw_slider(self, key: ChannelKey, result: ChannelExtremal | None) -> None:
        counts = list(self.study.counts(key.layer) or [])
        best = math.nan if result is None else float(result.best_channels[0])
        with self.slider.hold_sync():
            if counts and self.slider.values != counts:
                self.slider.values = counts
                self.slider.frame = len(counts) // 2
            self.slider.ready = [] if result is not None else [False] * len(counts)
            self.slider.marked = -1 if math.isnan(best) else counts.index(int(best))
            self.slider.mark_label = "" if math.isnan(best) else f"a* = {best:.0f}"

    def _draw_curves(self, key: ChannelKey, result: ChannelExtremal | None) -> None:
        if result is None:
            for view in (self.curves, self.scores):
                view.x = None
            self.curves.y = self.scores.values = self.scores.indices = self.scores.target_values = None
            self.curves.lines, self.curves.marks, self.curves.series = [], [], []
            return
        x = result.channels.cpu().numpy().astype(np.float32)
        best, whole, perturbed = (
            float(value[0]) for value in (result.best_channels, result.whole, result.perturbed)
        )
        with self.curves.hold_sync():
            self.curves.x = x
            self.curves.y = torch.stack([result.scores[0], result.complement_scores[0]])
            self.curves.series = [
                {"label": "channels preserved"},
                {"label": "channels deleted", "style": "dashed"},
            ]
            self.curves.lines = [
                {"y": result.tau * whole, "label": "\u03a6\u2080" + (", all" if result.tau == 1 else "")},
                {"y": perturbed, "label": "none"},
            ]
            self.curves.marks = [] if math.isnan(best) else [{"x": best, "label": f"a* = {best:.0f}"}]
        probs = self.model.probabilities(result.class_scores[0].movedim(1, 0))
        top = probs.topk(min(TOP, probs.shape[-1]), dim=-1)
        with self.scores.hold_sync():
            self.scores.target = key.target
            self.scores.value_limits = self._limits(top.values.cpu(), probs[..., key.target].cpu())
            self.scores.x = x
            self.scores.indices, self.scores.values = top.indices.int(), top.values
            self.scores.target_values = probs[:, :, key.target]

    def _draw_gallery(self, key: ChannelKey, result: ChannelExtremal | None) -> None:
        if result is None:
            with self.gallery.hold_sync():
                self.gallery.active = self.gallery.present = self.gallery.images = None
                self.gallery.labels, self.gallery.row_labels = [], []
            return
        listed = result.order[0, : self._rows]
        inside = result.masks[0][:, listed] > 0
        columns = self.study.patches(key.layer)
        pictures = torch.cat([column.of(listed.tolist()) for column in columns], 1)
        values = torch.cat([column.top.values[listed] for column in columns], 1)
        counts = result.channels.tolist()
        first = [
            next((count for count, held in zip(counts, column, strict=True) if held), None)
            for column in inside.T.tolist()
        ]
        captions = [
            "" if math.isnan(value) else f"{'here ' if not column else ''}{value:.3g}"
            for row in values.tolist()
            for column, value in enumerate(row)
        ]
        with self.gallery.hold_sync():
            self.gallery.columns = pictures.shape[1]
            patches = pictures.flatten(0, 1)
            self.gallery.images = self.model.to_rgb(patches.nan_to_num(0.5))
            self.gallery.present = (~patches.isnan().flatten(1).all(1)).numpy()
            self.gallery.labels = captions
            self.gallery.row_labels = [
                f"channel {channel}" + ("" if count is None else f" · in the best {count}")
                for channel, count in zip(listed.tolist(), first, strict=True)
            ]
            self.gallery.active = inside.repeat_interleave(pictures.shape[1], dim=1).byte().cpu().numpy()
