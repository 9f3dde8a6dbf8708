"""An image seen through one mask of a family, chosen by its area."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from traitlets import Bool, Float, Int, List, TraitError, observe, validate

from xai_widgets.views import preview
from xai_widgets.views.arrays import Array, Bytes
from xai_widgets.views.base import View
from xai_widgets.views.position import Position
from xai_widgets.views.steps import nearest_ready
from xai_widgets.views.traits import Choice, Unit

#: What of the image the mask shows.
DISPLAYS = ("preserved", "deleted", "outline", "mask")


class MaskView(View):
    """The image under the mask whose area is nearest to the chosen one.

    With L levels and the mask m in [0, 1], the pixel u is shown as the levels at place m(u) (L - 1), linearly
    between two of them: exactly what the network sees. Two levels are a plain blend. Everything is sent once, so
    dragging needs no kernel. With the picture or the slider focused, the arrows go to the next area that is there,
    Home and End to the smallest and the largest, b to the best one, and d changes what is displayed.

    `area` is any number: drawing takes the nearest area that is ready, so ``link((curve, "fraction"), (view, "area"))``
    joins the slider to the cursor of a curve over areas from 0 to 1.

    Raises
    ------
    TypeError
        For a keyword that is no trait of the view.
    traitlets.TraitError
        For a value that does not fit, in one sentence.

    Examples
    --------
    >>> view = MaskView(levels=[blurred, x], masks=masks, areas=[0.05, 0.1, 0.2], best=0.1)  # doctest: +SKIP
    """

    _bundle = "mask_view"

    levels = Bytes(
        (None, None, None, 3),
        help=(
            "The image from wholly perturbed, ``levels[0]``, to untouched, ``levels[-1]``; at least two, "
            "shape (L, H, W, 3). Floats in [0, 1] are converted."
        ),
    )
    masks = Bytes(
        (None, None, None),
        stack=True,
        help=(
            "One mask for each area, 255 where the image is preserved, shape (A, h, w). Floats in [0, 1] "
            "and booleans are converted. Masks of another size than the image are enlarged bilinearly. A "
            "single one may be given as (h, w). Default None: the image is shown whole."
        ),
    )
    areas = Array("float32", (None,), help="The area of each mask, ascending in (0, 1]. Shape (A,).")
    area = Unit(0.1, help="The chosen area.")
    frame = Int(
        -1,
        min=-1,
        help=(
            "Index of the mask that is drawn, -1 for none: the nearest area that is ready. Setting it, as "
            'by ``link((gallery, "frame"), (view, "frame"))``, sets `area`, if that mask is ready.'
        ),
    ).tag(sync=True)
    ready: List[bool] = List(
        Bool(),
        help=(
            "Which masks are there yet; those that are not are dimmed on the slider and passed over. "
            "Missing entries, and so the empty list, the default, mean ready."
        ),
    ).tag(sync=True)
    best = Float(
        None, allow_none=True, help="The area a* that is marked by a star on the slider; NaN becomes None."
    ).tag(sync=True)
    display = Choice(
        DISPLAYS,
        help=(
            "The image under m, under 1 - m, with the line at which m is a half (dimmed outside it), or m "
            "itself in grey."
        ),
    )
    interpolation = Choice(
        ("pixelated", "smooth"), help="How the image is enlarged; pixelated shows what the network sees."
    )
    position = Position(
        help=(
            "The marked place, from the top left corner; the value of the mask there is written below the "
            "image."
        )
    )
    show_image = Bool(
        True,
        help=(
            "Whether the image is shown; without it the controls stand alone, for other views joined to "
            "them, need no masks, and offer the areas that are `ready`."
        ),
    ).tag(sync=True)
    controls = Bool(True, help="Whether the view has its own controls.").tag(sync=True)
    width = Int(400, min=0, help="Largest width in CSS px, 0 for the width of the column.").tag(sync=True)

    @validate("levels")
    def _at_least_two(self, proposal: dict[str, Any]) -> NDArray[np.uint8]:
        levels: NDArray[np.uint8] = proposal["value"]
        if len(levels) < 2:
            raise TraitError(
                f"MaskView.levels has {len(levels)} image, wanted at least 2: the perturbed one and the image itself"
            )
        return levels

    @validate("areas")
    def _ascending(self, proposal: dict[str, Any]) -> NDArray[np.float32]:
        areas: NDArray[np.float32] = proposal["value"]
        # No comparison holds for NaN.
        if not (((areas > 0) & (areas <= 1)).all() and (np.diff(areas) > 0).all()):
            raise TraitError(
                f"MaskView.areas is {areas.tolist()}, wanted areas above 0 and up to 1, "
                "each larger than the one before"
            )
        return areas

    @validate("best")
    def _share_or_none(self, proposal: dict[str, Any]) -> float | None:
        best: float = proposal["value"]
        if math.isnan(best):
            return None
        if not 0 <= best <= 1:
            raise TraitError(f"MaskView.best is {best!r}, wanted an area from 0 to 1, or None")
        return best

    def still(self) -> preview.Pixels | None:
        """The image under the mask that is drawn; one with its outline is shown as preserved."""
        if not self.show_image or self.levels is None:
            return None
        pixels, mask = self.levels[-1], self._drawn()
        if mask is not None:
            m = preview.mask_in(mask, pixels.shape)
            if self.display == "mask":
                pixels = np.repeat(np.round(255 * m).astype(np.uint8)[..., None], 3, axis=2)
            else:
                pixels = preview.between_levels(self.levels, 1 - m if self.display == "deleted" else m)
        size = preview.fitting(pixels.shape, self.width)
        return preview.resized(pixels, size, smooth=self.interpolation == "smooth")

    @observe("area")
    def _follow(self, _change: object) -> None:
        """Set the frame to the mask of the area."""
        self.frame = self._nearest()

    @observe("frame")
    def _choose(self, _change: object) -> None:
        """Set the area to that of the frame; the browser sets back a frame that is not ready."""
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
        # Six decimals, so that a float32 of 0.1 is 0.1, as in the browser.
        return nearest_ready((round(float(area), 6) for area in self.areas), self.area, self.ready)

    def _drawn(self) -> NDArray[np.uint8] | None:
        nearest = self._nearest()
        return None if self.masks is None or nearest < 0 else self.masks[nearest]
