"""Compared work: ours, the bare passes that it needs, and the same work by other libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed import peers
from benchmarks.speed.measure import Work
from benchmarks.speed.networks import Setting, pass_to_layer, passes
from xai_widgets import inverse, perturbation, similarity
from xai_widgets.data import photograph, photographs, scenes
from xai_widgets.methods import METHODS
from xai_widgets.metrics import deletion
from xai_widgets.studies import AttributionKey, AttributionStudy

Of = Callable[[Setting], Work]
#: Aims: a one-pass method over its passes, one of many passes over its passes, the fastest peer over ours.
ONE_PASS, MANY_PASSES, FASTER = 1.05, 1.1, 1.3


@dataclass(frozen=True)
class Row:
    """A piece of work.

    Attributes
    ----------
    ours : callable
        Our work, of a setting.
    bare : callable
        The passes without which it cannot be done, by the torch module itself.
    aim : float
        The largest time of ours, in that of ``bare``.
    faster : float
        The least time of the fastest peer, in that of ours; 0 if none is aimed at.
    peers : mapping of str to callable
        The same work by others.
    networks : tuple of str
        Networks that it is measured on; all of them if empty.
    rounds : int
        Rounds at most, for long work.
    """

    ours: Of
    bare: Of
    aim: float
    faster: float = 0.0
    peers: Mapping[str, Of] = field(default_factory=dict)
    networks: tuple[str, ...] = ()
    rounds: int = 99


def method(name: str, **options: Any) -> Of:
    """Return the work of a registered method."""
    return lambda s: lambda: METHODS[name](s.model, s.x, s.target, **options)


def one_pass(setting: Setting) -> Work:
    return passes(setting, 1, batch=1, gradient=True)


def with_reference(setting: Setting) -> Work:
    """Return the work of DeepLIFT: a forward and a backward pass of an image, and a forward pass of its reference."""
    image, reference = one_pass(setting), passes(setting, 1, batch=1, gradient=False)
    return lambda: (reference(), image())


def many(number: Callable[[Setting], int], *, gradient: bool) -> Of:
    """Return passes of so many images, in the batches in which they are fastest."""
    return lambda s: passes(s, number(s), batch=s.gradient_batch if gradient else s.batch, gradient=gradient)


def samples(setting: Setting) -> int:
    return setting.samples


def more_samples(setting: Setting) -> int:
    return 4 * setting.samples


def windows(setting: Setting) -> int:
    return (setting.x.shape[-1] // setting.window) ** 2


def integrated_gradients(s: Setting) -> Work:
    return lambda: METHODS["integrated_gradients"](s.model, s.x, s.target, steps=s.samples)


def smoothgrad(s: Setting) -> Work:
    return lambda: METHODS["smoothgrad"](s.model, s.x, s.target, samples=s.samples)


def gradient_shap(s: Setting) -> Work:
    references = torch.cat([torch.zeros_like(s.x), torch.ones_like(s.x)])
    return lambda: METHODS["gradient_shap"](s.model, s.x, s.target, references=references, samples=s.samples)


def occlusion(s: Setting) -> Work:
    return lambda: perturbation.occlusion(s.model, s.x, s.target, window=s.window, stride=s.window).result(
        progress=False
    )


def rise(s: Setting) -> Work:
    return lambda: perturbation.rise(s.model, s.x, s.target, masks=4 * s.samples).result(progress=False)


def surrogate(name: str) -> Of:
    """Return the work of LIME or KernelSHAP."""
    return lambda s: (
        lambda: getattr(perturbation, name)(
            s.model, s.x, s.target, segments=s.segments[None], samples=4 * s.samples, fill=0.0
        ).result(progress=False)
    )


def curve(s: Setting) -> Work:
    order = peers.order_of(s)
    return lambda: deletion(s.model, s.x, order, s.target, steps=4 * s.samples).result(progress=False)


def lambdas(values: tuple[float, ...]) -> Of:
    """Return the layer-wise inverse at some lambda."""
    return lambda s: lambda: inverse.layer_wise(s.model, s.x, s.target, lam=values).result(progress=False)


def ten_images(s: Setting) -> Tensor:
    if s.name.startswith("scenes"):
        return s.model.images([scenes.scene(n, split="test").image for n in range(10)])
    names = photographs()
    return s.model.images([photograph(names[n % len(names)]) for n in range(10)])


#: Methods that an explorer may show beside each other.
EIGHT = (
    "gradient", "gradient_x_input", "grad_cam", "grad_cam_plus_plus", "guided_grad_cam", "linear_approximation",
    "norm_grad", "selective_norm_grad",
)  # fmt: skip


def eight_methods(s: Setting) -> Work:
    keys = [AttributionKey(name, 0, int(s.target)) for name in EIGHT]
    return lambda: AttributionStudy(s.model, s.x, EIGHT).compute(keys, progress=False)


def eight_passes(s: Setting) -> Work:
    return passes(s, len(EIGHT), batch=1, gradient=True)


def ten_similar(s: Setting) -> Work:
    x = ten_images(s)
    return lambda: similarity.activation_grids(s.model, x, s.layer).result(progress=False)


CAMS = {
    "Captum": peers.captum("LayerGradCam", layer=True),
    "pytorch-grad-cam": peers.grad_cam("GradCAM"),
    "torchcam": peers.torchcam("GradCAM"),
}
ROWS: dict[str, Row] = {
    "gradient": Row(
        method("gradient"), one_pass, ONE_PASS, 0, {"Captum": peers.captum("Saliency", abs=False)}
    ),
    "gradient_x_input": Row(
        method("gradient_x_input"), one_pass, ONE_PASS, 0, {"Captum": peers.captum("InputXGradient")}
    ),
    "guided_backprop": Row(
        method("guided_backprop"), one_pass, ONE_PASS, 0,
        {"Captum": peers.captum("GuidedBackprop"), "pytorch-grad-cam": peers.grad_cam_guided},
    ),
    "deconvnet": Row(
        method("deconvnet"), one_pass, ONE_PASS, 0, {"Captum": peers.captum("Deconvolution")}
    ),
    "grad_cam": Row(method("grad_cam"), pass_to_layer, ONE_PASS, 0, CAMS),
    "grad_cam_plus_plus": Row(
        method("grad_cam_plus_plus"), pass_to_layer, ONE_PASS, 0,
        {"pytorch-grad-cam": peers.grad_cam("GradCAMPlusPlus"), "torchcam": peers.torchcam("GradCAMpp")},
    ),
    "linear_approximation": Row(
        method("linear_approximation"), pass_to_layer, ONE_PASS, 0,
        {"Captum": peers.captum("LayerGradientXActivation", layer=True)},
    ),
    "excitation_backprop": Row(method("excitation_backprop"), one_pass, ONE_PASS),
    "lrp, epsilon_plus": Row(
        method("lrp", composite="epsilon_plus"), one_pass, ONE_PASS, 0, {"zennit": peers.zennit_lrp}
    ),
    "deep_lift": Row(
        method("deep_lift"), with_reference, MANY_PASSES, 0, {"Captum": peers.captum("DeepLift", baselines=0.0)}
    ),
    "integrated_gradients": Row(
        integrated_gradients, many(samples, gradient=True), MANY_PASSES, FASTER,
        {"Captum": peers.captum_integrated_gradients},
    ),
    "smoothgrad": Row(
        smoothgrad, many(samples, gradient=True), MANY_PASSES, FASTER, {"Captum": peers.captum_smoothgrad}
    ),
    "gradient_shap": Row(
        gradient_shap, many(samples, gradient=True), MANY_PASSES, FASTER,
        {"Captum": peers.captum_gradient_shap},
    ),
    "rise": Row(rise, many(more_samples, gradient=False), MANY_PASSES, FASTER),
    "lime": Row(
        surrogate("lime"), many(more_samples, gradient=False), MANY_PASSES, FASTER,
        {"Captum": peers.captum_surrogate("Lime")},
    ),
    "kernel_shap": Row(
        surrogate("kernel_shap"), many(more_samples, gradient=False), MANY_PASSES, FASTER,
        {"Captum": peers.captum_surrogate("KernelShap")},
    ),
    "occlusion": Row(
        occlusion, many(windows, gradient=False), MANY_PASSES, FASTER, {"Captum": peers.captum_occlusion}
    ),
    "deletion curve": Row(
        curve, many(more_samples, gradient=False), MANY_PASSES, FASTER,
        {"Quantus": peers.quantus_deletion},
    ),
    "eight methods of an explorer": Row(
        eight_methods, eight_passes, 1.0,
        networks=("efficientnet_lite0", "resnet50", "vgg16", "scenes_vgg", "scenes_resnet"),
    ),
    "similarity of ten images": Row(ten_similar, many(lambda _s: 10, gradient=False), 1.2),
    "inverse, 5 lambda over 1": Row(
        lambdas((0.0, 0.2, 0.4, 0.6, 0.8)), lambdas((0.4,)), 1.5,
        networks=("efficientnet_lite0", "scenes_vgg", "scenes_resnet"), rounds=2,
    ),
}  # fmt: skip
