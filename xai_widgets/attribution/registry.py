"""The registry of attribution methods, and the form in which foreign ones join it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from xai_widgets.attribution.foreign import adapt
from xai_widgets.errors import tell, unknown
from xai_widgets.guard import guarded
from xai_widgets.model import ImageModel, Target, check_model
from xai_widgets.validation import brief

#: Makes the (N, H, W) map of an attribution (N, C, H, W).
Reduce = Callable[[Tensor], Tensor]


def max_abs(attribution: Tensor) -> Tensor:
    """Maximum over channels of the absolute value (Simonyan et al. 2014)."""
    return attribution.abs().amax(1)


def channel_sum(attribution: Tensor) -> Tensor:
    """Signed sum over channels."""
    return attribution.sum(1)


def abs_sum(attribution: Tensor) -> Tensor:
    """Absolute value of the sum over channels."""
    return attribution.sum(1).abs()


@dataclass(frozen=True)
class Cost:
    """Passes of one image through the network, for a class that is given.

    Attributes
    ----------
    forward, backward : int, default 1
        Those that are made once.
    each : str, default ""
        What others are made for: an option that says how many there are, or in words.
    forward_each, backward_each : int, default 0
        Those that are made for each of them.
    note : str, default ""
        What it depends on besides.
    """

    forward: int = 1
    backward: int = 1
    each: str = ""
    forward_each: int = 0
    backward_each: int = 0
    note: str = field(default="", kw_only=True)

    def passes(self, times: int = 0) -> tuple[int, int]:
        """Forward and backward passes, for so many of ``each``."""
        return self.forward + times * self.forward_each, self.backward + times * self.backward_each

    def __str__(self) -> str:
        def words(once: int, each: int) -> str:
            many = f"{each} x {self.each}" if each > 1 else self.each
            return f"{many} + {once}" if each and once else many if each else str(once)

        forward, backward = words(self.forward, self.forward_each), words(self.backward, self.backward_each)
        return f"{forward} forward, {backward} backward" + (f"; {self.note}" if self.note else "")


#: One forward and one backward pass.
ONE_PASS = Cost()


@dataclass(frozen=True)
class Method:
    """An attribution method: call it as ``method(model, x, target, *, ...)``.

    Attributes
    ----------
    function : callable
        ``function(model, x, target, **options)`` for a batch of pixels (N, C, H, W) and class indices (N,), both
        tensors and not checked again: a tensor (N, C, H, W) in input or layer resolution.
    name : str
        Its name in the registry.
    title : str
        Its name as people write it.
    reduce : callable
        Makes the (N, H, W) saliency map that the method's source draws.
    source : str
        Where the method is from.
    formula : str
        What it computes, in one line: x the pixels, S_c the score of the class, x' a baseline, a and g the activation
        of a layer and the gradient of the score there.
    cost : Cost, optional
        In passes through the network, with the default options. None: unknown.
    promises : str
        What its values sum to, or otherwise are held to; "none" for nothing.
    limits : str
        Which networks it refuses, and what it is known to get wrong.
    """

    function: Callable[..., Tensor]
    name: str
    title: str
    reduce: Reduce = channel_sum
    source: str = field(default="", repr=False)
    formula: str = field(default="", repr=False)
    cost: Cost | None = field(default=None, repr=False)
    promises: str = field(default="none", repr=False)
    limits: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        # The instance is frozen; help() and inspect.signature() are to show the function.
        object.__setattr__(self, "__doc__", self.function.__doc__)
        object.__setattr__(self, "__wrapped__", self.function)

    @guarded
    def __call__(self, model: ImageModel, x: Any, target: Target = None, **options: Any) -> Tensor:
        """Attribute the score of a class.

        Parameters
        ----------
        model : ImageModel
            The network; it is never changed.
        x
            Images of any kind, N of them; see :func:`xai_widgets.images.to_images`.
        target : int, str, sequence or Tensor, optional
            A class index or label, or one per image. Default: the predicted class.
        **options
            Those of the method.

        Returns
        -------
        Tensor, (N, C, H, W)
            Signed, in input or layer resolution, on the model's device. Of a method that promises a sum it has an
            attribute ``gap``, (N,): its sum less what is promised.
        """
        check_model(model)
        x, target = model.prepare(x, target)
        try:
            made = self.function(model, x, target, **options)
        except RuntimeError as error:
            raise _refusal(error, self.title, model) or error from error.__cause__
        check_map(made, self.title, model)
        return made

    def saliency(self, model: ImageModel, x: Any, target: Target = None, **options: Any) -> Tensor:
        """The (N, H, W) map of the method, H and W those of the input or of the layer."""
        return self.reduce(self(model, x, target, **options))


#: What torch says of a network that has no backward pass, and of one whose weights were changed meanwhile.
_NO_BACKWARD = {
    "use_reentrant=True": "expected checkpoint() with use_reentrant=False, got the form without a gradient",
    "derivative for": "expected operations that can be differentiated, got one that has no derivative",
    "modified by an inplace operation": "expected weights at rest, got some that were changed during the pass",
}


def _refusal(error: RuntimeError, title: str, model: ImageModel) -> ValueError | None:
    """Return a refusal in one sentence for an error of torch that says what the network does not allow."""
    reason = next((reason for said, reason in _NO_BACKWARD.items() if said in str(error)), None)
    return None if reason is None else ValueError(f"{title} cannot be computed for {model.name}: {reason}")


def check_map(made: Tensor, title: str, model: ImageModel) -> None:
    """Refuse maps that are not finite, and warn where one shows nothing: it is all zero, or the same everywhere.

    Parameters
    ----------
    made : Tensor, (N, C, h, w)
        The maps.
    title : str
        The method.
    model : ImageModel
        The network.
    """
    if not made.numel() or made.is_meta:
        return
    low, high = (bound.item() for bound in made.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(
            f"expected a finite map of {title} for {model.name}, got NaN or infinite values; so may its scores be"
        )
    zero, constant = (made == 0).flatten(1).all(1), _constant(made)
    if zero.any():
        reason = "no gradient or activation" if zero.all() else "nothing in favor of the class"
        tell(f"the map of {title} for {model.name}{_which(zero)} is 0 everywhere: {reason} reaches it")
    elif made.ndim == 4 and made[0, 0].numel() == 1:
        tell(f"the map of {title} for {model.name} has a single position; choose a layer before pooling")
    elif constant.any():
        tell(
            f"the map of {title} for {model.name}{_which(constant)} is the same at every position, so it shows nothing"
        )


def _constant(made: Tensor) -> Tensor:
    """Return for each image whether each channel is the same everywhere, up to rounding, (N,)."""
    flat = made.flatten(2) if made.ndim > 2 else made.flatten(1)[:, None]
    spread = flat.amax(-1) - flat.amin(-1)
    return (spread <= 16 * torch.finfo(made.dtype).eps * flat.abs().amax(-1)).all(1)


def _which(some: Tensor) -> str:
    """Name the first of some images, unless it is all of them."""
    return "" if some.all() else f", image {int(some.nonzero()[0]) + 1} of {len(some)},"


#: Every method that asks the network a few times, by name; those that try many perturbed images are in
#: :data:`xai_widgets.perturbation.METHODS`.
METHODS: dict[str, Method] = {}


def method(
    *,
    title: str,
    reduce: Reduce = channel_sum,
    source: str = "",
    formula: str = "",
    cost: Cost = ONE_PASS,
    promises: str = "none",
    limits: str = "",
) -> Callable[[Callable[..., Tensor]], Method]:
    """Register a function ``(model, x, target, *, ...) -> (N, C, H, W)`` as a method of its own name.

    The facts are those of :class:`Method`.
    """

    def register(function: Callable[..., Tensor]) -> Method:
        made = Method(function, function.__name__, title, reduce, source, formula, cost, promises, limits)
        METHODS[made.name] = made
        return made

    return register


def get(name: str) -> Method:
    """The attribution or perturbation method of this name; ValueError, with the nearest names, if there is none."""
    if name in METHODS:
        return METHODS[name]
    # They are explainers of the same floor, which import this file.
    from xai_widgets import perturbation

    every = {**METHODS, **perturbation.METHODS}
    if name not in every:
        raise ValueError(unknown("method", name, every))
    return every[name]


def as_method(given: Any) -> Method:
    """Any explainer as a Method: a registered name, a Method, an object of another library, or your own.

    Parameters
    ----------
    given : str, Method, object, callable or (title, object or callable)
        An attribution of Captum, a composite or an attributor of zennit, or a CAM of pytorch-grad-cam, made for the
        :class:`ImageModel` or its ``.module``. Your own is called ``explain(model, x, target)`` with an ImageModel, a
        batch (N, C, H, W) in [0, 1] and class indices (N,). It returns (N, C, H, W), (N, H, W) or (H, W), as tensor or
        array.
    """
    if isinstance(given, Method):
        return given
    if isinstance(given, str):
        return get(given)
    title, explain = given if isinstance(given, tuple) and len(given) == 2 else ("", given)
    foreign = adapt(explain)
    if foreign is not None:
        title, explain = title or foreign[0], foreign[1]
    if not callable(explain):
        raise TypeError(f"a method is {brief(given)}, wanted a name, or a callable (model, x, target) -> map")
    name = str(title or getattr(explain, "__name__", type(explain).__name__))

    def call(model: ImageModel, x: Tensor, target: Tensor, **options: Any) -> Tensor:
        returned = explain(model, x, target, **options)
        try:
            made = torch.as_tensor(returned).detach()
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"expected a map (N, H, W) of method {name!r}, got {brief(returned)}") from error
        if made.ndim == 2:
            made = made[None]
        if made.ndim == 3:
            made = made[:, None]
        if made.ndim != 4 or len(made) != len(x):
            raise ValueError(
                f"method {name!r} returned a map of shape {tuple(made.shape)} for {len(x)} images, wanted "
                "(N, C, H, W) or (N, H, W)"
            )
        return made.to(x.device, torch.float32)

    return Method(call, name, title or name.replace("_", " "))
