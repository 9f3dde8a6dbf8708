"""Networks of torchvision, timm and transformers on which every explainer is tried.

All have random weights and ten classes at most. Batch-norm is calibrated on photographs, and layers that are
initialized to zero get values, so that activations and gradients are alive.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from xai_widgets.core.images import to_images
from xai_widgets.data import photograph

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = 10
#: Not square, so that rows and columns that are exchanged are noticed.
SIZE = (64, 96)
PHOTOGRAPHS = ("cat", "coffee", "rocket", "astronaut", "motorcycle", "retina", "tissue", "hubble")


@dataclass(frozen=True)
class Entry:
    """A network to be tried.

    Attributes
    ----------
    group : str
        Its table on the page.
    make : callable
        Returns the network.
    size : (int, int)
        Height and width of its images.
    options : dict
        Options of ``ImageModel``.
    package : str or None
        The package that it comes from; None for one of the name of the group, "" for none.
    """

    group: str
    make: Callable[[], nn.Module]
    size: tuple[int, int] = SIZE
    options: dict[str, Any] = field(default_factory=dict)
    package: str | None = None

    @property
    def missing(self) -> bool:
        """Whether the package that the network comes from is not installed."""
        package = self.group if self.package is None else self.package
        return bool(package) and importlib.util.find_spec(package) is None


#: Those of libraries, by name.
NETWORKS: dict[str, Entry] = {}


def photographs(size: tuple[int, int], channels: int = 3) -> Tensor:
    """Return eight photographs, (8, C, H, W) in [0, 1]; further channels repeat the colors in another order."""
    colors = torch.cat([to_images(photograph(name), size=size) for name in PHOTOGRAPHS])
    return colors[:, [(channel + channel // 3) % 3 for channel in range(channels)]]


def enliven(network: nn.Module, size: tuple[int, int]) -> nn.Module:
    """Give values to what is initialized to zero, calibrate batch-norm, and return the network in eval mode."""
    network.eval()
    generator = torch.Generator().manual_seed(0)
    norms = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.abs().max() > 1e-4:
                continue
            if name.endswith("bias"):
                parameter.normal_(0, 0.1, generator=generator)
            elif parameter.squeeze().ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5, generator=generator)
            else:
                parameter.uniform_(0.3, 0.7, generator=generator)
        for part in norms:
            part.train().momentum = None
            part.reset_running_stats()
        x = (photographs(size) - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
        network(x)
        for part in norms:
            part.eval().momentum = 0.1
            if part.affine:
                part.weight *= torch.rand(part.weight.shape, generator=generator) * 0.8 + 0.6
                part.bias.normal_(0, 0.2, generator=generator)
        _tell_apart(network, x)
    return network


def _tell_apart(network: nn.Module, x: Tensor) -> None:
    """Scale the last linear layers so that scores vary over the images as those of a trained network do."""
    heads = [
        part for part in network.modules() if isinstance(part, nn.Linear) and part.out_features <= CLASSES
    ]
    made: dict[nn.Module, Tensor] = {}
    hooks = [part.register_forward_hook(lambda part, _x, y: made.update({part: y})) for part in heads]
    network(x)
    for hook in hooks:
        hook.remove()
    for part, scores in made.items():
        if scores.ndim != 2:
            continue
        # Up to what rounding allows.
        scale = 2 / scores.std(0).mean().clamp(min=2e-2)
        part.weight *= scale
        if part.bias is not None:
            part.bias.sub_(scores.mean(0)).mul_(scale)


def build(entry: Entry) -> nn.Module:
    """Return a network in eval mode, the same at each call."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = entry.make()
        return network if entry.group in ("unusual", "targets") else enliven(network, entry.size)


# -- torchvision ------------------------------------------------------------------------------------------------


def _torchvision(name: str, *, size: tuple[int, int] = SIZE, **options: Any) -> None:
    def make() -> nn.Module:
        from torchvision import models

        made: nn.Module = models.get_model(name, weights=None, num_classes=CLASSES, **options)
        if isinstance(getattr(made, "classifier", None), nn.Sequential) and len(made.classifier) > 5:
            # Most of the parameters of AlexNet are those of two linear layers.
            width = next(part.in_features for part in made.classifier if isinstance(part, nn.Linear))
            made.classifier = nn.Sequential(
                nn.Linear(width, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, CLASSES)
            )
        return made

    NETWORKS[f"torchvision {name}"] = Entry("torchvision", make, size)


for _name in (
    "alexnet", "mobilenet_v2", "mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1",
):  # fmt: skip
    _torchvision(_name)
_torchvision("googlenet", init_weights=False, aux_logits=False)


def _small(name: str) -> nn.Module:
    """Return a network of torchvision with fewer and narrower layers than the published ones."""
    from torchvision import models

    if name == "densenet":
        return models.DenseNet(12, (3, 3, 3, 3), 24, num_classes=CLASSES)
    if name == "vgg":
        made = models.VGG(models.vgg.make_layers([16, "M", 32, "M", 64, 64, "M", 512, "M"], batch_norm=True))
        made.classifier = nn.Sequential(nn.Linear(512 * 49, 64), nn.ReLU(True), nn.Linear(64, CLASSES))
        return made
    if name == "resnet":
        return models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=CLASSES)
    if name == "resnext":
        block = models.resnet.Bottleneck
        return models.ResNet(block, [1, 1, 1, 1], num_classes=CLASSES, groups=4, width_per_group=16)
    if name == "efficientnet":
        parts = [(1, 3, 1, 32, 16), (6, 3, 2, 16, 24), (6, 5, 2, 24, 40), (6, 3, 2, 40, 80)]
        stages = [models.efficientnet.MBConvConfig(*part, 1) for part in parts]
        return models.EfficientNet(stages, 0.2, num_classes=CLASSES)
    if name == "convnext":
        stages = [models.convnext.CNBlockConfig(24, 48, 2), models.convnext.CNBlockConfig(48, None, 2)]
        return models.ConvNeXt(stages, num_classes=CLASSES)
    if name.startswith("swin"):
        own = models.swin_transformer
        v2 = name == "swin_v2"
        block, merging = (own.SwinTransformerBlockV2, own.PatchMergingV2) if v2 else (None, own.PatchMerging)
        return models.SwinTransformer(
            [4, 4], 24, [2, 2], [2, 4], [4, 4], num_classes=CLASSES, block=block, downsample_layer=merging
        )
    if name == "maxvit":
        return models.MaxVit((64, 64), 16, 2, [16, 32], [1, 2], 8, 0.0, num_classes=CLASSES)
    return models.VisionTransformer(64, 8, 4, 4, 48, 96, num_classes=CLASSES)


for _name in (
    "vgg", "resnet", "resnext", "densenet", "efficientnet", "convnext", "swin", "swin_v2", "maxvit", "vit",
):  # fmt: skip
    NETWORKS[f"torchvision {_name} (small)"] = Entry(
        "torchvision", partial(_small, _name), (64, 64) if "vit" in _name else SIZE
    )


# -- timm -------------------------------------------------------------------------------------------------------


def _timm(name: str, *, size: tuple[int, int] = SIZE, **options: Any) -> None:
    def make() -> nn.Module:
        import timm

        made: nn.Module = timm.create_model(name, pretrained=False, num_classes=CLASSES, **options)
        return made

    NETWORKS[f"timm {name}"] = Entry("timm", make, size)


for _name in (
    "ghostnetv2_100", "mobilenetv4_conv_small", "regnety_002", "tf_efficientnet_lite0", "efficientnet_b0",
    "rexnet_100", "repvgg_a0", "repvit_m0_9", "hgnetv2_b0", "starnet_s1",
):  # fmt: skip
    _timm(_name)
_timm("mobilevit_xxs", size=(64, 64))
_timm("nf_resnet26", size=(64, 64))
# The others with fewer layers than published.
for _name in ("resnet18d", "seresnet18", "skresnet18", "resnetv2_18"):
    _timm(_name, layers=(1, 1, 1, 1))
for _name in ("convnextv2_atto", "edgenext_xx_small", "inception_next_atto", "pvt_v2_b0"):
    _timm(_name, depths=(1, 1, 1, 1))
_timm("densenet121", block_config=(2, 2, 2), growth_rate=12)
_timm("davit_tiny", depths=(1, 1), embed_dims=(24, 48), num_heads=(2, 4))
_timm("fastvit_t8", layers=(1, 1, 1, 1), embed_dims=(24, 48, 96, 192))
_timm("dla34", levels=[1, 1, 1, 1, 1, 1], channels=[16, 32, 32, 48, 64, 96])
_timm("xcit_nano_12_p8_224", depth=2)
for _name in (
    "vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "deit3_small_patch16_224", "vit_small_patch14_dinov2",
    "vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3", "vit_base_patch16_clip_224",
    "vit_base_patch16_siglip_224", "eva02_tiny_patch14_224",
):  # fmt: skip
    _grid = (56, 84) if "14" in _name else SIZE
    _timm(_name, size=_grid, img_size=_grid, embed_dim=96, depth=3, num_heads=3)
_timm("beit_base_patch16_224", size=(64, 64), img_size=64, depth=3, embed_dim=48, num_heads=3)
_timm("cait_xxs24_224", size=(64, 64), img_size=64, depth=2, embed_dim=48, num_heads=3)
_timm(
    "levit_128s",
    size=(64, 64),
    img_size=64,
    embed_dim=(32, 48, 64),
    num_heads=(2, 3, 4),
    key_dim=16,
    depth=(1, 1, 1),
)
_timm("coatnet_nano_rw_224", size=(64, 64), img_size=64)
_timm("mixer_s16_224", size=(64, 64), img_size=64)
_SWIN: dict[str, Any] = {"embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}
_timm("swin_tiny_patch4_window7_224", size=(56, 56), img_size=56, **_SWIN)
_timm("swinv2_tiny_window8_256", size=(64, 64), img_size=64, window_size=4, **_SWIN)


# -- transformers -----------------------------------------------------------------------------------------------

_PARTS = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96}
_DINO = {
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 64,
    "patch_size": 8,
}
_SWINS = {
    "image_size": 64, "patch_size": 4, "embed_dim": 24, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4
}  # fmt: skip
_PYRAMID = {"hidden_sizes": [16, 32, 40, 48], "depths": [1, 1, 1, 1]}
_CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "ViT": {**_PARTS, "image_size": 64, "patch_size": 8},
    "DeiT": {**_PARTS, "image_size": 64, "patch_size": 8},
    "Beit": {**_PARTS, "image_size": 64, "patch_size": 8, "use_relative_position_bias": True},
    "Dinov2": _DINO,
    "Dinov2WithRegisters": {**_DINO, "num_register_tokens": 4},
    "CLIP": {"vision_config": {**_PARTS, "image_size": 64, "patch_size": 8}},
    "Siglip": {"vision_config": {**_PARTS, "image_size": 64, "patch_size": 8}},
    "Swin": _SWINS,
    "Swinv2": _SWINS,
    "ConvNext": {"num_stages": 2, "hidden_sizes": [24, 48], "depths": [2, 2]},
    "ConvNextV2": {"num_stages": 2, "hidden_sizes": [24, 48], "depths": [2, 2]},
    "ResNet": {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"},
    "RegNet": {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "groups_width": 8},
    "MobileNetV2": {"depth_multiplier": 0.35},
    "PvtV2": {"image_size": 64, **_PYRAMID, "num_attention_heads": [1, 2, 4, 4]},
    "Segformer": {**_PYRAMID, "num_attention_heads": [1, 2, 4, 4]},
    "PoolFormer": _PYRAMID,
    "FocalNet": {
        "image_size": 64, "embed_dim": 24, "depths": [1, 1], "hidden_sizes": [24, 48], "focal_levels": [2, 2],
        "focal_windows": [3, 3],
    },
}  # fmt: skip


def _transformers(name: str, values: dict[str, Any]) -> None:
    def make() -> nn.Module:
        import transformers

        config = getattr(transformers, f"{name}Config")(**values)
        config.num_labels = CLASSES
        made: nn.Module = getattr(transformers, f"{name}ForImageClassification")(config)
        return made

    square = "image_size" in values or "vision_config" in values
    size = (64, 64) if square else SIZE
    NETWORKS[f"transformers {name} (small)"] = Entry("transformers", make, size)


for _name, _values in _CONFIGURATIONS.items():
    _transformers(_name, _values)
