"""The same work by other libraries, called as their documentation does, on the network behind its normalization.

Batches are those in which the bare network is fastest, where a library lets them be chosen.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.speed.measure import Work
from benchmarks.speed.networks import Setting

#: Distributions by the name under which a peer is listed.
PEERS = {
    "Captum": "captum", "pytorch-grad-cam": "grad-cam", "torchcam": "torchcam", "zennit": "zennit",
    "Quantus": "quantus", "xplique": "xplique", "TorchRay": "torchray",
}  # fmt: skip


def versions() -> dict[str, str]:
    """Return the version of each peer; "" if it is not installed."""
    found = {}
    for name, distribution in PEERS.items():
        try:
            found[name] = version(distribution)
        except PackageNotFoundError:
            found[name] = ""
    return found


def captum(name: str, *, layer: bool = False, **options: Any) -> Callable[[Setting], Work]:
    """Return the work of an attribution of Captum."""

    def of(setting: Setting) -> Work:
        import captum.attr

        kind = getattr(captum.attr, name)
        given = (setting.bare, setting.module.get_submodule(setting.layer)) if layer else (setting.bare,)
        target = int(setting.target)
        return lambda: kind(*given).attribute(setting.x.clone(), target=target, **options)

    return of


def captum_integrated_gradients(setting: Setting) -> Work:
    import captum.attr

    return lambda: captum.attr.IntegratedGradients(setting.bare).attribute(
        setting.x.clone(), target=int(setting.target), n_steps=setting.samples, method="riemann_right",
        internal_batch_size=setting.gradient_batch,
    )  # fmt: skip


def captum_smoothgrad(setting: Setting) -> Work:
    import captum.attr

    def work() -> Tensor:
        tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(setting.bare))
        return tunnel.attribute(
            setting.x.clone(), nt_type="smoothgrad", nt_samples=setting.samples, stdevs=0.05, abs=False,
            nt_samples_batch_size=min(setting.samples, setting.gradient_batch), target=int(setting.target),
        )  # fmt: skip

    return work


def captum_gradient_shap(setting: Setting) -> Work:
    import captum.attr

    baselines = torch.cat([torch.zeros_like(setting.x), torch.ones_like(setting.x)])
    return lambda: captum.attr.GradientShap(setting.bare).attribute(
        setting.x.clone(), baselines, n_samples=setting.samples, stdevs=0.05, target=int(setting.target)
    )


def captum_occlusion(setting: Setting) -> Work:
    import captum.attr

    side = setting.window
    return lambda: captum.attr.Occlusion(setting.bare).attribute(
        setting.x, (3, side, side), strides=(3, side, side), target=int(setting.target), baselines=0.5,
        perturbations_per_eval=setting.batch,
    )  # fmt: skip


def captum_surrogate(name: str) -> Callable[[Setting], Work]:
    """Return the work of LIME or KernelSHAP on the same segments."""

    def of(setting: Setting) -> Work:
        import captum.attr

        kind = getattr(captum.attr, name)
        return lambda: kind(setting.bare).attribute(
            setting.x, target=int(setting.target), feature_mask=setting.segments[None, None],
            n_samples=4 * setting.samples, perturbations_per_eval=setting.batch,
        )  # fmt: skip

    return of


def grad_cam(name: str) -> Callable[[Setting], Work]:
    """Return the work of a CAM of pytorch-grad-cam."""

    def of(setting: Setting) -> Work:
        import pytorch_grad_cam
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        layer = setting.module.get_submodule(setting.layer)
        tokens = setting.name.startswith("vit")
        targets = [ClassifierOutputTarget(int(setting.target))]

        def work() -> np.ndarray:
            reshape = _grid if tokens else None
            with getattr(pytorch_grad_cam, name)(setting.module, [layer], reshape_transform=reshape) as cam:
                return cam(setting.given.clone(), targets=targets)

        return work

    return of


def _grid(tokens: Tensor) -> Tensor:
    side = int((tokens.shape[1] - 1) ** 0.5)
    return tokens[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)


def torchcam(name: str) -> Callable[[Setting], Work]:
    """Return the work of a CAM of torchcam."""

    def of(setting: Setting) -> Work:
        from torchcam import methods

        layer = setting.module.get_submodule(setting.layer)

        def work() -> Any:
            with getattr(methods, name)(setting.module, layer) as cam:
                return cam(int(setting.target), setting.module(setting.given.requires_grad_()))

        return work

    return of


def grad_cam_guided(setting: Setting) -> Work:
    from pytorch_grad_cam import GuidedBackpropReLUModel

    def work() -> Any:
        return GuidedBackpropReLUModel(setting.module, "cpu")(
            setting.given.clone(), target_category=int(setting.target)
        )

    return work


def zennit_lrp(setting: Setting) -> Work:
    import zennit.canonizers
    import zennit.composites

    if setting.name == "resnet50":
        import zennit.torchvision

        canonizer: Any = zennit.torchvision.ResNetCanonizer()
    else:
        canonizer = zennit.canonizers.SequentialMergeBatchNorm()

    def work() -> Tensor:
        composite = zennit.composites.EpsilonPlus(canonizers=[canonizer])
        x = setting.given.clone().requires_grad_()
        with composite.context(setting.module) as network:
            scores = network(x)
            start = torch.zeros_like(scores)
            start[0, setting.target] = scores[0, setting.target].detach()
            (relevance,) = torch.autograd.grad(scores, x, start)
        return relevance

    return work


def quantus_deletion(setting: Setting) -> Work:
    import quantus

    # No step of whole pixels passes its check of 224 x 224 pixels in three channels.
    quantus.helpers.asserts.assert_features_in_step = lambda **_: None
    side = setting.x.shape[-1]
    metric = quantus.PixelFlipping(
        features_in_step=3 * side * side // (4 * setting.samples), perturb_baseline=0.0, normalise=False,
        disable_warnings=True,
    )  # fmt: skip
    given, target = setting.given.numpy(), setting.target.numpy()
    order = order_of(setting)[:, None].numpy()

    def work() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return metric(
                model=setting.module, x_batch=given.copy(), y_batch=target, a_batch=order, device="cpu",
                softmax=True,
            )  # fmt: skip

    return work


def order_of(setting: Setting) -> Tensor:
    """Return a map without ties, (1, H, W)."""
    side = setting.x.shape[-1]
    generator = torch.Generator().manual_seed(0)
    return torch.randperm(side * side, generator=generator).view(1, side, side).float()
