"""Scores of a network without some channels, or some directions, of a layer.

With a the activation of a layer at one position, f a fill (0, or the mean activation) and P a projector,

    a' = a - P (a - f)

where P keeps the chosen channels, or is the orthogonal projector onto the span of the chosen directions. The rest of
the network then computes the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.precision import double
from xai_widgets.core.run import without_inference_mode
from xai_widgets.core.validation import brief, check_finite, integers, is_tensor, items, tensor
from xai_widgets.errors import unknown_name
from xai_widgets.features import LayerScores

#: Named fills.
FILLS = ("zero", "mean")


@without_inference_mode
def ablate(
    model: ImageModel,
    images: Any,
    sets: Sequence[Sequence[int]],
    *,
    layer: str | None = None,
    directions: Tensor | None = None,
    fill: str | Tensor = "zero",
    batch_size: int = 32,
) -> Tensor:
    """Return the class scores of images without some channels, or some directions, of a layer.

    The network itself is not changed.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind, N of them.
    sets : sequence of sequence of int
        S sets of indices of channels, or of ``directions``. Each is removed on its own; an empty set is the unchanged
        network.
    layer : str, optional
        A layer with spatial positions or an output (K,), by its name in ``model.layers()``. Default: the last one
        before pooling. Of tokens, those without a position change too.
    directions : Tensor, (M, K), optional
        Directions in the space of the K channels, of any length. The part of each activation in the span of the chosen
        ones is removed. Default: the channels themselves.
    fill : {"zero", "mean"} or Tensor, (K,), default "zero"
        Activation that replaces the removed part; "mean" is the mean over the positions and the images.
    batch_size : int, default 32
        Changed activations per pass.

    Returns
    -------
    Tensor, (N, S, classes)
        Scores before softmax.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, an index that the layer does not have, or another fill.

    Examples
    --------
    >>> ablate(model, image, [[], [3], [3, 17]], layer="features.17").diff(dim=1)  # doctest: +SKIP
    """
    check_model(model)
    batch_size = check_batch_size(batch_size)
    name = model.default_layer() if layer is None else layer
    of_layer = LayerScores(model, model.images(images), name)
    projectors = find_projectors(of_layer, sets, directions)
    fills = find_fill(of_layer, fill)
    count = len(of_layer)
    pairs = torch.cartesian_prod(torch.arange(count), torch.arange(len(projectors))).view(-1, 2)
    scores = [
        ablated_scores(of_layer, projectors, fills, *part.to(of_layer.output.device).unbind(1))
        for part in pairs.split(batch_size)
    ]
    return check_finite(torch.cat(scores), model.name).unflatten(0, (count, len(projectors)))


def ablated_scores(
    of_layer: LayerScores, projectors: Tensor, fill: Tensor, images: Tensor, which: Tensor
) -> Tensor:
    """Return scores (E, classes) of images (E,), each without the part that the projector of index ``which`` keeps.

    ``projectors`` are (S, K) for channels, with 1 for those that are removed, or (S, K, K).
    """
    chosen = projectors[which]
    if chosen.ndim == 2:
        removed = of_layer.along_channels(chosen)
        return of_layer.scores(
            lambda output: torch.where(removed > 0, _filled(of_layer, fill, output), output), images
        )

    def change(output: Tensor) -> Tensor:
        last = output.movedim(of_layer.dimension, -1)
        flat = last.reshape(len(last), -1, last.shape[-1]).float()
        changed = flat - (flat - fill) @ chosen
        return changed.view(last.shape).movedim(-1, of_layer.dimension)

    return of_layer.scores(change, images)


def _filled(of_layer: LayerScores, fill: Tensor, output: Tensor) -> Tensor:
    return of_layer.along_channels(fill).to(output.dtype)


def find_projectors(
    of_layer: LayerScores, sets: Sequence[Sequence[int]], directions: Tensor | None
) -> Tensor:
    """Return the projectors of sets of channels, (S, K), or of directions, (S, K, K); all symmetric."""
    like = of_layer.output
    width = of_layer.width
    if directions is not None:
        directions = tensor(directions, "directions", ("M", width), finite=True, like=like)
    most = (width if directions is None else len(directions)) - 1
    listed = items(sets, "sets", what="sets of indices")
    indices = [integers(each, "each of sets", low=0, high=most) if _size(each) else [] for each in listed]
    if directions is None:
        masks = like.new_zeros(len(indices), width)
        for mask, chosen in zip(masks, indices, strict=True):
            mask[chosen] = 1
        return masks
    projectors = []
    for chosen in indices:
        span = double(directions[chosen])
        projectors.append(torch.linalg.pinv(span) @ span if chosen else span.new_zeros(width, width))
    return torch.stack(projectors).to(like)


def _size(indices: Any) -> int:
    try:
        return len(indices)
    except TypeError:
        raise TypeError(f"expected each of sets to be a sequence of integers, got {brief(indices)}") from None


def find_fill(of_layer: LayerScores, fill: str | Tensor) -> Tensor:
    """Return the fill of each channel, (K,)."""
    if isinstance(fill, str):
        if fill not in FILLS:
            raise ValueError(unknown_name("fill", fill, FILLS))
        if fill == "zero":
            return of_layer.output.new_zeros(of_layer.width)
        last = of_layer.output.movedim(of_layer.dimension, -1)
        return last.reshape(-1, of_layer.width).mean(0)
    if not is_tensor(fill):
        raise TypeError(f"expected fill to be 'zero', 'mean' or a tensor (K,), got {brief(fill)}")
    return tensor(fill, "fill", (of_layer.width,), finite=True, like=of_layer.output)
