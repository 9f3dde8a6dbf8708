"""Targets for networks that embed images: the similarity to a text or to another image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import brief, number
from xai_widgets.targets.entries import constant, embedding_of

if TYPE_CHECKING:
    from xai_widgets.core.model import ImageModel


@dataclass(frozen=True, repr=False, eq=False)
class Similarity(ShortRepr):
    """The cosine similarity to a vector, such as the embedding of a text by CLIP.

    Attributes
    ----------
    vector : Tensor, (D,)
        The embedding to compare with; any length.
    name : str, default "the vector"
        Name of the text or image, for legends.
    entry : str or int, optional
        The entry of a dict, object or tuple that holds the embeddings (N, D) of images. Default: "image_embeds",
        "image_features", "pooler_output", "embeddings", or the only tensor of two dimensions.

    Examples
    --------
    >>> model = ImageModel(clip_image_tower, targets=Similarity(text_vector, "a cat"))
    >>> METHODS["integrated_gradients"](model, image, target=Similarity.to_image(model, other))
    """

    vector: Tensor
    name: str = "the vector"
    entry: str | int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "vector", _unit(self.vector, "vector"))

    @classmethod
    def to_image(
        cls, model: ImageModel, image: Any, name: str = "another image", *, entry: str | int | None = None
    ) -> Similarity:
        """Return the similarity to the embedding of an image of any kind."""
        embedding = embedding_of(model.raw_output(image), entry)
        if len(embedding) != 1:
            raise ValueError(f"expected one image, got {len(embedding)}")
        return cls(embedding[0].float().cpu(), name, entry)

    @property
    def label(self) -> str:
        """Name in legends."""
        return f"similarity to {self.name}"

    def __call__(self, output: Any) -> Tensor:
        """Return the similarities, (N,), from -1 to 1."""
        return _cosines(output, self.vector[None], self.entry)[:, 0]


class Similarities:
    """The cosine similarity to each of several vectors, by label.

    Parameters
    ----------
    vectors : mapping of str to Tensor (D,)
        The embeddings to compare with.
    scale : float, default 1.0
        Factor of the similarities. CLIP multiplies them by 100: ``Similarities(vectors, scale=100)`` with
        ``ImageModel(..., activation="softmax")`` has the probabilities of its zero-shot classification.
    entry : str or int, optional
        See :class:`Similarity`.

    Attributes
    ----------
    labels : list of str
    """

    label = "similarities"

    def __init__(
        self, vectors: Mapping[str, Any], *, scale: float = 1.0, entry: str | int | None = None
    ) -> None:
        if not isinstance(vectors, Mapping) or not vectors:
            raise TypeError(f"expected vectors as a dict of label to vector, got {brief(vectors)}")
        self.labels = [str(label) for label in vectors]
        units = [_unit(vector, f"the vector of {label!r}") for label, vector in vectors.items()]
        if len({len(unit) for unit in units}) != 1:
            raise ValueError(f"expected vectors of one length, got lengths {[len(unit) for unit in units]}")
        self.vectors = torch.stack(units)
        self.scale, self.entry = number(scale, "scale", above=0), entry

    def __repr__(self) -> str:
        return f"Similarities({', '.join(map(repr, self.labels))}, scale={self.scale:g})"

    def __call__(self, output: Any) -> Tensor:
        """Return the scaled similarities, (N, T)."""
        return self.scale * _cosines(output, self.vectors, self.entry)


def _unit(vector: Any, name: str) -> Tensor:
    values = constant(vector, name, ("D",))
    if not bool(values.any()):
        raise ValueError(f"expected {name} other than 0, got zeros")
    return F.normalize(values, dim=0)


def _cosines(output: Any, units: Tensor, entry: str | int | None) -> Tensor:
    embedding = embedding_of(output, entry)
    if embedding.shape[1] != units.shape[1]:
        raise ValueError(
            f"expected a vector of the length of the embeddings, {embedding.shape[1]}, got {units.shape[1]}"
        )
    return F.normalize(embedding, dim=1) @ units.to(embedding).T
