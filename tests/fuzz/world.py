"""What the expressions of the fuzzer mean: tiny networks, images and results, and hostile objects."""

from __future__ import annotations

import warnings
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

import xai_widgets as xw
from xai_widgets import (
    attribution,
    data,
    explorers,
    features,
    inverse,
    methods,
    metrics,
    perturbation,
    similarity,
    views,
)
from xai_widgets.core import images
from xai_widgets.data import low_resolution, scenes
from xai_widgets.ops import blur, color

SIZE = 16
CLASSES = 4


class Tiny(nn.Module):
    """Two convolutions and a mean; ``classes`` scores."""

    def __init__(self, classes: int = CLASSES, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 6, 3, padding=1)
        self.fc = nn.Linear(6, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return self.fc(F.relu(self.conv2(x)).mean((2, 3)))


class Silent:
    """An object that cannot be printed."""

    def __repr__(self) -> str:
        raise RuntimeError("this object has no repr")

    __str__ = __repr__


class Hostile:
    """An object that raises whatever it is asked."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name} for you")

    __array__ = __iter__ = __len__ = __float__ = __int__ = __index__ = __bool__ = property(
        lambda self: (_ for _ in ()).throw(RuntimeError("no"))
    )
    __repr__ = __str__ = Silent.__repr__


@cache
def network(kind: str = "tiny") -> xw.ImageModel:
    """A model of a kind: "tiny", "gray", "one logit", "numbers", "half", "double" or "broken"."""
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        net = Tiny(1 if kind == "one logit" else CLASSES, 1 if kind == "gray" else 3).eval()
        if kind == "broken":
            net.fc.weight.data.fill_(float("nan"))
        net = net.to({"half": torch.bfloat16, "double": torch.float64}.get(kind, torch.float32))
        gray = {"mean": [0.5], "std": [0.25]} if kind == "gray" else {}
        activation = None if kind == "numbers" else "auto"
        return xw.ImageModel(net, size=SIZE, device="cpu", activation=activation, **gray)


@cache
def pictures(n: int = 1, channels: int = 3) -> torch.Tensor:
    """Images (N, C, H, W)."""
    return torch.rand(n, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def examples() -> dict[str, torch.Tensor]:
    """Images of two concepts."""
    generator = torch.Generator().manual_seed(2)
    return {name: torch.rand(12, 3, SIZE, SIZE, generator=generator) for name in ("a", "b")}


@cache
def grids() -> tuple[similarity.ActivationGrid, ...]:
    """Activations of one layer on two images."""
    return similarity.activation_grids(network(), pictures(2), "conv2").result(progress=False)


@cache
def positive() -> tuple[similarity.ActivationGrid, ...]:
    """The same, none below 0."""
    return tuple(
        similarity.ActivationGrid(grid.network, grid.layer, grid.image, grid.raw.clamp(min=0))
        for grid in grids()
    )


@cache
def result(name: str) -> Any:
    """A result of another function, to be asked for more."""
    model, x = network(), pictures()
    runs = {
        "rise": lambda: perturbation.rise(model, x, 0, masks=8),
        "channels": lambda: perturbation.channel_extremal(
            model, x, 0, layer="conv2", channels=[2, 4], settings=perturbation.ExtremalSettings(steps=1)
        ),
        "top": lambda: features.top_activations(model, x, layer="conv2", side=4),
        "index": lambda: similarity.similarity_index(model, x, "conv2", side=4),
        "components": lambda: similarity.factorize(positive(), 2),
    }
    return runs[name]().result(progress=False)


SERIES = cache(lambda: similarity.rotations(pictures(), [0.0, 90.0]))
PACKED = cache(lambda: similarity.pack(grids())[0])
TASK = cache(lambda: metrics.PointingTask.from_masks([{0: torch.ones(SIZE, SIZE)}]))
PATTERNS = cache(lambda: attribution.estimate_patterns(network(), pictures(2)).result(progress=False))

#: Names of the expressions.
NAMES: dict[str, Any] = {
    "A": attribution,
    "blur": blur,
    "methods": methods,
    "C": color,
    "D": data,
    "E": explorers,
    "F": features,
    "I": inverse,
    "L": low_resolution,
    "M": metrics,
    "P": perturbation,
    "S": similarity,
    "V": views,
    "images": images,
    "scenes": scenes,
    "xw": xw,
    "np": np,
    "nn": nn,
    "torch": torch,
    "Path": Path,
    "Image": Image,
    "Fraction": Fraction,
    "Silent": Silent,
    "Hostile": Hostile,
    "Tiny": Tiny,
    "network": network,
    "pictures": pictures,
    "examples": examples,
    "grids": grids,
    "positive": positive,
    "result": result,
    "SERIES": SERIES,
    "PACKED": PACKED,
    "TASK": TASK,
    "PATTERNS": PATTERNS,
    "inf": float("inf"),
    "nan": float("nan"),
}
