"""Objects of Captum, zennit and pytorch-grad-cam as explainers.

They are known by where their class is from, so none of these libraries is imported. Each is called as its own
documentation says, in eval mode and with gradients allowed, and has either pixels or normalized values for input,
whichever the network takes that it was made for: an :class:`~xai_widgets.core.model.ImageModel`, or the module in it.
Hooks that an object keeps on the network for as long as it lives, and random numbers that it draws, are its own.
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

#: Makes a map of an ImageModel, pixels (N, C, H, W) and class indices (N,).
Explain = Callable[..., Any]

#: What people call the packages, by the names under which they are imported.
LIBRARIES = {"captum": "Captum", "zennit": "zennit", "pytorch_grad_cam": "pytorch-grad-cam"}


def adapt(given: Any) -> tuple[str, Explain] | None:
    """The title and the call of an object of one of these libraries; None for what is of none of them.

    Raises
    ------
    TypeError
        For a class in place of an object, and objects that explain no class score by a map.
    """
    if isinstance(given, type):
        library = LIBRARIES.get(_package(given))
        if library is not None:
            raise TypeError(
                f"a method is the class {given.__name__} of {library}, wanted an object: {given.__name__}(...)"
            )
        return None
    kinds = {(_package(kind), kind.__name__) for kind in type(given).__mro__}
    if ("captum", "NeuronAttribution") in kinds:
        raise TypeError(
            f"a method is {type(given).__name__} of Captum, for one neuron, wanted one that explains a class, "
            "such as Saliency"
        )
    makers: dict[tuple[str, str], Callable[[Any], tuple[str, Explain]]] = {
        ("captum", "Attribution"): _captum,
        ("zennit", "Composite"): _composite,
        ("zennit", "Attributor"): _attributor,
        ("pytorch_grad_cam", "BaseCAM"): _cam,
    }
    for kind, make in makers.items():
        if kind in kinds:
            return make(given)
    if _package(type(given)) in LIBRARIES:
        raise TypeError(
            f"a method is {type(given).__name__} of {LIBRARIES[_package(type(given))]}, wanted an attribution of "
            "Captum, a composite or an attributor of zennit, or a CAM of pytorch-grad-cam, such as GradCAM"
        )
    return None


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _captum(given: Any) -> tuple[str, Explain]:
    """``given.attribute(x, target=target)``; of a method for a layer, its own layer."""
    name = type(given).__name__
    inner = getattr(given, "attribution_method", None)
    title = f"{name} of {type(inner).__name__} (Captum)" if inner is not None else f"{name} (Captum)"
    parameters = inspect.signature(given.attribute).parameters.values()
    classes = any(each.name == "target" or each.kind == each.VAR_KEYWORD for each in parameters)
    by_gradient = "GradientAttribution" in {kind.__name__ for kind in type(inner or given).__mro__}

    def explain(model: ImageModel, x: Tensor, target: Tensor, **options: Any) -> Tensor:
        with _calling(model, given.forward_func, x, title) as inputs:
            # It would do so itself, with a warning; and the others would keep a graph of all their passes.
            inputs.requires_grad_(by_gradient)
            made = given.attribute(inputs, **({"target": target.clone()} if classes else {}), **options)
        made = made[0] if isinstance(made, tuple) and len(made) == 1 else made
        if not isinstance(made, Tensor) or made.ndim < 3:
            shape = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise ValueError(
                f"{title} returned {shape} for {len(x)} images, wanted a map (N, C, h, w), as of a layer with places"
            )
        return made

    return title, explain


def _composite(given: Any) -> tuple[str, Explain]:
    """The gradient of the score with respect to the normalized values, with the rules of the composite."""
    title = f"{type(given).__name__} (zennit)"

    def explain(model: ImageModel, x: Tensor, target: Tensor) -> Tensor:
        if given.handles:
            raise ValueError(f"{title} is registered to a network already, wanted one that is not in use")
        with _calling(model, model.module, x, title), given.context(model.module):
            gradient = score_gradient(model, x, target)
        return gradient * model.std

    return title, explain


def _attributor(given: Any) -> tuple[str, Explain]:
    """``given(x, output)``, with 1 for the class, or for an occlusion with its score."""
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
            made: Tensor = given(inputs, start)[1]
        return made

    return title, explain


def _cam(given: Any) -> tuple[str, Explain]:
    """``given(x, targets=[ClassifierOutputTarget(c), ...])``."""
    title = f"{type(given).__name__} (pytorch-grad-cam)"

    def explain(model: ImageModel, x: Tensor, target: Tensor, **options: Any) -> Any:
        of_class = importlib.import_module("pytorch_grad_cam.utils.model_targets").ClassifierOutputTarget
        with _calling(model, given.model, x, title) as inputs:
            # A gradient has to reach the layers even if every parameter of the network is frozen.
            inputs.requires_grad_()
            return given(input_tensor=inputs, targets=[of_class(each) for each in target.tolist()], **options)

    return title, explain


@contextmanager
def _calling(model: ImageModel, network: Any, x: Tensor, title: str) -> Iterator[Tensor]:
    """What ``network``, the model or the module in it, takes for pixels; with the network left as it is at the end.

    An object that was made for the module runs the module itself, so that it is in eval mode meanwhile.
    """
    if network is not model and network is not model.module:
        name = type(network).__name__ if isinstance(network, nn.Module) else f"a {type(network).__name__}"
        raise ValueError(
            f"{title} was made for {name}, which is neither the ImageModel of {model.name} that it is asked about nor "
            "its .module, wanted one made for one of them"
        )
    # The caller may be inside no_grad() or inference_mode().
    with outside_inference(), torch.enable_grad():
        # Some call backward(), which writes into the gradients of the parameters.
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
