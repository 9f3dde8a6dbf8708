"""Races of ``scripts/gpu_check.py``: methods against the bare passes that they need, and against peers."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import xai_widgets as xw
from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS

#: Height and width of the images, images per batch, samples, and the class.
SIZE, BATCH, SAMPLES, CLASS = 224, 16, 48, 3
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass
class Race:
    """The passes that a method needs, and computations without arguments."""

    method: str
    passes: str
    bare: Callable[[], Any]
    ours: Callable[[], Any]
    peers: dict[str, Callable[[], Any]] = field(default_factory=dict)


def _plain() -> nn.Module:
    """Return the convolutions of VGG-16 with a small head: no other package is needed."""
    parts, channels = list[nn.Module](), 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        parts += [nn.MaxPool2d(2)] if not width else [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        channels = width or channels
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def _small() -> nn.Module:
    parts = nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    return nn.Sequential(*parts)


def _torchvision(name: str) -> nn.Module:
    made: nn.Module = getattr(importlib.import_module("torchvision.models"), name)(weights=None)
    return made


def networks(whole: bool = True) -> dict[str, Callable[[], nn.Module]]:
    """Return networks by name; without ``whole``, a small one."""
    if not whole:
        return {"small": _small}
    return {
        "VGG-16 (random weights)": _plain,
        "ResNet-50 (random weights)": lambda: _torchvision("resnet50"),
        "EfficientNet-Lite0": lambda: xw.load("efficientnet_lite0", device="cpu").module,
        "ViT-B/16 (random weights)": lambda: _torchvision("vit_b_16"),
    }


def races(network: nn.Module, device: torch.device) -> list[Race]:
    """Return the races on one image and a network."""
    network = network.eval().requires_grad_(False).to(device)
    model = ImageModel(network, size=SIZE, mean=MEAN, std=STD, device=device)
    x = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).to(device)
    shift, scale = (torch.tensor(part, device=device).view(1, 3, 1, 1) for part in (MEAN, STD))
    many = x.expand(BATCH, -1, -1, -1).contiguous()

    def passes(images: Tensor, count: int, backward: bool) -> None:
        with torch.set_grad_enabled(backward):
            for _ in range(count):
                pixels = images.clone().requires_grad_(backward)
                scores = network((pixels - shift) / scale)[:, CLASS].sum()
                if backward:
                    torch.autograd.grad(scores, pixels)

    def ours(name: str, **options: Any) -> Callable[[], Any]:
        return lambda: METHODS[name].saliency(model, x, CLASS, **options)

    normalized, batches = (x - shift) / scale, SAMPLES // BATCH
    several: dict[str, Any] = {"batch_size": BATCH}
    return [
        Race("gradient", "1 forward + backward", lambda: passes(x, 1, True), ours("gradient"),
             {"captum": lambda: _captum("Saliency", network, normalized)}),
        Race("guided_backprop", "1 forward + backward", lambda: passes(x, 1, True), ours("guided_backprop"),
             {"captum": lambda: _captum("GuidedBackprop", network, normalized)}),
        Race("grad_cam", "1 forward + backward", lambda: passes(x, 1, True), ours("grad_cam"),
             {"torchcam": lambda: _torchcam(network, normalized)}),
        Race("integrated_gradients", f"{SAMPLES} forward + backward", lambda: passes(many, batches, True),
             ours("integrated_gradients", steps=SAMPLES, **several),
             {"captum": lambda: _captum("IntegratedGradients", network, normalized, n_steps=SAMPLES,
                                        internal_batch_size=BATCH)}),
        Race("smoothgrad", f"{SAMPLES} forward + backward", lambda: passes(many, batches, True),
             ours("smoothgrad", samples=SAMPLES, **several), {"captum": lambda: _noise_tunnel(network, normalized)}),
        Race("rise", f"{4 * SAMPLES} forward", lambda: passes(many, 4 * batches, False),
             ours("rise", masks=4 * SAMPLES, **several)),
        Race("occlusion", "50 forward", lambda: passes(many[:10], 5, False),
             ours("occlusion", window=32, stride=32, batch_size=10),
             {"captum": lambda: _captum("Occlusion", network, normalized, sliding_window_shapes=(3, 32, 32),
                                        strides=(3, 32, 32), perturbations_per_eval=10)}),
    ]  # fmt: skip


def _captum(name: str, network: nn.Module, x: Tensor, **options: Any) -> Any:
    method = getattr(importlib.import_module("captum.attr"), name)(network)
    return method.attribute(x.clone().requires_grad_(), target=CLASS, **options)


def _noise_tunnel(network: nn.Module, x: Tensor) -> Any:
    captum = importlib.import_module("captum.attr")
    tunnel = captum.NoiseTunnel(captum.Saliency(network))
    return tunnel.attribute(
        x.clone().requires_grad_(), nt_samples=SAMPLES, nt_samples_batch_size=BATCH, stdevs=0.15, target=CLASS
    )


def _torchcam(network: nn.Module, x: Tensor) -> Any:
    with importlib.import_module("torchcam.methods").GradCAM(
        network, input_shape=(3, SIZE, SIZE)
    ) as extractor:
        return extractor(CLASS, network(x.clone().requires_grad_()))
