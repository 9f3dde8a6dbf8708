"""Linear probes: how well a linear classifier reads classes or concepts off each layer (Alain and Bengio 2017).

For each layer a logistic regression (scikit-learn) is fitted to the activations of the training images, averaged over
the positions, each channel scaled to variance 1; its accuracy is measured on held-out images, beside the share of the
most frequent class, which a classifier reaches that never looks at the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xai_widgets.concepts.examples import Images, Pooling, as_images, as_vectors, check_pooling
from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.optional import optional
from xai_widgets.core.precision import double
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import check_finite, integers, items
from xai_widgets.errors import warn


@dataclass(frozen=True, repr=False)
class LinearProbes(ShortRepr):
    """Accuracy of a linear classifier per layer.

    Attributes
    ----------
    layers : tuple of str
        Names of the layers so far.
    accuracy : Tensor, (L,)
        Share of held-out images that are classified correctly, in [0, 1].
    train_accuracy : Tensor, (L,)
        The same for the training images.
    baseline : float
        Share of the held-out images in the most frequent class of the training images.
    weights : tuple of Tensor, (classes, D)
        Weights of each classifier; (1, D) for two classes. Unit: score per activation.
    """

    layers: tuple[str, ...]
    accuracy: Tensor
    train_accuracy: Tensor
    baseline: float
    weights: tuple[Tensor, ...]


@without_inference_mode
def linear_probes(
    model: ImageModel,
    train: tuple[Images, Sequence[int]],
    held_out: tuple[Images, Sequence[int]],
    *,
    layers: Sequence[str],
    pooling: Pooling = "mean",
    batch_size: int = 32,
) -> Run[LinearProbes]:
    """Fit a linear classifier to the activations of each layer and measure it on held-out images.

    Parameters
    ----------
    model : ImageModel
        The network.
    train, held_out : (images, labels)
        Images, a list, folder or data set, and one number per image: a class, or 0 and 1 for the absence and presence
        of a concept.
    layers : sequence of str
        Layers by their names in ``model.layers()``, such as one per block.
    pooling : {"mean", "none"}, default "mean"
        Whether an activation is its mean over the positions, or a vector with all positions.
    batch_size : int, default 32
        Images per pass.

    Returns
    -------
    Run of LinearProbes
        One snapshot per layer.

    Raises
    ------
    ValueError
        For an unknown layer, with the nearest name, numbers of images and labels that differ, or labels of one class.
    ImportError
        If scikit-learn is missing, with the extra that installs it.

    Warns
    -----
    ExplanationWarning
        For layers whose accuracy is not above the baseline.
    """
    check_model(model)
    names = [model.layer(each).name for each in items(layers, "layers", what="names of layers")]
    check_pooling(pooling)
    batch_size = check_batch_size(batch_size)
    sets = [_labeled(pair, name) for pair, name in ((train, "train"), (held_out, "held_out"))]
    (_, labels), (_, held_labels) = sets
    values, counts = labels.unique(return_counts=True)
    if len(values) < 2:
        raise ValueError(f"expected training images of at least two classes, got only class {int(values[0])}")
    baseline = double(held_labels == values[counts.argmax()]).mean().item()

    def steps() -> Iterator[LinearProbes]:
        found = [_activations(model, images, names, pooling, batch_size) for images, _ in sets]
        accuracies, weights = [], []
        for number, name in enumerate(names):
            scores, fitted = _fit(found[0][name], labels, found[1][name], held_labels)
            accuracies.append(scores)
            weights.append(fitted)
            done = tuple(names[: number + 1])
            both = torch.tensor(accuracies)
            yield LinearProbes(done, both[:, 1], both[:, 0], baseline, tuple(weights))
        low = [name for name, (_, held) in zip(names, accuracies, strict=True) if held <= baseline]
        if low:
            warn(
                f"the probes of {', '.join(map(repr, low))} are not above the most frequent class ({baseline:.0%})"
            )

    return Run(steps(), total=len(names), name="linear probes")


def _labeled(pair: tuple[Images, Sequence[int]], name: str) -> tuple[Sequence[Any], Tensor]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise TypeError(f"expected {name} as a pair of images and labels, got {type(pair).__name__}")
    images, labels = as_images(pair[0]), torch.tensor(integers(pair[1], f"labels of {name}"))
    if len(images) != len(labels):
        raise ValueError(
            f"expected one label per image of {name}, got {len(labels)} for {len(images)} images"
        )
    return images, labels


def _activations(
    model: ImageModel, images: Sequence[Any], names: list[str], pooling: Pooling, batch_size: int
) -> dict[str, Tensor]:
    """Return the activation of every layer on each image as a vector, (n, D), in one pass per batch."""
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    for begin in range(0, len(images), batch_size):
        some = [images[index] for index in range(begin, min(begin + batch_size, len(images)))]
        for name, output in model.activations(some, names).items():
            parts[name].append(as_vectors(model, name, output.float(), pooling).cpu())
    return {
        name: check_finite(torch.cat(rows), model.name, f"outputs of {name!r}")
        for name, rows in parts.items()
    }


def _fit(x: Tensor, labels: Tensor, held: Tensor, held_labels: Tensor) -> tuple[tuple[float, float], Tensor]:
    linear = optional("sklearn.linear_model", "linear probes")
    mean, scale = x.mean(0), x.std(0)
    scale = torch.where(scale > 0, scale, 1.0)
    fitted = linear.LogisticRegression(max_iter=2000)
    fitted.fit(((x - mean) / scale).numpy(), labels.numpy())
    scores = tuple(
        float(fitted.score(((rows - mean) / scale).numpy(), of.numpy()))
        for rows, of in ((x, labels), (held, held_labels))
    )
    return (scores[0], scores[1]), torch.from_numpy(fitted.coef_).float() / scale
