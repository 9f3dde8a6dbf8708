"""All that a caller can see of a network and of torch, to compare before and after a call."""

import random

import numpy as np
import torch
from attending import Transformer
from networks import SharedInPlace
from torch.nn.modules import module as torch_module
from torch.overrides import _get_current_function_mode_stack


def hooks_of(module):
    """Return every dict of hooks of a module with its items."""
    return {
        key: list(value.items())
        for key, value in vars(module).items()
        if "hooks" in key and hasattr(value, "items")
    }


def bits(tensor):
    return (
        tensor.dtype,
        tensor.device,
        tuple(tensor.shape),
        tensor.stride(),
        tensor.detach().numpy().tobytes(),
    )


def everything(network):
    """All that the caller can see of a network and of torch."""
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {
        "hooks": {name: hooks_of(part) for name, part in network.named_modules()},
        "attributes": {name: list(vars(part)) for name, part in network.named_modules()},
        "classes": {name: type(part) for name, part in network.named_modules()},
        "training": {name: part.training for name, part in network.named_modules()},
        "identity": {name: id(tensor) for name, tensor in tensors.items()},
        "bits": {name: bits(tensor) for name, tensor in tensors.items()},
        "requires_grad": {name: tensor.requires_grad for name, tensor in tensors.items()},
        "grad": {name: None if p.grad is None else bits(p.grad) for name, p in network.named_parameters()},
        "versions": {name: tensor._version for name, tensor in tensors.items()},
        "global hooks": {
            key: list(value.items())
            for key, value in vars(torch_module).items()
            if key.startswith("_global") and hasattr(value, "items")
        },
        "modes": (
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            len(_get_current_function_mode_stack()),
        ),
        "random numbers": (
            torch.get_rng_state().numpy().tobytes(),
            random.getstate(),
            np.random.get_state()[1].tobytes(),  # noqa: NPY002
        ),
    }


def failing(x, countdown):
    """Return x with a gradient that raises at the n-th time."""
    x = x.view_as(x)
    if x.requires_grad:
        x.register_hook(lambda grad: countdown())
    return x


class Shared(list):
    """A list that a network shares with its replicas, which have their own plain lists."""


class Fuse:
    """Can be made to raise in the middle of a pass."""

    def __init__(self):
        super().__init__()
        # In a list, so that counting down does not change the module's attributes.
        self.fuse = Shared([None, None, 0])

    def _pass(self, x):
        """Return an activation, or raise in the forward or the backward pass."""
        if self.fuse[0] == "forward":
            self._burn()
        return failing(x, self._burn) if self.fuse[0] == "backward" else x

    def _burn(self):
        self.fuse[2] -= 1
        if self.fuse[2] < 0:
            raise self.fuse[1]


class Broken(Fuse, SharedInPlace):
    """The shared in-place network with a fuse."""

    def forward(self, x):
        x = self.pool(self.relu(self.conv1(x)))
        # Here, so that a backward pass to the last spatial layer, as in Grad-CAM, passes it.
        x = self._pass(self.block2(self.block1(x)))
        return self.fc(self.average(x).flatten(1))


class BrokenTransformer(Fuse, Transformer):
    """The transformer with a fuse."""

    def forward(self, x):
        return self.head(self._pass(self.tokens(x)))
