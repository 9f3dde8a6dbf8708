"""Tiny networks, one for every way in which people write them; 8-pixel images, 4 classes."""

import inspect
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from xai_widgets import perturbation
from xai_widgets.core.model import ImageModel

SIZE = 8
CLASSES = 4
LABELS = ["tench", "goldfish", "great white shark", "hammerhead"]


class Functional(nn.Module):
    """ReLU and max-pooling as functions: no module to hook."""

    def __init__(self, channels=3):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.fc = nn.Linear(8 * 4 * 4, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return self.fc(torch.relu(self.conv2(x)).flatten(1))


class Block(nn.Module):
    def __init__(self, width, relu):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.relu = relu

    def forward(self, x):
        y = self.conv2(self.relu(self.bn1(self.conv1(x))))
        y += x
        return self.relu(y)


class SharedInPlace(nn.Module):
    """One in-place ReLU for the whole network, and skips by ``+=``."""

    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.block1 = Block(6, self.relu)
        self.block2 = Block(6, self.relu)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x):
        x = self.pool(self.relu(self.conv1(x)))
        return self.fc(self.average(self.block2(self.block1(x))).flatten(1))


class Concat(nn.Module):
    """Two branches, concatenated."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.left = nn.Conv2d(6, 3, 1)
        self.right = nn.Conv2d(6, 5, 3, padding=1)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.stem(x).relu_()
        x = torch.cat([self.left(x).relu(), self.right(x).clamp(min=0)], 1)
        return self.head(x.mean((2, 3)))


class Smooth(nn.Module):
    """No ReLU at all."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x):
        return self.fc(F.gelu(self.conv(x)).mean((2, 3)))


class Stream(nn.Module):
    """A stream of residual blocks without an activation that every path passes through, as in ConvNeXt."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.up, self.down = nn.Conv2d(6, 12, 1), nn.Conv2d(12, 6, 1)
        self.act = nn.GELU()
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.down(self.act(self.up(x)))
        return self.fc(x.mean((2, 3)))


class Drawn(nn.Module):
    """Blocks of the kinds that were drawn, one after the other."""

    def __init__(self, kinds, bias=True):
        super().__init__()
        self.kinds = kinds
        self.stem = nn.Conv2d(3, 4, 3, padding=1, bias=bias)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in kinds)
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1, bias=bias) for _ in kinds)
        self.joins = nn.ModuleList(nn.Conv2d(8, 4, 1, bias=bias) for _ in kinds)
        self.fc = nn.Linear(4, CLASSES, bias=bias)

    def forward(self, x):
        x = self.stem(x).relu_()
        for kind, norm, conv, join in zip(self.kinds, self.norms, self.convs, self.joins, strict=True):
            if kind == "chain":
                x = F.relu(norm(conv(x)))
            elif kind == "skip":
                x = F.relu(norm(conv(x)) + x, inplace=True)
            elif kind == "skip in place":
                y = norm(conv(x))
                y += x
                x = y.relu_()
            elif kind == "dense":
                x = F.relu(join(torch.cat([x, conv(norm(x).relu())], 1)))
            elif kind == "branches":
                x = torch.cat([conv(x)[:, :2].relu(), F.max_pool2d(x, 3, 1, 1)[:, 2:]], 1)
            elif kind == "gelu":
                x = F.gelu(norm(conv(x)))
            elif kind == "gate":
                # Squeeze and excitation, as in EfficientNet; half of the calls are in place.
                gate = conv(F.silu(x.mean((2, 3), keepdim=True), inplace=True)).sigmoid_()
                x = x.clone().mul_(gate) if conv.bias is None else gate * x
            elif kind == "layer norm":
                x = conv(
                    F.layer_norm(x.permute(0, 2, 3, 1), (4,), norm.weight, norm.bias).permute(0, 3, 1, 2)
                )
            else:
                x = F.avg_pool2d(x, 3, 1, 1) if kind == "average" else F.max_pool2d(x, 2, 1)
        return self.fc(x.mean((2, 3)))


KINDS = ["chain", "skip", "skip in place", "dense", "branches", "average", "max"]
#: Kinds for which excitation backprop has no rule.
SMOOTH_KINDS = ["gelu", "gate", "layer norm"]


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.scores = nn.Softmax(-1)

    def forward(self, x):
        q, k, v = (part.unflatten(2, (2, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, 2))
        return (self.scores(q @ k.transpose(2, 3)) @ v).transpose(1, 2).flatten(2)


class TokenBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width)

    def forward(self, x):
        return x + self.attention(self.norm(x))


class Tokens(nn.Module):
    """A small ViT that reads its class token."""

    def __init__(self, prefix=2):
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 2, stride=2)
        self.prefix = nn.Parameter(torch.randn(1, prefix, 8))
        self.blocks = nn.Sequential(*[TokenBlock(8) for _ in range(3)])
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.prefix.expand(len(x), -1, -1), x], 1)
        return self.fc(self.blocks(x)[:, 0])


class Residual(nn.Module):
    """An image to an image, with negative values."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))

    def forward(self, x):
        return self.body(x)


class Dropping(nn.Module):
    """Batch-norm and dropout: train and eval mode differ, and a pass in train mode changes buffers."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5), nn.MaxPool2d(2)
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(6 * 16, CLASSES), nn.Dropout(0.5))

    def forward(self, x):
        return self.classifier(self.features(x))


class Linear(nn.Module):
    """Scores linear in the pixels."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * SIZE * SIZE, CLASSES)

    def forward(self, x):
        return self.fc(x.flatten(1))


class Segmentation(nn.Module):
    """One score per position instead of class scores."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, CLASSES, 3, padding=1)

    def forward(self, x):
        return {"out": F.relu(self.conv(x)), "aux": self.conv(x)}


@dataclass
class Answer:
    scores: torch.Tensor
    features: torch.Tensor


class Returning(nn.Module):
    """Returns whatever ``wrap`` makes of (scores, features)."""

    def __init__(self, wrap):
        super().__init__()
        self.body = Functional()
        self.wrap = wrap

    def forward(self, x):
        return self.wrap(self.body(x), x)


def settle(network, seed=0):
    """Random weights with biases that matter and running statistics that are not 0 and 1, in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                fan = part.weight[0].numel()
                part.weight.copy_(torch.randn(part.weight.shape, generator=generator) * (2 / fan) ** 0.5)
                if part.bias is not None:
                    part.bias.copy_(torch.randn(part.bias.shape, generator=generator) * 0.3)
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.copy_(torch.randn(part.running_mean.shape, generator=generator) * 0.3)
                part.running_var.copy_(torch.rand(part.running_var.shape, generator=generator) + 0.5)
                part.bias.copy_(torch.randn(part.bias.shape, generator=generator) * 0.3)
    return network.eval()


def wrap(network, **options):
    options = {"size": SIZE, "labels": LABELS, "mean": [0.4, 0.45, 0.5], "std": [0.25, 0.2, 0.3]} | options
    return ImageModel(network, **options)


def images(n=2, seed=1, channels=3, size=SIZE):
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(seed))


#: 16 segments of an image.
GRID = (torch.arange(SIZE)[:, None] // 2 * 4 + torch.arange(SIZE) // 2).long()
#: Options whose values depend on the size of the images.
SIZED = {
    "patterns": images(6, seed=5),
    "segments": GRID,
    "regions": torch.arange(16)[:, None, None] == GRID,
    "window": 4,
    "stride": 4,
    "patch": 4,
    "radii": (1, 2),
}


def quick(method, **options):
    """Return options that make a registered method quick, and those of ``options`` that it takes."""
    # The functions of perturbations return runs; their methods hide the signature.
    function = getattr(perturbation, method.name, method.function)
    options = {**SIZED, **options}
    return {name: options[name] for name in inspect.signature(function).parameters if name in options} | dict(
        method.quick
    )


#: The networks with ReLU, on which every method works.
RELU_NETWORKS = {
    "functional": Functional,
    "shared_in_place": SharedInPlace,
    "concat": Concat,
    "dropping": Dropping,
}


def one_sentence(error):
    """Assert that the message of an exception is one plain sentence, and return it."""
    text = str(error.value)
    assert text
    assert "\n" not in text
    assert not text.endswith(".")
    assert any(word in text for word in ("expected", "wanted", "did you mean"))
    return text
