"""A network with channels that are exactly known concepts, and small concept data sets."""

import numpy as np
import torch
from torch import nn

from xai_widgets.core.model import ImageModel
from xai_widgets.data.base import Concept, ConceptImages, Example

SIZE, STRIDE = 16, 4


class Squares(ConceptImages):
    """Images of one red square on gray noise; concepts: the square, the left half, and one that is never there."""

    concepts = (Concept("square", "mark"), Concept("left", "part"), Concept("nothing", "texture"))

    def __init__(self, count, seed=0):
        self.count, self.seed = count, seed

    def __len__(self):
        return self.count

    def _read(self, index):
        rng = np.random.default_rng([self.seed, index])
        image = np.repeat(rng.integers(60, 120, (SIZE, SIZE, 1), np.uint8), 3, axis=2)
        square, left = np.zeros((SIZE, SIZE), bool), np.zeros((SIZE, SIZE), bool)
        row, column = STRIDE * rng.integers(0, SIZE // STRIDE, 2)
        if index % 3:
            square[row : row + STRIDE, column : column + STRIDE] = True
            image[square] = (255, 0, 0)
        left[:, : SIZE // 2] = True
        masks = {1: left} | ({0: square} if square.any() else {})
        return Example(image, f"square {index}", masks)


class Planted(nn.Module):
    """Channel 0 is red minus green, averaged over cells of 4 x 4 pixels; the others are positive on gray only."""

    def __init__(self, channels=6):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, STRIDE, STRIDE, bias=False)
        self.relu = nn.ReLU()
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2))
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            weight = torch.rand(channels, 1, STRIDE, STRIDE, generator=generator) / 16
            self.conv.weight.copy_(weight * torch.tensor([-1.0, 1.0, 1.0])[:, None, None])
            self.conv.weight[0] = torch.tensor([1.0, -1.0, 0.0])[:, None, None] / 16

    def forward(self, x):
        return self.pool(self.relu(self.conv(x)))


def planted(channels=6):
    return ImageModel(Planted(channels), size=SIZE, device="cpu", labels=["plain", "marked"])


def activations(model, data, layer="relu"):
    x = model.images([example.image for example in data])
    return model.spatial(layer, model.activations(x, layer)[layer])
