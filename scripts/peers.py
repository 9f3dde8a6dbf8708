"""Results of other libraries where a network is not as they expect it, beside ours.

The table of docs/topics.md, by ``python scripts/peers.py``: torchvision's resnet18 and a small network, both with
random weights, and a photograph.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import captum.attr
import skimage.data
import torch
import torch.nn.functional as F
import torchvision
import zennit.attribution
import zennit.composites
from torch import Tensor, nn

from xai_widgets.core.images import to_images
from xai_widgets.core.model import ImageModel
from xai_widgets.methods import METHODS

SIZE, CLASS = 96, 3


def resnet18() -> ImageModel:
    """Residual blocks, whose one in-place ReLU is called twice, and an overlapping max-pool."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18(weights=None, num_classes=20)
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight)
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.bias, 0, 0.1)
    return ImageModel(network.eval(), size=SIZE, device="cpu")


class Functional(nn.Module):
    """A convolutional network as many write it: ReLU is a function."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc = nn.Linear(32, 20)

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return self.fc(F.relu(self.conv2(x)).mean((2, 3)))


def functional() -> ImageModel:
    """That network."""
    torch.manual_seed(0)
    return ImageModel(Functional().eval(), size=SIZE, device="cpu")


def said(compute: Callable[[], float | str]) -> str:
    """A number, or the first line of what was raised."""
    try:
        made = compute()
    except Exception as error:  # a peer may raise whatever it likes
        return f"raises {type(error).__name__}: {str(error).partition(chr(10))[0][:60]}"
    return made if isinstance(made, str) else f"{made:.4g}"


def total(attribution: Tensor) -> float:
    """The sum of an attribution."""
    return attribution.sum().item()


def zennit_lrp(model: ImageModel, x: Tensor) -> Tensor:
    """Epsilon for linear layers and z+ for convolutions, without a canonizer."""
    scores = model(x).detach()
    composite = zennit.composites.EpsilonPlus()
    with zennit.attribution.Gradient(model.module, composite) as attributor:
        start = torch.zeros_like(scores)
        start[0, CLASS] = scores[0, CLASS]
        return attributor(x, start)[1]


def gradient_in_disguise(made: Tensor, model: ImageModel, x: Tensor) -> str:
    """Whether an attribution is the plain gradient."""
    plain = METHODS["gradient"](model, x, CLASS)
    return "the plain gradient, unsaid" if torch.allclose(made, plain, rtol=1e-4) else "its own map"


def rows() -> list[tuple[str, str, str, str]]:
    """What was asked for, what is right, theirs, ours."""
    x = to_images([skimage.data.astronaut()[:256, 100:356]], size=(SIZE, SIZE))
    net, plain = resnet18(), functional()
    score = model_score(net, x)
    change = score - model_score(net, torch.zeros_like(x))
    black = torch.zeros_like(x)

    def ours(name: str, model: ImageModel, **options: str) -> Tensor:
        return METHODS[name](model, x, CLASS, **options)

    def theirs(method: type, model: ImageModel, **options: Tensor) -> Tensor:
        return method(model.module).attribute(x.clone(), target=CLASS, **options)

    return [
        (
            "LRP of resnet18, sum", f"score {score:.4g}",
            f"Captum: {said(lambda: total(theirs(captum.attr.LRP, net)))}; "
            f"zennit without a canonizer: {said(lambda: total(zennit_lrp(net, x)))}",
            said(lambda: total(ours("lrp", net, composite="epsilon_plus"))),
        ),
        (
            "DeepLIFT of resnet18, sum", f"change of the score {change:.4g}",
            f"Captum: {said(lambda: total(theirs(captum.attr.DeepLift, net, baselines=black)))}",
            said(lambda: total(ours("deep_lift", net))),
        ),
        (
            "DeepLIFT with F.relu, sum", f"change of the score {model_score(plain, x) - model_score(plain, black):.4g}",
            f"Captum: {said(lambda: total(theirs(captum.attr.DeepLift, plain, baselines=black)))}",
            said(lambda: total(ours("deep_lift", plain))),
        ),
        (
            "Guided backprop with F.relu", "relu(g) at each ReLU",
            "Captum: "
            + said(lambda: gradient_in_disguise(theirs(captum.attr.GuidedBackprop, plain), plain, x)),
            said(lambda: gradient_in_disguise(ours("guided_backprop", plain), plain, x)),
        ),
    ]  # fmt: skip


def model_score(model: ImageModel, x: Tensor) -> float:
    """The score of the class."""
    return model.scores(x)[0, CLASS].item()


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    warnings.simplefilter("ignore")
    print("| asked for | right | others | `xai_widgets` |\n|---|---|---|---|")
    for row in rows():
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
