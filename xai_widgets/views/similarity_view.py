"""Pictures in which every place shows how alike it is to the one under the hand."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from traitlets import Bool, Dict, Float, Int, List, TraitError, Unicode, validate

from xai_widgets.views import preview
from xai_widgets.views.array_list import Arrays
from xai_widgets.views.arrays import Array, Bytes
from xai_widgets.views.base import View
from xai_widgets.views.heatmap_view import DIVERGING, SEQUENTIAL
from xai_widgets.views.position import Position
from xai_widgets.views.traits import Choice, Unit


class SimilarityView(View):
    """Pictures by layers, and in each how alike every place is to the place that is hovered.

    The similarities are computed in the browser, from activations that are sent once, so nothing needs a kernel.
    A column is one layer of one network: its vectors live in a space of their own, and with other columns it shares the
    place only, that in which the middle of the hovered cell lies.

    A click pins the place: the pictures stay with it, and the value under the pointer is read out. With a second pin
    they show the difference of the similarities to the first and to the second. A click on a pin takes it away. With
    the pictures focused, the arrows move the place by one cell, Page Up and Page Down to the next picture, , and . to
    the next layer, Enter pins, Escape takes all pins and the mark away, + and - change the opacity, t and T the
    threshold, k the kind, w where the vectors come from, c the colours, s smooth or pixelated.

    Raises
    ------
    TypeError
        For a keyword that is no trait of the view.
    traitlets.TraitError
        For a value that does not fit, in one sentence.

    Examples
    --------
    >>> SimilarityView(images=photos, activations=[features], layer_labels=["layer3"])  # doctest: +SKIP
    >>> SimilarityView.of(similarity.pack(grids), images=photos)  # doctest: +SKIP
    """

    _bundle = "similarity_view"

    images = Bytes(
        (None, None, None, 3), help="The P pictures, shape (P, H, W, 3). Floats in [0, 1] are converted."
    )
    labels: List[str] = List(Unicode(), help="What each picture is called.").tag(sync=True)
    layer_labels: List[str] = List(Unicode(), help="What each of the K columns is called.").tag(sync=True)
    activations = Arrays(
        ("int8", "float16", "float32"),
        4,
        help=(
            "The vectors of each column, shape (P, h, w, C): activations as they are, or coded with `scales`."
        ),
    )
    scales = Arrays(
        ("float32",),
        3,
        help=(
            "What makes each vector of `activations` one of length 1; 0 for a zero vector, shape (P, h, "
            "w). Empty, the default: 1 over its length."
        ),
    )
    norms = Arrays(
        ("float32",),
        3,
        help=(
            "The lengths of the activations, for dot product and Euclidean kernel, shape (P, h, w). "
            "Empty, the default: those of `activations`."
        ),
    )
    sigmas: List[float] = List(
        Float(), help="The width of the Euclidean kernel in each column. Missing ones are 1."
    ).tag(sync=True)
    errors: List[float] = List(
        Float(), help=("By how much a cosine is off at most in each column; said beside the value.")
    ).tag(sync=True)
    transforms = Array(
        "float32",
        (None, 2, 3),
        help=(
            "For pictures of one thing, from a place (x, y, 1) of it to its place (x, y) in each picture, "
            "shape (P, 2, 3): what corresponds to the hovered place is looked for there. Default None: at "
            "the same place."
        ),
    )
    frame = Int(0, min=0, help="The image of the hovered position.").tag(sync=True)
    layer = Int(0, min=0, help="The layer of the hovered position.").tag(sync=True)
    position = Position(help="The hovered place, from the top left corner.")
    pins: List[dict[str, Any]] = List(
        Dict(),
        maxlen=2,
        help=(
            "Up to two pinned places, each with ``frame`` (int), ``layer`` (int) and ``position`` ([x, y])."
        ),
    ).tag(sync=True)
    marked = Int(
        -1,
        min=-1,
        help=(
            "A picture that stands out, -1, the default, for none: a hover marks the picture that it is "
            'in, a chart another one, as by ``link((pictures, "marked"), (curves, "stop"))``.'
        ),
    ).tag(sync=True)
    scope = Choice(
        ("across", "within"),
        help=(
            "Whether all pictures are compared with the place itself, or each with its own vector at the "
            "corresponding place."
        ),
    )
    kind = Choice(
        ("cosine", "dot", "euclidean"),
        help="The similarity: cosine, dot product, or exp(-|a - b|^2 / (2 sigma^2)).",
    )
    colormap = Choice(
        ("auto", *DIVERGING, *SEQUENTIAL),
        help=(
            'As in :class:`HeatmapView`; "auto", the default, is "blue_orange". The scale ends at 1, for '
            "the dot product at the largest magnitude that is shown in the column."
        ),
    )
    opacity = Unit(0.75, help="How much the overlay covers the picture.")
    threshold = Unit(0.0, help="Smaller magnitudes are left out, as a share of the scale.")
    fade = Bool(True, help="Whether small magnitudes are more transparent.").tag(sync=True)
    gray = Bool(True, help="Whether the pictures are grey.").tag(sync=True)
    interpolation = Choice(
        ("smooth", "pixelated"),
        help=(
            "Whether values are interpolated between the middles of the cells, or every cell is a rectangle."
        ),
    )
    components = Bytes(
        (None, None, None, None),
        help=(
            "M groups of features, drawn in colours below the overlay, shape (P, h, w, M): how much of "
            "each there is. Floats in [0, 1] are converted."
        ),
    )
    component_layer = Int(0, min=0, help="The column that they are of and drawn in.").tag(sync=True)
    component_colors: List[str] = List(
        Unicode(), help='A colour "#rrggbb" for each; missing ones are chosen.'
    ).tag(sync=True)
    component_opacity = Unit(0.6, help="How much they cover the picture.")
    hidden: List[int] = List(Int(), help="The components that are not drawn.").tag(sync=True)
    fields: List[list[list[float]]] = List(
        List(List(Float(), minlen=4, maxlen=4), maxlen=2),
        help=(
            "The theoretical receptive field of a place of each column, which is what it can see, and the "
            "empirical one, which is what it really looks at: the shift of the middle of a box from that "
            "of the cell, and its size, as shares of the picture. Drawn around the hovered place, the "
            "first dashed."
        ),
    ).tag(sync=True)
    _profile = Array("float32", (None, None), help="Values at the corresponding places, set by the view.")
    columns = Int(
        0,
        min=0,
        help=(
            "Pictures in a row where there is one layer, or layers in a row where there is one picture; "
            "0, the default: as many as fit."
        ),
    ).tag(sync=True)
    size = Int(200, min=16, help="Largest width of a picture in CSS px.").tag(sync=True)
    controls = Bool(True, help="Whether the view has its own controls.").tag(sync=True)
    width = Int(0, min=0, help="Largest width in CSS px, 0 for the width of the column.").tag(sync=True)

    @classmethod
    def of(cls, packed: Iterable[Any], **traits: Any) -> SimilarityView:
        """Make a view of what :func:`xai_widgets.similarity.pack` returns.

        Parameters
        ----------
        packed : iterable of Packed
            A column each.
        **traits
            Of the view, such as ``images`` and ``labels``.

        Returns
        -------
        SimilarityView
        """
        view = cls(**traits)
        view.show(packed)
        return view

    def show(self, packed: Iterable[Any]) -> None:
        """Show other columns.

        Parameters
        ----------
        packed : iterable of Packed
            As :func:`xai_widgets.similarity.pack` returns them, a column each.
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

    @validate("pins")
    def _check_pins(self, proposal: dict[str, Any]) -> list[dict[str, Any]]:
        return [_pin(pin) for pin in proposal["value"]]

    @validate("sigmas")
    def _check_sigmas(self, proposal: dict[str, Any]) -> list[float]:
        sigmas = [float(sigma) for sigma in proposal["value"]]
        if not all(0 < sigma < math.inf for sigma in sigmas):
            raise TraitError(f"SimilarityView.sigmas is {sigmas}, wanted numbers above 0")
        return sigmas

    @validate("component_colors")
    def _check_colors(self, proposal: dict[str, Any]) -> list[str]:
        for color in proposal["value"]:
            if not re.fullmatch("#[0-9a-fA-F]{6}", color):
                raise TraitError(f"SimilarityView.component_colors has {color!r}, wanted '#rrggbb'")
        return list(proposal["value"])

    def still(self) -> preview.Pixels | None:
        """The first pictures, for a similarity needs a hand."""
        return preview.table(
            () if self.images is None else self.images, self.columns, cell=self.size, smooth=True
        )


def _pin(pin: dict[str, Any]) -> dict[str, Any]:
    """A pinned place, checked."""
    try:
        x, y = (float(part) for part in pin["position"])
        frame, layer = int(pin["frame"]), int(pin["layer"])
        fits = set(pin) == {"position", "frame", "layer"} and 0 <= x <= 1 and 0 <= y <= 1
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits or frame < 0 or layer < 0:
        raise TraitError(
            f"SimilarityView.pins has {pin!r}, wanted frame and layer from 0, and position [x, y] from 0 to 1"
        )
    return {"frame": frame, "layer": layer, "position": [x, y]}
