"""An image with the first pixels of an ordering deleted or inserted."""

from __future__ import annotations

import numpy as np
from traitlets import Bool, Float, Int, List, Unicode

from xai_widgets.views import preview
from xai_widgets.views.arrays import Array, Image
from xai_widgets.views.base import View
from xai_widgets.views.position import Position
from xai_widgets.views.traits import MODES, ORDERS, Choice, Unit
from xai_widgets.views.viewport import Viewport


class OrderedMaskView(View):
    """The image with a fraction of its pixels deleted or inserted.

    With n = round(fraction * span * H * W), where halves are rounded up, deletion shows ``baselines[0]`` where the rank
    is below n and the image elsewhere; insertion shows the image where the rank is below n and ``baselines[1]``
    elsewhere. The modes "MoRF" and "LeRF" replace pixels as deletion does, the most or the least relevant ones first.
    Everything is sent once, so dragging needs no kernel. With the image focused, the arrow keys change the
    fraction by 0.01 (by 0.1 with Shift), Home and End set it to 0 and 1, g changes the mode and m the ordering.

    Raises
    ------
    TypeError
        For a keyword that is not a trait of the view.
    traitlets.TraitError
        For an invalid value.

    Examples
    --------
    >>> view = OrderedMaskView(image=x, baselines=[black, blurred], ranks=order)  # doctest: +SKIP
    """

    _bundle = "ordered_mask_view"

    image = Image(
        help=(
            "The original image, shape (H, W, 3). Floats in [0, 1] and gray images of shape (H, W) are "
            "converted."
        )
    )
    baselines = Image(
        count=2,
        help=(
            "The image that deleted pixels are replaced by, and the image that insertion starts from, "
            "shape (2, H, W, 3). Floats in [0, 1] are converted."
        ),
    )
    ranks = Array(
        "int32",
        (None, None, None),
        stack=True,
        help=(
            "M orderings, each a permutation of 0 to H * W - 1; rank 0 is the first pixel that is "
            "replaced, shape (M, H, W). A single one may be given as (H, W). Without ranks, the original "
            "image is shown; an ordering of H * W throughout is veiled as not computed yet."
        ),
    )
    labels: List[str] = List(Unicode(), help="The name of each ordering.").tag(sync=True)
    frame = Int(0, min=0, help="Index of the ordering; an index beyond the last one selects the last.").tag(
        sync=True
    )
    least = Array(
        "int32",
        (None, None, None),
        stack=True,
        help=(
            'The orderings of the mode "LeRF", whose rank 0 is the least relevant pixel, shape (M, H, W): not quite '
            "`ranks` reversed where pixels are equally relevant. Without them, `ranks` are used."
        ),
    )
    mode = Choice(
        (*MODES, *ORDERS),
        help="Whether pixels are deleted or inserted, or replaced with the most or the least relevant ones first.",
    )
    fraction = Unit(help="The share of the pixels that are deleted or inserted, divided by `span`.")
    span = Float(
        1.0, min=0.0, max=1.0, help="The share of the pixels that are replaced at a fraction of 1."
    ).tag(sync=True)
    interpolation = Choice(
        ("pixelated", "smooth", "bicubic"),
        help='How the image is enlarged; "pixelated" shows the pixels of the input.',
    )
    position = Position(
        help=(
            "The marked position, from the top left corner; the fraction at which its pixel is replaced is "
            "shown below the image."
        )
    )
    viewport = Viewport()
    controls = Bool(True, help="Whether the view shows its controls.").tag(sync=True)
    width = Int(400, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)

    def static_image(self) -> preview.Pixels | None:
        """Return the image at this fraction."""
        pixels = self.image
        if pixels is None:
            return None
        if self.ranks is not None and len(self.ranks) and self.baselines is not None:
            orders = self.least if self.mode == "LeRF" and self.least is not None else self.ranks
            order = orders[min(self.frame, len(orders) - 1)]
            replaced = (order < np.floor(self.fraction * self.span * order.size + 0.5))[..., None]
            deleted, start = self.baselines
            both = (pixels, start) if self.mode == "insertion" else (deleted, pixels)
            pixels = np.where(replaced, *both)
        size = preview.fit_size(pixels.shape, self.width)
        return preview.resize(pixels, size, smooth=self.interpolation == "smooth")
