"""The list of an explorer of channels: those of the image or of each class, with switches."""

from __future__ import annotations

from typing import Any, ClassVar

from ipywidgets import HTML
from traitlets import Int, List, TraitError, validate

from xai_widgets.core.validation import integers
from xai_widgets.explorers.channel_gallery import CLASS_LEGEND, LEGEND, clear, draw_channels, draw_classes
from xai_widgets.explorers.channel_switches import Switched, SwitchedScores
from xai_widgets.explorers.image_explorer import SearchExplorer
from xai_widgets.explorers.parts import THUMBNAIL, dropdown, explanation, small_text
from xai_widgets.perturbation.channel import ChannelExtremal
from xai_widgets.studies.class_channels import ClassChannelKey, ClassChannelStudy
from xai_widgets.studies.masks import ChannelKey, ChannelStudy
from xai_widgets.views import GalleryView, ScoresView, SelectView

#: Contents of the list: the channels of the image, or the first one of each class.
LISTS = {"image": "this image", "classes": "each class"}


class ChannelLists(SearchExplorer):
    """An explorer of channels with a list of them: single ones can be switched off.

    Attributes
    ----------
    off : list of int
        Channels of the layer that are switched off.
    gallery : GalleryView
    list_picker : SelectView
    legend : ipywidgets.HTML
    switched : ScoresView
        The best classes without these channels.
    """

    kernel_controls: ClassVar[tuple[str, ...]] = (*SearchExplorer.kernel_controls, "list_picker")

    off: List[int] = List(Int(min=0), help="Channels of the layer that are switched off.")

    gallery: GalleryView
    layer_picker: SelectView
    variant_picker: SelectView
    _image_study: ChannelStudy
    _rows: int
    _switching: bool = False

    def _make_lists(self, images: Any, patches: int, **options: Any) -> None:
        """Make the views of the list; options are those of the study of classes."""
        #: The channel of each row.
        self._listed: list[int] = []
        self.gallery = GalleryView(columns=1 + patches, size=THUMBNAIL, switches=True)
        # A switch needs a pass of the network.
        self.gallery._needs_kernel = True
        self.list_picker = dropdown("List", list(LISTS), "image", LISTS)
        self.legend: HTML = explanation(LEGEND)
        self._switched = SwitchedScores(self.model, self.run_bar)
        self._quick_worker = self._switched.worker
        self.switched: ScoresView = self._switched.view
        self._class_study = (
            None
            if images is None
            else ClassChannelStudy(self.model, images, patches=patches, patch_size=THUMBNAIL, **options)
        )

    def _connect_lists(self) -> None:
        self.layer_picker.observe(lambda _change: self.set_trait("off", []), "value")
        self.list_picker.observe(lambda _change: self._choose_list(), "value")
        self.gallery.observe(lambda _change: self._take_switches(), "off")
        self.observe(lambda _change: self._switch(), ["off", "target"])

    @validate("off")
    def _channels_exist(self, proposal: dict[str, Any]) -> list[int]:
        given = list(proposal["value"])
        if not given:
            return []
        width = self.model.layer(self.layer_picker.value).channels
        try:
            return sorted(set(integers(given, "off", low=0, high=width - 1)))
        except ValueError as error:
            raise TraitError(str(error)) from error

    @property
    def _by_class(self) -> bool:
        return self.list_picker.value == "classes"

    def _choose_list(self) -> None:
        """Show, and compute, the channels of the image or of the classes."""
        self.study = self._class_study if self._by_class and self._class_study else self._image_study
        self.legend.value = small_text(CLASS_LEGEND if self._by_class else LEGEND)
        self.compute()

    def _take_switches(self) -> None:
        """Switch channels off as in the list; those that are not listed stay."""
        if self._switching:
            return
        rows = {self._listed[row] for row in self.gallery.off if row < len(self._listed)}
        self.off = sorted(rows | (set(self.off) - set(self._listed)))

    def _switch(self) -> None:
        """Show the switches in the list, and the scores without the channels that are off."""
        self._show_switches()
        asked = Switched(self._x, self._scores, self.target, self.layer_picker.value, tuple(self.off))
        self._switched.show(asked)

    def _show_switches(self) -> None:
        self._switching = True
        try:
            self.gallery.off = [row for row, channel in enumerate(self._listed) if channel in self.off]
        finally:
            self._switching = False

    def _draw_gallery(self, key: ChannelKey, result: ChannelExtremal | None) -> None:
        if self._by_class:
            self._listed = self._draw_class_gallery(key)
        elif result is None:
            self._listed = []
            clear(self.gallery)
        else:
            self._listed = draw_channels(self.gallery, self.model, self._image_study, key, result, self._rows)
        self._show_switches()

    def _draw_class_gallery(self, key: ChannelKey) -> list[int]:
        study = self._class_study
        assert study is not None
        found, patches = study.result(ClassChannelKey(key.variant, key.layer)), study.patches(key.layer)
        if found is None or patches is None:
            clear(self.gallery)
            return []
        return draw_classes(self.gallery, self.model, found, patches, key.target)
