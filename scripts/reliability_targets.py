"""Networks whose raw output or input is another one: segmentation, detection, embeddings, channels, further inputs.

Their scores are those of targets on the raw output (:mod:`xai_widgets.targets`). All have random weights.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from reliability_networks import CLASSES, MEAN, SIZE, STD, Entry, enliven
from torch import Tensor, nn

from xai_widgets import targets

_HIDDEN = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96}
_PYRAMID = {"hidden_sizes": [16, 32, 40, 48], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 4, 4]}
_SQUARE = (64, 64)


def _convolutions(channels: int = 3, width: int = 16) -> nn.Sequential:
    """Return three convolutions that halve the side twice."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 5, 2, 2), nn.ReLU(), nn.Conv2d(width, width, 3, 2, 1), nn.BatchNorm2d(width),
        nn.ReLU(), nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(),
    )  # fmt: skip


def _classifier(channels: int = 3, outputs: int = CLASSES) -> nn.Module:
    return nn.Sequential(
        _convolutions(channels), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, outputs)
    )


class Unet(nn.Module):
    """A segmentation network with one skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.down = nn.Sequential(
            nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()
        )
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.last = nn.Conv2d(48, CLASSES, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of scores per class, (N, classes, H, W)."""
        fine = self.first(x)
        return self.last(torch.cat([fine, self.up(self.down(fine))], 1))


class WithMetadata(nn.Module):
    """A classifier of an image and a table of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.table = _convolutions(), nn.Linear(4, 32)
        self.head = nn.Linear(32, CLASSES)
        # Scores that differ between images as those of a trained network do.
        nn.init.normal_(self.head.weight, std=3)

    def forward(self, metadata: Tensor, pixels: Tensor) -> Tensor:
        """Return scores."""
        return self.head(self.image(pixels).mean((2, 3)) + self.table(metadata))


def _segmentation(name: str) -> nn.Module:
    from torchvision.models import segmentation

    network: nn.Module = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=CLASSES)
    return network


def _detector(name: str, **options: Any) -> nn.Module:
    from torchvision.models import detection

    network: nn.Module = getattr(detection, name)(
        weights=None, weights_backbone=None, num_classes=4, min_size=64, max_size=96, **options
    )
    return network.eval()


def _transformers(name: str, **values: Any) -> nn.Module:
    import transformers

    family = name.partition("For")[0].removesuffix("ModelWithProjection")
    config = getattr(transformers, f"{family}Config")(**values)
    network: nn.Module = getattr(transformers, name)(config)
    return network.eval()


def _vector(seed: int, length: int) -> Tensor:
    return torch.randn(length, generator=torch.Generator().manual_seed(seed))


def _middle() -> Tensor:
    """Return a mask of the middle of an image."""
    mask = torch.zeros(SIZE)
    mask[16:48, 24:72] = 1
    return mask


_AREAS = {"targets": targets.ClassAreas()}
_IN_PIXELS = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
_TARGETS: dict[str, tuple[str, Callable[[], nn.Module], tuple[int, int], dict[str, Any]]] = {
    "U-net, class areas": ("", Unet, SIZE, _AREAS),
    "U-net, one region": ("", Unet, SIZE, {"targets": {"middle": targets.Region(_middle(), 2)}}),
    "LR-ASPP, class areas": ("torchvision", partial(_segmentation, "lraspp_mobilenet_v3_large"), SIZE, _AREAS),
    "SegFormer, class areas": (
        "transformers",
        partial(_transformers, "SegformerForSemanticSegmentation", **_PYRAMID, decoder_hidden_size=32, num_labels=10),
        SIZE,
        _AREAS,
    ),
    "YOLOS, detected classes": (
        "transformers",
        partial(
            _transformers, "YolosForObjectDetection", **_HIDDEN, image_size=list(_SQUARE), patch_size=8,
            num_detection_tokens=10, num_labels=3,
        ),
        _SQUARE,
        {"targets": targets.DetectedClasses(3)},
    ),
    "Faster R-CNN, detected classes": (
        "torchvision",
        partial(_detector, "fasterrcnn_mobilenet_v3_large_320_fpn", box_score_thresh=0.01, box_detections_per_img=20),
        SIZE,
        {"targets": targets.DetectedClasses(4), **_IN_PIXELS},
    ),
    "CLIP, similarities": (
        "transformers",
        partial(
            _transformers, "CLIPVisionModelWithProjection", **_HIDDEN, image_size=64, patch_size=8, projection_dim=24
        ),
        _SQUARE,
        {"targets": targets.Similarities({"a cat": _vector(0, 24), "a cup": _vector(1, 24)})},
    ),
    "three numbers, regression": ("", partial(_classifier, outputs=3), SIZE, {"activation": None}),
    "five channels": (
        "", partial(_classifier, 5), SIZE, {"channels": 5, "mean": (0.5,) * 5, "std": (0.25,) * 5}
    ),
    "one channel": ("", partial(_classifier, 1), SIZE, {"mean": (0.5,), "std": (0.25,)}),
    "two inputs": (
        "", WithMetadata, SIZE, {"inputs": {"metadata": torch.ones(1, 4)}, "image_argument": "pixels"}
    ),
}  # fmt: skip


def _make(create: Callable[[], nn.Module], options: dict[str, Any], size: tuple[int, int]) -> nn.Module:
    network = create()
    plain = not {"inputs", "channels"} & options.keys() and len(options.get("mean", MEAN)) == len(STD)
    return enliven(network, size) if plain and "Detection" not in type(network).__name__ else network.eval()


#: Each by the kind of its output or input.
NETWORKS = {
    name: Entry("targets", partial(_make, create, options, size), size, options, package)
    for name, (package, create, size, options) in _TARGETS.items()
}
