"""Networks written in unusual ways, on which every explainer is tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from reliability_networks import CLASSES, SIZE, Entry, enliven
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Usual(nn.Module):
    """Convolutions with batch-norm and ReLU, a skip, a max-pool, and a linear layer behind the average."""

    def __init__(self, classes: int = CLASSES, channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 8, 3, 2, 1)
        self.norm = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(2)
        self.one = nn.Conv2d(8, 8, 3, padding=1)
        self.two = nn.Conv2d(8, 16, 3, 2, 1)
        self.head = nn.Linear(16, classes)

    def rectify(self, x: Tensor) -> Tensor:
        """Rectify; other networks write it in other words."""
        return F.relu(x)

    def features(self, x: Tensor) -> Tensor:
        """Return activations before pooling."""
        x = self.pool(self.rectify(self.norm(self.stem(x))))
        return self.rectify(self.two(self.rectify(self.one(x)) + x))

    def forward(self, x: Tensor) -> Any:
        """Return scores."""
        return self.head(self.features(x).mean((2, 3)))


class ViewAfterConvolution(Usual):
    """Flattens by ``view`` with the batch size read first."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16 * 8 * 12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        batch = x.size(0)
        return self.head(self.features(x).view(batch, -1))


class Shared(Usual):
    """One convolution that runs three times, and one in-place ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def features(self, x: Tensor) -> Tensor:
        """Return activations before pooling."""
        x = self.pool(self.relu(self.norm(self.stem(x))))
        for _ in range(3):
            x = self.relu(self.one(x))
        return self.relu(self.two(x))


class Checkpointed(Usual):
    """A block whose forward pass runs again in the backward pass."""

    def features(self, x: Tensor) -> Tensor:
        """Return activations before pooling."""
        x = self.pool(self.rectify(self.norm(self.stem(x))))
        x = checkpoint(lambda y: self.rectify(self.one(y)) + y, x, use_reentrant=False)
        return self.rectify(self.two(x))


class OwnFunction(torch.autograd.Function):
    """ReLU as a function with a backward pass of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return the positive part."""
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Pass the gradient where x is positive."""
        return gradients[0] * (ctx.saved_tensors[0] > 0)


class OwnAutograd(Usual):
    """Rectifies by an autograd.Function."""

    def rectify(self, x: Tensor) -> Tensor:
        """Rectify."""
        made: Tensor = OwnFunction.apply(x)
        return made


class WhereRectifier(Usual):
    """Rectifies by ``where``."""

    def rectify(self, x: Tensor) -> Tensor:
        """Rectify."""
        return torch.where(x > 0, x, torch.zeros_like(x))


class MaskRectifier(Usual):
    """Rectifies by the product with a mask."""

    def rectify(self, x: Tensor) -> Tensor:
        """Rectify."""
        return x * (x > 0)


class LeakyRectifier(Usual):
    """Rectifies nothing entirely: a slope of 0.1 below zero."""

    def rectify(self, x: Tensor) -> Tensor:
        """Rectify in part."""
        return F.leaky_relu(x, 0.1)


class ChannelsLastLayers(nn.Module):
    """Layers that return (N, h, w, C), as in Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 4, 4)
        self.norm = nn.LayerNorm(12)
        self.mix = nn.Linear(12, 12)
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        x = self.norm(self.stem(x).permute(0, 2, 3, 1))
        return self.head((x + F.relu(self.mix(x))).mean((1, 2)))


class DictOutput(Usual):
    """Returns a dict with an auxiliary entry."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return scores among others."""
        kept = self.features(x)
        return {"features": kept, "logits": self.head(kept.mean((2, 3)))}


class GateOffThePath(Usual):
    """The last layer that runs is a gate, and a table is looked up that no image changes."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(16, 16, 1)
        self.table = nn.Embedding(96, 16)
        self.unused = nn.Conv2d(16, 4, 1)

    def features(self, x: Tensor) -> Tensor:
        """Return activations before pooling."""
        x = super().features(x)
        places = self.table(torch.arange(96, device=x.device)).T.reshape(1, 16, 8, 12)
        self.unused(x)
        return x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid() + 0.1 * places


class Ending(Usual):
    """Ends in an activation."""

    def __init__(self, end: Callable[[Tensor], Tensor], classes: int = CLASSES) -> None:
        super().__init__(classes)
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        """Return what the last activation makes of the scores."""
        return self.end(super().forward(x))


def _flatten_linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 96, 24), nn.ReLU(), nn.Linear(24, CLASSES))


def _lazy() -> nn.Module:
    parts = nn.LazyConv2d(8, 3, 2), nn.ReLU(), nn.LazyConv2d(8, 3, 2), nn.ReLU()
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.LazyLinear(CLASSES)).eval()


def _each_convolution(change: Callable[[nn.Module], nn.Module]) -> nn.Module:
    network = Usual()
    for part in (network.one, network.two):
        change(part)
    return alive(network)


def _trained(network: nn.Module) -> nn.Module:
    """Return the network in train mode with frozen parameters: neither may change."""
    return network.requires_grad_(False).train()


def alive(network: nn.Module) -> nn.Module:
    """Return the network with calibrated batch-norm."""
    return enliven(network, SIZE)


_SIGMOID = {"activation": "sigmoid"}
_UNUSUAL: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "view after convolution": (lambda: alive(ViewAfterConvolution()), {}),
    "shared modules": (lambda: alive(Shared()), {}),
    "checkpointed": (lambda: alive(Checkpointed()), {}),
    "own autograd.Function": (lambda: alive(OwnAutograd()), {}),
    "where as ReLU": (lambda: alive(WhereRectifier()), {}),
    "mask as ReLU": (lambda: alive(MaskRectifier()), {}),
    "leaky ReLU": (lambda: alive(LeakyRectifier()), {}),
    "channels-last layers": (lambda: alive(ChannelsLastLayers()), {}),
    "dict output": (lambda: alive(DictOutput()), {}),
    "gate and table off the path": (lambda: alive(GateOffThePath()), {}),
    "Flatten and Linear": (lambda: alive(_flatten_linear()), {}),
    "compiled": (lambda: torch.compile(alive(Usual()), backend="eager"), {}),
    "DataParallel": (lambda: nn.DataParallel(alive(Usual())), {}),
    "weight norm": (lambda: _each_convolution(nn.utils.parametrizations.weight_norm), {}),
    "spectral norm": (lambda: _each_convolution(nn.utils.parametrizations.spectral_norm), {}),
    "lazy": (_lazy, {}),
    "half": (lambda: alive(Usual()).half(), {}),
    "bfloat16": (lambda: alive(Usual()).bfloat16(), {}),
    "double": (lambda: alive(Usual()).double(), {}),
    "frozen, in train mode": (lambda: _trained(alive(Usual())), {}),
    "one logit": (lambda: alive(Usual(1)), _SIGMOID),
    "regression": (lambda: alive(Usual(1)), {"activation": None}),
    "labels by sigmoid": (lambda: alive(Usual()), _SIGMOID),
    "softmax at the end": (lambda: alive(Ending(nn.Softmax(1))), {}),
    "sigmoid at the end": (lambda: alive(Ending(nn.Sigmoid())), {}),
    "scores of shape (N,)": (lambda: alive(Ending(nn.Flatten(0), 1)), _SIGMOID),
    "scripted": (lambda: torch.jit.script(alive(Usual())), {}),
    "traced": (lambda: torch.jit.trace(alive(Usual()), torch.rand(2, 3, *SIZE)), {}),
}
#: Each by the name of what is unusual.
NETWORKS = {name: Entry("unusual", make, SIZE, options, "") for name, (make, options) in _UNUSUAL.items()}
