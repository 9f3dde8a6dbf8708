"""The controls of the feature explorer: the objective, its layer, and the settings of the optimization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from traitlets import link

from xai_widgets.core.model import ImageModel
from xai_widgets.explorers.explorer import Explorer
from xai_widgets.explorers.parts import dropdown
from xai_widgets.features.objectives.maximized import check_channel
from xai_widgets.studies.feature_examples import DETAILS, DetailKey, default_kind
from xai_widgets.studies.features import (
    CHANNEL,
    CLASS,
    FeatureKey,
    FeatureSettings,
    FeatureStudy,
    WallKey,
)
from xai_widgets.studies.layers import spatial_layers
from xai_widgets.views import CheckView, RunBar, SelectView, SliderView

#: Weights of the regularizers.
WEIGHTS = (0.0, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
#: Titles of the parameterizations.
TITLES = {
    "fourier": "Fourier",
    "maco": "magnitudes of photographs",
    "deep prior": "untrained network",
    "cppn": "function of the position",
    "pixels": "pixels",
}
#: The choice of patches without maps, and titles of all choices.
PATCHES = "patches"
WITH = {
    PATCHES: "patches",
    "deconvnet": "with DeconvNet",
    "guided_backprop": "with guided backprop",
    "gradient": "with gradient",
    "inverse": "with inverse",
    "field": "with receptive field",
}
#: Sentences under the pointer.
HELP = {
    "objective": "What is to rise: a channel of a layer, a class score, or a named objective",
    "channel": "The channel whose mean over the positions is to rise",
    "class": "The class whose score is to rise",
    "parameterization": "The variables that the image is made of",
    "details": "The patches of the images to which the channel responds most, with the part that matters to it: by a "
    "backward pass, by the operation-wise inverse, or by occlusion",
    "transforms": "Crop, rotate and disturb the image at random before each pass; applies to the running optimization",
}


class FeatureControls(Explorer):
    """The controls of :class:`~xai_widgets.explorers.FeatureExplorer`."""

    kernel_controls: ClassVar[tuple[str, ...]] = (
        *("run_bar", "layer_picker", "objective_picker", "channel_picker", "label_picker"),
        *("parameterization_picker", "total_variation", "alpha_norm", "l2", "transforms", "page_slider"),
        "details_picker",
    )

    target: Any
    model: ImageModel
    study: FeatureStudy
    #: Channels on a page of the wall, and in a batch.
    _page: int
    _batch: int

    def _make_controls(self, layer: str, channel: int, parameterization: str, objective: str) -> None:
        model = self.model
        self.run_bar = RunBar(step="Step: one step of the optimization")
        layers = spatial_layers(model)
        layers += [layer] if layer not in layers else []
        self.layer_picker = dropdown("Layer", layers, layer)
        self.layer_picker.help = "The layer of the channel and of the small images"
        kinds = [CHANNEL, CLASS, *self.study.objectives]
        self.objective_picker = dropdown("Objective", kinds, objective)
        self.objective_picker.help = HELP["objective"]
        self.channel_picker = dropdown("Channel", self._channel_names(), str(channel))
        self.channel_picker.help = HELP["channel"]
        numbers = [str(index) for index in range(len(model.labels))]
        labels = dict(zip(numbers, model.labels, strict=True))
        self.label_picker = dropdown("Class", numbers, str(self.target), labels)
        self.label_picker.help = HELP["class"]
        drawn = list(self.study.parameterizations)
        self.parameterization_picker = dropdown("Drawn as", drawn, parameterization, TITLES)
        self.parameterization_picker.help = HELP["parameterization"]
        self.total_variation, self.alpha_norm, self.l2 = (
            SliderView(label=label, values=WEIGHTS, labels=[f"{weight:g}" for weight in WEIGHTS], frame=0)
            for label in ("Total variation", "Alpha norm", "L2")
        )
        kinds = [PATCHES, *DETAILS]
        self.details_picker = dropdown("Real examples", kinds, default_kind(model), WITH)
        self.details_picker.help = HELP["details"]
        self.transforms = CheckView(title="Transforms", value=True, help=HELP["transforms"])
        self.page_slider = SliderView(label="Channels")
        for slider in (self.total_variation, self.alpha_norm, self.l2, self.page_slider):
            slider._needs_kernel = True
        self._show_pages()
        self._show_pickers()

    def _connect_choices(self) -> None:
        self.layer_picker.observe(lambda _change: self._choose_layer(), "value")
        self.objective_picker.observe(lambda _change: self._show_pickers(), "value")
        self.channel_picker.observe(lambda _change: self._open_page(), "value")
        pickers: Sequence[SelectView] = (
            self.layer_picker,
            self.objective_picker,
            self.channel_picker,
            self.label_picker,
            self.parameterization_picker,
            self.details_picker,
        )
        link((self, "target"), (self.label_picker, "value"), transform=(str, int))
        self._compute_on_change(*((picker, "value") for picker in pickers), (self.page_slider, "frame"))
        for slider in (self.total_variation, self.alpha_norm, self.l2):
            slider.observe(lambda _change: self._change_settings(), "frame")
        self.transforms.observe(lambda _change: self._change_settings(), "value")
        self.run_bar.on_step(lambda _bar: self.step())

    def step(self) -> None:
        """Make one step of the optimization; one that is running stops after it."""
        raise NotImplementedError

    def _change_settings(self) -> None:
        """Change the settings of the running optimization."""
        raise NotImplementedError

    def _channel_names(self) -> list[str]:
        return [str(channel) for channel in range(self._width())]

    def _width(self) -> int:
        """Return the number of channels of the layer."""
        return self.model.layer(self.layer_picker.value).channels

    def _choose_layer(self) -> None:
        """Offer the channels of the layer; the chosen number stays where it exists."""
        names = self._channel_names()
        with self.channel_picker.hold_sync():
            if self.channel_picker.value not in names:
                self.channel_picker.value = names[0]
            self.channel_picker.options = names
        self._show_pages()

    def _show_pages(self) -> None:
        width, page = self._width(), self._page
        firsts = range(0, width, page)
        with self.page_slider.hold_sync():
            self.page_slider.values = list(firsts)
            self.page_slider.labels = [f"{first} to {min(first + page, width) - 1}" for first in firsts]
        self.page_slider.layout.display = None if len(firsts) > 1 else "none"
        self._open_page()

    def _open_page(self) -> None:
        """Show the page of the wall with the chosen channel."""
        self.page_slider.frame = int(self.channel_picker.value) // self._page

    def _show_pickers(self) -> None:
        kind = self.objective_picker.value
        for picker, shown in ((self.channel_picker, CHANNEL), (self.label_picker, CLASS)):
            picker.layout.display = None if kind == shown else "none"

    def _settings(self) -> FeatureSettings:
        """Return the settings that the controls choose."""
        sliders = (self.total_variation, self.alpha_norm, self.l2)
        weights = [WEIGHTS[max(0, slider.frame)] for slider in sliders]
        return FeatureSettings(weights[0], weights[1], weights[2], self.transforms.value)

    def _key(self) -> FeatureKey:
        """Return the key of the image."""
        kind, drawn = self.objective_picker.value, self.parameterization_picker.value
        if kind == CHANNEL:
            return FeatureKey(kind, self.layer_picker.value, int(self.channel_picker.value), drawn)
        index = int(self.label_picker.value) if kind == CLASS else 0
        return FeatureKey(kind, "", index, drawn)

    def _detail(self, key: FeatureKey) -> DetailKey | None:
        """Return the key of the maps of the patches; None for patches only."""
        kind = self.details_picker.value
        return None if kind == PATCHES else DetailKey(kind, key.layer, key.number)

    def _wall_keys(self) -> list[WallKey]:
        """Return the batches of the page of the wall."""
        layer, width = self.layer_picker.value, self._width()
        begin = max(0, self.page_slider.frame) * self._page
        end = min(begin + self._page, width)
        return [
            WallKey(layer, first, min(self._batch, end - first)) for first in range(begin, end, self._batch)
        ]


def first_choice(
    model: ImageModel, layer: str | None, channel: int | None, target: Any, objectives: Mapping[str, Any]
) -> tuple[str, int, int | None, str]:
    """Return layer, channel, class and kind of the first objective; ValueError if the network does not have them."""
    if channel is not None and target is not None:
        raise ValueError("expected a channel or a target, got both")
    name = model.default_layer() if layer is None else layer
    model.grid(name)
    index = check_channel(model, name, 0 if channel is None else channel)
    if target is None:
        # The caller passed objectives to see them.
        kind = next(iter(objectives), CHANNEL) if layer is None and channel is None else CHANNEL
        return name, index, None, kind
    return name, index, model.class_index(target), CLASS
