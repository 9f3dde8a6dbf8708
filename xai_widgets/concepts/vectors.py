"""Concept activation vectors: the normal of a linear classifier of the images of a concept (Kim et al. 2018).

With the activations a(x) of a layer on the images of a concept and on other images,

    v = w / |w|,   w the weights of a linear classifier that is positive for the concept

The classifier is the logistic regression of scikit-learn with both kinds of images weighted alike; it is equal to the
regression on the whole activations, but solved in the space that the examples span, as there are fewer examples than
numbers in an activation. The published classifier is a linear one trained by SGD. A third of each kind is held out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_widgets.core.optional import optional
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.errors import unknown_name, warn

#: Share of the examples that are held out to measure the accuracy.
HELD_OUT = 1 / 3
#: Returns a classifier with `fit`, `predict` and `coef_` as in scikit-learn.
MakeClassifier = Callable[[], Any]


@dataclass(frozen=True, repr=False)
class ConceptVectors(ShortRepr):
    """Vectors of concepts in a layer, one for each random set.

    Attributes
    ----------
    layer : str
        Name of the layer.
    names : tuple of str
        Names of the C concepts.
    vectors : Tensor, (C, R, D)
        Vectors of length 1 in the space of the activations; NaN for concepts that were not trained.
    accuracy : Tensor, (C, R)
        Mean of the accuracies on held-out images of both kinds, in [0, 1]; 0.5 is chance.
    counts : Tensor of int, (C,)
        Numbers of examples.
    held_out : Tensor of int, (C,)
        Numbers of held-out images of both kinds, per random set.
    """

    layer: str
    names: tuple[str, ...]
    vectors: Tensor
    accuracy: Tensor
    counts: Tensor
    held_out: Tensor

    @property
    def trained(self) -> Tensor:
        """Whether a concept had enough examples, (C,)."""
        return self.held_out > 0

    @property
    def mean(self) -> Tensor:
        """Mean of the vectors of each concept, of length 1, (C, D)."""
        return torch.nn.functional.normalize(self.vectors.mean(1), dim=1)

    @property
    def at_chance(self) -> Tensor:
        """Whether the accuracy is not significantly above 0.5, at a level of 5 % for one random set, (C,)."""
        limit = 0.5 + 1.645 * (0.25 / self.held_out.clamp(min=1)).sqrt()
        return self.trained & (self.accuracy.mean(1) <= limit)

    def index(self, name: str) -> int:
        """Return the index of a concept; ValueError, with the nearest name, for an unknown one."""
        if name not in self.names:
            raise ValueError(unknown_name("concept", name, self.names))
        return self.names.index(name)

    def warn(self) -> None:
        """Warn about concepts that were not trained or whose accuracy is at chance."""
        few = [
            f"{name!r} ({count})"
            for name, count, trained in zip(
                self.names, self.counts.tolist(), self.trained.tolist(), strict=True
            )
            if not trained
        ]
        if few:
            warn(
                f"expected at least ten examples of each concept, got fewer of {', '.join(few)}: not trained"
            )
        for name, chance, accuracy in zip(self.names, self.at_chance, self.accuracy.mean(1), strict=True):
            if chance:
                warn(
                    f"the classifier of {name!r} in layer {self.layer!r} is at chance on held-out images (accuracy "
                    f"{accuracy:.0%}): its vector does not represent the concept"
                )


def fit_vector(
    positives: Tensor,
    negatives: Tensor,
    *,
    seed: int,
    classifier: MakeClassifier | None = None,
    shuffle: bool = True,
) -> tuple[Tensor, float, int]:
    """Return the vector (D,) of a classifier, its accuracy on held-out examples and their number.

    Parameters
    ----------
    positives, negatives : Tensor, (n, D)
        Activations with and without the concept.
    seed : int
        Seed of the split.
    classifier : callable, optional
        Makes the classifier. Default: logistic regression.
    shuffle : bool, default True
        Whether the held-out examples are random ones, or the first ones, if the others are from other images.
    """
    generator = torch.Generator().manual_seed(seed)
    kinds = [positives, negatives]
    if shuffle:
        kinds = [rows[torch.randperm(len(rows), generator=generator)] for rows in kinds]
    splits = [max(1, round(len(rows) * HELD_OUT)) for rows in kinds]
    train = torch.cat([rows[split:] for rows, split in zip(kinds, splits, strict=True)])
    labels = torch.cat(
        [
            torch.full((len(rows) - split,), 1 - kind)
            for kind, (rows, split) in enumerate(zip(kinds, splits, strict=True))
        ]
    )
    vector, predict = (
        _logistic(train, labels) if classifier is None else _with_classifier(classifier(), train, labels)
    )
    recalls = [
        (predict(rows[:split]) == (kind == 0)).double().mean().item()
        for kind, (rows, split) in enumerate(zip(kinds, splits, strict=True))
    ]
    return vector, sum(recalls) / 2, sum(splits)


def _logistic(x: Tensor, labels: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Fit a logistic regression in the space that the rows span, which gives the weights of the whole space."""
    linear = optional("sklearn.linear_model", "concept vectors")
    x = x.double()
    mean = x.mean(0)
    centered = x - mean
    # One number for all channels keeps the directions, and makes the strength of the penalty comparable.
    scale = centered.square().sum(1).mean().sqrt()
    scale = scale if scale > 0 else torch.ones_like(scale)
    centered = centered / scale
    basis = None
    if x.shape[1] > len(x):
        basis, _ = torch.linalg.qr(centered.T)
    reduced = centered if basis is None else centered @ basis
    fitted = linear.LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000, tol=1e-6)
    fitted.fit(reduced.numpy(), labels.numpy())
    weights = torch.from_numpy(fitted.coef_[0]).to(x)
    weights = weights if basis is None else basis @ weights
    bias = float(fitted.intercept_[0])
    vector = torch.nn.functional.normalize(weights, dim=0).float()
    return vector, lambda rows: (rows.double() - mean) / scale @ weights + bias > 0


def _with_classifier(fitted: Any, x: Tensor, labels: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    fitted.fit(x.numpy(), labels.numpy())
    weights = torch.as_tensor(fitted.coef_).float().reshape(-1)
    vector = torch.nn.functional.normalize(weights, dim=0)
    return vector, lambda rows: torch.as_tensor(fitted.predict(rows.numpy())) == 1


def random_sets(pool: int, size: int, count: int, seed: int) -> Tensor:
    """Return indices (count, size) of random sets, each without repetition."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(pool, generator=generator)[:size] for _ in range(count)])


def others_of(features: Mapping[str, Tensor], name: str, size: int, seed: int) -> Tensor:
    """Return up to `size` activations of the other concepts, as many of each as possible: relative vectors."""
    generator = torch.Generator().manual_seed(seed)
    rest = [rows for other, rows in features.items() if other != name]
    share = math.ceil(size / len(rest))
    return torch.cat([rows[torch.randperm(len(rows), generator=generator)[:share]] for rows in rest])


def check_pool(pool: Sequence[Any], least: int) -> None:
    """Raise ValueError if there are too few random images."""
    if len(pool) < least:
        raise ValueError(f"expected at least {least} random images, got {len(pool)}")
