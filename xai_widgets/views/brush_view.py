"""A view to paint a mask on an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from traitlets import Bool, Int, List, TraitError, Unicode, observe, validate

from xai_widgets.views import preview
from xai_widgets.views.arrays import Array, Bytes, Image
from xai_widgets.views.base import View
from xai_widgets.views.traits import Choice, Unit
from xai_widgets.views.viewport import Viewport


class BrushView(View):
    """A brush or a box that paints or erases a mask on an image, with mouse, pen, touch or keyboard.

    The browser draws image + m (fill - image) for the mask m, pixel by pixel, with or without a kernel. While the
    user paints, it sends the newest mask to Python as soon as the previous one has been processed, so masks do not
    queue up and the last one always arrives.

    The right button, Alt, and the eraser of a pen erase. With the image focused, the arrow keys move a crosshair
    (by ten pixels with Shift), Space paints there and, while it is held, along the path or the box from there; [ and ]
    change the size, x the tool, b the shape, f the fill and d the display. Ctrl+Z or Cmd+Z undoes; with Shift, or with
    Y in place of Z, it redoes.

    Raises
    ------
    TypeError
        For a keyword that is not a trait of the view.
    traitlets.TraitError
        For an invalid value.

    Examples
    --------
    >>> view = BrushView(image=x, fills=[blurred, gray], fill_labels=["blur", "gray"])  # doctest: +SKIP
    >>> view.observe(lambda change: print(change.new.mean() / 255), "mask")  # doctest: +SKIP
    """

    _bundle = "brush_view"

    image = Image(
        help=(
            "The original image, shape (H, W, 3). Floats in [0, 1] and gray images of shape (H, W) are "
            "converted."
        )
    )
    fills = Bytes(
        (None, None, None, 3),
        help=(
            "Images that painted pixels are replaced by, shape (F, H, W, 3). Floats in [0, 1] are "
            "converted. Without fills, the mask is shown as a tint."
        ),
    )
    fill_labels: List[str] = List(
        Unicode(), help="The name of each fill, in a list to choose from; an empty list shows no choice."
    ).tag(sync=True)
    fill = Int(0, min=0, help="Index of the fill; an index beyond the last one selects the last.").tag(
        sync=True
    )
    mask = Bytes(
        (None, None),
        help=(
            "255 where the image is perturbed, shape (H, W). Floats in [0, 1] and booleans are converted. "
            "An assignment replaces the painted mask, in one step that can be undone. None where nothing "
            "is painted; an image of another size resets it."
        ),
    )
    _step = Int(
        0,
        help="Masks that are assigned while this number stays the same are undone together, unless it is 0.",
    ).tag(sync=True)
    tool = Choice(("paint", "erase"), help="Whether the brush paints or erases.")
    shape = Choice(
        ("brush", "box"),
        help="Whether a drag paints along its path, or the box from its begin to its end, with sharp edges.",
    )
    brush_size = Unit(0.15, help=("Diameter of the brush as a share of the short side of the image."))
    softness = Unit(0.5, help="The share of the radius over which the brush fades out.")
    display = Choice(
        ("result", "tint", "outline"),
        help=(
            "The perturbed image, the image tinted by the mask, or the image with the outline where m is 0.5."
        ),
    )
    opacity = Unit(0.6, help='Opacity of the mask in the display "tint".')
    _stroke = Int(0, help="Number of the last mask that the browser sent.").tag(sync=True)
    _seen = Int(0, help="Number of the last mask that Python processed.").tag(sync=True)
    _live = Bool(
        False,
        help="Whether the browser has the network, which answers what the user paints in place of the kernel.",
    ).tag(sync=True)
    _filled = Bytes(
        (None, None, 3),
        help="The last fill as the network in the browser got it, if it depends on the mask, shape (H, W, 3).",
    )
    copy_label = Unicode(
        "",
        help='Text of a button that asks for a copy of the mask, such as ``"Copy to B"``; "" for none. See `on_copy`.',
    ).tag(sync=True)
    _copied = Int(0, help="Number of times that the button was pressed.").tag(sync=True)
    _pixels = Array(
        "float32",
        (None, None, None),
        help="The image as the network gets it, shape (C, H, W); set for a page that holds the network.",
    )
    _noise = Array(
        "float32",
        (None, None, None),
        help='Standard normal numbers of the fill "noise", shape (C, H, W); set for a page that holds the network.',
    )
    interpolation = Choice(
        ("pixelated", "smooth", "bicubic"),
        help='How the image is enlarged; "pixelated" shows the pixels of the input.',
    )
    viewport = Viewport()
    controls = Bool(True, help="Whether the view shows its controls.").tag(sync=True)
    width = Int(400, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)

    def __init__(self, **kwargs: Any) -> None:
        self._from_browser = False
        super().__init__(**kwargs)

    @property
    def answered(self) -> bool:
        """Whether the network in the browser answers the change that observers are called for."""
        return self._from_browser and self._live

    @validate("mask")
    def _check_mask(self, proposal: dict[str, Any]) -> NDArray[np.uint8]:
        mask: NDArray[np.uint8] = proposal["value"]
        if self.image is not None and mask.shape != self.image.shape[:2]:
            raise TraitError(
                f"expected BrushView.mask to be of shape {self.image.shape[:2]}, as the image, got shape {mask.shape}"
            )
        return mask

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Set the traits that the browser sent, except a mask that was painted on an image of another size."""
        shape = None if self.image is None else list(self.image.shape[:2])
        if shape and (sync_data.get("mask") or {}).get("shape", shape) != shape:
            sync_data = {name: value for name, value in sync_data.items() if name != "mask"}
        self._from_browser = True
        try:
            super().set_state(sync_data)
        finally:
            self._from_browser = False
            # After the observers of `mask`, so that the next mask is sent when they have finished.
            if "_stroke" in sync_data:
                self._seen = self._stroke

    @observe("image")
    def _forget_mask(self, _change: object) -> None:
        fits = self.mask is None or self.image is None or self.mask.shape == self.image.shape[:2]
        if not fits:
            self.mask = None

    def on_copy(self, callback: Callable[[], object]) -> None:
        """Call `callback` each time the button of `copy_label` is pressed.

        Parameters
        ----------
        callback : callable
            Called without arguments, after the mask was updated.
        """
        self.observe(lambda _change: callback(), "_copied")

    def static_image(self) -> preview.Pixels | None:
        """Return the perturbed image; without fills the original one."""
        pixels = self.image
        if pixels is None:
            return None
        if self.mask is not None and self.fills is not None and len(self.fills):
            fill = self.fills[min(self.fill, len(self.fills) - 1)]
            if self._filled is not None and self.fill >= len(self.fills) - 1:
                fill = self._filled
            pixels = preview.blend(pixels, fill, self.mask / 255)
        size = preview.fit_size(pixels.shape, self.width)
        return preview.resize(pixels, size, smooth=self.interpolation == "smooth")
