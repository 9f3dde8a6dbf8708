"""A mask painted on an image by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from traitlets import Bool, Int, List, TraitError, Unicode, observe, validate

from xai_widgets.views import preview
from xai_widgets.views.arrays import Bytes, Image
from xai_widgets.views.base import View
from xai_widgets.views.traits import Choice, Unit


class BrushView(View):
    """A brush that paints or erases a mask on an image, by mouse, pen, finger or key.

    Where the mask m is painted the image becomes its fill: image + m (fill - image), pixel by pixel, drawn in the
    browser. The mask comes to Python while the hand moves: the browser sends the newest one as soon as the one
    before is `seen`, so nothing queues up and the last one always arrives. Without a kernel it paints on all the
    same.

    The right button, Alt, and the other end of a pen erase. With the picture focused, the arrows move a crosshair
    (with Shift by ten pixels), Space paints there and, held, along the way; [ and ] change the size, x the tool, f
    the fill, d the display; Ctrl or Cmd with Z undoes, with Shift and Z, or with Y, redoes.

    Raises
    ------
    TypeError
        For a keyword that is no trait of the view.
    traitlets.TraitError
        For a value that does not fit, in one sentence.

    Examples
    --------
    >>> view = BrushView(image=x, fills=[blurred, grey], fill_labels=["blur", "grey"])  # doctest: +SKIP
    >>> view.observe(lambda change: print(change.new.mean() / 255), "mask")  # doctest: +SKIP
    """

    _bundle = "brush_view"

    image = Image(
        help=(
            "The whole image, shape (H, W, 3). Floats in [0, 1] and grey images of shape (H, W) are "
            "converted."
        )
    )
    fills = Bytes(
        (None, None, None, 3),
        help=(
            "What painted pixels become, shape (F, H, W, 3). Floats in [0, 1] are converted. Default "
            "None: the paint is shown as a tint."
        ),
    )
    fill_labels: List[str] = List(
        Unicode(), help="A name for each fill, to choose from; empty, the default: no choice."
    ).tag(sync=True)
    fill = Int(0, min=0, help="Which fill is used, from 0; beyond the last, the last is.").tag(sync=True)
    mask = Bytes(
        (None, None),
        help=(
            "255 where the image is perturbed, shape (H, W). Floats in [0, 1] and booleans are converted. "
            "Assigning it replaces what is painted, in one step that can be undone. Default None, nothing "
            "painted; an image of another size makes it None again."
        ),
    )
    _step = Int(
        0, help="Masks assigned while this number, if not 0, stays the same are undone together."
    ).tag(sync=True)
    tool = Choice(("paint", "erase"), help="What the brush does.")
    brush_size = Unit(0.15, help=("Diameter of the brush as a share of the short side of the image."))
    softness = Unit(0.5, help="The part of the radius over which the brush fades out.")
    display = Choice(
        ("result", "tint", "outline"),
        help=(
            "The perturbed image, the image with the paint in colour over it, or with the line at which m "
            "is a half."
        ),
    )
    opacity = Unit(0.6, help='Of the colour in the display "tint".')
    _stroke = Int(0, help="Number of the last mask that the browser sent.").tag(sync=True)
    _seen = Int(0, help="Number of the last mask that Python took up.").tag(sync=True)
    interpolation = Choice(
        ("pixelated", "smooth"), help="How the image is enlarged; pixelated shows what the network sees."
    )
    controls = Bool(True, help="Whether the view has its own controls.").tag(sync=True)
    width = Int(400, min=0, help="Largest width in CSS px, 0 for the width of the column.").tag(sync=True)

    @validate("mask")
    def _of_the_image(self, proposal: dict[str, Any]) -> NDArray[np.uint8]:
        mask: NDArray[np.uint8] = proposal["value"]
        if self.image is not None and mask.shape != self.image.shape[:2]:
            raise TraitError(
                f"BrushView.mask has shape {mask.shape}, wanted that of the image, {self.image.shape[:2]}"
            )
        return mask

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take up what the browser sent; a mask painted before the image changed its size means nothing any more."""
        shape = None if self.image is None else list(self.image.shape[:2])
        if shape and (sync_data.get("mask") or {}).get("shape", shape) != shape:
            sync_data = {name: value for name, value in sync_data.items() if name != "mask"}
        try:
            super().set_state(sync_data)
        finally:
            # After the observers of `mask`: the next message is not to come before they are done with this one.
            if "_stroke" in sync_data:
                self._seen = self._stroke

    @observe("image")
    def _forget_mask(self, _change: object) -> None:
        fits = self.mask is None or self.image is None or self.mask.shape == self.image.shape[:2]
        if not fits:
            self.mask = None

    def still(self) -> preview.Pixels | None:
        """The image with its fill where it is painted; without fills the image alone."""
        pixels = self.image
        if pixels is None:
            return None
        if self.mask is not None and self.fills is not None and len(self.fills):
            fill = self.fills[min(self.fill, len(self.fills) - 1)]
            pixels = preview.blended(pixels, fill, self.mask / 255)
        size = preview.fitting(pixels.shape, self.width)
        return preview.resized(pixels, size, smooth=self.interpolation == "smooth")
