"""Images with the similarity of every position to the hovered one."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from traitlets import Bool, Dict, Float, Int, List, TraitError, Unicode, validate

from xai_widgets.core.validation import brief
from xai_widgets.views import preview
from xai_widgets.views.array_list import Arrays
from xai_widgets.views.arrays import Array, Bytes
from xai_widgets.views.base import View
from xai_widgets.views.heatmap_view import DIVERGING, SEQUENTIAL
from xai_widgets.views.position import Position
from xai_widgets.views.traits import INTERPOLATIONS, Choice, Unit
from xai_widgets.views.viewport import Viewport

#: The source that is the hovered position.
POSITION = "position"
#: Maximum width of an image of a saved notebook, in pixels.
PREVIEW = 200


class SimilarityView(View):
    """A table of images by layers that shows the similarity of every position to the hovered one.

    The browser computes the similarities from activations that are sent once, so no kernel is needed. A column is one
    layer of one network. Vectors are compared within a column; the other columns use their own vectors at the same
    position, the middle of the hovered cell.

    A click pins the position, and the value under the pointer is shown from then on. With a second pin, the images show
    the difference of the similarities to the first and to the second. A click on a pin removes it. With the images
    focused, the arrow keys move the position by one cell, Page Up and Page Down go to the previous or next image, comma
    and period to the previous or next layer. Enter pins, Escape removes all pins and the mark, + and - change the
    opacity, t and T the threshold, k the kind, w the scope, r the color range, c the color map, s the interpolation,
    and p the source.

    Raises
    ------
    TypeError
        For a keyword that is not a trait of the view.
    traitlets.TraitError
        For an invalid value.

    Examples
    --------
    >>> SimilarityView(images=photos, activations=[features], layer_labels=["layer3"])  # doctest: +SKIP
    >>> SimilarityView.of(similarity.pack(grids), images=photos)  # doctest: +SKIP
    """

    _bundle = "similarity_view"

    images = Bytes(
        (None, None, None, 3), help="P images, shape (P, H, W, 3). Floats in [0, 1] are converted."
    )
    labels: List[str] = List(Unicode(), help="The name of each image.").tag(sync=True)
    layer_labels: List[str] = List(Unicode(), help="The name of each of the K columns.").tag(sync=True)
    activations = Arrays(
        ("int8", "float16", "float32"),
        4,
        help=("The vectors of each column, shape (P, h, w, C): activations, or integers with `scales`."),
    )
    scales = Arrays(
        ("float32",),
        3,
        help=(
            "The factor that gives each vector of `activations` length 1, 0 for a zero vector, shape (P, "
            "h, w). If empty, the reciprocal of its length."
        ),
    )
    norms = Arrays(
        ("float32",),
        3,
        help=(
            "The lengths of the vectors, for the dot product and the Euclidean kernel, shape (P, h, w). "
            "If empty, they are computed from `activations`."
        ),
    )
    sigmas: List[float] = List(
        Float(), help="The width of the Euclidean kernel in each column; 1 where it is missing."
    ).tag(sync=True)
    errors: List[float] = List(
        Float(), help="The largest error of a cosine in each column, shown beside the value."
    ).tag(sync=True)
    tokens = Arrays(
        ("int8", "float16", "float32"),
        3,
        help=(
            "For each column the vectors of the tokens without a position, like `activations`, shape (P, T, C)."
        ),
    )
    token_scales = Arrays(("float32",), 2, help="The same as `scales` for `tokens`, shape (P, T).")
    token_norms = Arrays(("float32",), 2, help="The same as `norms` for `tokens`, shape (P, T).")
    token_names: List[list[str]] = List(
        List(Unicode()), help='The names of the tokens of each column, such as "class token".'
    ).tag(sync=True)
    source = Unicode(
        POSITION,
        help=(
            'The vector that all positions are compared with: "position", the hovered one, or the name of a token of '
            'the hovered image, such as "class token".'
        ),
    ).tag(sync=True)
    transforms = Array(
        "float32",
        (None, 2, 3),
        help=(
            "For several images of one object: the matrix from a position (x, y, 1) on the object to its "
            "position (x, y) in each image, shape (P, 2, 3), which gives the position that corresponds to "
            "the hovered one. Without it, it is the same position."
        ),
    )
    frame = Int(0, min=0, help="Index of the image of the hovered position.").tag(sync=True)
    layer = Int(0, min=0, help="Index of the layer of the hovered position.").tag(sync=True)
    position = Position(help="The hovered position, from the top left corner.")
    viewport = Viewport()
    pins: List[dict[str, Any]] = List(
        Dict(),
        maxlen=2,
        help=(
            "Up to two pinned positions, each with ``frame`` (int), ``layer`` (int) and ``position`` ([x, y])."
        ),
    ).tag(sync=True)
    marked = Int(
        -1,
        min=-1,
        help=(
            "Index of a highlighted image; -1 for none. Hovering sets it to the hovered image, and a plot "
            'can set it, as by ``link((view, "marked"), (curves, "step"))``.'
        ),
    ).tag(sync=True)
    scope = Choice(
        ("across", "within"),
        help=(
            "Whether all images are compared with the vector at the hovered position, or each with its own "
            "vector at the corresponding position."
        ),
    )
    kind = Choice(
        ("cosine", "dot", "euclidean"),
        help="The similarity: cosine, dot product, or exp(-|a - b|^2 / (2 sigma^2)).",
    )
    colormap = Choice(
        ("auto", *DIVERGING, *SEQUENTIAL),
        help=(
            'Color map, as in :class:`HeatmapView`; "auto" is gray at zero, teal to yellow above and magenta below. '
            "The scale ends at 1, or for the dot product at the largest magnitude that is shown in the column. A "
            "sequential map begins at 0, so that negative values have the color of 0; the difference of two pins is "
            "always shown by a diverging one."
        ),
    )
    color_range = Choice(
        ("fixed", "relative"),
        help=(
            'Whether the colors of all columns mean the same values, or, as "relative", run from the lowest to the '
            "highest value that is shown in each column."
        ),
    )
    opacity = Unit(0.75, help="Opacity of the similarities.")
    threshold = Unit(0.0, help="Smaller magnitudes are not drawn; a share of the scale.")
    fade = Bool(True, help="Whether small magnitudes are more transparent.").tag(sync=True)
    gray = Bool(True, help="Whether the images are shown in gray.").tag(sync=True)
    interpolation = Choice(
        INTERPOLATIONS,
        help=(
            'How maps are enlarged before they are colored: "bicubic" or "smooth" (bilinear) interpolates values; '
            '"pixelated" draws each value as a rectangle.'
        ),
    )
    components = Bytes(
        (None, None, None, None),
        help=(
            "The strength of M components, drawn in colors below the similarities, shape (P, h, w, M). "
            "Floats in [0, 1] are converted."
        ),
    )
    component_names: List[str] = List(
        Unicode(), help="The name of each component; its number where it is missing."
    ).tag(sync=True)
    component_mode = Choice(
        ("mix", "rgb"),
        help=(
            'How components become colors: "mix" mixes a color for each; "rgb" takes three components as red, green '
            "and blue."
        ),
    )
    component_layer = Int(0, min=0, help="Index of the column of the components.").tag(sync=True)
    component_colors: List[str] = List(
        Unicode(), help='The color "#rrggbb" of each component; missing ones are chosen.'
    ).tag(sync=True)
    component_opacity = Unit(0.6, help="Opacity of the components.")
    hidden: List[int] = List(Int(), help="Indices of the components that are not drawn.").tag(sync=True)
    fields: List[list[list[float]]] = List(
        List(List(Float(), minlen=4, maxlen=4), maxlen=2),
        help=(
            "The theoretical and the empirical receptive field of a position in each column, each as the "
            "offset of the middle of a box from that of the cell and the size of the box, in shares of "
            "the image. They are drawn around the hovered position, the first one dashed."
        ),
    ).tag(sync=True)
    _profile = Array(
        "float32", (None, None), help="Values at the corresponding positions, set by the browser."
    )
    columns = Int(
        0,
        min=0,
        help=(
            "Number of images in a row if there is one layer, or of layers in a row if there is one image; "
            "0 for as many as fit."
        ),
    ).tag(sync=True)
    size = Int(360, min=16, help="Maximum width of an image in CSS px.").tag(sync=True)
    height = Int(
        0,
        min=0,
        help=(
            "Maximum height of all images in CSS px, which get smaller to fit, and scroll if they are many; 0 for half "
            "of the width of the view, and at least 420."
        ),
    ).tag(sync=True)
    controls = Bool(True, help="Whether the view shows its controls.").tag(sync=True)
    width = Int(0, min=0, help="Maximum width in CSS px; 0 for the width of the column.").tag(sync=True)

    @classmethod
    def of(cls, packed: Iterable[Any], **traits: Any) -> SimilarityView:
        """Create a view from the result of :func:`xai_widgets.similarity.pack`.

        Parameters
        ----------
        packed : iterable of Packed
            Vectors of each column.
        **traits
            Traits of the view, such as ``images`` and ``labels``.

        Returns
        -------
        SimilarityView
        """
        view = cls(**traits)
        view.show(packed)
        return view

    def show(self, packed: Iterable[Any]) -> None:
        """Replace the columns.

        Parameters
        ----------
        packed : iterable of Packed
            Vectors of each column, from :func:`xai_widgets.similarity.pack`.
        """
        columns = list(packed)
        several = len({one.network for one in columns}) > 1
        with self.hold_sync():
            self.activations = [one.codes for one in columns]
            self.scales = [one.scales for one in columns]
            self.norms = [one.norms for one in columns]
            self.sigmas = [one.sigma for one in columns]
            self.errors = [one.bound for one in columns]
            self.layer_labels = [f"{one.network} {one.layer}" if several else one.layer for one in columns]
            self.tokens = [one.token_codes for one in columns]
            self.token_scales = [one.token_scales for one in columns]
            self.token_norms = [one.token_norms for one in columns]
            self.token_names = [list(one.token_names) for one in columns]
            if self.source not in {POSITION, *(name for one in columns for name in one.token_names)}:
                self.source = POSITION

    @validate("pins")
    def _check_pins(self, proposal: dict[str, Any]) -> list[dict[str, Any]]:
        return [_pin(pin) for pin in proposal["value"]]

    @validate("sigmas")
    def _check_sigmas(self, proposal: dict[str, Any]) -> list[float]:
        sigmas = [float(sigma) for sigma in proposal["value"]]
        if not all(0 < sigma < math.inf for sigma in sigmas):
            raise TraitError(f"expected SimilarityView.sigmas to be numbers above 0, got {brief(sigmas)}")
        return sigmas

    @validate("component_colors")
    def _check_colors(self, proposal: dict[str, Any]) -> list[str]:
        for color in proposal["value"]:
            if not re.fullmatch("#[0-9a-fA-F]{6}", color):
                raise TraitError(
                    f"expected SimilarityView.component_colors to be of the form '#rrggbb', got {color!r}"
                )
        return list(proposal["value"])

    def static_image(self) -> preview.Pixels | None:
        """Return a table of the first images, with the cosine to the position if one is set: a row per image."""
        if self.images is None:
            return None
        cell = min(self.size, PREVIEW)
        if self.position is None or self.kind != "cosine" or not self.activations:
            return preview.image_table(self.images, self.columns, cell=cell, smooth=True)
        layers = range(min(len(self.activations), preview.MAX_CELLS))
        maps = [self._cosines(layer) for layer in layers]
        size = preview.fit_size(self.images.shape[1:], cell)
        drawn = [
            self._draw_cell(image, maps[layer][number], size, marked=number == self.frame)
            for number, image in enumerate(self.images[: preview.MAX_CELLS])
            for layer in layers
        ]
        columns = self.columns if len(layers) == 1 else len(layers)
        return preview.image_table(drawn, columns, cell=cell, smooth=True)

    def _cosines(self, layer: int) -> NDArray[np.float32]:
        """Return the cosine of each vector of a layer with that at the position, shape (P, h, w)."""
        vectors = np.asarray(self.activations[layer], np.float32)
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
        x, y = self.position
        height, width = vectors.shape[1:3]
        row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
        at = vectors[:, row, column]
        if self.scope == "across":
            at = at[[min(self.frame, len(at) - 1)]]
        cosines: NDArray[np.float32] = (vectors * at[:, None, None]).sum(-1)
        return cosines

    def _draw_cell(
        self, image: preview.Pixels, cosines: NDArray[np.float32], size: tuple[int, int], *, marked: bool
    ) -> preview.Pixels:
        """Draw the cosines on an image, and a frame around the position if it is in this image."""
        pixels = preview.draw_heatmap(
            image,
            cosines,
            size,
            limit=1.0,
            sign="both",
            colormap="similarity" if self.colormap == "auto" else self.colormap,
            opacity=self.opacity,
            fade=self.fade,
            gray=self.gray,
            interpolation=self.interpolation,
        )
        if marked:
            row, column = (
                min(int(share * side), side - 1)
                for share, side in zip(self.position[::-1], size, strict=True)
            )
            pixels[max(row - 5, 0) : row + 6, max(column - 5, 0) : column + 6] = 0
            pixels[max(row - 4, 0) : row + 5, max(column - 4, 0) : column + 5] = 255
        return pixels


def _pin(pin: dict[str, Any]) -> dict[str, Any]:
    """Check a pinned position."""
    try:
        x, y = (float(part) for part in pin["position"])
        frame, layer = int(pin["frame"]), int(pin["layer"])
        fits = set(pin) == {"position", "frame", "layer"} and 0 <= x <= 1 and 0 <= y <= 1
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits or frame < 0 or layer < 0:
        raise TraitError(
            "expected SimilarityView.pins to have frame and layer from 0 and position [x, y] from 0 to 1, "
            f"got {pin!r}"
        )
    return {"frame": frame, "layer": layer, "position": [x, y]}
