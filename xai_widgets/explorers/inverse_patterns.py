"""The tab of the inverse explorer with the feature patterns of a channel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch

from xai_widgets.core.display import single_images
from xai_widgets.explorers.inverse_start import most_active
from xai_widgets.explorers.inverse_tab import InverseTab
from xai_widgets.explorers.parts import dropdown, show_patches
from xai_widgets.inverse.chain import Chain
from xai_widgets.inverse.patterns import pattern_units
from xai_widgets.studies.patterns import PatternKey, PatternStudy
from xai_widgets.views import GalleryView
from xai_widgets.views.static_repr import set_layout

#: Number of images of a channel (figure 4.2 of the source).
MOST_IMAGES = 9


class PatternsTab(InverseTab):
    """The parts of images that activate a channel most, with their operation-wise inverses.

    Attributes
    ----------
    unit_picker, channel_picker : SelectView
        The unit and its channel; those that are most active in the image of the explorer come first.
    gallery : GalleryView
        The patches with the largest activations, one of each image, and the pattern of each.
    """

    title = "Feature patterns"
    kernel_controls: ClassVar[tuple[str, ...]] = ("run_bar", "unit_picker", "channel_picker")

    study: PatternStudy

    def _make_views(self) -> None:
        units = pattern_units(self.owner.model)
        if not units:
            raise ValueError(
                f"expected a network with units that have positions, got {self.owner.model.name}; "
                "a pattern is around a position"
            )
        self.unit_picker = dropdown("Unit", units, units[len(units) // 2])
        self.channel_picker = dropdown("Channel", ["0"], "0")
        self._list_channels()
        self.gallery = GalleryView(size=104)
        self.unit_picker.observe(lambda _change: self._list_channels(), "value")
        self._compute_on_change((self.channel_picker, "value"))

    def _controls(self) -> Iterable[Any]:
        return self.unit_picker, self.channel_picker

    def _stage(self) -> Iterable[Any]:
        set_layout(self.gallery, min_height="300px", margin="0")
        return (self.gallery,)

    def _make_study(self) -> PatternStudy:
        given = self.owner.images
        images = self.owner.image if given is None else given
        count = sum(1 for _ in single_images(images))
        return PatternStudy(
            self.owner.model,
            images,
            k=max(1, min(MOST_IMAGES, count)),
            settings=self.owner.study.settings,
            batch_size=self.owner.study.batch_size,
        )

    def take_image(self) -> None:
        """List the channels of another image; the patterns of given images stay."""
        if self.owner.images is None:
            super().take_image()
        self._list_channels()

    def _list_channels(self) -> None:
        """List the channels of the unit, those first that are most active in the image of the explorer."""
        chain = self.owner.study.chain or Chain.of(self.owner.model, self.owner.image)
        names = [unit.name for unit in chain.units]
        labels = most_active([*chain.inputs[1:], chain.output][names.index(self.unit_picker.value)])
        kept = self.channel_picker.value
        with self.channel_picker.hold_sync():
            self.channel_picker.labels = labels
            self.channel_picker.options = list(labels)
            self.channel_picker.value = kept if kept in labels else next(iter(labels))

    def _keys(self) -> list[PatternKey]:
        return [PatternKey(self.unit_picker.value, int(self.channel_picker.value))]

    def _message(self, key: PatternKey) -> str:
        result = self.study.result(key)
        found = result is not None and bool((~result.patterns.isnan()).any())
        return f"{self.study.title(key)}: {'inverses' if found else 'the largest activations'}"

    def _draw(self, changed: Any = None) -> None:
        (key,) = self._keys()
        result = self.study.result(key)
        with self.gallery.hold_sync():
            self.gallery.title = (
                f"Channel {key.channel} of {key.unit}: the largest activations, one of each image, "
                "and their inverses"
            )
            if result is None or not bool((result.top.images[list(result.channels)] >= 0).any()):
                self.gallery.images = self.gallery.present = None
                self.gallery.labels, self.gallery.row_labels = [], []
                return
            show_patches(self.owner.model, self.gallery, torch.stack([result.patches[0], result.patterns[0]]))
            values = [f"{value:.3g}" for value in result.values[0].tolist()]
            self.gallery.labels = [*values, *[""] * len(values)]
            self.gallery.row_labels = ["patches", "patterns"]
