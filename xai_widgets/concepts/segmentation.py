"""Segmentation of concepts by combinations of filters (Fong and Vedaldi 2018, section 3.1.2).

    M(x; w) = sigmoid(S(sum_k w_k 1[A_k(x) > T_k]))      (equation 2)

S is bilinear interpolation to the label masks; a pixel is predicted where M > 1/2. The weights of each concept c are
learned on the training images X_c that contain it, by descent of the weighted cross entropy

    L = -1/|X_c| sum_(x in X_c) sum_pixels  alpha L_c(x) log M(x; w) + (1 - alpha) (1 - L_c(x)) log(1 - M(x; w))

with alpha = 1 - the mean share of the pixels of an image of X_c that L_c covers, so that a small concept counts as much
as its background. The paper prints the loss (equation 4) without logarithms, with one bracket missing, and alpha
without its mean; ``Descent(loss="printed")`` minimizes the printed loss with the bracket and this alpha.

All concepts share one pass over the images per epoch: each concept collects the gradients of its own images until it
has a batch of them, then takes its step. The result does not depend on how many images are read at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from xai_widgets.concepts.combinations import Combinations
from xai_widgets.concepts.per_image import PerImage
from xai_widgets.concepts.probe_data import FEWEST, IMAGES, Probe, check_probes
from xai_widgets.concepts.solvers import Descent
from xai_widgets.core.arguments import best_device
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import instance, tensor

#: Number of pixels whose gradients are computed together: they stay in the cache of a processor.
PIXELS = 2**18


@without_inference_mode
def segmentation_concepts(
    train: Probe, val: Probe, filters: Tensor | None = None, *, settings: Descent | None = None
) -> Run[Combinations]:
    """Learn the weights with which the thresholded filters of a layer segment each concept.

    Parameters
    ----------
    train, val : Probe
        Probes of one layer with the same thresholds.
    filters : Tensor of bool, (C, K), optional
        The filters that the combination of each concept may use. Default: all.
    settings : Descent, optional
        Learning rate, momentum, batch size, epochs and loss. Default: those of the paper.

    Returns
    -------
    Run of Combinations
        One snapshot per epoch, with the score of the training split in the last one. Weights start at 0.

    Raises
    ------
    ValueError
        For probes of other concepts, layers, or thresholds.
    """
    check_probes(train, val)
    settings = Descent() if settings is None else instance(settings, "settings", Descent)
    used = check_filters(train, filters)[None]

    def play() -> Iterator[Combinations]:
        for found in learn(train, val, used, settings):
            yield found[0]

    return Run(play(), total=settings.epochs, name=f"concepts of {train.layer}")


def check_filters(probe: Probe, filters: Tensor | None) -> Tensor:
    """Return the filters that each concept may use, bool (C, K)."""
    shape = (len(probe.concepts), probe.channels)
    return (
        torch.ones(shape, dtype=torch.bool) if filters is None else tensor(filters, "filters", shape).bool()
    )


def learn(train: Probe, val: Probe, used: Tensor, settings: Descent) -> Iterator[tuple[Combinations, ...]]:
    """Yield, after each epoch, one result for each of the V selections of filters in ``used``, bool (V, C, K)."""
    trained = train.segmented >= FEWEST
    size = mean_size(train)
    trainer = _Trainer(train, used, trained, 1 - size.nan_to_num(), settings)
    for epoch in range(settings.epochs):
        trainer.epoch(epoch)
        weights = trainer.weights
        score, ious = evaluate(val, weights, trained)
        last = epoch == settings.epochs - 1
        train_score = evaluate(train, weights, trained)[0] if last else torch.full_like(score, torch.nan)
        yield tuple(
            Combinations(
                task="segmentation",
                network=train.network,
                layer=train.layer,
                concepts=train.concepts,
                trained=trained,
                positives=train.segmented,
                size=size,
                weights=weights[v].cpu().clone(),
                bias=torch.zeros(len(trained)),
                train_score=train_score[v],
                score=score[v],
                per_image=PerImage(val.concepts, val.pairs, ious[v]),
            )
            for v in range(len(used))
        )


def mean_size(probe: Probe) -> Tensor:
    """Return the mean share of the pixels that the label masks of each concept cover, (C,); NaN without masks."""
    total = torch.zeros(len(probe.concepts), dtype=torch.float64)
    total.index_add_(0, probe.pairs[:, 1], probe.pixels.double())
    return (total / probe.segmented / (probe.label_size[0] * probe.label_size[1])).float()


@dataclass(frozen=True, eq=False, repr=False)
class Interpolation(ShortRepr):
    """Bilinear interpolation from the grid of a layer to label masks as two matrices, (H, h) and (W, w)."""

    rows: Tensor
    columns: Tensor

    @classmethod
    def of(cls, probe: Probe, device: torch.device) -> Interpolation:
        """Return the interpolation of a probe."""
        matrices = (
            F.interpolate(torch.eye(small)[None], large, mode="linear")[0].T.contiguous().to(device)
            for small, large in zip(probe.grid, probe.label_size, strict=True)
        )
        return cls(*matrices)

    def __call__(self, maps: Tensor) -> Tensor:
        """Interpolate maps (..., h, w) to (..., H, W)."""
        # One product for all columns is much faster than one per map.
        return self.rows @ (maps.reshape(-1, maps.shape[-1]) @ self.columns.T).unflatten(0, maps.shape[:-1])

    def adjoint(self, pixels: Tensor) -> Tensor:
        """Return the gradient with respect to the maps, (..., h, w), for one with respect to the pixels."""
        return self.rows.T @ (pixels.reshape(-1, pixels.shape[-1]) @ self.columns).unflatten(
            0, pixels.shape[:-1]
        )


class _Chunk:
    """Bits and label masks of some images, and the pairs of an image and a concept in them."""

    def __init__(self, probe: Probe, images: NDArray[Any], pairs: NDArray[Any], device: torch.device) -> None:
        self.bits = probe.bits_of(images).flatten(2).to(device)
        self.masks = probe.masks_of(pairs).to(device)
        where = {int(image): at for at, image in enumerate(images)}
        self.image = np.array([where[int(image)] for image in probe.pairs[pairs, 0]], dtype=np.int64)
        self.concept = probe.pairs[pairs, 1].numpy()

    def combined(self, weights: Tensor, chosen: NDArray[Any]) -> Tensor:
        """Return sum_k w_k 1[A_k > T_k] of some pairs, (P', V, h w), for weights (V, C, K)."""
        made = torch.empty(len(chosen), len(weights), self.bits.shape[2], device=weights.device)
        for image, at in self.by_image(chosen):
            rows = weights[:, self.concept[chosen[at]]].movedim(0, 1)
            made[at] = rows @ self.bits[image].float()
        return made

    def by_image(self, chosen: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield each image of some pairs, and the positions of its pairs among them."""
        for image in np.unique(self.image[chosen]):
            yield int(image), np.nonzero(self.image[chosen] == image)[0]


class _Trainer:
    """Stochastic gradient descent of the weights of all concepts, (V, C, K), in one pass per epoch."""

    def __init__(self, probe: Probe, used: Tensor, trained: Tensor, alpha: Tensor, settings: Descent) -> None:
        device = best_device()
        self.probe, self.settings, self.device = probe, settings, device
        self.used, self.alpha = used.to(device), alpha.to(device)
        self.weights = torch.zeros(used.shape, device=device)
        self.velocity, self.gradient = torch.zeros_like(self.weights), torch.zeros_like(self.weights)
        self.interpolation = Interpolation.of(probe, device)
        self.pairs = np.nonzero(trained.numpy()[probe.pairs[:, 1]])[0]

    def epoch(self, number: int) -> None:
        """Take one step per batch of each concept."""
        generator = np.random.default_rng([self.settings.seed % 2**63, number])
        images = np.unique(self.probe.pairs[self.pairs, 0].numpy())
        generator.shuffle(images)
        rank = np.empty(self.probe.count, np.int64)
        rank[images] = np.arange(len(images))
        order = np.argsort(rank[self.probe.pairs[self.pairs, 0].numpy()], kind="stable")
        pairs = self.pairs[order]
        batch, size = _batches(self.probe.pairs[pairs, 1].numpy(), self.settings.batch_size)
        current = np.zeros(len(self.probe.concepts), np.int64)
        collected = np.zeros(len(self.probe.concepts), np.int64)
        positions = rank[self.probe.pairs[pairs, 0].numpy()]
        for begin in range(0, len(images), IMAGES):
            first, last = np.searchsorted(positions, [begin, begin + IMAGES])
            here = slice(int(first), int(last))
            chunk = _Chunk(self.probe, images[begin : begin + IMAGES], pairs[here], self.device)
            left = np.arange(last - first)
            while len(left):
                ready = batch[here][left] == current[chunk.concept[left]]
                chosen, left = left[ready], left[~ready]
                self._collect(chunk, chosen, size[here][chosen])
                np.add.at(collected, chunk.concept[chosen], 1)
                full = np.unique(
                    chunk.concept[chosen][collected[chunk.concept[chosen]] == size[here][chosen]]
                )
                self._step(full)
                current[full] += 1
                collected[full] = 0

    def _collect(self, chunk: _Chunk, chosen: NDArray[Any], size: NDArray[Any]) -> None:
        """Add the gradients of some pairs, divided by the number of images in their batch."""
        grid, selections = self.probe.grid, len(self.weights)
        logits = chunk.combined(self.weights, chosen)
        weight = 1 / torch.from_numpy(size).to(logits)
        alpha = self.alpha[torch.from_numpy(chunk.concept[chosen]).to(self.device)]
        slopes = torch.empty_like(logits)
        step = max(1, PIXELS // (selections * self.probe.label_size[0] * self.probe.label_size[1]))
        for begin in range(0, len(chosen), step):
            part = slice(begin, begin + step)
            prediction = self.interpolation(logits[part].unflatten(2, grid)).sigmoid_()
            label = chunk.masks[chosen[part]][:, None].float()
            background = (1 - alpha[part])[:, None, None, None]
            balance = label * (1 - 2 * background) + background
            slope = prediction - label
            if self.settings.loss == "printed":
                slope = slope.sign_() * prediction * (1 - prediction)
            slopes[part] = (
                self.interpolation.adjoint(slope.mul_(balance)).flatten(2) * weight[part, None, None]
            )
        for image, at in chunk.by_image(chosen):
            # An image has at most one pair per concept.
            added = slopes[at] @ chunk.bits[image].float().T
            self.gradient[:, chunk.concept[chosen[at]]] += added.movedim(1, 0)

    def _step(self, concepts: NDArray[Any]) -> None:
        """Take a step for some concepts with the collected gradients."""
        if not len(concepts):
            return
        gradient = self.gradient[:, concepts] * self.used[:, concepts]
        self.velocity[:, concepts] = self.settings.momentum * self.velocity[:, concepts] + gradient
        self.weights[:, concepts] -= self.settings.learning_rate * self.velocity[:, concepts]
        self.gradient[:, concepts] = 0


def _batches(concepts: NDArray[Any], batch_size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of the batch of each pair, within its concept, and the number of pairs of that batch."""
    order = np.argsort(concepts, kind="stable")
    ordered = concepts[order]
    begins = np.searchsorted(ordered, ordered)
    rank = np.empty(len(concepts), np.int64)
    rank[order] = np.arange(len(concepts)) - begins
    total = np.bincount(concepts, minlength=1)[concepts]
    batch = rank // batch_size
    return batch, np.minimum(batch_size, total - batch * batch_size)


def evaluate(probe: Probe, weights: Tensor, trained: Tensor) -> tuple[Tensor, Tensor]:
    """Return the set IoU, (V, C), and the IoU of each pair, (V, P), of combinations with weights (V, C, K)."""
    interpolation = Interpolation.of(probe, weights.device)
    shared, union = (torch.zeros(len(weights), len(probe.pairs)) for _ in range(2))
    ranges = probe.pair_ranges()
    for begin in range(0, probe.count, IMAGES):
        end = min(begin + IMAGES, probe.count)
        pairs = np.arange(ranges[begin], ranges[end])
        if not len(pairs):
            continue
        chunk = _Chunk(probe, np.arange(begin, end), pairs, weights.device)
        combined = chunk.combined(weights, np.arange(len(pairs))).unflatten(2, probe.grid)
        step = max(1, PIXELS // (len(weights) * probe.label_size[0] * probe.label_size[1]))
        for first in range(0, len(pairs), step):
            part = slice(first, first + step)
            found = (interpolation(combined[part]) > 0).float().flatten(2)
            both = torch.bmm(found, chunk.masks[part].flatten(1).float()[..., None])[..., 0].T.cpu()
            shared[:, pairs[part]] = both
            union[:, pairs[part]] = found.sum(2).T.cpu() + probe.pixels[pairs[part]] - both
    shape = (len(weights), len(probe.concepts))
    sums = (
        torch.zeros(shape, dtype=torch.float64).index_add_(1, probe.pairs[:, 1], each.double())
        for each in (shared, union)
    )
    over, under = sums
    ious = torch.where(trained[probe.pairs[:, 1]], shared / union, torch.nan)
    return torch.where(trained, over / under, torch.nan).float(), ious
