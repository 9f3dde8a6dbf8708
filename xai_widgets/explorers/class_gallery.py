"""The lists of concepts of a class, and of the parts of one of them, as galleries of crops."""

from __future__ import annotations

import torch
from torch import Tensor

from xai_widgets.concepts import ClassConcepts, SubConcepts
from xai_widgets.core.model import ImageModel
from xai_widgets.explorers.parts import THUMBNAIL
from xai_widgets.ops.resize import shrink
from xai_widgets.views import GalleryView

#: Explanation of the lists.
CONCEPTS = (
    "Each row: the share of the variance of the score (total Sobol index), gradient \u00d7 activation, and the change "
    "of the score without the concept, as means over the images; its strongest crops. Uncheck a concept to remove it; "
    "click a crop to see its position."
)
PARTS = (
    "Each row: a part of the concept in the layer below, and its share of the variance of the concept (total Sobol "
    "index)."
)


def clear_gallery(gallery: GalleryView) -> None:
    """Show no images."""
    with gallery.hold_sync():
        gallery.present = gallery.images = None
        gallery.labels, gallery.row_labels = [], []


def draw_concepts(
    gallery: GalleryView, model: ImageModel, result: ClassConcepts, count: int
) -> list[list[list[int]]]:
    """Show the concepts with their crops; return the boxes (number of the image, top, left) of each row."""
    found = [result.top_crops(concept, count) for concept in range(len(result))]
    with gallery.hold_sync():
        _show_rows(gallery, model, [crops for crops, _ in found], count)
        gallery.title = "Concept: Sobol index \u00b7 gradient \u00d7 activation \u00b7 change without it"
        gallery.row_labels = [_head(result, concept) for concept in range(len(result))]
        gallery.switches = True
    return [boxes.tolist() for _, boxes in found]


def draw_parts(gallery: GalleryView, model: ImageModel, parts: SubConcepts, count: int) -> None:
    """Show the parts of a concept with the patches in which they are strongest."""
    patches = parts.top.patches(range(len(parts)))[:, :count]
    rows = [row[~row.isnan().flatten(1).any(1)] for row in patches]
    with gallery.hold_sync():
        gallery.switches = False
        _show_rows(gallery, model, rows, count)
        gallery.title = f"Parts of concept {parts.parent + 1} in {parts.layer}"
        gallery.row_labels = [
            f"{number + 1}: {100 * share:.0f} %" for number, share in enumerate(parts.importance.tolist())
        ]


def _show_rows(gallery: GalleryView, model: ImageModel, rows: list[Tensor], count: int) -> None:
    """Show rows of at most ``count`` images each, of which none is drawn where a row has fewer."""
    like = next(row for row in rows if len(row))
    filled = torch.full((len(rows), count, *like.shape[1:]), 0.5, device=like.device)
    present = torch.zeros(len(rows), count, dtype=torch.bool)
    for number, row in enumerate(rows):
        filled[number, : len(row)] = row
        present[number, : len(row)] = True
    gallery.columns = count
    gallery.images = model.to_rgb(shrink(filled, THUMBNAIL).flatten(0, 1))
    gallery.present = present.flatten().cpu().numpy()
    gallery.labels = []
    gallery.frame = -1


def _head(result: ClassConcepts, concept: int) -> str:
    importance, gradient, effect = (
        float(values[concept]) for values in (result.importance, result.gradient, result.effect)
    )
    if importance != importance:
        return f"{concept + 1}"
    words = f"{concept + 1}: {100 * importance:.0f} % \u00b7 {_signed(gradient)} \u00b7 {_signed(effect)}"
    return words.replace("-", "\u2212")


def _signed(value: float) -> str:
    """Return a score with its sign and two or three digits."""
    return f"{value:+.2f}" if 0.1 <= abs(value) < 10 else f"{value:+.2g}"
