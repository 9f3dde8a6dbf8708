"""Recovery of the label of an adversarial image by a meaningful mask, and detection of such images by their maps.

Fong 2020, chapter 3, section 5.5 and figure 10. A mask that deletes the class of the adversarial image also deletes the
perturbation that it rests on:

    m* = deletion mask of the adversarial class on x_a,      recovered if  argmax f(m* (x) x_a) = argmax f(x)

The source finds the label of the clean image for 40.64 % of 5000 images, and among the five best classes always. It
detects 93.6 % of the images by a classifier of their masks: an AlexNet, with 4000 images for training and 1000 for
validation. Here the classifier is a network of two convolutions, in cross-validation that keeps the two maps of an
image in one fold; chance is 1/2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xai_widgets.core.arguments import check_batch_size
from xai_widgets.core.guard import guarded, outside_inference
from xai_widgets.core.model import ImageModel, check_model
from xai_widgets.core.run import Run, without_inference_mode
from xai_widgets.core.short_repr import ShortRepr
from xai_widgets.core.validation import check_finite, instance, integer, tensor
from xai_widgets.core.validation import seed as check_seed
from xai_widgets.errors import checked_keywords
from xai_widgets.learned.probed import Probed
from xai_widgets.ops.normalize import unit_range
from xai_widgets.ops.perturb import perturb, pyramid
from xai_widgets.ops.resize import resize_map
from xai_widgets.perturbation.meaningful import MeaningfulSettings, meaningful_perturbation

#: Side of the masks of the source.
SIDE = 28
#: Steps of the masks between two snapshots.
EVERY = 25


@dataclass(frozen=True, repr=False)
class Recovery(ShortRepr):
    """Labels of adversarial images under their masks.

    Attributes
    ----------
    probed : Probed
        The adversarial images.
    masks : Tensor, (N, H, W)
        The masks; 1 keeps a pixel, 0 blurs it.
    images : Tensor, (N, C, H, W)
        The masked images.
    labels : Tensor, (N,)
        Their predicted classes.
    ranks : Tensor, (N,)
        Rank of the class of the clean image among all classes; 1 is the best.
    turned, blurred : Tensor, (N,)
        The same rank under the mask turned by 180 degrees, which has the same area elsewhere, and for the image that is
        blurred everywhere: the baselines.
    """

    probed: Probed
    masks: Tensor = field(repr=False)
    images: Tensor = field(repr=False)
    labels: Tensor
    ranks: Tensor
    turned: Tensor
    blurred: Tensor

    @property
    def recovered(self) -> Tensor:
        """Whether the class of the clean image is the predicted one again, (N,)."""
        return self.ranks == 1

    def share(self, ranks: Tensor | None = None, *, best: int = 1) -> float:
        """Return the share of the images whose class had changed that have the clean class among the ``best``.

        ``ranks`` are those of a baseline; default: those under the masks. NaN if the class of none had changed.
        """
        changed = self.probed.new != self.probed.old
        return ((self.ranks if ranks is None else ranks)[changed] <= best).float().mean().item()


@without_inference_mode
def recover_labels(
    model: ImageModel,
    probed: Probed,
    *,
    settings: MeaningfulSettings | None = None,
    seed: int = 0,
    batch_size: int = 32,
) -> Run[Recovery]:
    """Learn the deletion mask of each adversarial class, and predict the masked adversarial image again.

    Parameters
    ----------
    model : ImageModel
        The network.
    probed : Probed
        Adversarial images.
    settings : MeaningfulSettings, optional
        Default: ``MeaningfulSettings()``.
    seed : int, default 0
        Seed of the jitter.
    batch_size : int, default 32
        Images per pass.

    Returns
    -------
    Run of Recovery
        One snapshot for each 25 steps of the masks.
    """
    check_model(model)
    probed, batch_size = instance(probed, "probed", Probed), check_batch_size(batch_size)
    settings = (
        MeaningfulSettings() if settings is None else instance(settings, "settings", MeaningfulSettings)
    )
    search = meaningful_perturbation(
        model, probed.image, probed.new, settings=settings, seed=seed, batch_size=batch_size
    )
    sigma = settings.sigma * min(probed.image.shape[2:]) / 224
    levels = pyramid(probed.image, sigma=sigma)

    def ranks_of(masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        images = perturb(levels, masks[:, None])[:, 0]
        scores = torch.cat([check_finite(model(part), model.name) for part in images.split(batch_size)])
        clean = scores.gather(1, probed.old[:, None])
        return images, scores.argmax(1), 1 + (scores > clean).sum(1)

    def recover() -> Iterator[Recovery]:
        blurred = ranks_of(torch.zeros_like(probed.image[:, 0]))[2]
        for found in search:
            if found.step % EVERY and found.step != settings.steps:
                continue
            images, labels, ranks = ranks_of(found.masks)
            turned = ranks_of(found.masks.flip(1, 2))[2]
            yield Recovery(probed, found.masks, images, labels, ranks, turned, blurred)

    total = 1 + math.ceil(settings.steps / EVERY)
    return Run(recover(), total=total, name="recovery of labels", fraction=lambda: search.progress)


@dataclass(frozen=True, repr=False)
class Detection(ShortRepr):
    """Accuracy of the detection of adversarial images by their maps.

    Attributes
    ----------
    folds : tuple of float
        Accuracy on the images of each fold, by a classifier that was fitted on the others.
    """

    folds: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        """Mean over the folds; chance is 1/2."""
        return sum(self.folds) / len(self.folds)


@checked_keywords
@guarded
def detect_probed(
    clean: Tensor, adversarial: Tensor, *, folds: int = 5, epochs: int = 60, seed: int = 0
) -> Detection:
    """Fit a small classifier that distinguishes the maps of adversarial images from those of clean ones.

    Parameters
    ----------
    clean, adversarial : Tensor, (N, h, w)
        Maps of the same images before and after a probe, at least two for each fold. They are scaled to [0, 1] and
        resized to 28 x 28.
    folds : int, default 5
        Number of folds, at least 2.
    epochs : int, default 60
        Passes over the maps in each fit.
    seed : int, default 0
        Seed of the folds and of the weights.
    """
    pairs = [tensor(maps, name, ("N", "h", "w"), finite=True).detach().float().cpu()
             for maps, name in ((clean, "clean"), (adversarial, "adversarial"))]  # fmt: skip
    if pairs[0].shape != pairs[1].shape:
        raise ValueError(
            f"expected adversarial maps of the shape of the clean ones, {tuple(pairs[0].shape)}, got "
            f"{tuple(pairs[1].shape)}"
        )
    folds, epochs, seed = integer(folds, "folds", low=2), integer(epochs, "epochs", low=1), check_seed(seed)
    if len(pairs[0]) < 2 * folds:
        raise ValueError(f"expected at least {2 * folds} images for {folds} folds, got {len(pairs[0])}")
    maps = torch.stack([resize_map(unit_range(each), (SIDE, SIDE)) for each in pairs], 1)
    order = torch.randperm(len(maps), generator=torch.Generator().manual_seed(seed))
    parts = order.tensor_split(folds)
    shares = []
    for part in parts:
        others = torch.cat([each for each in parts if each is not part])
        with outside_inference(), torch.enable_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            classifier = _fit(maps[others], epochs)
        with torch.no_grad():
            right = classifier(maps[part].flatten(0, 1)).argmax(1).view(-1, 2) == torch.tensor([0, 1])
        shares.append(right.float().mean().item())
    return Detection(tuple(shares))


def _fit(maps: Tensor, epochs: int) -> nn.Module:
    """Return a classifier of maps (N, 2, h, w), clean and adversarial."""
    convolution = partial(nn.Conv2d, kernel_size=3, padding=1)
    network = nn.Sequential(
        nn.Unflatten(1, (1, SIDE)), convolution(1, 16), nn.ReLU(), nn.MaxPool2d(2),
        convolution(16, 32), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(288, 2),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3, weight_decay=1e-4)
    for _ in range(epochs):
        for rows in torch.randperm(len(maps)).split(32):
            loss = F.cross_entropy(network(maps[rows].flatten(0, 1)), torch.tensor([0, 1]).repeat(len(rows)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network
