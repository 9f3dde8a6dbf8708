"""Small random transformers and channels-last networks of timm, torchvision and transformers, with their layouts."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import timm
import torch
import torchvision
import transformers
from torch import nn

from xai_widgets.core.grids import Grid
from xai_widgets.core.model import ImageModel

CLASSES = 5
#: Sizes of transformers of Hugging Face.
TINY = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}


class Case(NamedTuple):
    """A network, the size of its images, its default layer, the layout and the tokens there."""

    make: Callable[[], nn.Module]
    size: int
    layer: str
    grid: Grid
    tokens: tuple[str, ...] = ()


def _timm(name, **options):
    return lambda: timm.create_model(name, pretrained=False, **{"num_classes": CLASSES, **options})


def _hugging_face(name, config, **options):
    def make():
        made = getattr(transformers, config)(**options, num_labels=CLASSES)
        return getattr(transformers, name)(made)

    return make


def _vit(name, size, patch, **options):
    sizes = {"image_size": size, "patch_size": patch}
    return _hugging_face(f"{name}ForImageClassification", f"{name}Config", **sizes, **TINY, **options)


CLASS = ("class token",)
REGISTERS = tuple(f"register {number}" for number in (1, 2, 3, 4))
SMALL = {"depth": 3, "embed_dim": 24, "num_heads": 2}
SWIN = {"image_size": 64, "patch_size": 4, "embed_dim": 12, "depths": [1, 1, 2], "num_heads": [1, 2, 2]}
CASES = {
    "timm ViT": Case(
        _timm("vit_tiny_patch16_224", img_size=64, **SMALL), 64, "blocks.1", Grid("tokens", 4, 4, 1), CLASS
    ),
    "timm ViT, averaged": Case(
        _timm("vit_tiny_patch16_224", img_size=64, global_pool="avg", **SMALL),
        64,
        "norm",
        Grid("tokens", 4, 4, 1),
        CLASS,
    ),
    "timm DeiT": Case(
        _timm("deit_tiny_distilled_patch16_224", img_size=64, **SMALL),
        64,
        "blocks.1",
        Grid("tokens", 4, 4, 2),
        (*CLASS, "distillation token"),
    ),
    "timm DINO": Case(
        _timm("vit_small_patch16_224.dino", img_size=64, **SMALL | {"num_classes": 0}),
        64,
        "blocks.1",
        Grid("tokens", 4, 4, 1),
        CLASS,
    ),
    "timm DINOv2, registers": Case(
        _timm("vit_small_patch14_reg4_dinov2", img_size=70, **SMALL),
        70,
        "blocks.1",
        Grid("tokens", 5, 5, 5),
        (*CLASS, *REGISTERS),
    ),
    "timm Swin": Case(
        _timm(
            "swin_tiny_patch4_window7_224",
            img_size=64,
            depths=(1, 1, 2),
            num_heads=(1, 2, 2),
            embed_dim=12,
            window_size=4,
        ),
        64,
        "norm",
        Grid("channels_last", 4, 4),
    ),
    "timm Swin V2": Case(
        _timm(
            "swinv2_tiny_window8_256",
            img_size=64,
            depths=(1, 1, 2),
            num_heads=(1, 2, 2),
            embed_dim=12,
            window_size=4,
        ),
        64,
        "norm",
        Grid("channels_last", 4, 4),
    ),
    "timm ConvNeXt": Case(
        _timm("convnext_atto", depths=(1, 1, 1, 2), dims=(8, 8, 16, 24)),
        64,
        "norm_pre",
        Grid("channels_first", 2, 2),
    ),
    "timm MLP-Mixer": Case(_timm("mixer_s32_224", img_size=128), 128, "norm", Grid("tokens", 4, 4)),
    "timm LeViT": Case(_timm("levit_128s"), 224, "stages", Grid("tokens", 4, 4)),
    "timm MobileViT": Case(_timm("mobilevit_xxs"), 64, "final_conv", Grid("channels_first", 2, 2)),
    "timm PVT": Case(_timm("pvt_v2_b0"), 64, "stages", Grid("channels_first", 2, 2)),
    "torchvision ViT": Case(
        lambda: torchvision.models.VisionTransformer(64, 16, 3, 2, 16, 32, num_classes=CLASSES),
        64,
        "encoder.layers.encoder_layer_1",
        Grid("tokens", 4, 4, 1),
        CLASS,
    ),
    "torchvision Swin": Case(
        lambda: torchvision.models.SwinTransformer(
            [4, 4], 12, [1, 1, 2], [1, 2, 2], [4, 4], num_classes=CLASSES
        ),
        64,
        "permute",
        Grid("channels_first", 4, 4),
    ),
    "Hugging Face ViT": Case(_vit("ViT", 64, 16), 64, "vit.layers.1", Grid("tokens", 4, 4, 1), CLASS),
    "Hugging Face DINOv2": Case(
        _hugging_face("Dinov2Model", "Dinov2Config", image_size=70, patch_size=14, **TINY),
        70,
        "encoder.layer.1",
        Grid("tokens", 5, 5, 1),
        CLASS,
    ),
    "Hugging Face DINOv2, registers": Case(
        _vit("Dinov2WithRegisters", 70, 14, num_register_tokens=4),
        70,
        "dinov2_with_registers.layernorm",
        Grid("tokens", 5, 5, 5),
        (*CLASS, *REGISTERS),
    ),
    "Hugging Face Swin": Case(
        _hugging_face("SwinForImageClassification", "SwinConfig", window_size=4, **SWIN),
        64,
        "swin.layernorm",
        Grid("tokens", 4, 4),
    ),
    "Hugging Face Swin V2": Case(
        _hugging_face("Swinv2ForImageClassification", "Swinv2Config", window_size=4, **SWIN),
        64,
        "swinv2.layernorm",
        Grid("tokens", 4, 4),
    ),
    "Hugging Face ConvNeXt": Case(
        _hugging_face(
            "ConvNextForImageClassification",
            "ConvNextConfig",
            depths=[1, 1, 2, 1],
            hidden_sizes=[8, 8, 16, 24],
        ),
        64,
        "convnext.encoder.stages.3",
        Grid("channels_first", 2, 2),
    ),
    "Hugging Face CLIP": Case(
        _hugging_face(
            "CLIPVisionModelWithProjection",
            "CLIPVisionConfig",
            image_size=64,
            patch_size=16,
            projection_dim=6,
            **TINY,
        ),
        64,
        "vision_model.encoder.layers.1",
        Grid("tokens", 4, 4, 1),
        CLASS,
    ),
}


def build(name: str, dtype: torch.dtype = torch.float32) -> ImageModel:
    """Return a network by its name; parts that start at 0, such as layer scales, get other weights."""
    case = CASES[name]
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        network = case.make().eval()
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.abs().max() < 1e-3:
                    parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        return ImageModel(network.to(dtype), size=case.size, name=name)


def photographs(model: ImageModel, count: int = 2) -> torch.Tensor:
    """Return random images of the size of a network."""
    return torch.rand(count, 3, *model.size, generator=torch.Generator().manual_seed(1))
