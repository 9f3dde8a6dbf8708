"""The networks of the tables: those of torchvision for ImageNet, and fully convolutional ones for VOC and COCO.

A network of VOC or COCO has one output for each of 20 or 80 classes. For images of any aspect ratio it is applied
convolutionally, and the scores of a class are averaged over the positions. Its file is a state dict of torchvision's
network, or the file of TorchRay (Fong et al. 2019), converted from the Caffe networks of Zhang et al. 2016, which is
recognized by its keys: other names, channels in the order blue, green, red, inputs from 0 to 255 minus a mean, strides
in the first convolution of a block, and max-pooling that rounds up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

import xai_widgets
from xai_widgets.core.model import ImageModel
from xai_widgets.zoo.files import load_state, read_state

#: Normalization of torchvision's weights, and of the networks of Caffe in the order red, green, blue.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEAN, CAFFE_STD = tuple(value / 255 for value in (123.68, 116.779, 103.939)), (1 / 255,) * 3
#: Weights of torchvision that are those of the time of the sources.
PUBLISHED = "IMAGENET1K_V1"


def bare(name: str, classes: int) -> nn.Module:
    """Return a network of torchvision with random weights and without auxiliary heads."""
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "transform_input": False, "init_weights": False}
    network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=classes, **options)
    return network.eval()


def weights_of(weights: Mapping[str, str], name: str) -> str:
    """Return the weights that are given for a network: "torchvision", "random", a path, or "" if there are none.

    A folder stands for its file whose name begins with that of the network, such as ``vgg16_voc-b050e8c3.pth.tar`` or
    ``vgg16-397923af.pth``.
    """
    given = weights.get(name, weights.get("", ""))
    if not Path(given).is_dir() or not given:
        return given
    pattern = re.compile(rf"{re.escape(name)}(_google|-owt)?[-.].*(pth|pt|safetensors|tar)$")
    files = sorted(str(file) for file in Path(given).iterdir() if pattern.match(file.name))
    return files[0] if files else ""


def imagenet_network(
    weights: Mapping[str, str], name: str, size: int, *, whole: bool = False, classes: int = 1000
) -> ImageModel | None:
    """Return a network of ImageNet; None without weights.

    Parameters
    ----------
    weights : mapping
        See `Setup`.
    name : str
        Name in torchvision.
    size : int
        Side of the images, which are resized to 256 / 224 of it and cropped.
    whole : bool
        Whether images are resized to a square without a crop, so that boxes stay whole.
    classes : int
        Number of classes of a network with random weights.
    """
    given = weights_of(weights, name)
    if not given:
        return None
    resize: Any = (size, size) if whole else math.ceil(size * 256 / 224)
    labels = None
    if given == "random":
        torch.manual_seed(0)
        network, mean, std = bare(name, classes), MEAN, STD
    else:
        loaded = xai_widgets.load(name, weights=PUBLISHED if given == "torchvision" else given)
        network, labels = loaded.module, loaded.labels
        mean, std = (tuple(part.flatten().tolist()) for part in (loaded.mean, loaded.std))
    return ImageModel(network, labels=labels, mean=mean, std=std, size=size, resize=resize, name=name)


def object_network(
    weights: Mapping[str, str], name: str, dataset: str, classes: int, size: int
) -> ImageModel | None:
    """Return a network of VOC or COCO, fully convolutional, in the file of ``name_dataset``; None without weights.

    Raises
    ------
    ValueError
        For a file of another number of classes, or the weights of torchvision, which have the classes of ImageNet.
    """
    given = weights_of(weights, f"{name}_{dataset}")
    if not given or given == "torchvision":
        return None
    title = f"{name}_{dataset}"
    caffe = False
    torch.manual_seed(0)
    network = bare(name, classes)
    if given != "random":
        state = read_state(given)
        caffe = "classifier.2.weight" in state or "conv1.bias" in state
        if caffe:
            state = from_caffe(state)
            as_in_caffe(network)
        load_state(network, state, source=given, name=title)
    if hasattr(network, "classifier") and hasattr(network, "features"):
        network = FullyConvolutional(network)
    mean, std = (CAFFE_MEAN, CAFFE_STD) if caffe else (MEAN, STD)
    model = ImageModel(network.eval(), mean=mean, std=std, size=size, activation="sigmoid", name=title)
    return model


class FullyConvolutional(nn.Module):
    """A VGG whose linear layers are convolutions; the scores are averaged over the positions.

    The modules have the names of torchvision's VGG. Images need at least the size that the VGG was built for.
    """

    def __init__(self, vgg: Any) -> None:
        super().__init__()
        self.features = vgg.features
        side = vgg.avgpool.output_size
        side = side if isinstance(side, int) else side[0]
        layers: list[nn.Module] = []
        for layer in vgg.classifier:
            if not isinstance(layer, nn.Linear):
                layers.append(layer)
                continue
            kernel = 1 if any(isinstance(each, nn.Conv2d) for each in layers) else side
            convolution = nn.Conv2d(layer.in_features // kernel**2, layer.out_features, kernel)
            convolution.weight.data = layer.weight.data.view_as(convolution.weight)
            convolution.bias.data = layer.bias.data
            layers.append(convolution)
        self.classifier = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores (N, classes)."""
        return self.pool(self.classifier(self.features(x))).flatten(1)


def from_caffe(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the entries of a file of TorchRay under the names of torchvision, with channels red, green, blue."""
    renamed = {}
    for key, value in state.items():
        # Its VGG has no dropout layers, its ResNet a scale layer after each batch norm.
        name = re.sub(r"^classifier\.([24])\.", lambda m: f"classifier.{int(m[1]) * 3 // 2}.", key)
        name = re.sub(r"(bn\d|downsample\.\d)\.[01]\.", r"\1.", name)
        if name in ("features.0.weight", "conv1.weight"):
            value = value.flip(1)
        if name.startswith("classifier.") and name.endswith("weight"):
            value = value.flatten(1)
        renamed[name] = value
    return renamed


def as_in_caffe(network: Any) -> None:
    """Change a VGG or ResNet of torchvision in place to the layout of the networks of Caffe."""
    if hasattr(network, "conv1"):
        first = network.conv1
        network.conv1 = nn.Conv2d(
            first.in_channels, first.out_channels, first.kernel_size, first.stride, first.padding
        )
        network.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
        for stage in (network.layer2, network.layer3, network.layer4):
            stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    for part in network.modules():
        if isinstance(part, nn.MaxPool2d):
            part.ceil_mode = True
