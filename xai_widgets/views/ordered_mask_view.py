"""An image with the first pixels of an ordering deleted or inserted."""

from __future__ import annotations

import numpy as np
from traitlets import Bool, Int, List, Unicode

from xai_widgets.views import preview
from xai_widgets.views.arrays import Array, Image
from xai_widgets.views.base import View
from xai_widgets.views.position import Position
from xai_widgets.views.traits import GAMES, Choice, Unit


class OrderedMaskView(View):
    """The image at one fraction of a deletion or insertion game.

    With n = round(fraction * H * W), halves up, deletion shows ``baselines[0]`` where the rank is below n and
    the image elsewhere; insertion shows the image where the rank is below n and ``baselines[1]`` elsewhere.
    Everything is sent once, so dragging needs no kernel. With the picture focused, the arrows change the
    fraction by 0.01 (with Shift by 0.1), Home and End go to 0 and 1, g changes the game, m the ordering.

    Attributes
    ----------
    image : numpy.ndarray of uint8, shape (H, W, 3), or None
        The whole image. Floats in [0, 1] and grey images of shape (H, W) are converted. Default None.
    baselines : numpy.ndarray of uint8, shape (2, H, W, 3), or None
        First what deleted pixels become, then what insertion starts from. Floats in [0, 1] are converted.
        Default None.
    ranks : numpy.ndarray of int32, shape (M, H, W), or None
        M orderings, each a permutation of 0 to H * W - 1; rank 0 is the most important pixel, the first to
        be replaced. A single one may be given as (H, W). Default None: the image is shown whole.
    names : list of str
        A name for each ordering, in a list to choose from; empty, the default: no list.
    frame : int
        Which ordering is used, from 0; beyond the last, the last is. Default 0.
    game : {"deletion", "insertion"}
        Which game is shown. Default "deletion".
    fraction : float in [0, 1]
        How much of the image is replaced. Default 0.
    interpolation : {"pixelated", "smooth"}
        How the image is enlarged; pixelated shows what the network sees. Default "pixelated".
    position : list [x, y] of float in [0, 1], or None
        The marked place, from the top left corner; the fraction at which it is replaced is written below
        the image. Default None.
    controls : bool
        Whether the view has its own controls. Default True.
    width : int
        Largest width in CSS px, 0 for the width of the column. Default 400.
    title : str
        A heading, also the accessible name.

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

    image = Image(help="The whole image, shape (H, W, 3).")
    baselines = Image(count=2, help="What is deleted to and inserted into, (2, H, W, 3).")
    ranks = Array("int32", (None, None, None), stack=True, help="Orderings, shape (M, H, W).")
    names: List[str] = List(Unicode(), help="A name for each ordering.").tag(sync=True)
    frame = Int(0, min=0, help="Which ordering is used.").tag(sync=True)
    game = Choice(GAMES, help="Which game is shown.")
    fraction = Unit(help="How much of the image is replaced.")
    interpolation = Choice(("pixelated", "smooth"), help="How the image is enlarged.")
    position = Position(help="The marked place [x, y], or None.")
    controls = Bool(True, help="Whether the view has its own controls.").tag(sync=True)
    width = Int(400, min=0, help="Largest width, CSS px; 0: that of the column.").tag(sync=True)

    def still(self) -> preview.Pixels | None:
        """The image at this fraction of the game."""
        pixels = self.image
        if pixels is None:
            return None
        if self.ranks is not None and len(self.ranks) and self.baselines is not None:
            order = self.ranks[min(self.frame, len(self.ranks) - 1)]
            replaced = (order < np.floor(self.fraction * order.size + 0.5))[..., None]
            gone, begun = self.baselines
            game = (gone, pixels) if self.game == "deletion" else (pixels, begun)
            pixels = np.where(replaced, *game)
        size = preview.fitting(pixels.shape, self.width)
        return preview.resized(pixels, size, smooth=self.interpolation == "smooth")
