"""How the work grows with its amount."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.speed.measure import Work
from benchmarks.speed.networks import Setting
from xai_widgets import inverse, perturbation, similarity
from xai_widgets.methods import METHODS


def _method(setting: Setting, name: str, **options: Any) -> Work:
    return lambda: METHODS[name](setting.model, setting.x, setting.target, **options)


def image_size(setting: Setting, number: int) -> Work:
    return _method(Setting.of(setting.name, number), "gradient")


def batch(setting: Setting, number: int) -> Work:
    x, target = setting.x.repeat(number, 1, 1, 1), setting.target.repeat(number)
    return lambda: METHODS["gradient"](setting.model, x, target)


def steps(setting: Setting, number: int) -> Work:
    return _method(setting, "integrated_gradients", steps=number)


def areas(setting: Setting, number: int) -> Work:
    chosen = [0.4 * (k + 1) / number for k in range(number)]
    return lambda: perturbation.extremal(setting.model, setting.x, setting.target, areas=chosen).result(
        progress=False
    )


def lambdas(setting: Setting, number: int) -> Work:
    chosen = [0.8 * (k + 1) / number for k in range(number)]
    return lambda: inverse.layer_wise(setting.model, setting.x, setting.target, lam=chosen).result(
        progress=False
    )


def classes(setting: Setting, number: int) -> Work:
    targets = setting.model.scores(setting.x)[0].topk(number).indices
    x = setting.x.expand(number, -1, -1, -1)
    return lambda: METHODS["gradient"](setting.model, x, targets)


def layers(setting: Setting, number: int) -> Work:
    spatial = [layer.name for layer in setting.model.layers() if layer.grid is not None and layer.used]
    return lambda: similarity.activation_grids(setting.model, setting.x, spatial[-number:]).result(
        progress=False
    )


#: By quantity: the work, the network and the amounts.
GROWTH: dict[str, tuple[Callable[[Setting, int], Work], str, tuple[int, ...]]] = {
    "image size, gradient": (image_size, "efficientnet_lite0", (112, 224, 448)),
    "images, gradient": (batch, "efficientnet_lite0", (1, 4, 16)),
    "classes, gradient": (classes, "efficientnet_lite0", (1, 4, 16)),
    "steps, integrated gradients": (steps, "efficientnet_lite0", (8, 16, 32)),
    "areas, extremal masks": (areas, "scenes_vgg", (1, 3, 10)),
    "lambda, layer-wise inverse": (lambdas, "scenes_vgg", (1, 2, 5)),
    "layers, similarity": (layers, "efficientnet_lite0", (1, 3, 9)),
}
