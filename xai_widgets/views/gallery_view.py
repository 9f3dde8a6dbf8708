"""Small pictures with captions, one of them chosen."""

from __future__ import annotations

from typing import Any

from traitlets import Float, Int, List, Unicode, validate

from xai_widgets.views import preview
from xai_widgets.views.arrays import Array, Bytes
from xai_widgets.views.base import View
from xai_widgets.views.traits import Choice, low_below_high


class GalleryView(View):
    """A strip or a grid of small pictures of which one may be chosen.

    With the gallery focused, the arrows choose the next picture, Home and End the first and the last, Escape none.

    Raises
    ------
    TypeError
        For a keyword that is no trait of the view.
    traitlets.TraitError
        For a value that does not fit, in one sentence.

    Examples
    --------
    >>> view = GalleryView(images=growth, labels=["5 %", "10 %", "20 %"], marked=1)  # doctest: +SKIP
    """

    _bundle = "gallery_view"

    images = Bytes(
        (None, None, None, 3), help="The pictures, shape (M, h, w, 3). Floats in [0, 1] are converted."
    )
    labels: List[str] = List(Unicode(), help="What stands under each picture; a missing one is empty.").tag(
        sync=True
    )
    columns = Int(
        0, min=0, help=("How many pictures stand in a row; 0, the default: all in one row that scrolls.")
    ).tag(sync=True)
    row_labels: List[str] = List(
        Unicode(),
        help=("A name for each row, if there are columns: beside it, or above it where the view is narrow."),
    ).tag(sync=True)
    frame = Int(-1, min=-1, help="The chosen picture, -1 for none, the default.").tag(sync=True)
    marked = Int(-1, min=-1, help="A picture with a star, -1 for none, the default.").tag(sync=True)
    values = Array(
        "float32",
        (None,),
        help=("A number for each picture, drawn as a thin bar under it, shape (M,); NaN draws none."),
    )
    value_limits: List[float] = List(
        Float(),
        [0.0, 1.0],
        minlen=2,
        maxlen=2,
        help=("The values of an empty and of a full bar; where they have different signs bars begin at 0."),
    ).tag(sync=True)
    active = Bytes(
        (None, None),
        stack=True,
        help=(
            "Which of the M pictures are lit at each of F stops, 0 where one is not, shape (F, M): those "
            "are dimmed, and may be chosen all the same. Booleans are converted. A single stop may be "
            "given as (M,). Default None: all are lit."
        ),
    )
    step = Int(
        0,
        help=(
            'Which row of `active` applies, as by ``link((slider, "frame"), (gallery, "step"))``; out of '
            "range: all are lit."
        ),
    ).tag(sync=True)
    size = Int(96, min=16, help="Largest width of a picture in CSS px.").tag(sync=True)
    interpolation = Choice(("pixelated", "smooth"), help="How pictures are enlarged.")
    width = Int(0, min=0, help="Largest width in CSS px, 0 for the width of the column.").tag(sync=True)

    @validate("value_limits")
    def _low_below_high(self, proposal: dict[str, Any]) -> list[float]:
        return low_below_high("GalleryView.value_limits", proposal["value"])

    def still(self) -> preview.Pixels | None:
        """The first pictures."""
        pictures = () if self.images is None else self.images
        return preview.table(pictures, self.columns, cell=self.size, smooth=self.interpolation == "smooth")
