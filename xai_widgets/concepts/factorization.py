"""Factorization of the activations of crops, with warnings about few images, channels or crops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from xai_widgets.errors import warn
from xai_widgets.similarity import ActivationGrid, Components, factorize
from xai_widgets.similarity.components import KIND_NAMES, FactorKind

#: Number of images below which the concepts of a class are those of a few photographs.
FEW_IMAGES = 20


def warn_few(grids: Sequence[ActivationGrid], label: str) -> None:
    """Warn of concepts that are those of a few photographs rather than of a class."""
    if len(grids) < FEW_IMAGES:
        crops = sum(grid.raw[..., 0].numel() for grid in grids)
        images = "one image" if len(grids) == 1 else f"{len(grids)} images"
        shown = "it" if len(grids) == 1 else "them"
        warn(
            f"{crops} overlapping crops of {images}: the concepts describe {shown}, not {label} in general. Give at "
            f"least {FEW_IMAGES} images of the class."
        )


def factorized(
    grids: Sequence[ActivationGrid], count: int, kind: FactorKind | Literal["auto"], seed: int
) -> tuple[Components, str]:
    """Return the components of crops, and why they are those of this factorization."""
    low = min(grid.raw.min().item() for grid in grids)
    if kind != "auto":
        reason = f"{KIND_NAMES[kind]}, as chosen."
    elif low < 0:
        kind = "kmeans"
        reason = (
            f"k-means, because activations of this layer reach {low:.2g}: a non-negative factorization needs values "
            "of at least 0."
        )
    else:
        kind, reason = "nmf", "NMF, because all activations of this layer are at least 0."
    most = min(grids[0].raw.shape[-1], sum(grid.raw[..., 0].numel() for grid in grids))
    if count > most:
        warn(f"The layer gives {most} concepts at most, fewer than {count}: it has so few channels or crops.")
    components = factorize(grids, min(count, most), kind=kind, seed=seed).result(progress=False)
    used = np.linalg.norm(components.directions, axis=1) > 0
    if not used.all():
        # Activations of few distinct values have fewer components than were asked for.
        components = components.reordered(np.flatnonzero(used))
    if not used.any():
        raise ValueError(f"expected a layer with activations other than 0, got zeros in {grids[0].layer!r}")
    return components, reason
