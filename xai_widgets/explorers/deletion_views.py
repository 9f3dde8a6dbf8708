"""The views of the deletion explorer: its controls, the images to choose from, and the fill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from traitlets import Int, TraitError, validate

from xai_widgets.core.display import display_images
from xai_widgets.explorers.deletion_arrays import (
    NUMBERS,
)
from xai_widgets.explorers.image_explorer import ImageExplorer
from xai_widgets.explorers.layout import column, display_menu, header, stage
from xai_widgets.explorers.method_choice import method_picker
from xai_widgets.explorers.parts import (
    dropdown,
    image_names,
    plain_images,
    score_name,
    scores_title,
    show_note,
)
from xai_widgets.explorers.state import DERIVED
from xai_widgets.methods import Method
from xai_widgets.metrics.deletion import FILLS as PROTOCOL_FILLS
from xai_widgets.metrics.deletion import curve_fill
from xai_widgets.metrics.pixel_flipping import random_colors, replaced_pixels
from xai_widgets.studies.deletion import (
    FILLS,
    KINDS,
    DeletionStudy,
    Kind,
    StudyFill,
)
from xai_widgets.views import CurveView, GalleryView, HeatmapView, OrderedMaskView, ScoresView, link
from xai_widgets.views.static_repr import set_layout

#: Largest width of an image, and of one to choose from, CSS px.
IMAGE_WIDTH, THUMBNAIL = 480, 40

#: The kinds of curves in words.
KIND_LABELS: dict[str, str] = {"deletion": "deletion, insertion", "flipping": "MoRF, LeRF"}

#: The fills in words.
FILL_LABELS: dict[str, str] = {
    "default": "protocol",
    "training_mean": "training mean",
    "mean": "mean color",
    "blur": "blur",
    "noise": "noise",
    "black": "black",
}


class DeletionViews(ImageExplorer):
    """The views of :class:`~xai_widgets.explorers.DeletionExplorer`."""

    derived: ClassVar[tuple[str, ...]] = (*DERIVED, "image_picker")

    frame = Int(0, min=0, help="Index of the shown image.")

    study: DeletionStudy
    _methods: dict[str, Method]
    #: Whether other images are being taken.
    _adopting = False

    def _make_views(self, chosen: Sequence[str], kind: Kind, fill: StudyFill) -> None:
        titles = {name: method.title for name, method in self._methods.items()}
        self.method_picker = method_picker(self._methods, chosen, self.model)
        self.kind_picker = dropdown("Curves", KINDS, kind, KIND_LABELS)
        self.kind_picker.help = (
            "Deletion and insertion of probabilities, or MoRF and LeRF of scores, with ABPC"
        )
        self.fill_picker = dropdown("Fill", FILLS, fill, FILL_LABELS)
        self.fill_picker.help = "What replaces removed pixels, and the start of insertion"
        self.image_picker = GalleryView(frame=0, size=THUMBNAIL, title="Image", compact=True)
        self.heatmap = HeatmapView(labels=list(titles.values()), fade=True, opacity=0.9, width=IMAGE_WIDTH)
        self.masked = OrderedMaskView(width=IMAGE_WIDTH, title="Image at the cursor")
        self.scores = ScoresView(
            labels=self.model.labels,
            target=self.target,
            title=scores_title(self.model, "at the cursor"),
            x_percent=True,
            exact=True,
        )
        # Most curves fall or rise within the first few percent.
        self.curves = CurveView(x_scale="sqrt", x_percent=True, y_range="fit", snap=True, height=0)
        self._show_kind()
        views = self.curves, self.heatmap, self.masked, self.scores
        for name in ("frame", "mode", "fraction", "position", "viewport"):
            link(*[(view, name) for view in views if view.has_trait(name)])

    def _layout(self) -> list[Any]:
        self.display = display_menu(self.heatmap)
        # The image keeps its pixels: they are those that the network is given.
        self.masked.controls = False
        # Side by side in a narrow column, too.
        images = stage(self.heatmap, self.masked, width=150)
        left = column(images, self.scores, weight=5, width=330)
        left.layout.max_width = f"{2 * IMAGE_WIDTH + 16}px"
        right = column(self.curves, weight=4, width=300)
        images_and_curves = header(self.image_picker, self.kind_picker, self.fill_picker)
        # The strip takes the room that is left.
        set_layout(self.image_picker, flex="1 1 260px")
        return [
            header(self.class_picker, self.method_picker, self.display, self.run_bar),
            images_and_curves,
            stage(left, right),
        ]

    # -- the images -----------------------------------------------------------------------------------------

    def _take(self, image: Any) -> tuple[Tensor, NDArray[np.uint8]]:
        """Return the first of some images for the network and in its own resolution; show the caption."""
        given = plain_images(image)
        x = self.model.images(given)
        display, notes = display_images(self.model, given)
        show_note(self.caption, notes)
        self._taken = x, display, image_names(given)
        return x[:1], display[0]

    def _adopt_images(self) -> None:
        """Take the images that were read last, and show the first of them."""
        self._images, self._displays, self._names = self._taken
        self._classes: dict[int, int] = {}
        self.set_trait("frame", 0)

    def _take_image(self) -> None:
        self._adopting = True
        self._adopt_images()
        self._adopting = False
        super()._take_image()

    @validate("frame")
    def _image_exists(self, proposal: dict[str, Any]) -> int:
        number: int = proposal["value"]
        if number >= len(self._images):
            raise TraitError(f"expected frame from 0 to {len(self._images) - 1}, got {number}")
        return number

    def _on_picked(self, number: int) -> None:
        # Escape chooses no image of the strip.
        self.frame = number if 0 <= number < len(self._images) else self.frame
        self.image_picker.frame = self.frame

    def _on_frame(self) -> None:
        if self._adopting:
            return
        self.abandon()
        at = slice(self.frame, self.frame + 1)
        self._x, self._display = self._images[at], self._displays[self.frame]
        self._scores = self.model.scores(self._x)
        self._show_probabilities()
        self._show_image()
        target = self._classes.get(self.frame, self._predicted())
        if target != self.target:
            self.target = target
        else:
            self.compute()

    def _show_image(self) -> None:
        with self.image_picker.hold_sync():
            self.image_picker.images = self._displays
            self.image_picker.labels = list(self._names)
            self.image_picker.frame = self.frame
        set_layout(self.image_picker, display=None if len(self._images) > 1 else "none")
        with self.heatmap.hold_sync(), self.masked.hold_sync():
            self.heatmap.image = self._display
            self.masked.image = self.model.to_rgb(self._x[0])
            self._show_fill()

    def _show_fill(self) -> None:
        """Show what replaces pixels in the image at the cursor."""
        fill = self.fill_picker.value
        if fill != "default":
            both = [curve_fill(self.model, self._x, fill)] * 2
        elif self.kind_picker.value == "deletion":
            both = [curve_fill(self.model, self._x, each) for each in PROTOCOL_FILLS.values()]
        else:
            both = [random_colors(self._x, self.study.seed)] * 2
        self.masked.baselines = np.stack([self.model.to_rgb(each[0]) for each in both])

    def _show_kind(self) -> None:
        """Adapt the views to the kind of the curves."""
        kind = self._kind
        replaced = replaced_pixels(self._x) / self._x[0, 0].numel()
        names = list(KINDS[kind])
        if self.curves.mode not in names:
            second = self.curves.mode in ("insertion", "LeRF")
            for view in (self.curves, self.masked, self.scores):
                view.mode = names[second]
        verbs = ("deleted", "inserted") if kind == "deletion" else ("replaced", "replaced")
        self.masked.span = 1.0 if kind == "deletion" else replaced
        self.scores.series = [
            {"label": verb, "frame": frame, "mode": mode}
            for frame in range(len(self._methods) + 1)
            for mode, verb in zip(names, verbs, strict=True)
        ]
        with self.curves.hold_sync():
            self.curves.x_label = f"share of pixels {' or '.join(dict.fromkeys(verbs))}"
            self.curves.y_label = self.model.value_name if kind == "deletion" else score_name(self.model)
            self.curves.area_label, self.curves.between_label = NUMBERS[kind]

    @property
    def _kind(self) -> Kind:
        kind: Kind = self.kind_picker.value
        return kind

    def _on_kind(self) -> None:
        self.abandon()
        self._show_kind()
        self._on_fill()

    def _on_fill(self) -> None:
        self.abandon()
        self._show_fill()
        self.compute()
