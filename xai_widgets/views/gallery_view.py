"""A strip or grid of small images with captions."""

from __future__ import annotations

from typing import Any

import numpy as np
from traitlets import Bool, Float, Int, List, Unicode, validate

from xai_widgets.views import preview
from xai_widgets.views.arrays import Array, Bytes
from xai_widgets.views.control import Asking
from xai_widgets.views.traits import Choice, low_below_high
from xai_widgets.views.viewport import Viewport


class GalleryView(Asking):
    """A strip or grid of small images, from which the user may choose one.

    With the gallery focused, the arrow keys choose the previous or next image, Home and End the first and last, and
    Escape none. All images zoom together, with Ctrl and the wheel, two fingers, or z and Shift + Z; 0 shows them whole.

    Raises
    ------
    TypeError
        For a keyword that is not a trait of the view.
    traitlets.TraitError
        For an invalid value.

    Examples
    --------
    >>> view = GalleryView(images=growth, labels=["5 %", "10 %", "20 %"], marked=1)  # doctest: +SKIP
    """

    _bundle = "gallery_view"

    images = Bytes(
        (None, None, None, 3), help="M images, shape (M, h, w, 3). Floats in [0, 1] are converted."
    )
    labels: List[str] = List(Unicode(), help="The caption of each image.").tag(sync=True)
    columns = Int(0, min=0, help="Number of images in a row; 0 for one row that scrolls.").tag(sync=True)
    row_labels: List[str] = List(
        Unicode(),
        help="The name of each row, if `columns` is set; beside the row, or above it in a narrow view.",
    ).tag(sync=True)
    switches = Bool(False, help="Whether the names of rows are buttons that switch rows off and on.").tag(
        sync=True
    )
    off: List[int] = List(Int(min=0), help="Indices of the rows that are switched off.").tag(sync=True)
    frame = Int(-1, min=-1, help="Index of the chosen image; -1 for none.").tag(sync=True)
    marked = Int(-1, min=-1, help="Index of the image with a star; -1 for none.").tag(sync=True)
    present = Bytes(
        (None,),
        help=(
            "Which of the M images exist, shape (M,): nothing is drawn in place of an image with 0, such as the end of "
            "a row of a table. Booleans are converted. Without it, all images exist."
        ),
    )
    looks: List[int] = List(
        Int(min=-1),
        help=(
            "The look of each image, a color and marker before its caption, as in the series of :class:`CurveView`; -1 "
            "for none."
        ),
    ).tag(sync=True)
    compact = Bool(
        False,
        help="Whether the title stands left of the images, whose labels are shown under the pointer only.",
    ).tag(sync=True)
    values = Array(
        "float32",
        (None,),
        help="A value for each image, shown as a thin bar below it, shape (M,); NaN for no bar.",
    )
    value_limits: List[float] = List(
        Float(),
        [0.0, 1.0],
        minlen=2,
        maxlen=2,
        help="The values of an empty and of a full bar; bars start at 0 if it lies between them.",
    ).tag(sync=True)
    active = Bytes(
        (None, None),
        stack=True,
        help=(
            "Which of the M images are active at each of F steps, shape (F, M): 0 for inactive images, "
            "which are dimmed but can be chosen. Booleans are converted. A single step may be given as "
            "(M,). Without it, all images are active."
        ),
    )
    step = Int(
        0,
        help=(
            'Index of the row of `active`, set for instance by ``link((slider, "frame"), (gallery, "step"))``; '
            "if it is out of range, all images are active."
        ),
    ).tag(sync=True)
    pages = Int(
        1,
        min=1,
        help=(
            "Number of equal groups of `images`, one for each step; the images and labels of the group `step` are "
            "shown."
        ),
    ).tag(sync=True)
    size = Int(96, min=16, help="Maximum width of an image in CSS px.").tag(sync=True)
    interpolation = Choice(("pixelated", "smooth", "bicubic"), help="How images are enlarged.")
    empty = Unicode("No images yet.", help="Text in place of images, if there are none.").tag(sync=True)
    viewport = Viewport()
    width = Int(0, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)

    @validate("value_limits")
    def _low_below_high(self, proposal: dict[str, Any]) -> list[float]:
        return low_below_high("GalleryView.value_limits", proposal["value"])

    def static_image(self) -> preview.Pixels | None:
        """Return a table of the first images; one that does not exist is white."""
        images = () if self.images is None else self.images
        if self.pages > 1:
            count = len(images) // self.pages
            first = count * min(max(self.step, 0), self.pages - 1)
            images = images[first : first + count]
        if self.present is not None and len(self.present) == len(images):
            images = np.where((self.present > 0)[:, None, None, None], images, np.uint8(255))
        return preview.image_table(
            images, self.columns, cell=self.size, smooth=self.interpolation == "smooth"
        )
