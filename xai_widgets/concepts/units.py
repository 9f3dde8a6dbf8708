"""Accuracy of a network whose units, the channels of a layer, are ablated one by one or together.

With acc_c the share of the images of class c that are assigned to it, and acc_c(-k) the same with unit k ablated
(:mod:`~xai_widgets.concepts.ablation`), averaged over the classes by their numbers of images for the whole data set:

    importance of a unit overall      acc - acc(-k)                               Morcos et al. 2018
    importance for a class            acc_c - acc_c(-k)                           Zhou et al. 2018 (via ablation)
    cumulative ablation               acc(-k_1, ..., -k_n) over n, of an order    Morcos et al. 2018
    class selectivity                 (m - m') / (m + m')                         Morcos et al. 2018

m is the mean activation of the unit for its preferred class, m' the mean of its mean activations for the others. Zhou
et al. 2018 show that a unit with little effect on the accuracy over all classes may be decisive for one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from xai_widgets.concepts.ablation import FILLS, ablated_scores
from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.image_source import ImageSource
from xai_widgets.core.model import ImageModel, Target, targeted
from xai_widgets.core.precision import double
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import brief, check_finite, choice, integer, integers, items, plain_number
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.features import LayerScores
from xai_widgets.perturbation.channel import check_channels, octaves

Fill = Literal["zero", "mean"]

#: Largest number of random orders.
MOST_ORDERS = 1000
assert get_args(Fill) == FILLS


@dataclass(frozen=True, repr=False)
class UnitAblation(ShortRepr):
    """Accuracy and scores of classes with each unit ablated, over the images so far.

    Attributes
    ----------
    layer : str
        Name of the layer.
    units : Tensor of int, (U,)
        The channels that were ablated, one at a time.
    counts : Tensor of int, (classes,)
        Numbers of images of each class.
    accuracy : Tensor, (classes,)
        Accuracy without ablation, in [0, 1]; NaN for classes without images.
    ablated_accuracy : Tensor, (U, classes)
        Accuracy with each unit ablated.
    score_drops : Tensor, (U, classes)
        Mean drop of the score of the class on its images, before softmax.
    activations : Tensor, (U, classes)
        Mean activation of each unit on the images of the class.
    """

    layer: str
    units: Tensor
    counts: Tensor
    accuracy: Tensor
    ablated_accuracy: Tensor
    score_drops: Tensor
    activations: Tensor

    @property
    def class_drops(self) -> Tensor:
        """Drop of the accuracy of each class by each unit, (U, classes); NaN for classes without images."""
        return self.accuracy - self.ablated_accuracy

    @property
    def overall_accuracy(self) -> float:
        """Accuracy over all images without ablation."""
        return _overall(self.accuracy, self.counts).item()

    @property
    def overall_drops(self) -> Tensor:
        """Drop of the accuracy over all images by each unit, (U,)."""
        return self.overall_accuracy - _overall(self.ablated_accuracy, self.counts)

    @property
    def selectivity(self) -> Tensor:
        """Class selectivity of each unit, (U,), from 0, alike for all classes, to 1, active for one.

        NaN for units with negative mean activations, for which it is not defined, and with fewer than two classes.
        """
        means = self.activations[:, self.counts > 0]
        if means.shape[1] < 2:
            return means.new_full((len(means),), torch.nan)
        most = means.amax(1)
        others = (means.sum(1) - most) / (means.shape[1] - 1)
        valid = (means >= 0).all(1) & (most > 0)
        return torch.where(valid, (most - others) / (most + others), torch.nan)

    def top(self, target: int, k: int = 5) -> Tensor:
        """Return the units, (k,), whose ablation lowers the accuracy of a class most; ties by the drop of its score."""
        target = integer(target, "target", low=0, high=len(self.counts) - 1)
        k = integer(k, "k", low=1)
        if self.counts[target] == 0:
            raise ValueError(f"expected a class with images, got class {target}, which has none")
        by_score = self.score_drops[:, target].argsort(descending=True, stable=True)
        by_both = self.class_drops[by_score, target].argsort(descending=True, stable=True)
        return self.units[by_score[by_both[:k]]]


@dataclass(frozen=True, repr=False)
class CumulativeAblation(ShortRepr):
    """Accuracy with more and more units ablated, over the images so far.

    Attributes
    ----------
    layer : str
        Name of the layer.
    orders : Tensor of int, (R, U)
        Orders in which the units are ablated.
    numbers : Tensor of int, (S,)
        Numbers of ablated units, ascending from 0.
    counts : Tensor of int, (classes,)
        Numbers of images of each class.
    class_accuracy : Tensor, (R, S, classes)
        Accuracy of each class; NaN for classes without images.
    """

    layer: str
    orders: Tensor
    numbers: Tensor
    counts: Tensor
    class_accuracy: Tensor

    @property
    def accuracy(self) -> Tensor:
        """Accuracy over all images, (R, S)."""
        return _overall(self.class_accuracy, self.counts)

    @property
    def area(self) -> Tensor:
        """Mean accuracy over the share of ablated units, (R,), by trapezoids."""
        share = double(self.numbers) / max(1, int(self.numbers[-1]))
        return torch.trapezoid(double(self.accuracy), share).to(self.class_accuracy)


@without_inference_mode
def ablate_units(
    model: ImageModel,
    images: Any,
    target: Target = None,
    *,
    layer: str | None = None,
    units: Sequence[int] | None = None,
    fill: Fill = "zero",
    batch_size: int = 32,
) -> Run[UnitAblation]:
    """Ablate each unit of a layer and measure the accuracy and the scores, overall and per class.

    Parameters
    ----------
    model : ImageModel
        The network.
    images
        Images of any kind; a list is read batch by batch, each entry one image.
    target : int, str, sequence or Tensor, optional
        The class of the images, or one per image. Default: the predicted class, so that the accuracy is the share of
        unchanged predictions.
    layer : str, optional
        A layer with spatial positions or an output (K,), by its name in ``model.layers()``. Default: the last one
        before pooling.
    units : sequence of int, optional
        The channels to ablate. Default: all K.
    fill : {"zero", "mean"}, default "zero"
        Activation of an ablated unit; "mean" is its mean over all images and positions.
    batch_size : int, default 32
        Images, and changed activations, per pass.

    Returns
    -------
    Run of UnitAblation
        One snapshot per batch of images.

    Raises
    ------
    ValueError
        For an unknown class or layer, with the nearest name, a channel that the layer does not have, or no images.
    """
    tally = _Tally(model, images, target, layer, fill, batch_size)
    chosen = range(tally.width) if units is None else integers(units, "units", low=0, high=tally.width - 1)
    index = torch.tensor(chosen, device=tally.model.device)
    masks = torch.zeros(1 + len(index), tally.width, device=index.device)
    masks[torch.arange(1, 1 + len(index), device=index.device), index] = 1

    def steps() -> Iterator[UnitAblation]:
        for _ in tally.run(masks):
            accuracy, scores = tally.accuracy, tally.mean_scores
            yield UnitAblation(
                layer=tally.layer,
                units=index,
                counts=tally.counts.clone(),
                accuracy=accuracy[0],
                ablated_accuracy=accuracy[1:],
                score_drops=scores[0] - scores[1:],
                activations=tally.mean_activations[index],
            )

    return Run(steps(), total=tally.total, name=f"ablation of the units of {tally.layer}")


@without_inference_mode
def ablate_cumulatively(
    model: ImageModel,
    images: Any,
    target: Target = None,
    *,
    layer: str | None = None,
    orders: int | Sequence[Sequence[int]] | Tensor = 10,
    numbers: Sequence[int] | None = None,
    fill: Fill = "zero",
    batch_size: int = 32,
    seed: int = 0,
) -> Run[CumulativeAblation]:
    """Ablate more and more units of a layer and measure the accuracy, overall and per class.

    Parameters
    ----------
    model, images, target, layer, fill, batch_size
        See :func:`ablate_units`.
    orders : int or sequence of sequence of int or Tensor, (R, U), default 10
        Number of random orders of all units, or the orders themselves, such as that of :meth:`UnitAblation.top`.
    numbers : sequence of int, optional
        Ascending numbers of ablated units, from 1 to U; 0 is added. Default: two per octave and U.
    seed : int, default 0
        Seed of the random orders.

    Returns
    -------
    Run of CumulativeAblation
        One snapshot per batch of images.

    Raises
    ------
    ValueError
        See :func:`ablate_units`; also for orders that repeat a unit, and for numbers that do not ascend.
    """
    tally = _Tally(model, images, target, layer, fill, batch_size)
    listed = _find_orders(orders, tally.width, check_seed(seed)).to(tally.model.device)
    most = listed.shape[1]
    sizes = [0, *(octaves(most) if numbers is None else check_channels(numbers, most))]
    masks = torch.zeros(len(listed), len(sizes), tally.width, device=listed.device)
    for row, size in enumerate(sizes):
        masks[:, row].scatter_(1, listed[:, :size], 1.0)
    flat = torch.cat([torch.zeros_like(masks[0, :1]), masks.flatten(0, 1)])

    def steps() -> Iterator[CumulativeAblation]:
        for _ in tally.run(flat):
            yield CumulativeAblation(
                layer=tally.layer,
                orders=listed,
                numbers=torch.tensor(sizes, device=listed.device),
                counts=tally.counts.clone(),
                class_accuracy=tally.accuracy[1:].unflatten(0, masks.shape[:2]),
            )

    return Run(steps(), total=tally.total, name=f"cumulative ablation of {tally.layer}")


class _Tally:
    """Counts of correct predictions, and sums of scores and activations, per set of ablated units and class."""

    def __init__(
        self, model: ImageModel, images: Any, target: Target, layer: str | None, fill: Fill, batch_size: int
    ) -> None:
        self.model, classes = targeted(model, target)
        choice(fill, "fill", FILLS)
        self.fill = fill
        self.batch_size = check_batch_size(batch_size)
        self.source = ImageSource(self.model, images)
        self.layer = self.model.default_layer() if layer is None else self.model.layer(layer).name
        self.target: Tensor | None = None
        if classes is not None:
            self.target = self.model.targets(classes, torch.empty(len(self.source), device=self.model.device))
        first = LayerScores(self.model, self.source.batch(0, 1), self.layer)
        self.width, self.total = first.width, -(-len(self.source) // self.batch_size)

    def run(self, masks: Tensor) -> Iterator[None]:
        """Add batch after batch of images, each with the masks (S, K) of ablated units, the first of which is empty."""
        device, classes = self.model.device, len(self.model.labels)
        fill = self._means() if self.fill == "mean" else torch.zeros(self.width, device=device)
        self.counts = torch.zeros(classes, dtype=torch.long, device=device)
        self.correct = torch.zeros(len(masks), classes, device=device)
        self.scores = double(torch.zeros(len(masks), classes, device=device))
        self.activations = double(torch.zeros(self.width, classes, device=device))
        for begin, of_layer in self._batches():
            scores = self._scores(of_layer, masks, fill)
            some = slice(begin, begin + len(of_layer))
            target = scores[:, 0].argmax(1) if self.target is None else self.target[some]
            of_class = torch.nn.functional.one_hot(target, classes)
            self.counts += of_class.sum(0)
            self.correct += (scores.argmax(2) == target[:, None]).float().T @ of_class.float()
            own = scores.gather(2, target[:, None, None].expand(-1, len(masks), 1))[..., 0]
            self.scores += double(own).T @ double(of_class)
            means = (
                of_layer.activation.flatten(2).mean(2)
                if of_layer.activation.ndim > 2
                else of_layer.activation
            )
            self.activations += double(means).T @ double(of_class)
            yield

    def _batches(self) -> Iterator[tuple[int, LayerScores]]:
        for begin in range(0, len(self.source), self.batch_size):
            x = self.source.batch(begin, begin + self.batch_size)
            yield begin, LayerScores(self.model, x, self.layer)

    def _scores(self, of_layer: LayerScores, masks: Tensor, fill: Tensor) -> Tensor:
        """Return scores (N, S, classes)."""
        device = masks.device
        pairs = torch.cartesian_prod(torch.arange(len(of_layer)), torch.arange(len(masks))).view(-1, 2)
        parts = pairs.to(device).split(self.batch_size)
        scores = torch.cat([ablated_scores(of_layer, masks, fill, *part.unbind(1)) for part in parts])
        return check_finite(scores, self.model.name).unflatten(0, (len(of_layer), len(masks)))

    def _means(self) -> Tensor:
        """Return the mean of each channel over all images and positions, (K,)."""
        total, count = double(torch.zeros(self.width, device=self.model.device)), 0
        for _, of_layer in self._batches():
            last = of_layer.output.movedim(of_layer.dimension, -1).flatten(0, -2)
            total += double(last).sum(0)
            count += len(last)
        return (total / count).to(self.model.device, torch.float32)

    @property
    def accuracy(self) -> Tensor:
        """Accuracy (S, classes); NaN for classes without images."""
        return self.correct / self.counts

    @property
    def mean_scores(self) -> Tensor:
        """Mean score of the class on its images, (S, classes)."""
        return (self.scores / self.counts.to(self.scores.device)).to(self.counts.device, torch.float32)

    @property
    def mean_activations(self) -> Tensor:
        """Mean activation of the units on the images of each class, (K, classes)."""
        counts = self.counts.to(self.activations.device)
        return (self.activations / counts).to(self.counts.device, torch.float32)


def _overall(accuracy: Tensor, counts: Tensor) -> Tensor:
    """Return the accuracy over all images of accuracies (..., classes)."""
    return (accuracy.nan_to_num() * counts).sum(-1) / counts.sum()


def _find_orders(orders: int | Sequence[Sequence[int]] | Tensor, width: int, seed: int) -> Tensor:
    if plain_number(orders) is not None:
        count = integer(orders, "orders", low=1, high=MOST_ORDERS)
        generator = torch.Generator().manual_seed(seed)
        return torch.stack([torch.randperm(width, generator=generator) for _ in range(count)])
    listed = orders.tolist() if isinstance(orders, Tensor) else items(orders, "orders", what="orders")
    rows = [integers(each, "each of orders", low=0, high=width - 1) for each in listed]
    if len({len(row) for row in rows}) != 1 or any(len(set(row)) < len(row) for row in rows):
        raise ValueError(f"expected orders of different units, all of one length, got {brief(orders)}")
    return torch.tensor(rows)
