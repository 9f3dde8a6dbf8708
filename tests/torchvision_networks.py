"""Networks of the kinds that torchvision has, as small as their kind allows."""

import torch
import torchvision
from torch import nn
from torchvision.models import resnet, vgg


def vgg11_bn(classes):
    """Build a VGG of 11 narrow layers; its own linear layers have a hundred million weights."""
    with torch.device("meta"):
        network = vgg.VGG(nn.Identity(), init_weights=False)
    network.features = vgg.make_layers(
        [16, "M", 32, "M", 64, 64, "M", 64, 64, "M", 64, 64, "M"], batch_norm=True
    )
    network.classifier = nn.Sequential(
        nn.Linear(64 * 49, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, 64), nn.ReLU(True), nn.Dropout(),
        nn.Linear(64, classes),
    )  # fmt: skip
    return network


def densenet(classes):
    """Build a DenseNet of four narrow blocks of two layers."""
    return torchvision.models.DenseNet(8, (2, 2, 2, 2), 16, num_classes=classes)


def googlenet(classes):
    """Build a GoogLeNet; its own way to draw weights takes long."""
    return torchvision.models.googlenet(weights=None, num_classes=classes, init_weights=False)


#: By name, given the number of classes. The first stage of a ResNet has a skip without a layer.
BUILDERS = {
    "vgg11_bn": vgg11_bn,
    "resnet": lambda classes: torchvision.models.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=classes),
    "bottleneck": lambda classes: torchvision.models.ResNet(
        resnet.Bottleneck, [2, 1, 1, 1], num_classes=classes
    ),
    "densenet": densenet,
    "googlenet": googlenet,
    "mobilenet_v2": lambda classes: torchvision.models.mobilenet_v2(num_classes=classes, width_mult=0.5),
}
