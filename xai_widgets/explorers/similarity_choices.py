"""The networks, layers and options of a similarity explorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.studies.layers import fine_and_deep

#: The position of the view until there are activations.
MIDDLE = [0.5, 0.5]
#: Height of the column of details, which scrolls beyond it.
SIDE = "500px"
#: Texts of the choices of the view.
SIMILARITIES = {"cosine": "cosine", "dot": "dot product", "euclidean": "Euclidean kernel"}
SCOPES = {"across": "hovered patch", "within": "own patch"}
RANGES = {"fixed": "fixed", "relative": "per layer"}
#: The first three components of PCA as red, green and blue.
COLORS = "colors"
COMPONENT_KINDS = {
    "auto": "NMF or PCA",
    "nmf": "NMF",
    "pca": "PCA",
    COLORS: "PCA as colors",
    "kmeans": "k-means",
}


def check_models(model: ImageModel | Sequence[ImageModel]) -> list[ImageModel]:
    """Return one or several networks as a list; ValueError for two of one name."""
    models: list[Any] = list(model) if isinstance(model, list | tuple) else [model]
    for one in models:
        check_model(one)
    names = [one.name for one in models]
    if not models or len(set(names)) < len(names):
        raise ValueError(
            f"expected networks of different names, got {names}; name them: ImageModel(..., name=)"
        )
    return models


def layers_of(
    models: Sequence[ImageModel], layers: str | Sequence[str] | Mapping[str, Sequence[str]] | None
) -> dict[str, list[str]]:
    """Return the layers of each network, by its name."""
    if isinstance(layers, Mapping):
        if set(layers) != {model.name for model in models}:
            raise ValueError(
                f"expected layers of {sorted(model.name for model in models)}, got those of {sorted(layers)}"
            )
        chosen = {model.name: layers[model.name] for model in models}
    else:
        chosen = {model.name: fine_and_deep(model) if layers is None else layers for model in models}
    made = {name: [some] if isinstance(some, str) else list(some) for name, some in chosen.items()}
    for model in models:
        for name in made[model.name]:
            model.grid(name)
    return made
