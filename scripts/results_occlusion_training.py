"""Networks, conditions and measures of results_occlusion.py.

Fong 2020, appendix C.1, section 4.1, at a seventh of the size: images have 32 pixels instead of 224, cropped at random
from 36 instead of 256; S = 8 and 12 here are 56 and 84 there. The learning rate is 0.1 for 256 images, in proportion
for smaller batches, and falls to a tenth after 30, 60 and 90 % of the training; a joint batch has twice the images of
a single one, and as many steps are taken.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from xai_widgets.core.model import ImageModel
from xai_widgets.data import scenes
from xai_widgets.learned import (
    BatchAugmentation,
    Cutout,
    HideAndSeek,
    JointCollate,
    hide_and_seek_masks,
    occlude,
    saliency_patch_masks,
)
from xai_widgets.learned.occlusion_transforms import Occlusion
from xai_widgets.methods import METHODS
from xai_widgets.methods.gradients import spatial_gradient
from xai_widgets.ops.resize import resize_map
from xai_widgets.zoo.networks import MEAN, STD
from xai_widgets.zoo.train import normalized

#: Sides of the scenes and of the images cropped from them.
SIDE, CROP = 36, 32
#: Images (N, C, H, W) and their labels (N,).
Batch = tuple[Tensor, Tensor]
#: The layer of 8 x 8 positions whose saliency guides occlusions and is measured.
LAYER = "relu3"
#: Seed of the held-out scenes; trainings have smaller ones.
HELD_OUT = 10_000
#: The twin of the cue class is left out: they differ by a ring that is too small at this size.
LABELS = tuple(k for k in range(len(scenes.CLASSES)) if k != scenes.CUE_CLASS)


@dataclass(frozen=True)
class Recipe:
    """Settings that all trainings share."""

    scenes: int = 704
    epochs: int = 30
    batch: int = 32
    learning_rate: float = 0.0125
    momentum: float = 0.9
    weight_decay: float = 1e-4
    tested: int = 1650
    """Number of scenes of each test; the first ``mapped`` of them are explained."""
    mapped: int = 330


def network(width: int, *, dropout: float = 0.0) -> nn.Sequential:
    """Build four convolutions with batch-norm and ReLU, of ``width`` to ``4 width`` channels, and a linear layer.

    Plain, since trainings of residual networks with as many channels that differ by rounding only end further apart.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    # Channels before and after, kernel size, stride.
    shapes = (
        (3, width, 5, 2),
        (width, 2 * width, 3, 2),
        (2 * width, 4 * width, 3, 1),
        (4 * width, 4 * width, 3, 1),
    )
    for n, (before, after, kernel, stride) in enumerate(shapes, 1):
        layers[f"conv{n}"] = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
        layers[f"norm{n}"], layers[f"relu{n}"] = nn.BatchNorm2d(after), nn.ReLU()
    layers["pool"], layers["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    if dropout:
        layers["dropout"] = nn.Dropout(dropout)
    layers["head"] = nn.Linear(4 * width, len(scenes.CLASSES))
    return nn.Sequential(layers)


NETWORKS: dict[str, Callable[[], nn.Sequential]] = {
    "narrow": lambda: network(8),
    "wide": lambda: network(16),
    "wide, dropout": lambda: network(16, dropout=0.5),
}


@lru_cache(maxsize=3)
def made(split: str, count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return scenes (N, 3, side, side) in [0, 1], their labels (N,), and the pixels of the object (N, side, side)."""
    each = [
        scenes.scene(n, label=LABELS[n % len(LABELS)], size=SIDE, split=split, seed=seed, cue=False)
        for n in range(count)
    ]
    images = torch.from_numpy(np.stack([one.image for one in each])).permute(0, 3, 1, 2).float() / 255
    return images, torch.tensor([one.label for one in each]), torch.from_numpy(
        np.stack([one.instance == 0 for one in each])
    )  # fmt: skip


def central(x: Tensor) -> Tensor:
    """Crop the center."""
    edge = (SIDE - CROP) // 2
    return x[..., edge : edge + CROP, edge : edge + CROP]


@dataclass(frozen=True)
class Condition:
    """Batches of a training.

    Attributes
    ----------
    title : str
        Name in tables.
    kind : {"single", "joint", "batch"}
        Each image once; (X, X M); or two copies that are preprocessed independently.
    occlusion : callable, optional
        A transform.
    guided : bool
        Whether the most salient patch of the network in training is occluded in the copies.
    """

    title: str
    kind: str
    occlusion: Occlusion | None = None
    guided: bool = False

    def collate(self) -> Callable[[Batch], Batch]:
        """Return the function that preprocesses a batch of scenes of ``SIDE`` pixels, and adds the copies."""
        if self.kind == "joint":
            return JointCollate(self.occlusion, collate=preprocessed)

        def transform(x: Tensor, y: Tensor) -> Batch:
            x, y = preprocessed((x, y))
            return (x if self.occlusion is None else self.occlusion(x)), y

        copies = BatchAugmentation(transform, copies=2 if self.kind == "batch" else 1, collate=joined)
        return lambda batch: copies([batch])


def preprocessed(batch: Batch) -> Batch:
    """Crop and flip images (N, C, SIDE, SIDE), each at random."""
    x, y = batch
    top, left = torch.randint(SIDE - CROP + 1, (2, len(x), 1, 1))
    rows, columns = top + torch.arange(CROP)[:, None], left + torch.arange(CROP)
    x = x.permute(0, 2, 3, 1)[torch.arange(len(x))[:, None, None], rows, columns].permute(0, 3, 1, 2)
    flipped = torch.rand(len(x), 1, 1, 1) < 0.5
    return torch.where(flipped, x.flip(3), x), y


def joined(batches: list[Batch]) -> Batch:
    """Join batches to one."""
    x, y = zip(*batches, strict=True)
    return torch.cat(x), torch.cat(y)


def in_half(occlusion: Occlusion) -> Occlusion:
    """Return an occlusion of a random half of the images."""
    return lambda x: torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x, occlusion(x))


def _hidden(keep_patch: float, keep_image: float = 0.0) -> HideAndSeek:
    return HideAndSeek(keep_patch=keep_patch, keep_image=keep_image, fill=MEAN)


#: Published settings of Cutout with batch augmentation and of the best of table 2, at a quarter of the size.
SIX = Cutout(patches=6, side=8, fill=MEAN)
BEST = Cutout(patches=6, side=12, fill=MEAN)
KEPT_PATCHES = (0.5, 0.7, 0.9)
KEPT_IMAGES = (0.0, 0.25, 0.5, 0.75)

CONDITIONS: dict[str, Condition] = {
    "baseline": Condition("baseline", "single"),
    "joint": Condition("duplicated baseline (X, X)", "joint"),
    **{
        f"joint_hs_{p}": Condition(f"joint, Hide-and-Seek, keep_patch {p}", "joint", _hidden(p))
        for p in KEPT_PATCHES
    },
    "joint_cutout_8": Condition("joint, Cutout, 6 of 8 pixels", "joint", SIX),
    "joint_cutout_12": Condition("joint, Cutout, 6 of 12 pixels", "joint", BEST),
    "joint_saliency": Condition("joint, most salient patch of 8 pixels", "joint", guided=True),
    **{
        f"single_hs_{p}": Condition(
            f"not joint, Hide-and-Seek, keep_patch 0.5, keep_image {p}", "single", _hidden(0.5, p)
        )
        for p in KEPT_IMAGES
    },
    "batch": Condition("batch augmentation, not occluded", "batch"),
    "batch_cutout_0.0": Condition("batch augmentation, Cutout, 6 of 8 pixels, in all copies", "batch", SIX),
    "batch_cutout_0.5": Condition(
        "batch augmentation, Cutout, 6 of 8 pixels, in half of them", "batch", in_half(SIX)
    ),
}

BY_PATCHES = ("baseline", "joint", *(f"joint_hs_{p}" for p in KEPT_PATCHES))

#: The conditions of each network.
PLAN: dict[str, tuple[str, ...]] = {
    "narrow": BY_PATCHES,
    "wide": tuple(CONDITIONS),
    "wide, dropout": ("baseline", "joint"),
}


def image_model(net: nn.Module) -> ImageModel:
    """Return a network as an image model."""
    return ImageModel(net, labels=scenes.CLASSES, mean=MEAN, std=STD, size=CROP, device="cpu")


def fit(net: nn.Module, condition: Condition, recipe: Recipe, seed: int) -> float:
    """Train a network in place on the scenes of a seed; return the mean loss of the last epoch."""
    images, labels, _ = made("train", recipe.scenes, seed)
    order = RandomSampler(images, generator=torch.Generator().manual_seed(seed))
    batches = BatchSampler(order, recipe.batch, drop_last=True)
    # Whole batches: transforms of single images would take longer than the networks.
    loader = DataLoader(
        TensorDataset(images, labels), batch_size=None, sampler=batches, collate_fn=condition.collate()
    )
    net.to(memory_format=torch.channels_last).train()
    model = image_model(net)
    optimizer = torch.optim.SGD(
        net.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay
    )
    steps = recipe.epochs * len(loader)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [round(steps * k / 10) for k in (3, 6, 9)])
    for _ in range(recipe.epochs):
        losses = []
        for x, y in loader:
            if condition.guided:
                half = len(x) // 2
                masks = saliency_patch_masks(
                    model, x[:half], y[:half], layer=LAYER, side=8, stride=2, jitter=2
                )
                x = torch.cat([x[:half], occlude(x[half:], masks, fill=MEAN)])
            with torch.autocast("cpu", torch.bfloat16):
                scores = net(normalized(x).contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(scores.float(), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    net.eval()
    return float(np.mean(losses))


def trained(name: str, condition: str, recipe: Recipe, seed: int) -> tuple[nn.Module, dict[str, float]]:
    """Train a network from a seed; return it in eval mode, with its loss and seconds."""
    began = time.monotonic()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = NETWORKS[name]()
        loss = fit(net, CONDITIONS[condition], recipe, seed)
    return net, {"loss": loss, "seconds": time.monotonic() - began}


def measured(net: nn.Module, recipe: Recipe, seed: int) -> dict[str, Any]:
    """Return accuracies in percent, and how maps cover the object.

    ``top1``: on held-out scenes like those of the training. ``occluded``: on the same scenes with half of the cells of
    a 4 x 4 grid hidden. ``shifted``: on scenes of the test split, which have other photographs as backgrounds.
    """
    x, y, objects = held_out(recipe)
    masks = hide_and_seek_masks(len(x), (CROP, CROP), generator=torch.Generator().manual_seed(0))
    own, shifted = made("train", recipe.scenes, seed), made("test", recipe.tested, 0)
    few = slice(recipe.mapped)
    return {
        "top1": accuracy(net, x, y),
        "occluded": accuracy(net, occlude(x, masks, fill=MEAN), y),
        "shifted": accuracy(net, central(shifted[0]), shifted[1]),
        "train": accuracy(net, central(own[0]), own[1]),
        "maps": {name: coverage(each, objects[few]) for name, each in maps(net, x[few], y[few]).items()},
    }


def held_out(recipe: Recipe) -> tuple[Tensor, Tensor, Tensor]:
    """Return held-out scenes, their labels, and the pixels of the object, with the center cropped."""
    images, labels, objects = made("train", recipe.tested, HELD_OUT)
    return central(images), labels, central(objects)


@torch.inference_mode()
def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the accuracy in percent."""
    chosen = torch.cat([net(normalized(each)).argmax(1) for each in x.split(200)])
    return 100 * (chosen == y).float().mean().item()


def maps(net: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Return maps (N, CROP, CROP) of the classes ``y``: saliency of equation 1 at ``LAYER``, and Grad-CAM."""
    model = image_model(net)
    activation, gradient = spatial_gradient(model, x, y, LAYER)
    found = {
        "saliency": activation.norm(dim=1) * gradient.norm(dim=1),
        "grad_cam": METHODS["grad_cam"].saliency(model, x, y),
    }
    return {name: resize_map(each.float(), (CROP, CROP)) for name, each in found.items()}


def coverage(found: Tensor, objects: Tensor) -> dict[str, float]:
    """Return how maps (N, H, W) cover objects (N, H, W) bool, in percent, as means over the images.

    ``on``, ``off``: pixels of the object, and of the rest, with at least half of the largest value. ``top``: pixels of
    the object among as many highest values as it has pixels. Maps without a positive value cover nothing.
    """
    peak = found.flatten(1).amax(1)[:, None, None]
    high = (found >= peak / 2) & (peak > 0)
    on, off, top = [], [], []
    for each, inside, values in zip(high, objects, found, strict=True):
        on.append(each[inside].float().mean())
        off.append(each[~inside].float().mean())
        best = values.flatten().topk(int(inside.sum())).indices
        top.append(inside.flatten()[best].float().mean() if values.max() > 0 else torch.tensor(0.0))
    return {
        name: 100 * torch.stack(values).mean().item()
        for name, values in (("on", on), ("off", off), ("top", top))
    }
