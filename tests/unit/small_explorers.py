"""Each explorer of a small network, quick to compute, for tests over all of them."""

import numpy as np
import torch
from torch import nn

import xai_widgets as xw
from xai_widgets.concepts import Descent
from xai_widgets.data import scene_concepts
from xai_widgets.perturbation.noise_mask import NoiseMaskSettings


class Network(nn.Module):
    """Small, with a way to make it fail, return NaN, or run out of memory at a pass."""

    def __init__(self, channels=3):
        super().__init__()
        self.convolution = nn.Conv2d(channels, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.classes = nn.Linear(64, 6)

    def forward(self, x):
        return self.classes(self.pool(self.relu(self.convolution(x))).flatten(1))


def call_before_passes(monkeypatch, call):
    """Call a function before every pass of a network of this module."""
    forward = Network.forward

    def called(self, x):
        call()
        return forward(self, x)

    monkeypatch.setattr(Network, "forward", called)


def residual():
    parts = nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 1, 3, padding=1)
    return nn.Sequential(*parts).eval()


def classifier(network=None):
    torch.manual_seed(0)
    return xw.ImageModel((network or Network()).eval(), size=16, labels=list("abcdef"))


def photos(count):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return list(pixels)


def concept_splits():
    """A few small scenes to learn concepts from, and some to measure them on."""
    return [scene_concepts(24, split, size=32) for split in ("train", "test")]


def concept_explorer(model, **options):
    """A concept explorer of a concept that is in enough of the scenes to be learned."""
    given = {
        "layer": "relu",
        "concept": "striped",
        "images": 24,
        "settings": Descent(epochs=2),
        "counts": (1, 2),
    }
    return xw.ConceptExplorer(model, *concept_splits(), **{**given, "patches": 2, **options})


METHODS = ["gradient", "guided_backprop"]
NOISE_MASK = NoiseMaskSettings(max_steps=20, learning_rate=0.1)

#: Each explorer, made of a model and quick to compute.
EXPLORERS = {
    "attribution": lambda model: xw.AttributionExplorer(model, photos(2), METHODS),
    "deletion": lambda model: xw.DeletionExplorer(model, photos(1)[0], METHODS, steps=8),
    "race": lambda model: xw.MaskComparison(model, photos(1)[0], METHODS, areas=(0.2, 0.5)),
    "sanity": lambda model: xw.SanityExplorer(model, photos(1)[0], METHODS),
    "leaderboard": lambda model: xw.LeaderboardExplorer(
        model, photos(3), METHODS, ["png_size", "image_ssim"]
    ),
    "extremal": lambda model: xw.ExtremalExplorer(model, photos(1)[0], areas=(0.2, 0.5)),
    "channel": lambda model: xw.ChannelExplorer(model, photos(1)[0]),
    "class": lambda model: xw.ClassExplorer(model, photos(2), count=3, design=4, scored=2),
    "concept": concept_explorer,
    "feature": lambda model: xw.FeatureExplorer(model, "relu", 1, images=photos(3), steps=4, wall_steps=3),
    "inverse": lambda model: xw.InverseExplorer(model, photos(1)[0], lam=(0.0, 0.5), methods=METHODS),
    "noise_mask": lambda model: xw.NoiseMaskExplorer(
        model, photos(1)[0], layers=["relu", "scores"], betas=(0.5, 1), settings=NOISE_MASK
    ),
    "prediction_concepts": lambda model: xw.PredictionConceptsExplorer(
        model, photos(1)[0], {"first": photos(10), "second": photos(20)[10:]}
    ),
    "brush": lambda model: xw.PerturbationBrush(model, photos(1)[0], start="gradient"),
    "similarity": lambda model: xw.SimilarityExplorer(model, photos(2), components=2, corpus=photos(2)),
    "dashboard": lambda model: xw.dashboard(
        model,
        photos(2),
        options={
            "attribution": {"methods": METHODS},
            "deletion": {"steps": 8},
            "features": {"steps": 4, "wall_steps": 3},
        },
    ),
}
COMPUTING = [name for name in EXPLORERS if name not in ("brush", "dashboard")]
