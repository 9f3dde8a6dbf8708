"""The registry of attribution methods, and adapters that turn other explainers into methods."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch import Tensor

from xai_widgets.core.guard import guarded
from xai_widgets.core.model import ImageModel, Target, prepare
from xai_widgets.core.run import Run
from xai_widgets.core.validation import brief
from xai_widgets.errors import check_keywords, checked_keywords, keywords, unknown_name
from xai_widgets.methods.cards import Card, summary
from xai_widgets.methods.checks import check_map, unsupported_error
from xai_widgets.methods.interop import adapt

P = ParamSpec("P")
R = TypeVar("R")

#: Maps an attribution (N, C, H, W) to a saliency map (N, H, W).
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


#: Passes of a method whose number follows from the image or is unknown, such as the windows of occlusion.
TYPICAL = 150


@dataclass(frozen=True)
class Cost:
    """Number of forward and backward passes for one image and a given class.

    The total is ``forward + n * forward_each`` forward passes, and likewise for backward passes, where n is the value
    of the option ``each``.

    Attributes
    ----------
    forward, backward : int, default 1
        Passes that do not depend on an option.
    each : str, default ""
        The option, or a quantity in words, that multiplies the other passes.
    forward_each, backward_each : int, default 0
        Passes per unit of ``each``.
    note : str, default ""
        Other facts that the cost depends on.
    """

    forward: int = 1
    backward: int = 1
    each: str = ""
    forward_each: int = 0
    backward_each: int = 0
    note: str = field(default="", kw_only=True)

    def passes(self, times: int = 0) -> tuple[int, int]:
        """Return the number of forward and backward passes if ``each`` is ``times``."""
        return self.forward + times * self.forward_each, self.backward + times * self.backward_each

    def __str__(self) -> str:
        def words(once: int, each: int) -> str:
            many = f"{each} x {self.each}" if each > 1 else self.each
            return f"{many} + {once}" if each and once else many if each else str(once)

        forward, backward = words(self.forward, self.forward_each), words(self.backward, self.backward_each)
        return f"{forward} forward, {backward} backward" + (f"; {self.note}" if self.note else "")

    def __repr__(self) -> str:
        return f"Cost({self})"


#: One forward and one backward pass.
ONE_PASS = Cost()


@dataclass(frozen=True)
class Method:
    """An attribution method: call it as ``method(model, x, target, *, ...)``.

    Attributes
    ----------
    function : callable
        ``function(model, x, target, **options)`` for tensors of pixels (N, C, H, W) and of class indices (N,), which
        are already validated. Returns a tensor (N, C, H, W) in input or layer resolution.
    name : str
        Name in the registry.
    title : str
        Name for display.
    reduce : callable
        Maps the attribution to the (N, H, W) saliency map of the method's source.
    source : str
        Citation; the complete entries are in ``docs/references.bib``.
    formula : str
        The formula in one line: x the pixels, S_c the score of the class, x' a baseline, a and g the activation of a
        layer and the gradient of the score there.
    cost : Cost, optional
        Passes through the network with the default options. None: unknown.
    guarantees : str
        Properties of the values, such as their sum; "none" if there are none.
    limits : str
        Networks that raise an error, and known failures.
    family : str
        Package of the method, "attribution", "perturbation" or "inverse"; "" for a custom method.
    requires : tuple of str
        Conditions without which the method raises an error or needs other data:

        * "relu": the network has a ReLU.
        * "rules": every operation of the network has a backward rule.
        * "piecewise_linear": no activation is smooth, such as GELU.
        * "global_average": the network ends with a global average and a linear layer.
        * "attention": every block of the network has attention between all patches.
        * "patterns": patterns of the network are estimated from images first.
        * "units": the network divides into units that both inverses can invert one by one.
        * "predicted_class": the class is the predicted one.
    uses_class : bool, default True
        Whether the result depends on the class.
    signed : bool, optional
        Whether the saliency map can have values of both signs; False if none is below 0. None: it depends on the
        network, or is unknown. A reduction to magnitudes decides it in any case.
    layer_optional : bool, default False
        Whether the method explains the pixels unless a ``layer`` is given.
    quick : mapping
        Options that reduce the number of passes, for tests and trials where the quality of the map does not matter.
    """

    function: Callable[..., Tensor] = field(repr=False)
    name: str
    title: str
    reduce: Reduce = field(default=channel_sum, repr=False)
    source: str = field(default="", repr=False)
    formula: str = field(default="", repr=False)
    cost: Cost | None = field(default=None, repr=False)
    guarantees: str = field(default="none", repr=False)
    limits: str = field(default="", repr=False)
    family: str = ""
    requires: tuple[str, ...] = field(default=(), repr=False)
    uses_class: bool = field(default=True, repr=False)
    quick: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False, compare=False)
    signed: bool | None = field(default=None, repr=False)
    layer_optional: bool = field(default=False, repr=False)

    @property
    def slow(self) -> bool:
        """Whether the method takes a number of passes that an option sets."""
        return self.cost is not None and bool(self.cost.each)

    def work(self) -> int:
        """Return about how many passes of one image the defaults take, a backward pass as two."""
        if self.cost is None:
            return TYPICAL
        option = inspect.signature(self.function).parameters.get(self.cost.each)
        times = TYPICAL if option is None or not isinstance(option.default, int) else option.default
        forward, backward = self.cost.passes(times if self.slow else 0)
        return forward + 2 * backward

    def __post_init__(self) -> None:
        # The instance is frozen; help() and inspect.signature() are to show the function.
        object.__setattr__(self, "__doc__", self.function.__doc__)
        object.__setattr__(self, "__wrapped__", self.function)

    def card(self) -> Card:
        """Return the facts of the method on a card, which a notebook shows as HTML."""
        facts = {
            "Formula": self.formula,
            "Cost": str(self.cost) if self.cost is not None else "unknown",
            "Guarantees": self.guarantees,
            "Limits": self.limits,
            "Source": self.source,
        }
        known = {name: text for name, text in facts.items() if text}
        return Card(self.title, summary(self.__doc__), known, self.name if self.family else "")

    def _repr_html_(self) -> str:
        return self.card()._repr_html_()

    @property
    def sign(self) -> str:
        """The values that a view of the saliency map shows: "both", "positive", or "auto", which decides by them."""
        if self.reduce in (max_abs, abs_sum):
            return "positive"
        return {True: "both", False: "positive", None: "auto"}[self.signed]

    @property
    def takes_layer(self) -> bool:
        """Whether the attribution is that of a layer, which the option ``layer`` names."""
        return self.accepts_layer and not self.layer_optional

    @property
    def accepts_layer(self) -> bool:
        """Whether ``layer`` is an option of the method."""
        return "layer" in keywords(self.function)[0]

    @guarded
    def __call__(self, model: ImageModel, x: Any, target: Target = None, **options: Any) -> Tensor:
        """Attribute the score of a class to pixels or to the positions of a layer.

        Parameters
        ----------
        model : ImageModel
            The network; it is never changed.
        x
            Images of any kind, N of them; see :func:`xai_widgets.core.images.to_images`.
        target : int, str, callable, sequence or Tensor, optional
            A class index or label, a target (see :mod:`xai_widgets.targets`), or one per image. Default: the predicted
            class.
        **options
            Options of the method.

        Returns
        -------
        Tensor, (N, C, H, W)
            Signed, in input or layer resolution, on the model's device. If the method guarantees a sum (completeness),
            the tensor has an attribute ``gap``, (N,): the actual sum minus the guaranteed one.
        """
        self.check_options(options)
        model, x, target = prepare(model, x, target)
        try:
            attribution = self.function(model, x, target, **options)
        except RuntimeError as error:
            raise unsupported_error(error, self.title, model) or error from error.__cause__
        check_map(attribution, self.title, model)
        return attribution

    def check_options(self, options: Iterable[str]) -> None:
        """Raise a TypeError, with the nearest option, for one that the method does not have."""
        names, passes_on = keywords(self.function)
        if not passes_on:
            check_keywords(self.name, options, names)

    def saliency(self, model: ImageModel, x: Any, target: Target = None, **options: Any) -> Tensor:
        """Return the saliency map of the method, (N, H, W), in input or layer resolution."""
        return self.reduce(self(model, x, target, **options))


#: Packages that register methods, in the order of the listing. They are imported at the first lookup, so that they can
#: import this module.
FAMILIES = ("attribution", "perturbation", "inverse")


class _Registry(Mapping[str, Method]):
    """All methods by name. The first lookup imports the families."""

    def __init__(self) -> None:
        self._methods: dict[str, Method] = {}

    def add(self, method: Method) -> None:
        self._methods[method.name] = method

    def __repr__(self) -> str:
        names = list(self)
        return f"<{len(names)} methods: {', '.join(names[:3])}, ..., {names[-1]}>"

    def _all(self) -> dict[str, Method]:
        for family in FAMILIES:
            importlib.import_module(f"xai_widgets.{family}")
        # Your own methods come last.
        order = {family: index for index, family in enumerate(FAMILIES)}
        return dict(sorted(self._methods.items(), key=lambda item: order.get(item[1].family, len(order))))

    def registered(self, family: str) -> dict[str, Method]:
        """Return the methods of a family that are registered so far."""
        return {name: method for name, method in self._methods.items() if method.family == family}

    def __getitem__(self, name: str) -> Method:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


#: All methods by name: those of :mod:`xai_widgets.attribution`, of :mod:`xai_widgets.perturbation`, and of
#: :mod:`xai_widgets.inverse`.
METHODS = _Registry()


def method(
    *,
    title: str,
    reduce: Reduce = channel_sum,
    source: str = "",
    formula: str = "",
    cost: Cost = ONE_PASS,
    guarantees: str = "none",
    limits: str = "",
    requires: tuple[str, ...] = (),
    uses_class: bool = True,
    quick: Mapping[str, Any] | None = None,
    signed: bool | None = True,
    layer_optional: bool = False,
) -> Callable[[Callable[..., Tensor]], Method]:
    """Register a function ``(model, x, target, *, ...) -> (N, C, H, W)`` as a method of the same name.

    Parameters
    ----------
    title, reduce, source, formula, cost, guarantees, limits, requires, uses_class, quick, signed, layer_optional
        Facts about the method, see :class:`Method`.
    """

    def register(function: Callable[..., Tensor]) -> Method:
        registered = Method(
            checked_keywords(function), function.__name__, title, reduce, source, formula, cost, guarantees, limits,
            _family(function), requires, uses_class, quick or {}, signed, layer_optional,
        )  # fmt: skip
        METHODS.add(registered)
        return registered

    return register


def run_method(**facts: Any) -> Callable[[Callable[P, Run[R]]], Callable[P, Run[R]]]:
    """Register a function that returns a :class:`~xai_widgets.core.run.Run` as a method of the same name.

    The attribution of the method, (N, 1, H, W), is the saliency map of the run's result. The function itself is
    returned unchanged.

    Parameters
    ----------
    **facts
        Facts about the method, see :class:`Method`.
    """

    def register(explain: Callable[P, Run[R]]) -> Callable[P, Run[R]]:
        def function(model: ImageModel, x: Tensor, target: Tensor, **options: Any) -> Tensor:
            run = cast(Callable[..., Run[Any]], explain)(model, x, target, **options)
            saliency: Tensor = run.result(progress=False).saliency()
            return saliency[:, None]

        function.__doc__ = explain.__doc__
        METHODS.add(Method(function, explain.__name__, family=_family(explain), **facts))
        return explain

    return register


def _family(function: Callable[..., Any]) -> str:
    """Return the package below ``xai_widgets`` that holds a function; "" for a function of your own."""
    package, _, rest = function.__module__.partition(".")
    return rest.partition(".")[0] if package == "xai_widgets" else ""


def family(name: str) -> dict[str, Method]:
    """Return the methods of one family, "attribution", "perturbation" or "inverse", by name."""
    if name not in FAMILIES:
        raise ValueError(unknown_name("family", name, FAMILIES))
    return {key: method for key, method in METHODS.items() if method.family == name}


def get(name: str) -> Method:
    """Return the method of this name; ValueError, with the nearest names, for an unknown name."""
    if name not in METHODS:
        raise ValueError(unknown_name("method", name, METHODS))
    return METHODS[name]


def card(name: str) -> Card:
    """Return the card of the method of this name; ValueError, with the nearest names, for an unknown name."""
    return get(name).card()


def as_method(given: Any) -> Method:
    """Convert a name, an object of another library or a callable to a :class:`Method`.

    Parameters
    ----------
    given : str, Method, object, callable or (title, object or callable)
        The name of a registered method; an attribution of Captum, a composite or an attributor of zennit, or a CAM of
        pytorch-grad-cam, created for the :class:`ImageModel` or its ``.module``; or a callable ``explain(model, x,
        target)`` for an ImageModel, a batch (N, C, H, W) in [0, 1] and class indices (N,) that returns a tensor or
        array (N, C, H, W), (N, H, W) or (H, W).
    """
    if isinstance(given, Method):
        return given
    if isinstance(given, str):
        return get(given)
    title, explain = given if isinstance(given, tuple) and len(given) == 2 else ("", given)
    adapted = adapt(explain)
    if adapted is not None:
        title, explain = title or adapted[0], adapted[1]
    if not callable(explain):
        raise TypeError(
            f"expected a method as a name or a callable (model, x, target) -> map, got {brief(given)}"
        )
    name = str(title or getattr(explain, "__name__", type(explain).__name__))

    def call(model: ImageModel, x: Tensor, target: Tensor, **options: Any) -> Tensor:
        returned = explain(model, x, target, **options)
        try:
            attribution = torch.as_tensor(returned).detach()
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"expected a map (N, H, W) of method {name!r}, got {brief(returned)}") from error
        if attribution.ndim == 2:
            attribution = attribution[None]
        if attribution.ndim == 3:
            attribution = attribution[:, None]
        if attribution.ndim != 4 or len(attribution) != len(x):
            raise ValueError(
                f"expected a map (N, C, H, W) or (N, H, W) of method {name!r}, got one of shape "
                f"{tuple(attribution.shape)} for {len(x)} images"
            )
        return attribution.to(x.device, torch.float32)

    return Method(call, name, title or name.replace("_", " "))


#: A registered name, a method, or an explainer of another library or your own, with a title if it is a pair.
MethodLike = str | Method | Callable[..., Any] | tuple[str, Callable[..., Any]]


def methods_by_name(methods: MethodLike | Iterable[MethodLike]) -> dict[str, Method]:
    """Return methods by name; ValueError for none, or two methods of one name."""
    if isinstance(methods, str) or callable(methods):
        methods = [methods]
    several = [as_method(method) for method in methods]
    if not several:
        raise ValueError(f"expected at least one method, got none; for example {next(iter(METHODS))!r}")
    by_name: dict[str, Method] = {}
    for method in several:
        if method.name in by_name:
            raise ValueError(
                f"expected methods with different names, got {method.name!r} twice; a pair (title, method) renames one"
            )
        by_name[method.name] = method
    return by_name
