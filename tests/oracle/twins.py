"""Networks for comparisons, and their twins in which every nonlinearity is a module of its own."""

import copy
import operator
from functools import cache

import skimage.data
import torch
import torch.nn.functional as F
from torch import fx, nn
from torchvision_networks import BUILDERS

import xai_widgets
from xai_widgets.core.images import to_images
from xai_widgets.core.model import ImageModel

RANDOM = {"vgg11_bn": 64, "resnet": 64, "googlenet": 64}
CLASSES = 20
BUNDLED = ["scenes_vgg", "scenes_resnet"]
NETWORKS = [*RANDOM, *BUNDLED]


@cache
def photographs(size):
    """Two photographs, (2, 3, size, size) in [0, 1]."""
    return to_images([skimage.data.astronaut()[:256, 100:356], skimage.data.cat()], size=(size, size))


@cache
def model_of(name):
    """One of NETWORKS as an ImageModel."""
    if name in BUNDLED:
        return xai_widgets.load(name)
    network = BUILDERS[name](CLASSES)
    return ImageModel(
        calibrated(network, RANDOM[name]),
        size=RANDOM[name],
        mean=[0.485, 0.456, 0.406],
        std=[0.229, 0.224, 0.225],
    )


def calibrated(network, size, seed=0):
    """Random weights with biases, and running statistics that fit images: no layer dies and none explodes.

    Without biases a ReLU network is homogeneous, its gradient the same along the whole path from black, and integrated
    gradients would equal gradient x input: a comparison could not fail.
    """
    generator = torch.Generator().manual_seed(seed)
    network = copy.deepcopy(network)

    def normal(parameter, spread):
        parameter.copy_(torch.empty_like(parameter).normal_(generator=generator) * spread)

    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                normal(part.weight, (2 / part.weight[0].numel()) ** 0.5)
                if part.bias is not None:
                    normal(part.bias, 0.1)
            if isinstance(part, nn.BatchNorm2d):
                normal(part.bias, 0.3)
                # None: the mean over all passes below.
                part.momentum = None
        batch = torch.cat([photographs(size), torch.rand(6, 3, size, size, generator=generator)])
        network.train()
        for shift in range(3):
            network((batch.roll(shift * 7, -1) - 0.45) / 0.225)
    return network.eval()


# -- twins ------------------------------------------------------------------------------------------------


class MaxPool(nn.Module):
    """A max-pool with settings given by a call of the function."""

    def __init__(self, *args, **kwargs):
        super().__init__()
        self.settings = args, kwargs

    def forward(self, x):
        return F.max_pool2d(x, *self.settings[0], **self.settings[1])


def _replacement(node, network):
    """Return the module that replaces a call, or None."""
    if node.op == "call_module":
        module = network.get_submodule(node.target)
        if isinstance(module, nn.ReLU):
            return nn.ReLU()
        return copy.deepcopy(module) if isinstance(module, nn.MaxPool2d) else None
    if (node.op == "call_function" and node.target in (F.relu, torch.relu, torch.relu_)) or (
        node.op == "call_method" and node.target in ("relu", "relu_")
    ):
        return nn.ReLU()
    if node.op == "call_function" and node.target is F.max_pool2d:
        return MaxPool(*node.args[1:], **node.kwargs)
    return None


def twin_of(network):
    """The same computation with the same weights; every ReLU and max-pool a module, used once, not in place."""
    graph = fx.Tracer().trace(network)
    modules = {}
    for n, node in enumerate(list(graph.nodes)):
        if node.target is operator.iadd:
            node.target = operator.add
        made = _replacement(node, network)
        if made is not None:
            modules[name := f"nonlinearity_{n}"] = made
            first = node.args[0] if node.args else node.kwargs["input"]
            with graph.inserting_after(node):
                # Not linked to the old node by anything but its uses.
                new = graph.create_node("call_module", name, (first,))
            node.replace_all_uses_with(new)
            graph.erase_node(node)
    parts = {node.target: network.get_submodule(node.target) for node in graph.nodes
             if node.op == "call_module" and node.target not in modules}  # fmt: skip
    attributes = {
        node.target: operator.attrgetter(node.target)(network)
        for node in graph.nodes
        if node.op == "get_attr"
    }
    return fx.GraphModule({**parts, **attributes, **modules}, graph).eval()


def rewrapped(model, network):
    """Another network behind the same normalization and labels."""
    mean, std = model.mean.flatten().tolist(), model.std.flatten().tolist()
    return ImageModel(network, size=model.size, mean=mean, std=std, labels=model.labels)


@cache
def pair_of(name, dtype=torch.float32):
    """One of NETWORKS in single or double precision, and its twin."""
    model = model_of(name)
    if dtype != torch.float32:
        model = rewrapped(model, copy.deepcopy(model.module).to(dtype))
    return model, rewrapped(model, twin_of(model.module))
