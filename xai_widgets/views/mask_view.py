"""An image under one of several masks, chosen by its area."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from traitlets import Bool, Float, Int, List, TraitError, Unicode, observe, validate

from xai_widgets.core.validation import brief
from xai_widgets.views import preview
from xai_widgets.views.arrays import Array, Bytes
from xai_widgets.views.base import View
from xai_widgets.views.position import Position
from xai_widgets.views.steps import nearest_ready
from xai_widgets.views.traits import Choice, Unit
from xai_widgets.views.viewport import Viewport

#: Ways to display the image and the mask.
DISPLAYS = ("preserved", "deleted", "outline", "mask")

#: Uses of the mask: the part that is preserved, or the part that is deleted.
MODES = ("preserved", "deleted")
#: Share of an image without a mask that is visible.
VISIBLE = 0.2


class MaskView(View):
    """The image under the mask whose area is nearest to the chosen one.

    With L levels and a mask m in [0, 1], pixel u is interpolated linearly between the levels, at index m(u) (L - 1),
    which is the input of the network. Two levels are blended. Everything is sent once, so dragging needs no kernel.
    With the image or the slider focused, the arrow keys go to the next area that is ready, Home and End to the smallest
    and largest one and b to the best one; d changes the display.

    `area` may be any number in [0, 1]: the mask of the nearest area that is ready is drawn, so
    ``link((curve, "fraction"), (view, "area"))``
    links the slider to the cursor of a curve over areas from 0 to 1.

    Raises
    ------
    TypeError
        For a keyword that is not a trait of the view.
    traitlets.TraitError
        For an invalid value.

    Examples
    --------
    >>> view = MaskView(levels=[blurred, x], masks=masks, areas=[0.05, 0.1, 0.2], best=0.1)  # doctest: +SKIP
    """

    _bundle = "mask_view"

    levels = Bytes(
        (None, None, None, 3),
        help=(
            "At least two levels, from the fully perturbed image, ``levels[0]``, to the original one, "
            "``levels[-1]``, shape (L, H, W, 3). Floats in [0, 1] are converted."
        ),
    )
    masks = Bytes(
        (None, None, None),
        stack=True,
        help=(
            "One mask for each area, 255 where the image is preserved, shape (A, h, w). Floats in [0, 1] "
            "and booleans are converted. Masks of another size than the image are enlarged bilinearly. A "
            "single one may be given as (h, w). Without masks, the original image is veiled."
        ),
    )
    areas = Array("float32", (None,), help="The area of each mask, ascending in (0, 1]. Shape (A,).")
    area = Unit(0.1, help="The chosen area.")
    frame = Int(
        -1,
        min=-1,
        help=(
            "Index of the mask of the nearest area that is ready, which is drawn; -1 for none. Setting it, "
            'for instance by ``link((gallery, "frame"), (view, "frame"))``, sets `area` if that mask is ready.'
        ),
    ).tag(sync=True)
    ready: List[bool] = List(
        Bool(),
        help=(
            "Which masks are ready; the others are dimmed on the slider and skipped. Missing entries mean "
            "ready."
        ),
    ).tag(sync=True)
    best = Float(
        None, allow_none=True, help="The area a* that a star marks on the slider; NaN becomes None."
    ).tag(sync=True)
    display = Choice(
        DISPLAYS,
        help=(
            "The image under m, the image under 1 - m, the image with the outline where m is 0.5 (dimmed "
            "outside), or m itself in gray."
        ),
    )
    mode = Choice(
        MODES,
        help=(
            "Whether the mask is preserved or deleted, which is shown below the image, and chooses the curves and "
            'bars of that mode if it is linked to theirs. The displays "preserved" and "deleted" follow it, and set '
            "it; the others leave it."
        ),
    )
    note = Unicode(
        "",
        help=(
            "A sentence on the image: why there is no mask, or a warning about the masks. An image without masks is "
            'veiled, with this sentence or "not computed yet".'
        ),
    ).tag(sync=True)
    caption = Unicode("", help="A line below the slider, such as the meaning of the star.").tag(sync=True)
    interpolation = Choice(
        ("pixelated", "smooth", "bicubic"),
        help='How the image is enlarged; "pixelated" shows the pixels of the input.',
    )
    position = Position(
        help=(
            "The marked position, from the top left corner; the value of the mask there is shown below "
            "the image."
        )
    )
    viewport = Viewport()
    look = Int(
        -1,
        help="The look of a curve of `CurveView.series` that belongs to the mask, shown before the title; -1 for none.",
    ).tag(sync=True)
    show_image = Bool(
        True,
        help=(
            "Whether the image is shown; without it, the controls need no masks and can be linked to "
            "other views."
        ),
    ).tag(sync=True)
    controls = Bool(True, help="Whether the view shows its controls.").tag(sync=True)
    width = Int(400, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)

    @validate("levels")
    def _at_least_two(self, proposal: dict[str, Any]) -> NDArray[np.uint8]:
        levels: NDArray[np.uint8] = proposal["value"]
        if len(levels) < 2:
            raise TraitError(
                f"expected MaskView.levels to be at least 2 images, perturbed and original, got {len(levels)}"
            )
        return levels

    @validate("areas")
    def _ascending(self, proposal: dict[str, Any]) -> NDArray[np.float32]:
        areas: NDArray[np.float32] = proposal["value"]
        # Comparisons with NaN are false.
        if not (((areas > 0) & (areas <= 1)).all() and (np.diff(areas) > 0).all()):
            raise TraitError(
                "expected MaskView.areas to be strictly ascending, above 0 and at most 1, "
                f"got {brief(areas.tolist())}"
            )
        return areas

    @validate("best")
    def _share_or_none(self, proposal: dict[str, Any]) -> float | None:
        best: float = proposal["value"]
        if math.isnan(best):
            return None
        if not 0 <= best <= 1:
            raise TraitError(f"expected MaskView.best to be an area from 0 to 1, or None, got {best!r}")
        return best

    def static_image(self) -> preview.Pixels | None:
        """Return the image under the mask, faded without one; the display "outline" is drawn like "preserved"."""
        if not self.show_image or self.levels is None:
            return None
        pixels, mask = self.levels[-1], self._current()
        if mask is None:
            # Faint like under the veil in the browser, so that it is not taken for a result.
            pixels = np.round(255 - VISIBLE * (255.0 - pixels)).astype(np.uint8)
        else:
            m = preview.resize_mask(mask, pixels.shape)
            if self.display == "mask":
                pixels = np.repeat(np.round(255 * m).astype(np.uint8)[..., None], 3, axis=2)
            else:
                pixels = preview.blend_levels(self.levels, 1 - m if self.display == "deleted" else m)
        size = preview.fit_size(pixels.shape, self.width)
        return preview.resize(pixels, size, smooth=self.interpolation == "smooth")

    @observe("display")
    def _display_sets_mode(self, _change: object) -> None:
        if self.display in MODES:
            self.mode = self.display

    @observe("mode")
    def _mode_sets_display(self, _change: object) -> None:
        if self.display in MODES:
            self.display = self.mode

    @observe("area")
    def _follow(self, _change: object) -> None:
        """Set the frame to the mask of the nearest area."""
        self.frame = self._nearest()

    @observe("frame")
    def _choose(self, _change: object) -> None:
        """Set the area to that of the frame; the browser resets a frame that is not ready."""
        if self.areas is None or self.frame == self._nearest():
            return
        if 0 <= self.frame < len(self.areas) and all(self.ready[self.frame : self.frame + 1]):
            self.area = round(float(self.areas[self.frame]), 6)

    def _nearest(self) -> int:
        """Return the mask of the nearest area that is ready, or -1 if there is none."""
        if self.areas is None:
            return -1
        if self.show_image and (self.masks is None or len(self.masks) != len(self.areas)):
            return -1
        # Six decimals, as in the browser, so that a float32 of 0.1 is 0.1.
        return nearest_ready((round(float(area), 6) for area in self.areas), self.area, self.ready)

    def _current(self) -> NDArray[np.uint8] | None:
        nearest = self._nearest()
        return None if self.masks is None or nearest < 0 else self.masks[nearest]
