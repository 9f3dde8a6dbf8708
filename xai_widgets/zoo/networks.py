"""The two bundled classifiers, small enough to train on two CPU cores and to explain in seconds.

Both take (batch, 3, 96, 96) normalized images of `xai_widgets.data.scenes` and return (batch, 12) scores.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

#: Side of the training images in pixels.
SIZE = 96
#: Normalization of pixels in [0, 1], per color channel.
MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)


def _vgg_stage(channels: tuple[int, ...], batch_norm: bool) -> nn.Sequential:
    """Build convolutions of kernel size 3 with ReLU, followed by a max-pool that halves the side."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (before, after) in enumerate(pairwise(channels), 1):
        layers[f"conv{i}"] = nn.Conv2d(before, after, 3, padding=1)
        if batch_norm:
            layers[f"norm{i}"] = nn.BatchNorm2d(after)
        layers[f"relu{i}"] = nn.ReLU()
    layers["pool"] = nn.MaxPool2d(2)
    return nn.Sequential(layers)


def scenes_vgg(num_classes: int = 12, *, batch_norm: bool = False) -> nn.Sequential:
    """Build a plain network of convolutions, ReLU, max-pools and two linear layers.

    Parameters
    ----------
    num_classes : int, default 12
        Number of scores.
    batch_norm : bool, default False
        Whether to add batch-norm after each convolution, for training; `fold` removes it.

    Returns
    -------
    torch.nn.Sequential
        Stages ``stage1`` ... ``stage5`` and ``head``; images must be 96 x 96.
    """
    # Multiples of 16: other widths halve the speed of bf16 convolutions on CPUs.
    stages = [(3, 16), (16, 32, 32), (32, 64, 64), (64, 96, 96), (96, 128)]
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        (f"stage{i}", _vgg_stage(channels, batch_norm)) for i, channels in enumerate(stages, 1)
    )
    layers["flatten"] = nn.Flatten()
    layers["head"] = nn.Sequential(
        OrderedDict(
            hidden=nn.Linear(128 * (SIZE // 32) ** 2, 128), relu=nn.ReLU(), scores=nn.Linear(128, num_classes)
        )
    )
    return nn.Sequential(layers)


def fold(network: nn.Sequential) -> nn.Sequential:
    """Fold the batch-norm of a trained `scenes_vgg` into its convolutions.

    Parameters
    ----------
    network : torch.nn.Sequential
        A network built with ``batch_norm=True``; it is not changed.

    Returns
    -------
    torch.nn.Sequential
        A new network without batch-norm in eval mode, equal to `network` in eval mode up to rounding.
    """
    last: nn.Linear = network.get_submodule("head.scores")  # type: ignore[assignment]
    plain = scenes_vgg(last.out_features)
    plain.load_state_dict(network.state_dict(), strict=False)
    source = dict(deepcopy(network).eval().named_modules())
    for name, module in plain.named_modules():
        if isinstance(module, nn.Conv2d):
            fused = fuse_conv_bn_eval(source[name], source[name.replace("conv", "norm")])
            module.load_state_dict(fused.state_dict())
    return plain.eval()


class ResidualBlock(nn.Module):
    """Two convolutions with batch-norm, added in place to a skip connection.

    One in-place ReLU module is called twice, like in the residual networks of torchvision.
    """

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.skip = nn.Sequential(
                OrderedDict(conv=nn.Conv2d(before, after, 1, stride, bias=False), norm=nn.BatchNorm2d(after))
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, before, h, w) to (batch, after, h / stride, w / stride)."""
        out = self.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        out += self.skip(x)
        return self.relu(out)


def scenes_resnet(num_classes: int = 12) -> nn.Sequential:
    """Build a residual network with batch-norm and global average pooling, for images of at least 64 pixels.

    Parameters
    ----------
    num_classes : int, default 12
        Number of scores.

    Returns
    -------
    torch.nn.Sequential
        ``stem``, stages ``stage1`` ... ``stage4`` of residual blocks, ``pool``, ``flatten`` and ``head``.
    """
    stem = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 32, 5, 2, 2, bias=False), norm=nn.BatchNorm2d(32), relu=nn.ReLU(inplace=True)
        )
    )
    return nn.Sequential(
        OrderedDict(
            stem=stem,
            stage1=nn.Sequential(ResidualBlock(32, 32)),
            stage2=nn.Sequential(ResidualBlock(32, 48, 2), ResidualBlock(48, 48)),
            stage3=nn.Sequential(ResidualBlock(48, 80, 2), ResidualBlock(80, 80)),
            stage4=nn.Sequential(ResidualBlock(80, 128, 2)),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            head=nn.Linear(128, num_classes),
        )
    )


#: Name of a bundled network -> function that builds it.
BUILDERS: dict[str, Callable[..., nn.Sequential]] = {"scenes_vgg": scenes_vgg, "scenes_resnet": scenes_resnet}

#: Name of a network that was trained on permuted labels -> the bundled network of the same architecture.
PERMUTED = {f"{name}_permuted": name for name in BUILDERS}


def build(name: str, *, seed: int = 0) -> nn.Sequential:
    """Build a bundled network in eval mode, with random weights that depend on `seed` only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BUILDERS[PERMUTED.get(name, name)]().eval()
