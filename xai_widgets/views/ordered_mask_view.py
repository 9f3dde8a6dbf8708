"""An image with the first pixels of an ordering deleted or inserted."""

from __future__ import annotations

import numpy as np
from traitlets import Bool, Int, List, Unicode

from xai_widgets.views import preview
from xai_widgets.views.arrays import Array, Image
from xai_widgets.views.base import View
from xai_widgets.views.position import Position
from xai_widgets.views.traits import MODES, Choice, Unit


class OrderedMaskView(View):
    """The image with a fraction of its pixels deleted or inserted.

    With n = round(fraction * H * W), halves up, deletion shows ``baselines[0]`` where the rank is below n and
    the image elsewhere; insertion shows the image where the rank is below n and ``baselines[1]`` elsewhere.
    Everything is sent once, so dragging needs no kernel. With the picture focused, the arrows change the
    fraction by 0.01 (with Shift by 0.1), Home and End go to 0 and 1, g changes the mode, m the ordering.

    Raises
    ------
    TypeError
        For a keyword that is no trait of the view.
    traitlets.TraitError
        For a value that does not fit, in one sentence.

    Examples
    --------
    >>> view = OrderedMaskView(image=x, baselines=[black, blurred], ranks=order)  # doctest: +SKIP
    """

    _bundle = "ordered_mask_view"

    image = Image(
        help=(
            "The whole image, shape (H, W, 3). Floats in [0, 1] and grey images of shape (H, W) are "
            "converted."
        )
    )
    baselines = Image(
        count=2,
        help=(
            "First what deleted pixels become, then what insertion starts from, shape (2, H, W, 3). "
            "Floats in [0, 1] are converted."
        ),
    )
    ranks = Array(
        "int32",
        (None, None, None),
        stack=True,
        help=(
            "M orderings, each a permutation of 0 to H * W - 1; rank 0 is the most important pixel, the "
            "first to be replaced, shape (M, H, W). A single one may be given as (H, W). Default None: "
            "the image is shown whole."
        ),
    )
    labels: List[str] = List(Unicode(), help="A name for each ordering.").tag(sync=True)
    frame = Int(0, min=0, help="Which ordering is used, from 0; beyond the last, the last is.").tag(sync=True)
    mode = Choice(MODES, help="Whether pixels are deleted or inserted.")
    fraction = Unit(help="How much of the image is replaced.")
    interpolation = Choice(
        ("pixelated", "smooth"), help="How the image is enlarged; pixelated shows what the network sees."
    )
    position = Position(
        help=(
            "The marked place, from the top left corner; the fraction at which it is replaced is written "
            "below the image."
        )
    )
    controls = Bool(True, help="Whether the view has its own controls.").tag(sync=True)
    width = Int(400, min=0, help="Largest width in CSS px, 0 for the width of the column.").tag(sync=True)

    def still(self) -> preview.Pixels | None:
        """Return the image at this fraction."""
        pixels = self.image
        if pixels is None:
            return None
        if self.ranks is not None and len(self.ranks) and self.baselines is not None:
            order = self.ranks[min(self.frame, len(self.ranks) - 1)]
            replaced = (order < np.floor(self.fraction * order.size + 0.5))[..., None]
            gone, begun = self.baselines
            both = (gone, pixels) if self.mode == "deletion" else (pixels, begun)
            pixels = np.where(replaced, *both)
        size = preview.fitting(pixels.shape, self.width)
        return preview.resized(pixels, size, smooth=self.interpolation == "smooth")
