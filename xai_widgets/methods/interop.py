"""Interop: objects of Captum, zennit and pytorch-grad-cam as explainers.

Objects are recognized by the package of their class, so none of these libraries is imported. Each is called as its
documentation describes, in eval mode and with gradients enabled. The input is pixels if the object was created for an
:class:`~xai_widgets.core.model.ImageModel`, and normalized values if it was created for the module in it. Hooks that an
object keeps on the network, and random numbers that it draws, are not managed here.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from xai_widgets.core.arguments import dtype_of
from xai_widgets.core.guard import outside_inference
from xai_widgets.core.model import ImageModel
from xai_widgets.methods.gradients import score_gradient

#: Returns a map for an ImageModel, pixels (N, C, H, W) and class indices (N,).
Explain = Callable[..., Any]

#: Display names of the packages.
LIBRARIES = {"captum": "Captum", "zennit": "zennit", "pytorch_grad_cam": "pytorch-grad-cam"}


def adapt(given: Any) -> tuple[str, Explain] | None:
    """Return a title and an explain function for an object of one of these libraries; None for any other object.

    Raises
    ------
    TypeError
        For a class instead of an object, and for objects that do not return a map for a class score.
    """
    if isinstance(given, type):
        library = LIBRARIES.get(_package(given))
        if library is not None:
            raise TypeError(
                f"expected a method as an object, got the class {given.__name__} of {library}; try "
                f"{given.__name__}(...)"
            )
        return None
    kinds = {(_package(kind), kind.__name__) for kind in type(given).__mro__}
    if ("captum", "NeuronAttribution") in kinds:
        raise TypeError(
            f"expected a method that explains a class, such as Saliency, got {type(given).__name__} of Captum, which "
            "explains a neuron"
        )
    adapters: dict[tuple[str, str], Callable[[Any], tuple[str, Explain]]] = {
        ("captum", "Attribution"): _captum,
        ("zennit", "Composite"): _composite,
        ("zennit", "Attributor"): _attributor,
        ("pytorch_grad_cam", "BaseCAM"): _cam,
    }
    for kind, adapter in adapters.items():
        if kind in kinds:
            return adapter(given)
    if _package(type(given)) in LIBRARIES:
        raise TypeError(
            "expected a method as an attribution of Captum, a composite or an attributor of zennit, or a CAM of "
            f"pytorch-grad-cam, such as GradCAM, got {type(given).__name__} of {LIBRARIES[_package(type(given))]}"
        )
    return None


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _captum(given: Any) -> tuple[str, Explain]:
    """Adapt an attribution of Captum: ``given.attribute(x, target=target)``."""
    name = type(given).__name__
    inner = getattr(given, "attribution_method", None)
    title = f"{name} of {type(inner).__name__} (Captum)" if inner is not None else f"{name} (Captum)"
    parameters = inspect.signature(given.attribute).parameters.values()
    classes = any(each.name == "target" or each.kind == each.VAR_KEYWORD for each in parameters)
    by_gradient = "GradientAttribution" in {kind.__name__ for kind in type(inner or given).__mro__}

    def explain(model: ImageModel, x: Tensor, target: Tensor, **options: Any) -> Tensor:
        with _calling(model, given.forward_func, x, title) as inputs:
            # Gradient methods would set it themselves, with a warning; the others would keep a graph of all passes.
            inputs.requires_grad_(by_gradient)
            result = given.attribute(inputs, **({"target": target.clone()} if classes else {}), **options)
        result = result[0] if isinstance(result, tuple) and len(result) == 1 else result
        if not isinstance(result, Tensor) or result.ndim < 3:
            shape = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise ValueError(
                f"expected a map (N, C, h, w) of {title}, such as that of a spatial layer, got {shape} for {len(x)} "
                "images"
            )
        return result

    return title, explain


def _composite(given: Any) -> tuple[str, Explain]:
    """Adapt a composite of zennit: the gradient with respect to the normalized values under its rules."""
    title = f"{type(given).__name__} (zennit)"

    def explain(model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
        if given.handles:
            raise ValueError(
                f"expected a composite that is not in use, got {title}, registered to a network already"
            )
        with _calling(model, model.module, x, title, direct=False), given.context(model.module):
            gradient = score_gradient(model, x, target)
        return gradient * model.std

    return title, explain


def _attributor(given: Any) -> tuple[str, Explain]:
    """Adapt an attributor of zennit: ``given(x, output)`` with 1 for the class, or its score for an occlusion."""
    name = type(given).__name__
    title = (
        f"{name} (zennit)"
        if given.composite is None
        else f"{name} by {type(given.composite).__name__} (zennit)"
    )
    occludes = "Occlusion" in {kind.__name__ for kind in type(given).__mro__}

    def explain(model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
        def start(output: Tensor) -> Tensor:
            one = torch.zeros_like(output).scatter(1, target.clone()[:, None], 1.0)
            return one * output if occludes else one

        with _calling(model, given.model, x, title) as inputs:
            attribution: Tensor = given(inputs, start)[1]
        return attribution

    return title, explain


def _cam(given: Any) -> tuple[str, Explain]:
    """Adapt a CAM of pytorch-grad-cam: ``given(x, targets=[ClassifierOutputTarget(c), ...])``."""
    title = f"{type(given).__name__} (pytorch-grad-cam)"

    def explain(model: ImageModel, x: Tensor, target: Tensor, **options: Any) -> Any:
        class_target = importlib.import_module("pytorch_grad_cam.utils.model_targets").ClassifierOutputTarget
        with _calling(model, given.model, x, title) as inputs:
            # The layers need a gradient even if all parameters of the network are frozen.
            inputs.requires_grad_()
            targets = [class_target(index) for index in target.tolist()]
            return given(input_tensor=inputs, targets=targets, **options)

    return title, explain


@contextmanager
def _calling(
    model: ImageModel, network: Any, x: Tensor, title: str, *, direct: bool = True
) -> Iterator[Tensor]:
    """Yield the input of ``network``, the model or the module in it, for pixels, and restore its state afterwards.

    An object that was created for the module runs the module itself, which is in eval mode inside the block. With
    ``direct`` it selects the class in the output of the module, which has no scores of targets.
    """
    if network is not model and network is not model.module:
        name = type(network).__name__ if isinstance(network, nn.Module) else f"a {type(network).__name__}"
        raise ValueError(
            f"expected {title} for the ImageModel of {model.name} or its .module, got one created for {name}"
        )
    if model.target_scores is not None and network is model.module and direct:
        raise ValueError(
            f"expected {title} created for an ImageModel with targets, which returns their scores, got one created for "
            f"the module of {model.name}; for a callable create it for model.with_target(callable)"
        )
    # The caller may be inside no_grad() or inference_mode().
    with outside_inference(), torch.enable_grad():
        # Some objects call backward(), which changes the gradients of the parameters.
        kept = [(parameter, parameter.grad) for parameter in model.module.parameters()]
        modes = [(part, part.training) for part in model.module.modules()] if network is model.module else []
        try:
            for part, _ in modes:
                part.training = False
            for parameter, _ in kept:
                parameter.grad = None
            pixels = x.detach().clone()
            if network is model.module:
                pixels = ((pixels - model.mean) / model.std).to(dtype_of(model.module))
            yield pixels
        finally:
            for part, training in modes:
                part.training = training
            for parameter, gradient in kept:
                parameter.grad = gradient
