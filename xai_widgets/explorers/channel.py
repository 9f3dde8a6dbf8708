"""Channels of a layer that a class needs, with a slider over their number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, get_args

import numpy as np
import torch

from xai_widgets.core.model import ImageModel, Target
from xai_widgets.core.validation import items
from xai_widgets.explorers.channel_lists import ChannelLists
from xai_widgets.explorers.explorer import Choice
from xai_widgets.explorers.layout import column, display_menu, header, stage
from xai_widgets.explorers.panel import closed_on_error
from xai_widgets.explorers.parts import THUMBNAIL, TOP, dropdown, image_names, score_name, scores_title
from xai_widgets.perturbation.area_search import AreaSettings
from xai_widgets.perturbation.channel import ChannelExtremal
from xai_widgets.perturbation.scored_masks import Variant
from xai_widgets.studies import Study
from xai_widgets.studies.class_channels import ClassChannelKey
from xai_widgets.studies.layers import spatial_layers
from xai_widgets.studies.masks import ChannelKey, ChannelStudy, Patches
from xai_widgets.views import CurveView, HeatmapView, ScoresView, SliderView, link
from xai_widgets.views.static_repr import set_layout

#: Height of the plot and of the list of channels, CSS px.
PLOT, STAGE = 180, 505
#: The choice of the image that the explorer was given, and the largest number of others to choose from.
GIVEN, MOST_IMAGES = "given", 100


class ChannelExplorer(ChannelLists):
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
    variant : {"preserve", "delete", "hybrid", "contrastive"}, default "preserve"
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
    batch_size : int, optional
        Masked activations, or images, per pass. Default: 32 masked activations, and as many images as are computed
        fastest in bounded memory.
    start : bool, default True
        Whether to search at once; otherwise the button starts.
    state : dict, optional
        Choices to begin with, a result of :meth:`state`.

    Attributes
    ----------
    target : int
        The class; assign an index to change it.
    off : list of int
        Channels of the layer that are switched off, in the list or by assignment; another layer begins with all on.
    switched : ScoresView
        The best classes without them.
    list_picker : SelectView
        Whether the list shows the channels that the image needs, or, with `images`, the channel k* that most images of
        each class need (:class:`~xai_widgets.studies.class_channels.ClassChannelStudy`), which is searched on demand.
    slider : SliderView
        The number of channels.
    heatmap : HeatmapView
        The sum of their activations over the image (equation 11).
    curves : CurveView
        Score with these channels alone, and without them, over their number.
    scores : ScoresView
        The best classes there.
    gallery : GalleryView
        The channels that are needed most, each with its top patches, the first number that it is among, and its effect
        on the score (:func:`~xai_widgets.perturbation.channel.channel_effects`) with its share of the effects of all
        channels. A click on a patch marks its position, on its image.
    image_picker : SelectView
        The image: the given one, or one of `images`.
    display : DisplayMenu
        Opacity and colors of the map.
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
        *ChannelLists.kernel_controls,
        "variant_picker",
        "layer_picker",
        "image_picker",
    )
    shared: ClassVar[Mapping[str, str]] = {**ChannelLists.shared, "layer": "layer_picker.value"}

    study: Study[Any, Any]
    #: Whether the image is being replaced by one of the list; the image as it was given; the newest one.
    _jumping: bool = False
    _given: Any = None
    _last: Any = None

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
        batch_size: int | None = None,
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
        self._listed: list[int] = []
        self._image_study = self._make_study()
        self.study = self._image_study
        layer = self.model.default_layer() if layer is None else layer
        # Bad arguments are refused here: this makes the run without a step of it.
        self._if_finite(lambda: self._image_study.run(ChannelKey(self.target, variant, layer)))
        # A layer without positions is refused, too.
        model.spatial(layer, torch.empty(1, *model.layer(layer).shape, device="meta"))

        layers = spatial_layers(self.model)
        layers += [layer] if layer not in layers else []
        self.layer_picker = dropdown("Layer", layers, layer)
        self.variant_picker = dropdown("Objective", get_args(Variant), variant)
        self.image_picker = dropdown("Image", [GIVEN, *self._other_names()], GIVEN, {GIVEN: "the given one"})
        counts = list(self._image_study.counts(layer) or [])
        self.slider = SliderView(label="Channels", values=counts, frame=len(counts) // 2)
        self.heatmap = HeatmapView(width=0, title="What these channels see")
        self.curves = CurveView(
            x_label="number of channels",
            y_label=score_name(self.model),
            x_scale="log",
            height=PLOT,
        )
        self.scores = ScoresView(
            labels=self.model.labels,
            target=self.target,
            series=[{"label": "channels preserved"}, {"label": "channels deleted"}],
            title=scores_title(self.model),
        )
        self._make_lists(
            images,
            patches,
            channels=self._channels,
            known=self._other_patches,
            tau=tau,
            batch_size=batch_size,
        )
        link((self.slider, "fraction"), (self.curves, "fraction"), (self.scores, "fraction"))
        link((self.curves, "frame"), (self.scores, "frame"))
        link((self.slider, "frame"), (self.heatmap, "frame"), (self.gallery, "step"))
        self.display = display_menu(self.heatmap)
        self._compute_on_change((self.variant_picker, "value"), (self.layer_picker, "value"))
        self._connect_lists()
        self.gallery.observe(lambda _change: self._open_patch(), "frame")
        self.image_picker.observe(lambda _change: self._choose_image(), "value")
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
        images = [self.image_picker] if len(self.image_picker.options) > 1 else []
        lists = [self.list_picker] if self._class_study is not None else []
        self._adopt(self.image_picker, self.list_picker)
        # Keep one height before and after the first result.
        set_layout(self.curves, min_height=f"{PLOT + 100}px")
        scrolled = column(self.gallery, self.legend)
        channels = column(self.switched, scrolled, weight=1.4, width=230)
        set_layout(channels, height=f"{STAGE}px")
        set_layout(self.switched, flex="0 0 auto")
        set_layout(scrolled, flex="1 1 0%", min_height="0", overflow="hidden auto")
        controls = (self.variant_picker, self.layer_picker, *images, *lists, self.display, self.run_bar)
        return [
            header(self.class_picker, *controls),
            stage(
                column(self.heatmap, self.slider, weight=1.3, width=230),
                column(self.curves, self.scores, weight=1.2, width=230),
                channels,
            ),
        ]

    def _other_names(self) -> list[str]:
        """Return a name for each of the other images that can be chosen; none for many, or if they have no number."""
        images = self._images
        if not hasattr(images, "__len__") or not hasattr(images, "__getitem__") or len(images) > MOST_IMAGES:
            return []
        names = image_names(images)
        return [
            name if names.count(name) == 1 else f"{name}, {number}" for number, name in enumerate(names, 1)
        ]

    def _choose_image(self) -> None:
        """Explain the image that is chosen in the list."""
        name = self.image_picker.value
        index = self.image_picker.options.index(name) - 1
        if index >= 0:
            self._given = self._given if self._given is not None else self._last
            self._jumping = True
            try:
                self.image = self._images[index]
            finally:
                self._jumping = False
        elif self._given is not None:
            self.image, self._given = self._given, None

    def _open_patch(self) -> None:
        """Mark the position of the patch that was clicked; one of another image is shown on that image."""
        gallery, result = self.gallery, self.result
        if gallery.frame < 0 or result is None:
            return
        row, number = divmod(gallery.frame, gallery.columns)
        gallery.frame = -1
        columns = self._image_study.patches(self.layer_picker.value)
        # The first patch of a channel of the image is that of the image itself.
        own = number == 0 and not self._by_class
        top = columns[0 if own else -1].top
        channel, rank = self._listed[row], max(0, number - (not self._by_class))
        if not own:
            index = int(top.images[channel, rank]) + 1
            if not 0 < index < len(self.image_picker.options):
                return
            self.image_picker.value = self.image_picker.options[index]
        y, x = top.positions[channel, rank].tolist()
        self.heatmap.position = [(x + 0.5) / top.grid[1], (y + 0.5) / top.grid[0]]

    def _take(self, image: Any) -> tuple[Any, Any]:
        self._last = image
        return super()._take(image)

    def _show_image(self) -> None:
        if not self._jumping:
            self._given = None
            self.image_picker.value = GIVEN
        self.heatmap.image = self._display
        self.scores.reference = self._probabilities()
        self._switch()

    def _take_image(self) -> None:
        self._image_study = self._make_study()
        if not self._by_class:
            self.study = self._image_study

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

    def _keys(self) -> list[Any]:
        if self._by_class:
            return [ClassChannelKey(self.variant_picker.value, self.layer_picker.value)]
        return super()._keys()

    def _key(self) -> ChannelKey:
        return ChannelKey(self.target, self.variant_picker.value, self.layer_picker.value)

    def _message(self, key: Any) -> str:
        return f"{key.variant}: channels of {key.layer}"

    def _draw(self, changed: Any = None) -> None:
        key = self._key()
        self.result = self._image_study.result(key)
        self._draw_result(key, self.result)

    # -- drawing --------------------------------------------------------------------------------------------

    def _draw_result(self, key: ChannelKey, result: ChannelExtremal | None) -> None:
        self._draw_slider(key, result)
        with self.heatmap.hold_sync():
            if result is not None:
                # Decided by the layer, not by the map: a map of some channels may be of one sign by chance.
                self.heatmap.sign = "both" if bool((result.activation < 0).any()) else "positive"
            self.heatmap.maps = None if result is None else result.maps()[0].cpu().numpy()
            note = "" if result is None else self._void(key, result)
            self.heatmap.notes = [note] * len(self.slider.values) if note else []
        self._draw_gallery(key, result)
        self._draw_curves(key, result)

    def _void(self, key: ChannelKey, result: ChannelExtremal) -> str:
        """Return why sets of channels mean little, or an empty string."""
        whole, perturbed = float(result.whole[0]), float(result.perturbed[0])
        if whole > perturbed:
            return ""
        return (
            f"Sets of channels mean little here: {self.model.labels[key.target]} scores {whole:.3g} for the image, "
            f"and {perturbed:.3g} without any channel."
        )

    def _draw_slider(self, key: ChannelKey, result: ChannelExtremal | None) -> None:
        counts = list(self._image_study.counts(key.layer) or [])
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
                {
                    "y": result.tau * whole,
                    "label": "all channels" if result.tau == 1 else f"{result.tau:.3g} of all",
                },
                {"y": perturbed, "label": "no channel"},
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
