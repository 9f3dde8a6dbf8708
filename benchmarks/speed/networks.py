"""The networks that are measured, with images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

import xai_widgets as xw
from xai_widgets.data import photograph, scenes

NETWORKS = ("efficientnet_lite0", "resnet50", "vgg16", "vit_small", "scenes_vgg", "scenes_resnet")
#: Networks whose passes are long: they get fewer samples.
LARGE = ("resnet50", "vgg16", "vit_small")
BATCHES = (1, 4, 16)


class Normalize(nn.Module):
    """Pixels to the input of the network."""

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


@dataclass(frozen=True)
class Setting:
    """A network and an image of it; ``bare`` is the network as its users have it, which takes pixels."""

    name: str
    model: xw.ImageModel
    x: Tensor
    target: Tensor

    @classmethod
    def of(cls, name: str, size: int = 0) -> Setting:
        torch.manual_seed(0)
        if name == "vit_small":
            import timm

            network = timm.create_model("vit_small_patch16_224", pretrained=False).eval()
            model = xw.ImageModel(network, size=224, mean=[0.5] * 3, std=[0.5] * 3, device="cpu")
        else:
            trained = name.startswith(("scenes", "efficientnet"))
            model = xw.load(name, weights="DEFAULT" if trained else None, device="cpu")
        image = scenes.scene(0, split="test").image if name.startswith("scenes") else photograph("cat")
        x = model.images(image)
        if size:
            x = nn.functional.interpolate(x, (size, size), mode="bilinear")
        with torch.no_grad():
            target = model(x).argmax(1)
        return cls(name, model, x, target)

    @property
    def module(self) -> nn.Module:
        """The network on normalized input."""
        return self.model.module

    @cached_property
    def bare(self) -> nn.Module:
        """The network on pixels."""
        return nn.Sequential(Normalize(self.model.mean, self.model.std), self.module).eval()

    @property
    def given(self) -> Tensor:
        """The normalized image."""
        return (self.x - self.model.mean) / self.model.std

    @cached_property
    def layer(self) -> str:
        """The default layer."""
        return self.model.default_layer()

    @property
    def samples(self) -> int:
        """Steps, samples and masks of methods of many passes."""
        return 8 if self.name in LARGE else 16

    @property
    def window(self) -> int:
        """Side and stride of the windows of occlusion, which fill the image."""
        return self.x.shape[-1] // 7 if self.x.shape[-1] % 7 == 0 else self.x.shape[-1] // 6

    @cached_property
    def segments(self) -> Tensor:
        """Squares of an image, numbered from 0, (H, W)."""
        height, width = self.x.shape[2:]
        rows, columns = (torch.arange(side) * 7 // side for side in (height, width))
        return rows[:, None] * 7 + columns

    @cached_property
    def batch(self) -> int:
        """The batch size in which the bare network is fastest without gradients, of 1, 4 and 16."""
        return self._fastest(gradient=False)

    @cached_property
    def gradient_batch(self) -> int:
        """The batch size in which the bare network is fastest with gradients, of 1, 4 and 16."""
        return self._fastest(gradient=True)

    def _fastest(self, gradient: bool) -> int:
        seconds = {}
        for number in BATCHES:
            work = passes(self, number, batch=number, gradient=gradient)
            work()
            start = time.process_time()
            work()
            seconds[number] = (time.process_time() - start) / number
        return min(seconds, key=lambda number: seconds[number])


def passes(setting: Setting, number: int, *, batch: int, gradient: bool) -> Callable[[], None]:
    """Return the bare work: ``number`` images through the torch module, with the gradient of the pixels or without."""
    x, network = setting.x[:1], setting.bare

    def work() -> None:
        left = number
        while left:
            part = x.repeat(min(batch, left), 1, 1, 1)
            left -= len(part)
            if not gradient:
                with torch.no_grad():
                    network(part)
                continue
            part.requires_grad_()
            torch.autograd.grad(network(part)[:, setting.target[0]].sum(), part)

    return work


def pass_to_layer(setting: Setting) -> Callable[[], None]:
    """Return the bare work of a CAM: a forward pass, and a backward one to the layer."""
    layer = setting.module.get_submodule(setting.layer)

    def work() -> None:
        made = []
        handle = layer.register_forward_hook(lambda _module, _given, output: made.append(output))
        try:
            score = setting.bare(setting.x)[:, setting.target[0]].sum()
        finally:
            handle.remove()
        torch.autograd.grad(score, made[-1])

    return work
