"""Attribution methods against Captum's: the same network, inputs and draws, in turn in one process on one thread.

    python benchmarks/bench_attribution.py [--rounds 5] [--only gradient ...]

Captum is measured twice, given our ImageModel (the same passes: what differs is the method), and given the bare network
on normalized pixels, as its users call it. What is timed is CPU time. For each method the results are compared:
the largest difference is given as a share of the largest value.
ReLUs that run in place or several times are made modules of their own for those methods of Captum that need it.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import captum.attr as ca
import numpy as np
import torch
from captum.attr._utils import lrp_rules as ca_rules
from torch import Tensor, nn

import xai_widgets as xw
from xai_widgets import attribution as ours
from xai_widgets.attribution.expected import draws
from xai_widgets.attribution.lrp_rules import Epsilon
from xai_widgets.data import scenes
from xai_widgets.methods import METHODS

BATCH, STEPS, SAMPLES, SIGMA = 4, 20, 12, 0.15
Explain = Callable[[], Tensor]


@dataclass(frozen=True)
class Setting:
    """A network with ``BATCH`` images, and what Captum is given of it."""

    name: str
    model: xw.ImageModel
    twin: nn.Module
    x: Tensor
    target: Tensor
    layer: str

    @classmethod
    def of(cls, name: str) -> Setting:
        if name == "scenes_vgg":
            model = xw.load(name, device="cpu")
            x = model.images([scenes.scene(n, split="test").image for n in range(BATCH)])
        else:
            from torchvision.models import resnet18

            torch.manual_seed(0)
            model = xw.ImageModel(
                resnet18(weights=None).eval(),
                size=224,
                mean=[0.485, 0.456, 0.406],
                std=[0.229, 0.224, 0.225],
                device="cpu",
            )
            x = torch.rand(BATCH, 3, 224, 224)
        return cls(name, model, separated(model.module), x, model.targets(None, x), model.default_layer())

    def rivals(self, separate: bool) -> dict[str, tuple[nn.Module, nn.Module, Tensor]]:
        """What Captum explains: the network, where its layers are found, and the images that it takes."""
        module = self.twin if separate else self.model.module
        mean, std = (part.flatten().tolist() for part in (self.model.mean, self.model.std))
        wrapped = self.model
        if separate:
            wrapped = xw.ImageModel(module, size=self.model.size, mean=mean, std=std, device="cpu")
        return {
            "same": (wrapped, module, self.x),
            "bare": (nn.Sequential(Normalize(self.model.mean, self.model.std), module), module, self.x),
        }


class Normalize(nn.Module):
    """Pixels to what the network takes."""

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.mean, self.std = mean.clone(), std.clone()

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def separated(network: nn.Module) -> nn.Module:
    """A copy in which every ReLU is a module that runs once and not in place."""
    network = copy.deepcopy(network)
    for part in list(network.modules()):
        if type(part).__name__ == "BasicBlock":
            part.second = nn.ReLU()
            part.forward = types.MethodType(_block, part)  # type: ignore[method-assign]
        if isinstance(part, nn.ReLU):
            part.inplace = False
    return network.eval()


def _block(block: nn.Module, x: Tensor) -> Tensor:
    made = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x)))))
    return block.second(made + (x if block.downsample is None else block.downsample(x)))


# -- the methods: ours, and Captum's for a network, its layers and images -------------------------------------


Theirs = Callable[[Setting, nn.Module, nn.Module, Tensor], Tensor]


@dataclass(frozen=True)
class Pair:
    """A method of both."""

    title: str
    own: Callable[[Setting], Tensor]
    theirs: Theirs
    separate: bool = False
    only: str = ""


def pixels(explain: Callable[..., object], **options: object) -> Theirs:
    """A method of Captum that takes a network and images."""
    return lambda s, net, _layers, x: explain(net).attribute(x, target=s.target, **options)  # type: ignore[attr-defined]


def at_layer(explain: Callable[..., object], **options: object) -> Theirs:
    """A method of Captum that takes a layer too."""
    return lambda s, net, layers, x: explain(net, layers.get_submodule(s.layer)).attribute(  # type: ignore[attr-defined]
        x, target=s.target, **options
    )


def own(name: str, **options: object) -> Callable[[Setting], Tensor]:
    """A method of ours."""
    method = METHODS[name]
    return lambda s: method(s.model, s.x, s.target, **options)


def noise_like(x: Tensor, generator: torch.Generator) -> Tensor:
    """The noise that ours draws: the same for every image, copy by copy; (N * SAMPLES, C, H, W)."""
    return torch.stack([torch.randn(x.shape[1:], generator=generator) for _ in range(SAMPLES)]).repeat(
        len(x), 1, 1, 1
    )


def smooth_grad(s: Setting, net: nn.Module, _layers: nn.Module, x: Tensor) -> Tensor:
    spread = SIGMA * (x.amax((1, 2, 3)) - x.amin((1, 2, 3))).repeat_interleave(SAMPLES)
    noise = noise_like(x, torch.Generator().manual_seed(0)) * spread.view(-1, 1, 1, 1)
    with patch.object(torch, "normal", lambda _mean, _std: noise):
        return ca.NoiseTunnel(ca.Saliency(net)).attribute(
            x, nt_type="smoothgrad", nt_samples=SAMPLES, target=s.target, abs=False
        )


def references(x: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(x[:1]), torch.ones_like(x[:1]), 1 - x[:1]])


def gradient_shap(s: Setting, net: nn.Module, _layers: nn.Module, x: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    which, alphas = (np.tile(part, len(x)) for part in draws(3, SAMPLES, generator))
    noise = noise_like(x, generator)
    with (
        patch.object(np.random, "choice", lambda *_a, **_k: which),
        patch.object(np.random, "uniform", lambda *_a, **_k: alphas),
        patch.object(torch, "normal", lambda _mean, std: noise * std),
    ):
        return ca.GradientShap(net).attribute(
            x, references(x), n_samples=SAMPLES, stdevs=SIGMA, target=s.target
        )


def lrp(s: Setting, _net: nn.Module, layers: nn.Module, x: Tensor) -> Tensor:
    # It has rules for some modules only: the normalization cannot be one of its layers.
    for part in layers.modules():
        if isinstance(part, nn.Flatten):
            part.rule = ca_rules.EpsilonRule()  # type: ignore[assignment]
    return ca.LRP(layers).attribute((x - s.model.mean) / s.model.std, target=s.target)


def occlusion(s: Setting, net: nn.Module, _layers: nn.Module, x: Tensor) -> Tensor:
    side, stride = window(s)
    made = ca.Occlusion(net).attribute(
        x,
        (3, side, side),
        strides=(3, stride, stride),
        target=s.target,
        baselines=0.5,
        perturbations_per_eval=8,
    )
    return made[:, :1]


def window(s: Setting) -> tuple[int, int]:
    """Side and stride of windows that fill the image."""
    return (16, 8) if s.x.shape[-1] == 96 else (32, 32)


PAIRS = {
    "gradient": Pair("Saliency", own("gradient"), pixels(ca.Saliency, abs=False)),
    "gradient_x_input": Pair("InputXGradient", own("gradient_x_input"), pixels(ca.InputXGradient)),
    "deconvnet": Pair("Deconvolution", own("deconvnet"), pixels(ca.Deconvolution), separate=True),
    "guided_backprop": Pair(
        "GuidedBackprop", own("guided_backprop"), pixels(ca.GuidedBackprop), separate=True
    ),
    "integrated_gradients": Pair(
        "IntegratedGradients",
        own("integrated_gradients", steps=STEPS),
        pixels(ca.IntegratedGradients, n_steps=STEPS, method="riemann_right"),
    ),
    "integrated_gradients, batches of 16": Pair(
        "IntegratedGradients, internal_batch_size=16",
        own("integrated_gradients", steps=STEPS),
        pixels(ca.IntegratedGradients, n_steps=STEPS, method="riemann_right", internal_batch_size=16),
    ),
    "smoothgrad": Pair("NoiseTunnel(Saliency)", own("smoothgrad", samples=SAMPLES, sigma=SIGMA), smooth_grad),
    "gradient_shap": Pair(
        "GradientShap",
        lambda s: ours.gradient_shap(
            s.model, s.x, s.target, references=references(s.x), samples=SAMPLES, sigma=SIGMA
        ),
        gradient_shap,
    ),
    "deep_lift": Pair("DeepLift", own("deep_lift"), pixels(ca.DeepLift), separate=True),
    "lrp": Pair("LRP", own("lrp", composite=Epsilon(1e-9)), lrp, separate=True, only="scenes_vgg"),
    "grad_cam": Pair("LayerGradCam", own("grad_cam"), at_layer(ca.LayerGradCam, relu_attributions=True)),
    "guided_grad_cam": Pair(
        "GuidedGradCam",
        own("guided_grad_cam"),
        at_layer(ca.GuidedGradCam, interpolate_mode="bilinear"),
        separate=True,
    ),
    "linear_approximation": Pair(
        "LayerGradientXActivation", own("linear_approximation"), at_layer(ca.LayerGradientXActivation)
    ),
    "occlusion": Pair(
        "Occlusion",
        lambda s: METHODS["occlusion"](s.model, s.x, s.target, window=window(s)[0], stride=window(s)[1]),
        occlusion,
    ),
}


# -- measuring ------------------------------------------------------------------------------------------------


@contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def seconds(explain: Explain, at_least: float = 0.3) -> float:
    """CPU time of one call, of as many as make up a while."""
    start, calls = time.process_time(), 0
    while calls == 0 or time.process_time() - start < at_least:
        explain()
        calls += 1
    return (time.process_time() - start) / calls


def compare(setting: Setting, name: str, pair: Pair, rounds: int) -> str:
    """A line of the table."""
    explains: dict[str, Explain] = {"ours": lambda: pair.own(setting)}
    for key, rival in setting.rivals(pair.separate).items():
        if name == "lrp" and key == "same":
            continue
        explains[key] = lambda rival=rival: pair.theirs(setting, *rival)  # type: ignore[misc]
    # The first calls also warm up.
    made = {key: explain().detach() for key, explain in explains.items()}
    apart = {
        key: ((made["ours"] - other).abs().max() / other.abs().max()).item() for key, other in made.items()
    }
    times: dict[str, list[float]] = {key: [] for key in explains}
    for number in range(rounds):
        for key in list(explains) if number % 2 else list(explains)[::-1]:
            times[key].append(seconds(explains[key]))
    cells = [f"{statistics.median(times['ours']) * 1e3:.0f} ms"]
    for key in ("same", "bare"):
        if key not in times:
            cells += ["-", "-"]
            continue
        ratios = [mine / other for mine, other in zip(times["ours"], times[key], strict=True)]
        cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        cells.append(f"{apart[key]:.0e}")
    return f"| `{name}` | {pair.title} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(PAIRS), default=list(PAIRS))
    parser.add_argument("--networks", nargs="+", default=["scenes_vgg", "resnet18"])
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with one_thread():
        for network in given.networks:
            setting = Setting.of(network)
            print(f"\n{network}, {BATCH} images of {setting.x.shape[-1]} pixels\n")
            print(
                "| ours | Captum's | ours takes | / Captum's, same ImageModel | / Captum's, bare network | apart |"
            )
            print("|---|---|---|---|---|---|", flush=True)
            for name in given.only:
                if PAIRS[name].only in ("", network):
                    print(compare(setting, name, PAIRS[name], given.rounds), flush=True)


if __name__ == "__main__":
    main()
