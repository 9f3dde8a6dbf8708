"""Arrays of the concept explorer: segmentations of examples, weights of filters, and maps of concepts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.concepts import Dissection, Embeddings
from xai_widgets.concepts.combinations import filter_maps
from xai_widgets.concepts.per_image import PerImage
from xai_widgets.core.model import ImageModel
from xai_widgets.core.optional import installed
from xai_widgets.data.base import Concept, ConceptData
from xai_widgets.studies.concepts import LayerConcepts

#: Side of the images of examples in pixels.
SIDE = 72
#: Color of the outline of label masks, and brightness outside of a segmentation.
OUTLINE, SHADE = np.array([240, 228, 66], np.float32), 0.4
#: Filters with a bar.
LISTED = 12
#: Perplexity of t-SNE, if there are enough concepts, and the fewest concepts of its map.
PERPLEXITY, FEWEST = 8.0, 8


class Segmented(NamedTuple):
    """Segmentations of some examples.

    Attributes
    ----------
    name : str
        Name of the segmentation.
    masks : NDArray of bool, (S, n, H, W)
        Segmentations at each of S steps.
    ious : NDArray, (S, n)
        Their IoUs.
    """

    name: str
    masks: NDArray[np.bool_]
    ious: NDArray[np.float32]


def examples_of(result: LayerConcepts, concept: int, steps: int = 10) -> list[int]:
    """Return validation images at the deciles of the IoUs above 0 of a concept; empty if all are 0."""
    source = result.combined.per_image if result.combined is not None else result.single.per_image
    assert source is not None
    return [int(image) for image in source.deciles(concept, steps).images]


def segmentations(result: LayerConcepts, concept: int, images: Sequence[int], prefix: str) -> list[Segmented]:
    """Return the segmentations of examples by the best filter and by the combination of each number of filters."""
    val, best = result.val, int(result.single.best[concept])
    made = []
    steps = max(1, len(result.refits))
    if best >= 0:
        mask = filter_maps(val, images, F.one_hot(torch.tensor(best), val.channels).float()) > 0.5
        made.append(
            Segmented(
                f"{prefix}filter {best} alone",
                np.repeat(mask.numpy()[None], steps, 0),
                np.repeat(_ious(result.single.per_image, concept, images)[None], steps, 0),
            )
        )
    if result.refits:
        masks = [(fit.maps(val, images, concept) > 0).numpy() for fit in result.refits]
        ious = [_ious(fit.per_image, concept, images) for fit in result.refits if fit.per_image is not None]
        made.append(Segmented(f"{prefix}combination", np.stack(masks), np.stack(ious)))
    return made


def _ious(per_image: PerImage, concept: int, images: Sequence[int]) -> NDArray[np.float32]:
    known = dict(zip(*(each.tolist() for each in per_image.of(concept)), strict=True))
    return np.array([known.get(image, np.nan) for image in images], np.float32)


def draw_examples(
    model: ImageModel,
    data: ConceptData,
    result: LayerConcepts,
    concept: int,
    images: Sequence[int],
    rows: Sequence[Segmented],
) -> tuple[NDArray[np.uint8], list[str]]:
    """Return images (S R n, h, w, 3) of R segmentations of n examples at S steps, and their captions.

    A segmentation is bright, the rest is dark; the label mask has a yellow outline.
    """
    x = model.images([data[image].image for image in images])
    pixels = model.to_rgb(x)
    height, width = pixels.shape[1:3]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = _resized(torch.from_numpy(pixels).movedim(-1, 1).float(), size, "area").movedim(1, -1).numpy()
    labels = [result.val.label_masks(image).get(concept) for image in images]
    outlines = [None if label is None else _outline(label, size) for label in labels]
    made, captions = [], []
    steps = max(len(row.masks) for row in rows)
    for step in range(steps):
        for row in rows:
            at = min(step, len(row.masks) - 1)
            masks = (
                _resized(torch.from_numpy(row.masks[at]).float()[:, None], size, "nearest-exact")[:, 0] > 0.5
            )
            for pixel, mask, outline in zip(small, masks.numpy(), outlines, strict=True):
                gray = pixel @ np.array([0.299, 0.587, 0.114], np.float32)
                shown = np.where(mask[..., None], pixel, SHADE * gray[..., None])
                if outline is not None:
                    shown = np.where(outline[..., None], OUTLINE, shown)
                made.append(shown.astype(np.uint8))
            captions += ["\u2014" if np.isnan(iou) else f"{iou:.2f}" for iou in row.ious[at].tolist()]
    return np.stack(made), captions


def _resized(x: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    return x if tuple(x.shape[2:]) == size else F.interpolate(x, size, mode=mode)


def _outline(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    whole = _resized(torch.from_numpy(mask)[None, None].float(), size, "nearest-exact")
    # Pixels of the mask that touch the outside, or the border of the image.
    inside = -F.max_pool2d(F.pad(-whole, (1, 1, 1, 1), value=0.0), 3, 1)
    edge: NDArray[np.bool_] = ((whole - inside)[0, 0] > 0.5).numpy()
    return edge


def listed_filters(result: LayerConcepts, concept: int) -> list[int]:
    """Return the filters with the largest weights of a concept, or with the largest IoUs before it is learned."""
    if result.combined is None:
        filters = result.single.top(concept, min(LISTED, result.train.channels))[0]
    else:
        filters = result.combined.top(concept, min(LISTED, result.train.channels))[0]
    return [int(one) for one in filters]


def filter_bars(result: LayerConcepts, concept: int, filters: Sequence[int]) -> NDArray[np.float32]:
    """Return the weight at each number of filters and the IoU of some filters, (S, N, 2); NaN for unused ones."""
    ious = result.single.val_iou[concept, list(filters)]
    fits = result.refits or ((result.combined,) if result.combined is not None else ())
    if not fits:
        return torch.stack([torch.full_like(ious, torch.nan), ious], -1)[None].numpy()
    weights = torch.stack([fit.weights[concept, list(filters)] for fit in fits])
    weights = torch.where(weights == 0, torch.nan, weights)
    values: NDArray[np.float32] = torch.stack([weights, ious.expand_as(weights)], -1).float().numpy()
    return values


def concepts_of_filter(found: Dissection, index: int, count: int = 4) -> list[tuple[Concept, float]]:
    """Return the concepts with the largest IoU of a filter, with their IoUs, as in network dissection."""
    ious = found.iou[:, index].nan_to_num()
    best = ious.topk(min(count, len(ious)))
    return [
        (found.concepts[at], value)
        for value, at in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]


def filter_name(found: Dissection, index: int) -> str:
    """Return the number of a filter and the concept that it detects, if any."""
    detected = bool(found.detectors[index])
    return f"{index} \u00b7 {found.concepts[int(found.best[index])].name}" if detected else f"{index}"


def draw_map(
    concepts: Sequence[Concept], found: Embeddings
) -> tuple[NDArray[np.float32], list[str], NDArray[np.float32]]:
    """Return vectors (C, K) of all concepts, names of layouts, and positions (L, C, 2) from 0 to 1.

    Vectors and positions of concepts without an embedding are NaN.
    """
    rows = [list(concepts).index(concept) for concept in found.concepts]
    vectors = np.full((len(concepts), found.vectors.shape[1]), np.nan, np.float32)
    vectors[rows] = found.vectors.numpy()
    made: dict[str, NDArray[Any]] = {}
    if len(rows) >= FEWEST and installed("sklearn"):
        made["t-SNE"] = found.tsne(perplexity=min(PERPLEXITY, (len(rows) - 1) / 3))
    if len(rows) >= 2:
        centered = found.vectors.double() - found.vectors.double().mean(0)
        u, s, _ = torch.linalg.svd(centered, full_matrices=False)
        made["PCA"] = F.pad(u * s, (0, 2))[:, :2].numpy()
    points = np.full((max(1, len(made)), len(concepts), 2), np.nan, np.float32)
    for layout, positions in zip(points, made.values(), strict=False):
        layout[rows] = _unit(positions)
    return vectors, list(made) or ["PCA"], points


def _unit(positions: NDArray[Any]) -> NDArray[Any]:
    low, high = positions.min(0), positions.max(0)
    return (positions - low) / np.where(high > low, high - low, 1)
