"""Networks on which every explainer is tried: torchvision, timm, transformers, and networks written in unusual ways.

All have random weights and ten classes at most. Batch-norm is calibrated on photographs, and layers that are
initialized to zero get values, so that activations and gradients are alive.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from xai_widgets.data import photograph
from xai_widgets.images import to_images

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = 10
#: Not square, so that rows and columns that are exchanged are noticed.
SIZE = (64, 96)
PHOTOGRAPHS = ("cat", "coffee", "rocket", "astronaut", "motorcycle", "retina", "tissue", "hubble")


@dataclass(frozen=True)
class Entry:
    """A network to be tried: its group, how it is made, the size of its images, and options of ``ImageModel``."""

    group: str
    make: Callable[[], nn.Module]
    size: tuple[int, int] = SIZE
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def missing(self) -> bool:
        """Whether the package that the network comes from is not installed."""
        return self.group != "unusual" and importlib.util.find_spec(self.group) is None


#: Every network, by name.
NETWORKS: dict[str, Entry] = {}


def pictures(size: tuple[int, int]) -> Tensor:
    """Return eight photographs, (8, 3, H, W) in [0, 1]."""
    return torch.cat([to_images(photograph(name), size=size) for name in PHOTOGRAPHS])


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
        x = (pictures(size) - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
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
        scale = 2 / scores.std(0).mean().clamp(min=1e-6)
        part.weight *= scale
        if part.bias is not None:
            part.bias.sub_(scores.mean(0)).mul_(scale)


def build(name: str) -> nn.Module:
    """Return the network of this name, in eval mode."""
    torch.manual_seed(0)
    entry = NETWORKS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = entry.make()
        return network.eval() if entry.group == "unusual" else enliven(network, entry.size)


# -- torchvision ------------------------------------------------------------------------------------------------


def _torchvision(name: str, *, size: tuple[int, int] = SIZE, **options: Any) -> None:
    def make() -> nn.Module:
        from torchvision import models

        made: nn.Module = models.get_model(name, weights=None, num_classes=CLASSES, **options)
        return made

    NETWORKS[f"torchvision {name}"] = Entry("torchvision", make, size)


for _name in (
    "alexnet", "densenet121", "efficientnet_b0", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf",
    "regnet_y_400mf", "resnet18", "resnet50", "shufflenet_v2_x0_5", "squeezenet1_1", "vgg11_bn",
):  # fmt: skip
    _torchvision(_name)
for _name in ("googlenet", "inception_v3"):
    _torchvision(_name, size=(96, 128), init_weights=False, aux_logits=False)


def _small(make: str) -> Callable[[], nn.Module]:
    """Return what makes a small network of torchvision's class by one of the functions below."""

    def made() -> nn.Module:
        from torchvision import models

        if make == "convnext":
            stages = [models.convnext.CNBlockConfig(24, 48, 2), models.convnext.CNBlockConfig(48, None, 2)]
            return models.ConvNeXt(stages, num_classes=CLASSES)
        if make.startswith("swin"):
            v2 = make == "swin_v2"
            block = models.swin_transformer.SwinTransformerBlockV2 if v2 else None
            merging = models.swin_transformer.PatchMergingV2 if v2 else models.swin_transformer.PatchMerging
            return models.SwinTransformer(
                [4, 4], 24, [2, 2], [2, 4], [4, 4], num_classes=CLASSES, block=block, downsample_layer=merging
            )
        if make == "maxvit":
            return models.MaxVit(
                (64, 64), 16, 2, [16, 32], [1, 2], 8, 0.0, num_classes=CLASSES
            )  # grid of 16 and 8
        return models.VisionTransformer(64, 8, 4, 4, 48, 96, num_classes=CLASSES)

    return made


for _name, _size in {
    "convnext": SIZE,
    "swin": SIZE,
    "swin_v2": SIZE,
    "maxvit": (64, 64),
    "vit": (64, 64),
}.items():
    NETWORKS[f"torchvision {_name} (small)"] = Entry("torchvision", _small(_name), _size)


# -- timm -------------------------------------------------------------------------------------------------------


def _timm(name: str, *, size: tuple[int, int] = SIZE, **options: Any) -> None:
    def make() -> nn.Module:
        import timm

        made: nn.Module = timm.create_model(name, pretrained=False, num_classes=CLASSES, **options)
        return made

    NETWORKS[f"timm {name}"] = Entry("timm", make, size)


for _name in (
    "convnextv2_atto", "dla34", "edgenext_xx_small", "fastvit_t8", "ghostnetv2_100", "mobilenetv4_conv_small",
    "nf_resnet26", "poolformer_s12", "pvt_v2_b0", "regnety_002", "repvgg_a0", "resnet18d", "seresnet18", "skresnet18",
    "tf_efficientnet_lite0",
):  # fmt: skip
    _timm(_name)
_timm("mobilevit_xxs", size=(64, 64))
for _name in ("vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "vit_small_patch14_dinov2"):
    _timm(
        _name,
        size=(56, 84) if "14" in _name else SIZE,
        img_size=(56, 84) if "14" in _name else SIZE,
        embed_dim=96,
        depth=4,
    )
_timm("mixer_s16_224", size=(64, 64), img_size=64, num_blocks=3)
_timm(
    "swin_tiny_patch4_window7_224", size=(56, 56), img_size=56, embed_dim=24, depths=(2, 2), num_heads=(2, 4)
)
_timm("xcit_nano_12_p8_224", depth=3)
_timm("levit_128s", size=(224, 224))


# -- transformers -----------------------------------------------------------------------------------------------

_PARTS = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96}
_CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "ViT": {**_PARTS, "image_size": 64, "patch_size": 8},
    "DeiT": {**_PARTS, "image_size": 64, "patch_size": 8},
    "Beit": {**_PARTS, "image_size": 64, "patch_size": 8, "use_relative_position_bias": True},
    "Dinov2": {
        "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 64, "patch_size": 8
    },
    "Swin": {
        "image_size": 64, "patch_size": 4, "embed_dim": 24, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4
    },
    "ConvNext": {"num_stages": 2, "hidden_sizes": [24, 48], "depths": [2, 2]},
    "ResNet": {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"},
}  # fmt: skip


def _transformers(name: str, values: dict[str, Any]) -> None:
    def make() -> nn.Module:
        import transformers

        config = getattr(transformers, f"{name}Config")(num_labels=CLASSES, **values)
        made: nn.Module = getattr(transformers, f"{name}ForImageClassification")(config)
        return made

    size = (64, 64) if "image_size" in values else SIZE
    NETWORKS[f"transformers {name} (small)"] = Entry("transformers", make, size)


for _name, _values in _CONFIGURATIONS.items():
    _transformers(_name, _values)


# -- unusual ----------------------------------------------------------------------------------------------------


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
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.LazyLinear(CLASSES))


def _each_convolution(change: Callable[[nn.Module], nn.Module]) -> nn.Module:
    network = alive(Usual())
    for part in (network.one, network.two, network.head):
        change(part)  # type: ignore[arg-type]
    return network


def _trained(network: nn.Module) -> nn.Module:
    """Return the network in train mode with frozen parameters: neither may change."""
    return network.requires_grad_(False).train()


def alive(network: nn.Module) -> nn.Module:
    """Return the network with calibrated batch-norm."""
    return enliven(network, SIZE)


_SIGMOID = {"activation": "sigmoid"}
UNUSUAL: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
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
for _name, (_make, _options) in UNUSUAL.items():
    NETWORKS[_name] = Entry("unusual", _make, SIZE, _options)
